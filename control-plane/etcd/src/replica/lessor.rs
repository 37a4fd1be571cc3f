//! Leases: the leader keeps their time, and proposes the end of those whose time is over.

use super::{
    Failure, Replica,
    peer::{Call, Reply, ask},
};
use crate::{Error, Store, engine::LeaseState, state::Command};
use futures::future::join_all;
use std::time::Duration;

/// How long to wait before a lease is tried again that could not be ended, or a leader is looked for again.
const RETRY: Duration = Duration::from_millis(500);
/// Leases that are ended at once.
const AT_ONCE: usize = 256;

/// Ends leases as long as this member leads.
pub async fn run(replica: Replica) {
    let clock = replica.0.env.clock.clone();
    loop {
        let view = replica.view();
        let next = replica.engine().next_expiry().filter(|_| view.leads);
        let waiting = async {
            match next {
                Some(at) => clock.sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = waiting => {}
            () = replica.0.leases.notified() => continue,
        }
        let mut over = replica.engine().expired(clock.now());
        over.truncate(AT_ONCE);
        // A member that was held up may lead no more, and the one that does may have kept the lease since.
        let ended = over
            .iter()
            .map(|id| replica.submit_in(Command::Revoke(*id), view.term));
        let mut failed = None;
        for ended in join_all(ended).await {
            match ended {
                Ok(_) | Err(Failure::NotLeader | Failure::Store(Error::LeaseNotFound)) => {}
                Err(failure) => failed = Some(failure),
            }
        }
        if let Some(failure) = failed {
            tracing::warn!(%failure, "ended leases are not removed yet");
            clock.sleep(RETRY).await;
        }
    }
}

impl Replica {
    /// Prolongs a lease by its own TTL, which is given; `None`: there is no such lease.
    pub async fn keep_alive(&self, id: i64) -> Result<Option<Duration>, Failure> {
        match self.of_leader(Call::KeepAlive(id)).await? {
            Some(reply) => lease_of(&reply).map(|lease| lease.map(|(ttl, _)| ttl)),
            None => self.keep_alive_here(id).await,
        }
    }

    /// A lease as it is. Which keys live by it is known by every member.
    pub async fn lease(&self, id: i64) -> Result<Option<LeaseState>, Failure> {
        let Some(reply) = self.of_leader(Call::TimeToLive(id)).await? else {
            return self.lease_here(id).await;
        };
        let keys = self.engine().lease(id).map(|lease| lease.keys);
        Ok(lease_of(&reply)?.map(|(ttl, left)| LeaseState {
            ttl,
            left,
            keys: keys.unwrap_or_default(),
        }))
    }

    /// Asks the leader; `None`: that is this member.
    async fn of_leader(&self, call: Call) -> Result<Option<Reply>, Failure> {
        let clock = &self.0.env.clock;
        let until = clock.now() + self.limit();
        loop {
            let view = self.view();
            if view.leads {
                return Ok(None);
            }
            if view.leader != 0 {
                match ask(self, view.leader, call).await {
                    Ok(reply) => return Ok(Some(reply)),
                    Err(Failure::NotLeader | Failure::TimedOut) => {}
                    Err(failure) => return Err(failure),
                }
            }
            if clock.now() >= until {
                return Err(Failure::TimedOut);
            }
            clock.sleep(RETRY / 5).await;
        }
    }

    pub(super) async fn keep_alive_here(&self, id: i64) -> Result<Option<Duration>, Failure> {
        // First prolonged, then told: it holds if this member still leads after that, and no earlier leader's end of the
        // lease comes in between.
        let mut kept = self.engine().keep_alive(id).await;
        let Some(lease) = self.lease_here(id).await? else {
            return Ok(None);
        };
        if kept.is_err() {
            // Its grant may not have been applied here.
            kept = self.engine().keep_alive(id).await;
        }
        match kept {
            Ok(()) => Ok(Some(lease.ttl)),
            Err(Error::LeaseNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn lease_here(&self, id: i64) -> Result<Option<LeaseState>, Failure> {
        if !self.view().leads {
            return Err(Failure::NotLeader);
        }
        // Another member may lead meanwhile, or have applied the grant before this one.
        self.linearizable().await?;
        if !self.view().leads {
            return Err(Failure::NotLeader);
        }
        Ok(self.engine().lease(id))
    }
}

fn lease_of(reply: &Reply) -> Result<Option<(Duration, Duration)>, Failure> {
    match reply {
        Reply::NoLease => Ok(None),
        Reply::Lease(ttl, left) => Ok(Some((Duration::from_millis(*ttl), Duration::from_millis(*left)))),
        _ => Err(Failure::TimedOut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::Settings;
    use component::Env;

    /// A member that was held up for so long that another one leads when it goes on must not end leases that this one keeps.
    #[tokio::test]
    async fn only_the_leader_of_the_term_in_which_its_time_ended_ends_a_lease() {
        let dir = tempfile::tempdir().unwrap();
        let replica = Replica::open(Settings::new(dir.path()), Env::system())
            .await
            .unwrap();
        let lease = replica.grant_as(0, Duration::from_secs(3600)).await.unwrap();
        let term = replica.view().term;
        let other = replica.submit_in(Command::Revoke(lease), term - 1).await;
        assert!(matches!(other, Err(Failure::NotLeader)), "{other:?}");
        assert!(replica.keep_alive(lease).await.unwrap().is_some());
        replica.submit_in(Command::Revoke(lease), term).await.unwrap();
        assert!(replica.keep_alive(lease).await.unwrap().is_none());
        replica.close().await;
    }
}
