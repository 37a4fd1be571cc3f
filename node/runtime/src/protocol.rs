//! What the daemon and a sandbox's supervisor say to each other: JSON messages on a `SOCK_SEQPACKET` socket, with file
//! descriptors beside them. One request a connection; every request names the protocol's version.

use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, sendmsg},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    path::PathBuf,
};

/// The version spoken here. A supervisor refuses others and says which it speaks.
pub(crate) const VERSION: u32 = 1;

/// Longest message.
const MESSAGE_LIMIT: usize = 256 * 1024;

/// Most descriptors beside one message.
const FD_LIMIT: usize = 4;

/// A request.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The protocol's version.
    pub version: u32,
    /// What to do.
    pub command: Command,
}

/// What the daemon asks for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Start a container. Answer: `Started` or `Failed`.
    Start(Start),
    /// Send a signal to a container's first process. Answer: `Done` or `NotFound`.
    Signal { container: String, signal: i32 },
    /// Run a command in a container. Beside it: stdin, stdout, stderr; none with a terminal. Answers: `Started` (with
    /// the terminal beside it) or `Failed`, then `Exited`. Closing the connection before kills it.
    Exec {
        container: String,
        command: Vec<String>,
        tty: bool,
    },
    /// Join a container's streams. Beside it: stdin (if told), stdout, stderr. Answers: `Done`, then `Exited`.
    Attach { container: String, stdin: bool },
    /// Set the size of a container's terminal. Answer: `Done` or `NotFound`.
    Resize {
        container: String,
        width: u16,
        height: u16,
    },
    /// Open a container's log file anew. Answer: `Done`, `NotFound` or `Failed`.
    ReopenLog { container: String },
    /// Make a TCP socket in the sandbox's network namespace. Answer: `Done` with the socket beside it, or `Failed`.
    Socket { v6: bool },
    /// Answer: `State`.
    State,
    /// Answers: `Event`, until the connection closes.
    Subscribe,
    /// Kill all, record their ends, answer `Done`, and end.
    Shutdown,
}

/// A container to start. Everything else is in its `spec.json`, which the launch child reads.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// Its id.
    pub container: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Full path of its log; empty: none.
    pub log_path: PathBuf,
    /// Its cgroup, in each hierarchy.
    pub cgroups: Vec<PathBuf>,
    /// With a terminal.
    pub tty: bool,
    /// With a stdin.
    pub stdin: bool,
    /// Stdin ends with the first attach.
    pub stdin_once: bool,
    /// In the host's process namespace.
    pub host_pid: bool,
    /// In the process namespace of this container.
    #[serde(default)]
    pub target: Option<String>,
}

/// What a supervisor answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// It is done.
    Done,
    /// It runs.
    Started { pid: i32, warnings: Vec<String> },
    /// It ended; 128+n for signal n.
    Exited { code: i32 },
    /// There is no such container, or it does not run.
    NotFound,
    /// It could not be done.
    Failed { message: String },
    /// That version is not spoken; this one is.
    Unsupported { version: u32 },
    /// The containers known.
    State { containers: Vec<ContainerNow> },
    /// Something happened to a container.
    Event { container: String, exited: bool },
}

/// A container in a supervisor's state.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ContainerNow {
    /// Its id.
    pub id: String,
    /// It runs.
    pub running: bool,
}

/// Sends `message` with `fds` beside it.
pub(crate) fn send<T: Serialize>(socket: BorrowedFd<'_>, message: &T, fds: &[RawFd]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MESSAGE_LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "message too long for the supervisor's socket",
        ));
    }
    let rights = [ControlMessage::ScmRights(fds)];
    let beside: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
    loop {
        match sendmsg::<UnixAddr>(
            socket.as_raw_fd(),
            &[IoSlice::new(&bytes)],
            beside,
            MsgFlags::MSG_NOSIGNAL,
            None,
        ) {
            Err(Errno::EINTR) => {}
            other => return other.map(|_| ()).map_err(io::Error::from),
        }
    }
}

/// Receives a message and what is beside it. `None` at the end of the connection.
pub(crate) fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0u8; MESSAGE_LIMIT];
    let mut space = cmsg_space!([RawFd; FD_LIMIT]);
    let mut fds = Vec::new();
    let length = loop {
        let mut iov = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut iov, Some(&mut space), flags) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(received) => {
                for message in received.cmsgs()? {
                    if let ControlMessageOwned::ScmRights(raw) = message {
                        fds.extend(raw.into_iter().map(own));
                    }
                }
                break received.bytes;
            }
        }
    };
    if length == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&bytes[..length])?, fds)))
}

#[expect(
    unsafe_code,
    reason = "descriptors that came in a message are ours and nobody else's"
)]
fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for this process; it is wrapped exactly once.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
