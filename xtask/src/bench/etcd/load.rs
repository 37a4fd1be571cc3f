//! Clients of an etcd, several to a connection: those that are timed make their requests as `drive` does, the others by a
//! library.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use etcd_proto::etcdserverpb::{
    CompactionRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, kv_client::KvClient,
    request_op::Request,
};
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;
use tonic::transport::{Channel, Endpoint};

use super::Side;
use super::drive::{Requests, Wires, Work, drive};

/// Keys that are written and read.
pub const KEYS: usize = 10_000;
/// Bytes of a value.
pub const VALUE: usize = 1024;
/// What comes before anything is counted.
const WARM_UP: Duration = Duration::from_millis(500);
/// Clients that time their writes.
const WRITERS: usize = 256;
/// Clients that fill a store, and keys of one transaction of theirs.
const FILLERS: usize = 16;
const TOGETHER: usize = 16;

/// Connections to a side.
pub struct Load {
    runtime: Runtime,
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
    fn client(&self, number: usize) -> KvClient<Channel> {
        KvClient::new(self.channels[number % self.channels.len()].clone())
    }

    /// How many requests so many clients get answered in a second, each doing one after the other, and the processor time
    /// that the server takes for each, in seconds.
    pub fn rate(&self, side: &Side, clients: usize, work: Work, time: Duration) -> Result<[f64; 2]> {
        self.rate_of(side, KEYS, clients, work, time)
    }

    /// The same, with so many keys.
    pub fn rate_of(
        &self,
        side: &Side,
        keys: usize,
        clients: usize,
        work: Work,
        time: Duration,
    ) -> Result<[f64; 2]> {
        let mut wires = Wires::open(side, work.path(), self.channels.len())?;
        let (number, counted) = (Cell::new(0), Cell::new(0u64));
        let run = |wires: &mut Wires, time: Duration| {
            let begun = Instant::now();
            counted.set(0);
            let next = || {
                number.set(number.get() + 1);
                // Neighbours in time are no neighbours in the store.
                (begun.elapsed() < time).then_some(number.get() * 7919 % keys)
            };
            let told = |_| counted.set(counted.get() + 1);
            drive(wires, clients, &mut Requests::new(work)?, next, told)?;
            anyhow::Ok(begun.elapsed().as_secs_f64())
        };
        run(&mut wires, WARM_UP)?;
        let busy = side.processor_time()?;
        let took = run(&mut wires, time)?;
        let count = counted.get() as f64;
        Ok([count / took, (side.processor_time()? - busy) / count])
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
    pub fn write(&self, side: &Side, mut keys: Range<usize>) -> Result<Vec<f64>> {
        let mut wires = Wires::open(side, Work::Put.path(), self.channels.len())?;
        let mut took = Vec::with_capacity(keys.len());
        let told = |sent: Instant| took.push(sent.elapsed().as_secs_f64());
        drive(
            &mut wires,
            WRITERS,
            &mut Requests::new(Work::Put)?,
            || keys.next(),
            told,
        )?;
        Ok(took)
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
