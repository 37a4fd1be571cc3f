//! The supervisor's loop.

use super::{
    birth::{Birth, note},
    container::{Attached, Container},
};
use crate::{
    cgroup, launch,
    protocol::{self, Command, ContainerNow, Reply, Request, VERSION},
    record::{self, EXIT, ExitRecord},
};
use component::Clock;
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{self, Signal},
        signalfd::SignalFd,
        socket::{self, AddressFamily, SockFlag, SockType, accept4},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    path::PathBuf,
};

/// A supervisor.
pub(crate) struct Supervisor {
    listener: OwnedFd,
    signals: SignalFd,
    socket_path: PathBuf,
    /// The process that keeps the shared process namespace.
    pub(super) pause: Option<i32>,
    pub(super) clock: Clock,
    /// By first process.
    pub(super) containers: BTreeMap<i32, Container>,
    pub(super) births: Vec<Birth>,
    /// Exit codes of children that nobody knew yet when they ended, by process: a program may be over before the launch
    /// child that made it has gone, and only then it is known whose it is.
    pub(super) early: BTreeMap<i32, i32>,
    pub(super) clients: BTreeMap<u64, Client>,
    next_client: u64,
    /// Who waits for the shutdown.
    closing: Option<u64>,
}

/// A connection.
pub(super) struct Client {
    socket: OwnedFd,
    pub kind: Kind,
}

impl Client {
    /// One that has said nothing yet.
    pub fn asking(socket: OwnedFd) -> Self {
        Self {
            socket,
            kind: Kind::Asks,
        }
    }
}

/// What a connection is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It asks, or waits for its answer.
    Asks,
    /// It hears events.
    Hears,
    /// It waits for the end of a command.
    Exec(i32),
    /// It is attached.
    Attached,
}

/// What a descriptor that is polled belongs to.
#[derive(Clone, Copy)]
enum Source {
    Listener,
    Signals,
    Births,
    Client(u64),
    Output(i32, usize),
    Input(i32),
    AttachedInput(i32, usize),
    AttachedOutput(i32, usize, usize),
}

impl Supervisor {
    pub(super) fn new(
        listener: OwnedFd,
        signals: SignalFd,
        socket_path: PathBuf,
        pause: Option<i32>,
    ) -> Self {
        Self {
            listener,
            signals,
            socket_path,
            pause,
            clock: Clock::system(),
            containers: BTreeMap::new(),
            births: Vec::new(),
            early: BTreeMap::new(),
            clients: BTreeMap::new(),
            next_client: 0,
            closing: None,
        }
    }

    /// Serves until it is shut down; the exit code.
    pub(super) fn serve(mut self) -> i32 {
        loop {
            if let Some(client) = self.closing
                && self.containers.is_empty()
                && self.births.is_empty()
            {
                let _ = std::fs::remove_file(&self.socket_path);
                self.answer(client, &Reply::Done, &[]);
                return 0;
            }
            match self.wait() {
                Ok(ready) => ready.into_iter().for_each(|source| self.handle(source)),
                Err(Errno::EINTR) => {}
                Err(error) => {
                    eprintln!("poll: {error}");
                    return 1;
                }
            }
        }
    }

    /// Waits until something is ready.
    fn wait(&self) -> Result<Vec<Source>, Errno> {
        let (sources, mut polled): (Vec<_>, Vec<_>) = self.sources().into_iter().unzip();
        poll(&mut polled, PollTimeout::NONE)?;
        let ready = sources
            .into_iter()
            .zip(&polled)
            .filter(|(_, fd)| fd.any() == Some(true));
        Ok(ready.map(|(source, _)| source).collect())
    }

    fn sources(&self) -> Vec<(Source, PollFd<'_>)> {
        let read = |source, fd| (source, PollFd::new(fd, PollFlags::POLLIN));
        let mut all = vec![read(Source::Listener, self.listener.as_fd())];
        all.extend(
            self.births
                .iter()
                .map(|birth| read(Source::Births, birth.notes.as_fd())),
        );
        all.push(read(Source::Signals, self.signals.as_fd()));
        for (id, client) in &self.clients {
            all.push(read(Source::Client(*id), client.socket.as_fd()));
        }
        for (pid, container) in &self.containers {
            for (which, output) in container.outputs.iter().enumerate() {
                all.extend(
                    output
                        .as_ref()
                        .map(|fd| read(Source::Output(*pid, which), fd.as_fd())),
                );
            }
            if let Some(stdin) = container.stdin.as_ref().filter(|_| !container.input.is_empty()) {
                all.push((
                    Source::Input(*pid),
                    PollFd::new(stdin.as_fd(), PollFlags::POLLOUT),
                ));
            }
            for (at, end) in container.attached.iter().enumerate() {
                if let Some(stdin) = end.stdin.as_ref().filter(|_| container.input.is_empty()) {
                    all.push(read(Source::AttachedInput(*pid, at), stdin.as_fd()));
                }
                for which in 0..2 {
                    if let Some(output) = end.outputs[which]
                        .as_ref()
                        .filter(|_| end.waiting(which).is_some())
                    {
                        let source = Source::AttachedOutput(*pid, at, which);
                        all.push((source, PollFd::new(output.as_fd(), PollFlags::POLLOUT)));
                    }
                }
            }
        }
        all
    }

    fn handle(&mut self, source: Source) {
        match source {
            Source::Listener => self.accept(),
            Source::Births => self.listen_to_births(),
            Source::Signals => self.reap(),
            Source::Client(id) => self.hear(id),
            Source::Output(pid, which) => {
                if let Some(container) = self.containers.get_mut(&pid) {
                    container.pump(which, &self.clock);
                }
            }
            Source::Input(pid) => {
                if let Some(container) = self.containers.get_mut(&pid) {
                    container.feed();
                }
            }
            Source::AttachedInput(pid, at) => {
                if let Some(container) = self.containers.get_mut(&pid) {
                    container.take_input(at);
                }
            }
            Source::AttachedOutput(pid, at, which) => {
                if let Some(end) = self.containers.get_mut(&pid).and_then(|c| c.attached.get_mut(at)) {
                    end.flush(which);
                }
            }
        }
    }

    fn accept(&mut self) {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        if let Ok(fd) = accept4(self.listener.as_raw_fd(), flags) {
            self.clients.insert(self.next_client, Client::asking(own(fd)));
            self.next_client += 1;
        }
    }

    /// Takes a request from a connection, or its end.
    fn hear(&mut self, id: u64) {
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        match protocol::receive::<Request>(client.socket.as_fd()) {
            Ok(Some((request, _))) if request.version != VERSION => {
                self.answer(id, &Reply::Unsupported { version: VERSION }, &[]);
            }
            Ok(Some((request, fds))) if client.kind == Kind::Asks => {
                if let Err(error) = self.obey(id, request.command, fds) {
                    self.answer(
                        id,
                        &Reply::Failed {
                            message: error.to_string(),
                        },
                        &[],
                    );
                }
            }
            Ok(Some(_)) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.answer(
                    id,
                    &Reply::Failed {
                        message: error.to_string(),
                    },
                    &[],
                );
            }
            Ok(None) | Err(_) => self.leave(id),
        }
    }

    /// A connection is gone: so is what was there for it only.
    fn leave(&mut self, id: u64) {
        match self.clients.remove(&id).map(|client| client.kind) {
            Some(Kind::Exec(pid)) => kill(pid),
            Some(Kind::Attached) => {
                for container in self.containers.values_mut() {
                    let once = container.start.stdin_once && !container.start.tty;
                    let had = container
                        .attached
                        .iter()
                        .any(|end| end.client == id && end.stdin.is_some());
                    container.input_ends |= once && had;
                    container.attached.retain(|end| end.client != id);
                    container.feed();
                }
            }
            _ => {}
        }
    }

    fn obey(&mut self, id: u64, command: Command, fds: Vec<OwnedFd>) -> io::Result<()> {
        match command {
            Command::Start(_) if self.closing.is_some() => {
                return Err(io::Error::other("the sandbox is being stopped"));
            }
            Command::Start(start) => return self.start(id, start),
            Command::Exec {
                container,
                command,
                tty,
            } => return self.exec(id, &container, command, tty, fds),
            Command::Signal { container, signal } => {
                let found = self.find(&container).map(|c| c.pid);
                let sent = found.map(|pid| signal::kill(Pid::from_raw(pid), Signal::try_from(signal).ok()));
                self.answer(
                    id,
                    if sent == Some(Ok(())) {
                        &Reply::Done
                    } else {
                        &Reply::NotFound
                    },
                    &[],
                );
            }
            Command::Attach { container, stdin } => self.attach(id, &container, stdin, fds)?,
            Command::Resize {
                container,
                width,
                height,
            } => {
                let terminal = self
                    .find(&container)
                    .filter(|c| c.start.tty)
                    .and_then(|c| c.outputs[0].as_ref());
                let resized = terminal
                    .map(|fd| launch::resize(fd.as_fd(), width, height))
                    .transpose()?;
                self.answer(
                    id,
                    if resized.is_some() {
                        &Reply::Done
                    } else {
                        &Reply::NotFound
                    },
                    &[],
                );
            }
            Command::ReopenLog { container } => {
                let reopened = self.find(&container).map(|c| c.log.reopen()).transpose()?;
                self.answer(
                    id,
                    if reopened.is_some() {
                        &Reply::Done
                    } else {
                        &Reply::NotFound
                    },
                    &[],
                );
            }
            Command::Socket { v6 } => {
                // A socket stays in the network namespace it was made in; the daemon connects it.
                let family = if v6 {
                    AddressFamily::Inet6
                } else {
                    AddressFamily::Inet
                };
                let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
                let made = socket::socket(family, SockType::Stream, flags, None)?;
                self.answer(id, &Reply::Done, &[made.as_raw_fd()]);
            }
            Command::State => {
                let now = |c: &Container| ContainerNow {
                    id: c.start.container.clone(),
                    running: true,
                };
                let containers = self.containers.values().map(now).collect();
                self.answer(id, &Reply::State { containers }, &[]);
            }
            Command::Subscribe => {
                self.clients
                    .entry(id)
                    .and_modify(|client| client.kind = Kind::Hears);
                self.answer(id, &Reply::Done, &[]);
            }
            Command::Shutdown => {
                self.closing = Some(id);
                for (pid, container) in &self.containers {
                    kill(*pid);
                    cgroup::kill(&container.start.cgroups);
                }
            }
        }
        Ok(())
    }

    fn find(&mut self, id: &str) -> Option<&mut Container> {
        self.containers
            .values_mut()
            .find(|container| container.start.container == id)
    }

    fn attach(&mut self, client: u64, container: &str, stdin: bool, fds: Vec<OwnedFd>) -> io::Result<()> {
        fds.iter().try_for_each(|fd| non_blocking(fd.as_fd()))?;
        let mut fds = fds.into_iter();
        let stdin = if stdin { fds.next() } else { None };
        let end = Attached {
            client,
            stdin,
            outputs: [fds.next(), fds.next()],
            backlog: [Vec::new(), Vec::new()],
        };
        let Some(container) = self.find(container) else {
            self.answer(client, &Reply::NotFound, &[]);
            return Ok(());
        };
        container.attached.push(end);
        self.clients
            .entry(client)
            .and_modify(|client| client.kind = Kind::Attached);
        self.answer(client, &Reply::Done, &[]);
        Ok(())
    }

    /// Takes up ended children.
    fn reap(&mut self) {
        while let Ok(Some(_)) = self.signals.read_signal() {}
        self.listen_to_births();
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => self.ended(pid.as_raw(), code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => self.ended(pid.as_raw(), 128 + signal as i32),
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    pub(super) fn ended(&mut self, pid: i32, code: i32) {
        if self.pause == Some(pid) {
            eprintln!("the process that keeps the process namespace ended");
            self.pause = None;
        }
        let container = self.containers.remove(&pid);
        let known = container.is_some();
        if let Some(mut container) = container {
            // With a process namespace of its own everything is gone already.
            cgroup::kill(&container.start.cgroups);
            container.drain(&self.clock);
            let oom = code != 0 && cgroup::oom_kills(&container.start.cgroups) > 0;
            let reason = match code {
                _ if oom => "OOMKilled",
                0 => "Completed",
                _ => "Error",
            };
            let record = ExitRecord {
                code,
                finished_at: self.clock.wall(),
                reason: reason.to_owned(),
                message: String::new(),
            };
            note(record::write(&container.start.dir.join(EXIT), &record));
            for end in &container.attached {
                self.answer(end.client, &Reply::Exited { code }, &[]);
            }
            self.tell(&container.start.container, true);
        }
        let waiting = self
            .clients
            .iter()
            .find(|(_, client)| client.kind == Kind::Exec(pid))
            .map(|(id, _)| *id);
        if let Some(id) = waiting {
            self.answer(id, &Reply::Exited { code }, &[]);
            self.clients.remove(&id);
        } else if !known && !self.births.is_empty() {
            self.early.insert(pid, code);
        }
    }

    /// Sends an answer; a connection that cannot take it is cut.
    pub(super) fn answer(&mut self, id: u64, reply: &Reply, fds: &[RawFd]) {
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        if protocol::send(client.socket.as_fd(), reply, fds).is_err() {
            self.leave(id);
        }
    }

    /// Tells an event to all who hear.
    pub(super) fn tell(&mut self, container: &str, exited: bool) {
        let event = Reply::Event {
            container: container.to_owned(),
            exited,
        };
        let hearers: Vec<u64> = self
            .clients
            .iter()
            .filter(|(_, client)| client.kind == Kind::Hears)
            .map(|(id, _)| *id)
            .collect();
        hearers.into_iter().for_each(|id| self.answer(id, &event, &[]));
    }
}

pub(super) fn kill(pid: i32) {
    let _ = signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
}

pub(crate) fn non_blocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

fn own(fd: RawFd) -> OwnedFd {
    #[expect(unsafe_code, reason = "a connection just accepted")]
    // SAFETY: the kernel has just made this descriptor for this process; it is wrapped exactly once.
    unsafe {
        OwnedFd::from_raw_fd(fd)
    }
}
