//! kubelet: turns pods bound to this node into sandboxes and containers.
