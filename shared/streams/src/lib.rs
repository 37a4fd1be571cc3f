//! Codecs of exec, attach and port-forward channels: WebSocket v4 and v5.
