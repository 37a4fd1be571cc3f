//! The netlink socket: each request has its own, in the network namespace of the calling thread.

use crate::Error;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, setsockopt,
    socket,
    sockopt::{RcvBufForce, SndBufForce},
};
use std::os::fd::{AsRawFd, OwnedFd};

const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
pub(crate) const REQUEST: u16 = 1;
pub(crate) const ACK: u16 = 4;
pub(crate) const DUMP: u16 = 0x300;

/// Opens a message; [`close`] writes its length.
pub(crate) fn open(out: &mut Vec<u8>, kind: u16, flags: u16, seq: u32, family: u8, resource: u16) -> usize {
    let start = out.len();
    out.extend([0; 4]);
    out.extend(kind.to_ne_bytes());
    out.extend((flags | REQUEST).to_ne_bytes());
    out.extend(seq.to_ne_bytes());
    out.extend([0; 4]);
    out.extend([family, 0]);
    out.extend(resource.to_be_bytes());
    start
}

pub(crate) fn close(out: &mut [u8], start: usize) {
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

/// What the kernel sent.
#[derive(Debug)]
pub(crate) enum Answer {
    /// An acknowledgement (0) or an error, of the message with that number.
    Status { seq: u32, errno: i32 },
    /// An object: its message without the netlink and netfilter headers.
    Object(Vec<u8>),
}

/// Sends `message` and gathers all that the kernel answers. The kernel does the work inside the send, so answers are
/// there when it returns; a dump goes on while its parts are read.
pub(crate) fn exchange(message: &[u8]) -> Result<Vec<Answer>, Error> {
    let fd = connect(message.len())?;
    sendto(
        fd.as_raw_fd(),
        message,
        &NetlinkAddr::new(0, 0),
        MsgFlags::empty(),
    )
    .map_err(Error::Socket)?;
    let mut answers = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match recv(fd.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) | Err(nix::Error::EAGAIN) => return Ok(answers),
            Ok(length) => {
                if split(&buffer[..length], &mut answers) {
                    return Ok(answers);
                }
            }
            Err(nix::Error::EINTR) => {}
            Err(error) => return Err(Error::Socket(error)),
        }
    }
}

fn connect(length: usize) -> Result<OwnedFd, Error> {
    let kind = SockType::Raw;
    let fd = socket(
        AddressFamily::Netlink,
        kind,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )
    .map_err(Error::Socket)?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(Error::Socket)?;
    let room = length * 2 + (1 << 16);
    setsockopt(&fd, SndBufForce, &room).map_err(Error::Socket)?;
    setsockopt(&fd, RcvBufForce, &(1 << 20)).map_err(Error::Socket)?;
    Ok(fd)
}

/// Splits a datagram into answers; true at the end of a dump.
fn split(mut bytes: &[u8], answers: &mut Vec<Answer>) -> bool {
    let word = |b: &[u8], at: usize| u32::from_ne_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
    while bytes.len() >= HEADER {
        let length = word(bytes, 0) as usize;
        if length < HEADER || length > bytes.len() {
            return false;
        }
        let (kind, body) = (u16::from_ne_bytes([bytes[4], bytes[5]]), &bytes[HEADER..length]);
        match kind {
            DONE => return true,
            ERROR if body.len() >= 4 => {
                answers.push(Answer::Status {
                    seq: word(bytes, 8),
                    errno: (word(body, 0) as i32).wrapping_neg(),
                });
            }
            _ if body.len() >= 4 => answers.push(Answer::Object(body[4..].to_vec())),
            _ => {}
        }
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    false
}
