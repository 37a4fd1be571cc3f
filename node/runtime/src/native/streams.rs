//! Exec, attach and port-forward. The processes' streams come to the daemon as descriptors; no byte of them passes
//! through a supervisor but for attach, where it has the only copy.

use super::{Native, internal, link};
use crate::{
    edge::{Duplex, Error, ExecRequest, Result, Streams},
    launch,
    protocol::{Command, Reply},
};
use bytes::Bytes;
use futures::future::pending;
use nix::{fcntl::OFlag, unistd::pipe2};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    pin::pin,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest, unix::AsyncFd},
    net::unix::pipe,
    sync::mpsc,
};

const CHUNK: usize = 32 * 1024;

/// How long output may go on after the command ended, when something it left behind holds its streams.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

impl Native {
    pub(super) async fn run_exec(&self, request: ExecRequest, streams: Streams) -> Result<i32> {
        let id = &request.container.0;
        let (sandbox, _) = self.container(id)?;
        let socket = self.socket(&sandbox);
        let link = link::Link::open(&socket).map_err(internal("connect to the supervisor"))?;
        let command = Command::Exec {
            container: id.clone(),
            command: request.command,
            tty: request.tty,
        };
        if request.tty {
            link.ask(command, &[]).await.map_err(internal("exec"))?;
            let terminal = started(&link, id).await?.into_iter().next();
            let terminal =
                terminal.ok_or_else(|| Error::Internal("the supervisor gave no terminal".to_owned()))?;
            return self.serve_terminal(link, terminal, streams).await;
        }
        let pipes = Pipes::new(streams.stdin.is_some()).map_err(internal("make pipes"))?;
        link.ask(command, &pipes.theirs.each_ref().map(|fd| fd.as_raw_fd()))
            .await
            .map_err(internal("exec"))?;
        drop(pipes.theirs);
        started(&link, id).await?;
        let output = async {
            tokio::join!(
                pump_out(pipes.stdout, streams.stdout),
                pump_out(pipes.stderr, streams.stderr)
            );
        };
        let (input, resize) = (pump_in(streams.stdin, pipes.stdin), pending());
        self.until_exited(&link, output, input, resize).await
    }

    /// Moves streams until the process ended and its output was sent.
    async fn until_exited(
        &self,
        link: &link::Link,
        output: impl Future<Output = ()>,
        input: impl Future<Output = ()>,
        resize: impl Future<Output = ()>,
    ) -> Result<i32> {
        let (mut output, mut input, mut resize) = (pin!(output), pin!(input), pin!(resize));
        let mut ended = pin!(exited(link));
        let (mut written, mut fed, mut sized) = (false, false, false);
        let code = loop {
            tokio::select! {
                code = &mut ended => break code?,
                () = &mut output, if !written => written = true,
                () = &mut input, if !fed => fed = true,
                () = &mut resize, if !sized => sized = true,
            }
        };
        if !written {
            self.env.clock.timeout(DRAIN_LIMIT, output).await;
        }
        Ok(code)
    }

    async fn serve_terminal(&self, link: link::Link, terminal: OwnedFd, streams: Streams) -> Result<i32> {
        crate::supervisor::non_blocking(terminal.as_fd()).map_err(internal("terminal"))?;
        let terminal = link::registered(terminal).map_err(internal("terminal"))?;
        let Streams {
            stdin,
            stdout,
            resize,
            stderr: _,
        } = streams;
        let sizes = async {
            let Some(mut sizes) = resize else { return };
            while let Some((width, height)) = sizes.recv().await {
                let _ = launch::resize(terminal.get_ref().as_fd(), width, height);
            }
        };
        let (output, input) = (read_terminal(&terminal, stdout), write_terminal(&terminal, stdin));
        self.until_exited(&link, output, input, sizes).await
    }

    pub(super) async fn run_attach(&self, id: &str, streams: Streams) -> Result<()> {
        let (sandbox, _) = self.container(id)?;
        let socket = self.socket(&sandbox);
        let link = link::Link::open(&socket).map_err(internal("connect to the supervisor"))?;
        let Streams {
            stdin,
            stdout,
            stderr,
            resize,
        } = streams;
        let pipes = Pipes::new(stdin.is_some()).map_err(internal("make pipes"))?;
        let command = Command::Attach {
            container: id.to_owned(),
            stdin: stdin.is_some(),
        };
        let from = usize::from(stdin.is_none());
        let fds = pipes.theirs.each_ref().map(|fd| fd.as_raw_fd());
        link.ask(command, &fds[from..])
            .await
            .map_err(internal("attach"))?;
        drop(pipes.theirs);
        match link::answer(&link).await?.0 {
            Reply::Done => {}
            Reply::NotFound => return Err(Error::NotFound(format!("container {id:?} is not running"))),
            other => return Err(Error::Internal(format!("attach: supervisor answered {other:?}"))),
        }
        let left = stdout.clone();
        let output = async {
            tokio::join!(pump_out(pipes.stdout, stdout), pump_out(pipes.stderr, stderr));
        };
        let sizes = async {
            let Some(mut sizes) = resize else { return };
            while let Some((width, height)) = sizes.recv().await {
                let command = Command::Resize {
                    container: id.to_owned(),
                    width,
                    height,
                };
                let _ = link::request(&socket, command).await;
            }
        };
        let input = pump_in(stdin, pipes.stdin);
        tokio::select! {
            ended = self.until_exited(&link, output, input, sizes) => ended.map(drop),
            () = left.closed() => Ok(()),
        }
    }

    pub(super) async fn dial(&self, sandbox: &str, port: u16) -> Result<Box<dyn Duplex>> {
        self.pod(sandbox)?;
        let mut refused = None;
        for ip in [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ] {
            let address = SocketAddr::new(ip, port);
            let (_, fds) = link::request(&self.socket(sandbox), Command::Socket { v6: ip.is_ipv6() }).await?;
            let Some(fd) = fds.into_iter().next() else {
                continue;
            };
            let socket = tokio::net::TcpSocket::from_std_stream(fd.into());
            match socket.connect(address).await {
                Ok(stream) => return Ok(Box::new(stream)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        let why = refused.map(|error| error.to_string()).unwrap_or_default();
        let text = format!("failed to connect to localhost:{port} inside namespace {sandbox:?}: {why}");
        Err(Error::Internal(text))
    }
}

/// The answer to an exec: what is beside it, when the command runs.
async fn started(link: &link::Link, container: &str) -> Result<Vec<OwnedFd>> {
    match link::answer(link).await? {
        (Reply::Started { .. }, fds) => Ok(fds),
        (Reply::NotFound, _) => Err(Error::NotFound(format!("container {container:?} is not running"))),
        (Reply::Failed { message }, _) => Err(Error::CannotRun(format!(
            "OCI runtime exec failed: exec failed: unable to start container process: {message}"
        ))),
        (other, _) => Err(Error::Internal(format!("exec: supervisor answered {other:?}"))),
    }
}

async fn exited(link: &link::Link) -> Result<i32> {
    loop {
        if let (Reply::Exited { code }, _) = link::answer(link).await? {
            return Ok(code);
        }
    }
}

/// Three pipes: our ends, and theirs as stdin, stdout, stderr.
struct Pipes {
    stdin: Option<pipe::Sender>,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    theirs: [OwnedFd; 3],
}

impl Pipes {
    fn new(with_stdin: bool) -> io::Result<Self> {
        let (out, out_end) = pipe2(OFlag::O_CLOEXEC)?;
        let (err, err_end) = pipe2(OFlag::O_CLOEXEC)?;
        let (in_end, stdin) = if with_stdin {
            let (end, ours) = pipe2(OFlag::O_CLOEXEC)?;
            (end, Some(pipe::Sender::from_owned_fd(ours)?))
        } else {
            (std::fs::File::open("/dev/null")?.into(), None)
        };
        let (stdout, stderr) = (
            pipe::Receiver::from_owned_fd(out)?,
            pipe::Receiver::from_owned_fd(err)?,
        );
        Ok(Self {
            stdin,
            stdout,
            stderr,
            theirs: [in_end, out_end, err_end],
        })
    }
}

async fn pump_out(mut from: pipe::Receiver, to: mpsc::Sender<Bytes>) {
    let mut buffer = vec![0u8; CHUNK];
    while let Ok(count) = from.read(&mut buffer).await
        && count > 0
    {
        // Who does not listen any more must not stop the command.
        let _ = to.send(Bytes::copy_from_slice(&buffer[..count])).await;
    }
}

/// Ends when the input ends; a program that does not read it any more is none of the sender's business.
async fn pump_in(from: Option<mpsc::Receiver<Bytes>>, to: Option<pipe::Sender>) {
    let (Some(mut from), Some(mut to)) = (from, to) else {
        return;
    };
    while let Some(bytes) = from.recv().await {
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn read_terminal(terminal: &AsyncFd<OwnedFd>, to: mpsc::Sender<Bytes>) {
    let mut buffer = vec![0u8; CHUNK];
    let read = |fd: &OwnedFd, buffer: &mut [u8]| nix::unistd::read(fd, buffer).map_err(io::Error::from);
    // A terminal that nobody holds any more answers EIO.
    while let Ok(count) = terminal
        .async_io(Interest::READABLE, |fd| read(fd, &mut buffer))
        .await
        && count > 0
    {
        let _ = to.send(Bytes::copy_from_slice(&buffer[..count])).await;
    }
}

async fn write_terminal(terminal: &AsyncFd<OwnedFd>, from: Option<mpsc::Receiver<Bytes>>) {
    let Some(mut from) = from else { return };
    while let Some(mut bytes) = from.recv().await {
        while !bytes.is_empty() {
            let write = |fd: &OwnedFd| nix::unistd::write(fd, &bytes).map_err(io::Error::from);
            match terminal.async_io(Interest::WRITABLE, write).await {
                Ok(count) => drop(bytes.split_to(count)),
                Err(_) => return,
            }
        }
    }
}
