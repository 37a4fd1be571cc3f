//! A launch under way: what its child told, and what comes of it.

use super::{
    container::Container,
    log::Log,
    serve::{Kind, Supervisor, non_blocking},
};
use crate::{
    launch::{self, Exec, Init, Note, Started},
    protocol::{self, Reply, Start},
    record::{self, EXIT, ExitRecord, START, StartRecord},
};
use nix::{fcntl::OFlag, unistd::pipe2};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::Path,
};

/// A launch.
pub(super) struct Birth {
    pub notes: OwnedFd,
    /// The connection that asked for it.
    client: u64,
    pid: Option<i32>,
    terminal: Option<OwnedFd>,
    warnings: Vec<String>,
    failed: Option<String>,
    what: What,
}

enum What {
    Container(Box<Container>),
    Exec,
}

impl Birth {
    fn new(client: u64, started: Started, what: What) -> io::Result<Self> {
        non_blocking(started.notes.as_fd())?;
        let pid = started.direct.then_some(started.child);
        Ok(Self {
            notes: started.notes,
            client,
            pid,
            terminal: None,
            warnings: Vec::new(),
            failed: None,
            what,
        })
    }

    /// Reads what the child told; true when it tells no more.
    fn listen(&mut self) -> bool {
        loop {
            match protocol::receive::<Note>(self.notes.as_fd()) {
                Ok(Some((Note::Pid(pid), _))) => self.pid = Some(pid),
                Ok(Some((Note::Warning(text), _))) => self.warnings.push(text),
                Ok(Some((Note::Terminal, fds))) => self.terminal = fds.into_iter().next(),
                Ok(Some((Note::Failed(text), _))) => self.failed = Some(text),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Ok(None) | Err(_) => return true,
            }
        }
    }
}

impl Supervisor {
    /// Begins to start a container.
    pub(super) fn start(&mut self, client: u64, start: Start) -> io::Result<()> {
        let (id, dir) = (start.container.clone(), start.dir.clone());
        self.launch(client, start)
            .inspect_err(|error| self.stillborn(&id, &dir, error.to_string()))
    }

    fn launch(&mut self, client: u64, start: Start) -> io::Result<()> {
        let log = Log::open(&start.log_path)?;
        let (stdio, outputs, stdin) = if start.tty {
            (None, [None, None], None)
        } else {
            let ((out, out_end), (err, err_end)) = (pipe2(OFlag::O_CLOEXEC)?, pipe2(OFlag::O_CLOEXEC)?);
            let (in_end, stdin) = if start.stdin {
                let (end, stdin) = pipe2(OFlag::O_CLOEXEC)?;
                non_blocking(stdin.as_fd())?;
                (end, Some(stdin))
            } else {
                (std::fs::File::open("/dev/null")?.into(), None)
            };
            non_blocking(out.as_fd())?;
            non_blocking(err.as_fd())?;
            (Some([in_end, out_end, err_end]), [Some(out), Some(err)], stdin)
        };
        let target = start.target.as_deref().map(|id| self.running(id)).transpose()?;
        let init = Init {
            dir: &start.dir,
            cgroups: &start.cgroups,
            pid_namespace_of: target.or(self.pause).filter(|_| !start.host_pid),
            host_pid: start.host_pid,
        };
        let started = launch::start_init(&init, stdio)?;
        let container = Container {
            start,
            pid: 0,
            log,
            outputs,
            stdin,
            input: Vec::new(),
            input_ends: false,
            attached: Vec::new(),
        };
        let birth = Birth::new(client, started, What::Container(Box::new(container)))?;
        self.births.push(birth);
        Ok(())
    }

    /// The first process of a container.
    fn running(&self, id: &str) -> io::Result<i32> {
        let found = self.containers.values().find(|c| c.start.container == id);
        let absent = || {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("target container {id:?} does not run"),
            )
        };
        found.map(|c| c.pid).ok_or_else(absent)
    }

    /// Begins to run a command in a container.
    pub(super) fn exec(
        &mut self,
        client: u64,
        container: &str,
        command: Vec<String>,
        tty: bool,
        fds: Vec<OwnedFd>,
    ) -> io::Result<()> {
        let Some(container) = self.containers.values().find(|c| c.start.container == container) else {
            self.answer(client, &Reply::NotFound, &[]);
            return Ok(());
        };
        let stdio = if tty {
            None
        } else {
            <[OwnedFd; 3]>::try_from(fds).ok()
        };
        if !tty && stdio.is_none() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "exec needs three streams or a terminal",
            ));
        }
        let (dir, cgroups) = (&container.start.dir, &container.start.cgroups);
        let exec = Exec {
            dir,
            cgroups,
            init: container.pid,
            command,
            tty,
        };
        let started = launch::start_exec(&exec, stdio)?;
        self.births.push(Birth::new(client, started, What::Exec)?);
        Ok(())
    }

    /// Takes up what launch children told, and the ends of programs that were faster than the children that made them.
    pub(super) fn listen_to_births(&mut self) {
        let mut at = 0;
        while at < self.births.len() {
            if self.births[at].listen() {
                let birth = self.births.swap_remove(at);
                let pid = birth.pid;
                self.conclude(birth);
                if let Some((pid, code)) = pid.and_then(|pid| self.early.remove_entry(&pid)) {
                    self.ended(pid, code);
                }
            } else {
                at += 1;
            }
        }
        if self.births.is_empty() {
            self.early.clear();
        }
    }

    /// A container that could not start has ended, so that what was tried is counted and not tried at once again.
    fn stillborn(&mut self, container: &str, dir: &Path, message: String) {
        let record = ExitRecord {
            code: 128,
            finished_at: self.clock.wall(),
            reason: "StartError".to_owned(),
            message,
        };
        note(record::write(&dir.join(EXIT), &record));
        self.tell(container, true);
    }

    fn conclude(&mut self, birth: Birth) {
        let Birth {
            client,
            pid,
            terminal,
            warnings,
            failed,
            what,
            ..
        } = birth;
        let failure = failed.or_else(|| pid.is_none().then(|| "the launch child died".to_owned()));
        match (failure, pid, what) {
            (Some(message), _, What::Container(container)) => {
                self.stillborn(&container.start.container, &container.start.dir, message.clone());
                self.answer(client, &Reply::Failed { message }, &[]);
            }
            (Some(message), ..) => self.answer(client, &Reply::Failed { message }, &[]),
            (None, Some(pid), What::Container(mut container)) => {
                container.pid = pid;
                if let Some(terminal) = terminal {
                    note(non_blocking(terminal.as_fd()));
                    container.stdin = terminal.try_clone().ok();
                    container.outputs[0] = Some(terminal);
                }
                let record = StartRecord {
                    pid,
                    started_at: self.clock.wall(),
                    warnings: warnings.clone(),
                };
                note(record::write(&container.start.dir.join(START), &record));
                self.answer(client, &Reply::Started { pid, warnings }, &[]);
                self.tell(&container.start.container, false);
                self.containers.insert(pid, *container);
            }
            (None, Some(pid), What::Exec) => {
                let fds: Vec<_> = terminal.iter().map(|fd| fd.as_raw_fd()).collect();
                self.answer(client, &Reply::Started { pid, warnings }, &fds);
                match self.clients.get_mut(&client) {
                    Some(client) => client.kind = Kind::Exec(pid),
                    None => super::serve::kill(pid),
                }
            }
            (None, None, _) => {}
        }
    }
}

/// A record that cannot be written is told in the supervisor's log; the daemon then knows the end only by the event.
pub(super) fn note(result: io::Result<()>) {
    if let Err(error) = result {
        eprintln!("write record: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::serve::Client;
    use nix::sys::{
        signal::SigSet,
        signalfd::SignalFd,
        socket::{AddressFamily, SockFlag, SockType, socketpair},
    };

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .unwrap()
    }

    #[test]
    fn a_command_that_is_over_before_its_launch_has_its_end_told() {
        let signals = SignalFd::new(&SigSet::empty()).unwrap();
        let mut supervisor = Supervisor::new(pair().0, signals, "/nowhere".into(), None);
        let (asked, asker) = pair();
        supervisor.clients.insert(1, Client::asking(asked));
        let (notes, launcher) = pair();
        let started = Started {
            child: 4000,
            notes,
            direct: false,
        };
        supervisor
            .births
            .push(Birth::new(1, started, What::Exec).unwrap());
        supervisor.ended(4001, 7);
        protocol::send(launcher.as_fd(), &Note::Pid(4001), &[]).unwrap();
        supervisor.listen_to_births();
        supervisor.ended(4000, 0);
        drop(launcher);
        supervisor.listen_to_births();
        let hear = || protocol::receive::<Reply>(asker.as_fd()).unwrap().unwrap().0;
        assert!(matches!(hear(), Reply::Started { pid: 4001, .. }));
        assert!(matches!(hear(), Reply::Exited { code: 7 }));
        assert!(supervisor.early.is_empty());
    }
}
