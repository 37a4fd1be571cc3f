//! Port-forward where the ports are.

mod socket;
mod spdy;

use crate::{Error, Tunnel, Wire};
use component::Clock;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::protocol::Role;

/// Opens a byte stream to a port; an error is what the other end is told.
pub type Connect<'a, D> = &'a (dyn Fn(u16) -> BoxFuture<'static, Result<D, String>> + Send + Sync);

/// Serves one port-forward over `io` (upgraded already to `wire`) until the other end leaves. `ports` are those of the
/// request; over SPDY each connection names its own.
pub async fn forward<S, D>(
    io: S,
    wire: Wire,
    ports: &[u16],
    clock: &Clock,
    connect: Connect<'_, D>,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    D: AsyncRead + AsyncWrite + Send + Unpin,
{
    match wire {
        Wire::Socket(protocol) => socket::forward(io, protocol, ports, connect).await,
        Wire::Spdy(_) => spdy::forward(io, clock, connect).await,
        Wire::Tunnel => spdy::forward(Tunnel::new(io, Role::Server).await, clock, connect).await,
        Wire::Output(_) => Err(Error::Protocol(format!("{wire:?} carries no connection"))),
    }
}
