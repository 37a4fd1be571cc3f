//! A connection from the daemon to a supervisor.

use crate::{
    edge::{Error, Result},
    protocol::{self, Command, Reply, Request, VERSION},
};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    path::Path,
};
use tokio::io::{Interest, unix::AsyncFd};

/// A connection.
pub(super) struct Link(AsyncFd<OwnedFd>);

impl Link {
    /// Connects to the supervisor that listens at `path`. Must be called inside a runtime.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        Ok(Self(registered(socket)?))
    }

    /// Asks for something; the answers come by [`Link::hear`].
    pub(super) async fn ask(&self, command: Command, fds: &[RawFd]) -> io::Result<()> {
        let request = Request {
            version: VERSION,
            command,
        };
        self.0
            .async_io(Interest::WRITABLE, |socket| {
                protocol::send(socket.as_fd(), &request, fds)
            })
            .await
    }

    /// The next answer; `None` when the supervisor is gone.
    pub(super) async fn hear(&self) -> io::Result<Option<(Reply, Vec<OwnedFd>)>> {
        self.0
            .async_io(Interest::READABLE, |socket| protocol::receive(socket.as_fd()))
            .await
    }
}

/// The descriptor with the runtime's readiness.
pub(super) fn registered(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(unsafe_code, reason = "registering asks for a promise about the descriptor")]
    // SAFETY: an `OwnedFd` is the same open descriptor for as long as the `AsyncFd` has it.
    let registered = unsafe { AsyncFd::register(fd) };
    registered.map_err(io::Error::from)
}

/// Asks the supervisor at `path` and takes one answer.
pub(super) async fn request(path: &Path, command: Command) -> Result<(Reply, Vec<OwnedFd>)> {
    let gone = |error: io::Error| Error::Internal(format!("supervisor at {}: {error}", path.display()));
    let link = Link::open(path).map_err(gone)?;
    link.ask(command, &[]).await.map_err(gone)?;
    answer(&link).await
}

/// The next answer, which must come.
pub(super) async fn answer(link: &Link) -> Result<(Reply, Vec<OwnedFd>)> {
    match link.hear().await {
        Ok(Some((Reply::Unsupported { version }, _))) => Err(Error::Internal(format!(
            "the supervisor speaks version {version} of the protocol, not {VERSION}"
        ))),
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(Error::Internal("the supervisor is gone".to_owned())),
        Err(error) => Err(Error::Internal(format!("supervisor: {error}"))),
    }
}
