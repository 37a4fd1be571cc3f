//! Load for an API server, made cheaply so that it is the server that is measured: one thread, sockets that do not block,
//! HTTP/1.1 inside TLS.

mod answer;
mod connection;

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustls::ClientConfig;

pub use answer::Answer;
use connection::Connection;

/// How long no answer may come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections to one server.
pub struct Load {
    connections: Vec<Connection>,
    epoll: std::os::fd::OwnedFd,
    ready: Vec<epoll::Event>,
}

impl Load {
    /// Opens `count` connections.
    pub fn open(address: SocketAddr, config: &Arc<ClientConfig>, count: usize) -> Result<Load> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(count);
        for index in 0..count {
            let connection = Connection::open(address, config.clone())?;
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, connection.stream.as_fd(), data, epoll::EventFlags::IN)?;
            connections.push(connection);
        }
        Ok(Load {
            connections,
            epoll,
            ready: Vec::with_capacity(count.max(1)),
        })
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Sends a request on a connection.
    pub fn send(&mut self, connection: usize, request: &[u8]) -> Result<()> {
        self.connections[connection].send(request)
    }

    /// Waits for bytes, at most so long, and tells what came on which connection. Gives the number of connections on which
    /// something came.
    pub fn wait(&mut self, most: Duration, mut tell: impl FnMut(usize, Answer<'_>)) -> Result<usize> {
        self.ready.clear();
        let timeout = Timespec::try_from(most)?;
        match epoll::wait(&self.epoll, spare_capacity(&mut self.ready), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for answers"),
        }
        for event in &self.ready {
            let index = usize::try_from(event.data.u64())?;
            self.connections[index].receive(|answer| tell(index, answer))?;
        }
        Ok(self.ready.len())
    }

    /// Sends one request on the first connection: the answer's status and body.
    pub fn ask(&mut self, request: &[u8], patience: Duration) -> Result<(u16, Vec<u8>)> {
        self.send(0, request)?;
        let (start, mut body, mut status) = (Instant::now(), Vec::new(), None);
        while status.is_none() {
            ensure!(
                start.elapsed() < patience,
                "no answer in {} s",
                patience.as_secs()
            );
            self.wait(Duration::from_secs(1), |_, answer| match answer {
                Answer::Body(bytes) => body.extend_from_slice(bytes),
                Answer::End(code) => status = Some(code),
            })?;
        }
        Ok((status.unwrap_or_default(), body))
    }

    /// Keeps every connection busy with the requests of `next` until it has no more and all are answered. Tells what each
    /// took; any status but `expected` is an error.
    pub fn drive(&mut self, expected: u16, mut next: impl FnMut() -> Option<Vec<u8>>) -> Result<Driven> {
        let start = Instant::now();
        let mut sent = vec![start; self.len()];
        let mut free: Vec<usize> = (0..self.len()).collect();
        let (mut busy, mut driven, mut failed) = (0, Driven::default(), None);
        loop {
            while let Some(connection) = free.pop() {
                let Some(request) = next() else { break };
                sent[connection] = Instant::now();
                self.send(connection, &request)?;
                busy += 1;
            }
            if busy == 0 {
                driven.took = start.elapsed();
                return Ok(driven);
            }
            let answered = |connection: usize, answer: Answer<'_>| match answer {
                Answer::Body(bytes) => driven.bytes += bytes.len() as u64,
                Answer::End(status) => {
                    driven.latencies.push(sent[connection].elapsed().as_secs_f64());
                    failed = failed.or((status != expected).then_some(status));
                    free.push(connection);
                    busy -= 1;
                }
            };
            ensure!(
                self.wait(PATIENCE, answered)? > 0,
                "no answer in {} s",
                PATIENCE.as_secs()
            );
            ensure!(failed.is_none(), "answered with {failed:?} instead of {expected}");
        }
    }
}

/// What a load did.
#[derive(Debug, Default)]
pub struct Driven {
    /// Seconds from each request to its answer.
    pub latencies: Vec<f64>,
    /// Bytes of the bodies.
    pub bytes: u64,
    /// All of it.
    pub took: Duration,
}

impl Driven {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }
}

/// A request without a body.
pub fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n").into_bytes()
}

/// A request with a JSON body that makes something.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    with_body("POST", path, body)
}

/// One that writes what is there.
pub fn put(path: &str, body: &str) -> Vec<u8> {
    with_body("PUT", path, body)
}

fn with_body(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
