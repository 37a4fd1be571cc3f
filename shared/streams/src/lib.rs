//! Codecs of exec, attach and port-forward channels: WebSocket v4 and v5.
//!
//! [`channel`] is the codec alone, without I/O: a message is a channel number and bytes. [`serve`] and [`forward`] are the
//! end that runs the command, [`Remote`] the end that asked for it. Which process stands behind the
//! streams is never known here.

pub mod channel;
pub mod spdy;
mod error;
mod forward;
mod handshake;
mod remote;
mod server;
mod status;

pub use error::Error;
pub use forward::{Connect, forward};
pub use handshake::{Handshake, accept};
pub use remote::Remote;
pub use server::{Ends, Wanted, serve};
pub use status::Outcome;
pub use tokio_tungstenite::WebSocketStream;
