//! Clients of an etcd, on one thread, several to a connection.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use etcd_proto::etcdserverpb::{
    CompactionRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, kv_client::KvClient,
    request_op::Request, watch_client::WatchClient,
};
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;
use tonic::transport::{Channel, Endpoint};

use super::Side;

/// Keys that are written and read.
pub const KEYS: usize = 10_000;
/// Bytes of a value.
const VALUE: usize = 1024;
/// What comes before anything is counted.
const WARM_UP: Duration = Duration::from_millis(500);
/// Clients that time their writes.
const WRITERS: usize = 256;
/// Clients that fill a store, and keys of one transaction of theirs.
const FILLERS: usize = 16;
const TOGETHER: usize = 16;

/// What a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Writes 1 KiB.
    Put,
    /// Reads a key, linearizably.
    Get,
}

/// Connections to a side.
pub struct Load {
    pub runtime: Runtime,
    channels: Vec<Channel>,
}

/// The key of a number.
pub fn key(number: usize) -> Bytes {
    format!("/bench/{number:08}").into()
}

/// A value that compresses no better than it must.
pub fn value(length: usize) -> Bytes {
    vec![b'x'; length].into()
}

impl Load {
    /// Opens `count` connections.
    pub fn open(side: &Side, count: usize) -> Result<Load> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let endpoint = Endpoint::from_shared(side.url())?.tcp_nodelay(true);
        let channels = (0..count).map(|_| runtime.block_on(endpoint.connect()));
        let channels = channels.collect::<Result<_, _>>()?;
        Ok(Load { runtime, channels })
    }

    /// Whether a read is answered.
    pub fn answers(&self) -> bool {
        let request = RangeRequest {
            key: key(0),
            ..Default::default()
        };
        let answered = async {
            let mut client = self.client(0);
            tokio::time::timeout(Duration::from_secs(5), client.range(request)).await
        };
        matches!(self.runtime.block_on(answered), Ok(Ok(_)))
    }

    /// A client; several share a connection.
    pub fn client(&self, number: usize) -> KvClient<Channel> {
        KvClient::new(self.channels[number % self.channels.len()].clone())
    }

    /// A client that watches.
    pub fn watcher(&self, number: usize) -> WatchClient<Channel> {
        WatchClient::new(self.channels[number % self.channels.len()].clone())
    }

    /// How many requests so many clients get answered in a second, each doing one after the other.
    pub fn rate(&self, clients: usize, work: Work, time: Duration) -> Result<f64> {
        self.rate_of(KEYS, clients, work, time)
    }

    /// The same, with so many keys.
    pub fn rate_of(&self, keys: usize, clients: usize, work: Work, time: Duration) -> Result<f64> {
        let (done, counted, next) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(0u64)), Rc::default());
        let tasks = LocalSet::new();
        let running: Vec<_> = (0..clients)
            .map(|number| {
                let (mut client, done, counted) = (self.client(number), done.clone(), counted.clone());
                let next: Rc<Cell<usize>> = Rc::clone(&next);
                tasks.spawn_local(async move {
                    while !done.get() {
                        next.set(next.get() + 1);
                        // Neighbours in time are no neighbours in the store.
                        one(&mut client, work, key(next.get() * 7919 % keys)).await?;
                        counted.set(counted.get() + 1);
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        let rate = tasks.block_on(&self.runtime, async {
            tokio::time::sleep(WARM_UP).await;
            let (begun, before) = (Instant::now(), counted.get());
            tokio::time::sleep(time).await;
            let rate = (counted.get() - before) as f64 / begun.elapsed().as_secs_f64();
            done.set(true);
            for task in running {
                task.await??;
            }
            anyhow::Ok(rate)
        })?;
        Ok(rate)
    }

    /// Writes the keys of these numbers with values of that length, several at once.
    pub fn fill(&self, keys: Range<usize>, length: usize) -> Result<()> {
        let (value, next) = (value(length), Rc::new(Cell::new(keys.start)));
        let tasks = LocalSet::new();
        let fillers: Vec<_> = (0..FILLERS)
            .map(|number| {
                let (mut client, value, next) = (self.client(number), value.clone(), next.clone());
                tasks.spawn_local(async move {
                    while next.get() < keys.end {
                        let first = next.replace(next.get() + TOGETHER);
                        let numbers = first..keys.end.min(first + TOGETHER);
                        let success = numbers.map(|number| RequestOp {
                            request: Some(Request::RequestPut(put(number, &value))),
                        });
                        let request = TxnRequest {
                            success: success.collect(),
                            ..Default::default()
                        };
                        client.txn(request).await?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        tasks.block_on(&self.runtime, async {
            for filler in fillers {
                filler.await??;
            }
            Ok(())
        })
    }

    /// Writes the keys of these numbers with values of 1 KiB. Gives what each took, in seconds.
    pub fn write(&self, keys: Range<usize>) -> Result<Vec<f64>> {
        let (value, next) = (value(VALUE), Rc::new(Cell::new(keys.start)));
        let tasks = LocalSet::new();
        let fillers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let (mut client, value, next) = (self.client(number), value.clone(), next.clone());
                tasks.spawn_local(async move {
                    let mut took = Vec::new();
                    while next.get() < keys.end {
                        let number = next.replace(next.get() + 1);
                        let begun = Instant::now();
                        client.put(put(number, &value)).await?;
                        took.push(begun.elapsed().as_secs_f64());
                    }
                    anyhow::Ok(took)
                })
            })
            .collect();
        tasks.block_on(&self.runtime, async {
            let mut all = Vec::new();
            for filler in fillers {
                all.extend(filler.await??);
            }
            Ok(all)
        })
    }

    /// Forgets all but what is there now.
    pub fn compact(&self) -> Result<()> {
        self.runtime.block_on(async {
            let mut client = self.client(0);
            let request = RangeRequest {
                key: key(0),
                ..Default::default()
            };
            let answer = client.range(request).await?.into_inner();
            let revision = answer.header.context("an answer without a header")?.revision;
            let physical = false;
            client.compact(CompactionRequest { revision, physical }).await?;
            Ok(())
        })
    }
}

fn put(number: usize, value: &Bytes) -> PutRequest {
    PutRequest {
        key: key(number),
        value: value.clone(),
        ..Default::default()
    }
}

async fn one(client: &mut KvClient<Channel>, work: Work, key: Bytes) -> Result<()> {
    match work {
        Work::Put => {
            let request = PutRequest {
                key,
                value: value(VALUE),
                ..Default::default()
            };
            client.put(request).await?;
        }
        Work::Get => {
            let request = RangeRequest {
                key,
                ..Default::default()
            };
            client.range(request).await?;
        }
    }
    Ok(())
}
