//! Codecs of exec, attach and port-forward: WebSocket channels, SPDY/3.1, and SPDY tunnelled in WebSocket.
//!
//! [`channel`] and [`spdy`] are the codecs. [`accept`] looks at a request, [`serve`] and [`forward`] are the end that runs
//! the command or has the ports; [`Remote`] is the end that asked for it over WebSocket, [`relay`] over SPDY; [`output`] only writes. Which process
//! stands behind the streams is never known here.

pub mod channel;
mod command;
mod error;
mod forward;
mod handshake;
mod output;
mod relay;
mod remote;
pub mod spdy;
mod status;
mod tunnel;

pub use command::{Ends, Wanted, serve};
pub use error::Error;
pub use forward::{Connect, forward};
pub use handshake::{
    COMMAND, Coding, FORWARD, Handshake, Purpose, Refusal, SPDY, TUNNEL, VERSION, Wire, accept, is_socket,
};
pub use output::output;
pub use relay::relay;
pub use remote::Remote;
pub use status::Outcome;
pub use tokio_tungstenite::{WebSocketStream, tungstenite::protocol::Role as SocketRole};
pub use tunnel::Tunnel;

use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// How long a client may take to open all its streams, as upstream's kubelet.
const CREATION: Duration = Duration::from_secs(30);
/// How long an end may take to close after it was told goodbye.
const GOODBYE: Duration = Duration::from_secs(5);
/// Most bytes in a message of a WebSocket.
const MESSAGE: usize = 4 << 20;

async fn socket<S: AsyncRead + AsyncWrite + Unpin>(io: S, role: SocketRole) -> WebSocketStream<S> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE));
    WebSocketStream::from_raw_socket(io, role, Some(config)).await
}
