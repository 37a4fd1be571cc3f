//! Clients of a method of an etcd, several to a connection, on one thread and without a library: see `wire`.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use etcd_proto::etcdserverpb::{PutRequest, RangeRequest};
use prost::Message as _;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::Side;
use super::load::{VALUE, key};
use super::wire::{Came, Connection};

/// How long no answer may come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Writes 1 KiB.
    Put,
    /// Reads a key, linearizably.
    Get,
}

impl Work {
    /// The method that it calls.
    pub fn path(self) -> &'static str {
        match self {
            Work::Put => "/etcdserverpb.KV/Put",
            Work::Get => "/etcdserverpb.KV/Range",
        }
    }
}

/// Requests that differ in their key alone.
pub struct Requests {
    bytes: Vec<u8>,
    /// Where the key is.
    at: usize,
    length: usize,
}

impl Requests {
    /// Those of a kind.
    pub fn new(work: Work) -> Result<Requests> {
        let key = key(0);
        let bytes = match work {
            Work::Put => PutRequest {
                key: key.clone(),
                value: vec![b'x'; VALUE].into(),
                ..Default::default()
            }
            .encode_to_vec(),
            Work::Get => RangeRequest {
                key: key.clone(),
                ..Default::default()
            }
            .encode_to_vec(),
        };
        let at = bytes.windows(key.len()).position(|part| part == key);
        let at = at.context("a request without its key")?;
        let length = key.len();
        Ok(Requests { bytes, at, length })
    }

    /// The one for the key of a number.
    pub fn of(&mut self, number: usize) -> &[u8] {
        self.bytes[self.at..self.at + self.length].copy_from_slice(&key(number));
        &self.bytes
    }
}

/// Connections of which those are served that something came on.
pub struct Wires {
    /// All of them.
    pub all: Vec<Connection>,
    epoll: std::os::fd::OwnedFd,
    ready: Vec<epoll::Event>,
    /// Those whose socket did not take all.
    behind: Vec<bool>,
}

impl Wires {
    /// Opens so many for one method.
    pub fn open(side: &Side, path: &'static str, count: usize) -> Result<Wires> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut all = Vec::with_capacity(count);
        for index in 0..count {
            let connection = Connection::open(side.address(), path)?;
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, &connection.socket, data, epoll::EventFlags::IN)?;
            all.push(connection);
        }
        Ok(Wires {
            behind: vec![false; all.len()],
            ready: Vec::with_capacity(count.max(1)),
            all,
            epoll,
        })
    }

    /// Sends what waits on a connection.
    pub fn flush(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.all[index];
        connection.flush()?;
        if connection.is_behind() != self.behind[index] {
            self.behind[index] = connection.is_behind();
            let flags = match self.behind[index] {
                true => epoll::EventFlags::IN | epoll::EventFlags::OUT,
                false => epoll::EventFlags::IN,
            };
            let data = epoll::EventData::new_u64(index as u64);
            epoll::modify(&self.epoll, &connection.socket, data, flags)?;
        }
        Ok(())
    }

    /// Waits at most so long for something to come on any: on which.
    pub fn wait(&mut self, most: Duration) -> Result<Vec<usize>> {
        self.ready.clear();
        let timeout = Timespec::try_from(most)?;
        match epoll::wait(&self.epoll, spare_capacity(&mut self.ready), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for answers"),
        }
        let ready = self.ready.iter();
        ready
            .map(|event| Ok(usize::try_from(event.data.u64())?))
            .collect()
    }
}

/// Lets so many clients do one request after the other, until there is none left. Tells of each that was answered when it was
/// sent.
pub fn drive(
    wires: &mut Wires,
    clients: usize,
    requests: &mut Requests,
    mut next: impl FnMut() -> Option<usize>,
    mut told: impl FnMut(Instant),
) -> Result<()> {
    let mut busy = 0;
    for client in 0..clients {
        if let Some(number) = next() {
            let index = client % wires.all.len();
            wires.all[index].call(requests.of(number));
            busy += 1;
        }
    }
    for index in 0..wires.all.len() {
        wires.flush(index)?;
    }
    let mut heard = Instant::now();
    while busy > 0 {
        for index in wires.wait(Duration::from_secs(1))? {
            let mut answered = 0;
            wires.all[index].receive(|came| {
                if let Came::Answered(sent) = came {
                    answered += 1;
                    told(sent);
                }
                Ok(())
            })?;
            busy -= answered;
            for _ in 0..answered {
                let Some(number) = next() else { break };
                wires.all[index].call(requests.of(number));
                busy += 1;
            }
            wires.flush(index)?;
            heard = Instant::now();
        }
        ensure!(
            heard.elapsed() < PATIENCE,
            "no answer in {} s",
            PATIENCE.as_secs()
        );
    }
    Ok(())
}
