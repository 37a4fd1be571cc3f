//! A running container as its supervisor has it: streams, log, those who are attached.

use super::log::{Log, Stream};
use crate::protocol::Start;
use component::Clock;
use nix::{errno::Errno, unistd};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Most output kept for an attached end that does not read; then it is cut.
const BACKLOG_LIMIT: usize = 1 << 20;

const CHUNK: usize = 16 * 1024;

/// A container.
pub(super) struct Container {
    pub start: Start,
    pub pid: i32,
    pub log: Log,
    /// Read ends of its output; with a terminal only the first, the terminal.
    pub outputs: [Option<OwnedFd>; 2],
    /// Write end of its stdin; with a terminal a copy of the terminal.
    pub stdin: Option<OwnedFd>,
    /// Input that is not written yet.
    pub input: Vec<u8>,
    /// Close stdin when the input is written.
    pub input_ends: bool,
    pub attached: Vec<Attached>,
}

/// An attached end.
pub(super) struct Attached {
    /// The connection it came by.
    pub client: u64,
    pub stdin: Option<OwnedFd>,
    pub outputs: [Option<OwnedFd>; 2],
    pub backlog: [Vec<u8>; 2],
}

impl Container {
    /// Reads once from an output. Its end closes it.
    pub(super) fn pump(&mut self, which: usize, clock: &Clock) -> bool {
        let Some(fd) = &self.outputs[which] else {
            return false;
        };
        let mut buffer = [0u8; CHUNK];
        match unistd::read(fd, &mut buffer) {
            Err(Errno::EAGAIN | Errno::EINTR) => false,
            // A terminal whose other end is closed answers EIO.
            Ok(0) | Err(_) => {
                self.outputs[which] = None;
                false
            }
            Ok(count) => {
                let stream = if which == 0 {
                    Stream::Stdout
                } else {
                    Stream::Stderr
                };
                self.log.write(stream, &buffer[..count], clock.wall());
                self.attached
                    .iter_mut()
                    .for_each(|end| end.give(which, &buffer[..count]));
                self.attached.retain(Attached::keeps_up);
                true
            }
        }
    }

    /// Reads what is there when the container ended, and closes.
    pub(super) fn drain(&mut self, clock: &Clock) {
        for which in 0..2 {
            while self.pump(which, clock) {}
            self.outputs[which] = None;
        }
        self.log.finish(clock.wall());
    }

    /// Takes input from an attached end.
    pub(super) fn take_input(&mut self, at: usize) {
        let Some(end) = self.attached.get_mut(at) else {
            return;
        };
        let Some(fd) = &end.stdin else { return };
        let mut buffer = [0u8; CHUNK];
        match unistd::read(fd, &mut buffer) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Ok(0) | Err(_) => {
                end.stdin = None;
                self.input_ends |= self.start.stdin_once && !self.start.tty;
            }
            Ok(count) if self.stdin.is_some() => self.input.extend_from_slice(&buffer[..count]),
            Ok(_) => {}
        }
        self.feed();
    }

    /// Writes input on to the container.
    pub(super) fn feed(&mut self) {
        let Some(stdin) = &self.stdin else { return };
        match write_some(stdin.as_fd(), &mut self.input) {
            Ok(()) if self.input.is_empty() && self.input_ends => self.stdin = None,
            Ok(()) => {}
            Err(_) => {
                self.stdin = None;
                self.input.clear();
            }
        }
    }
}

impl Attached {
    fn give(&mut self, which: usize, bytes: &[u8]) {
        if self.outputs[which].is_some() {
            self.backlog[which].extend_from_slice(bytes);
            self.flush(which);
        }
    }

    /// Writes on what waits.
    pub(super) fn flush(&mut self, which: usize) {
        let Some(fd) = &self.outputs[which] else { return };
        if write_some(fd.as_fd(), &mut self.backlog[which]).is_err() {
            self.outputs[which] = None;
            self.backlog[which].clear();
        }
    }

    fn keeps_up(&self) -> bool {
        self.backlog.iter().all(|waiting| waiting.len() <= BACKLOG_LIMIT)
    }

    /// The output descriptor, if something waits for it.
    pub(super) fn waiting(&self, which: usize) -> Option<RawFd> {
        self.outputs[which]
            .as_ref()
            .filter(|_| !self.backlog[which].is_empty())
            .map(|fd| fd.as_raw_fd())
    }
}

fn write_some(fd: BorrowedFd<'_>, from: &mut Vec<u8>) -> Result<(), Errno> {
    while !from.is_empty() {
        match unistd::write(fd, from) {
            Ok(count) => drop(from.drain(..count)),
            Err(Errno::EAGAIN) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    *from = Vec::new();
    Ok(())
}
