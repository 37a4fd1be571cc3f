//! Lines between clients and the API server, which a test can cut, heal, move to another server and make bad.

use api::{Object, Status};
use client::{
    List, ListParams, Target, Transport, WatchEvent, WatchParams, WatchStream, Write, WriteOptions,
};
use component::{Clock, Random};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// What goes wrong on a line, each in so many of a thousand cases.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A write is refused and not done.
    pub refused: u64,
    /// A write is done, and the answer says that this is not known.
    pub lost: u64,
    /// An event of a watch comes twice.
    pub repeated: u64,
    /// A watch ends before the event, which is never told: the client must list again.
    pub dropped: u64,
    /// Events are late by up to so many milliseconds.
    pub late: u64,
    /// After so many writes the line is dead: no call returns any more.
    pub crash_after: Option<u64>,
}

struct State {
    server: watch::Sender<Option<Arc<dyn Transport>>>,
    faults: Mutex<Faults>,
    crashed: watch::Sender<bool>,
    clock: Clock,
    random: Random,
}

/// A transport through which a client reaches the API server of the moment. Clones are the same line.
#[derive(Clone)]
pub struct Line(Arc<State>);

impl Line {
    /// A line to nowhere.
    pub fn new(clock: Clock, random: Random) -> Self {
        let (server, crashed) = (watch::Sender::new(None), watch::Sender::new(false));
        Self(Arc::new(State {
            server,
            faults: Mutex::default(),
            crashed,
            clock,
            random,
        }))
    }

    /// Leads to `server` from now on; watches over the old way end.
    pub fn connect(&self, server: Arc<dyn Transport>) {
        self.0.server.send_replace(Some(server));
    }

    /// Leads nowhere from now on: watches end, calls fail.
    pub fn cut(&self) {
        self.0.server.send_replace(None);
    }

    /// Goes wrong like this from now on.
    pub fn fail(&self, faults: Faults) {
        *self.0.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Resolves when the line is dead.
    pub async fn crashed(&self) {
        // The sender lives in self.
        let _ = self.0.crashed.subscribe().wait_for(|crashed| *crashed).await;
    }

    fn server(&self) -> Result<Arc<dyn Transport>, Status> {
        self.0
            .server
            .borrow()
            .clone()
            .ok_or_else(|| Status::unavailable("the line is cut"))
    }

    fn faults(&self) -> Faults {
        *self.0.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn happens(&self, thousandths: u64) -> bool {
        thousandths > 0 && self.0.random.below(1000) < thousandths
    }

    /// Never returns on a dead line.
    async fn alive(&self) {
        if *self.0.crashed.borrow() {
            std::future::pending::<()>().await;
        }
    }

    /// Counts a write that was done.
    fn count(&self) {
        let mut faults = self.0.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = faults.crash_after.as_mut() {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.0.crashed.send_replace(true);
            }
        }
    }

    async fn change(
        &self,
        target: Target,
        write: Write,
        options: WriteOptions,
    ) -> Result<Arc<Object>, Status> {
        self.alive().await;
        let faults = self.faults();
        if self.happens(faults.refused) {
            return Err(Status::internal("a fault of the line"));
        }
        let answer = self.server()?.write(target, write, options).await;
        self.alive().await;
        if answer.is_ok() {
            self.count();
        }
        self.alive().await;
        if answer.is_ok() && self.happens(faults.lost) {
            return Err(Status::timeout("a fault of the line"));
        }
        answer
    }

    async fn follow(&self, target: Target, params: WatchParams) -> Result<WatchStream, Status> {
        self.alive().await;
        let mut moved = self.0.server.subscribe();
        moved.mark_unchanged();
        let events = self.server()?.watch(target, params).await?;
        let end = async move { _ = moved.changed().await };
        let bad = Bad {
            line: self.clone(),
            events,
            again: VecDeque::new(),
        };
        let events = stream::unfold(Some(bad), |bad| async move {
            let mut bad = bad?;
            match bad.next().await? {
                Ok(event) => Some((Ok(event), Some(bad))),
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(events.take_until(end.boxed()).boxed())
    }
}

/// A watch over a bad line.
struct Bad {
    line: Line,
    events: WatchStream,
    again: VecDeque<WatchEvent>,
}

impl Bad {
    async fn next(&mut self) -> Option<Result<WatchEvent, Status>> {
        if let Some(event) = self.again.pop_front() {
            return Some(Ok(event));
        }
        let event = match self.events.next().await? {
            Ok(event) => event,
            Err(status) => return Some(Err(status)),
        };
        self.line.alive().await;
        let faults = self.line.faults();
        if faults.late > 0 {
            let wait = self.line.0.random.below(faults.late + 1);
            self.line.0.clock.sleep(Duration::from_millis(wait)).await;
        }
        if self.line.happens(faults.dropped) {
            return Some(Err(Status::expired("a fault of the line")));
        }
        if self.line.happens(faults.repeated) {
            self.again.push_back(event.clone());
        }
        Some(Ok(event))
    }
}

impl Transport for Line {
    fn get(&self, target: Target) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        async move {
            self.alive().await;
            self.server()?.get(target).await
        }
        .boxed()
    }

    fn list(&self, target: Target, params: ListParams) -> BoxFuture<'_, Result<List, Status>> {
        async move {
            self.alive().await;
            self.server()?.list(target, params).await
        }
        .boxed()
    }

    fn watch(&self, target: Target, params: WatchParams) -> BoxFuture<'_, Result<WatchStream, Status>> {
        self.follow(target, params).boxed()
    }

    fn write(
        &self,
        target: Target,
        write: Write,
        options: WriteOptions,
    ) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        self.change(target, write, options).boxed()
    }
}
