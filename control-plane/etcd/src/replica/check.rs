//! Whether the members hold the same.

use super::{
    Alarm, Failure, Replica, StartError,
    peer::{Call, Reply, ask},
};
use crate::Revision;

impl Replica {
    /// A hash of all keys as of a revision (0: now), that revision, and the oldest one that can be read.
    pub async fn hash(&self, revision: Revision) -> Result<(u32, Revision, Revision), Failure> {
        let engine = self.engine();
        let (hash, revision) = engine.hash(revision).await?;
        Ok((hash, revision, engine.compacted()))
    }

    /// The hash of another member; `None`: it cannot tell.
    async fn hash_of(&self, id: u64, revision: Revision) -> Option<u32> {
        match ask(self, id, Call::Hash(revision)).await {
            Ok(Reply::Hash(hash, _, _)) => Some(hash),
            _ => None,
        }
    }

    /// The members that hold something else as of this member's revision.
    async fn unlike(&self) -> Result<Vec<u64>, Failure> {
        let (mine, revision, _) = self.hash(0).await?;
        let mut unlike = Vec::new();
        for member in self
            .members()
            .iter()
            .filter(|member| member.id != self.identity().member)
        {
            if self
                .hash_of(member.id, revision)
                .await
                .is_some_and(|theirs| theirs != mine)
            {
                unlike.push(member.id);
            }
        }
        Ok(unlike)
    }

    /// An error if this member holds something else than the others.
    pub(super) async fn check_at_start(&self) -> Result<(), StartError> {
        match self.unlike().await {
            Ok(unlike) if unlike.is_empty() => Ok(()),
            Ok(unlike) => Err(StartError::Members(format!(
                "{:x} found data inconsistency with peers {unlike:x?}",
                self.identity().member
            ))),
            Err(failure) => Err(StartError::Members(failure.to_string())),
        }
    }
}

/// Compares now and then, as long as this member leads.
pub async fn run(replica: Replica) {
    let every = replica.settings().check_every;
    if every.is_zero() {
        return;
    }
    loop {
        replica.0.env.clock.sleep(every).await;
        if !replica.view().leads || replica.is_raised(Alarm::Corrupt) {
            continue;
        }
        let compared = async {
            replica.linearizable().await?;
            for id in replica.unlike().await? {
                tracing::error!(
                    id = format!("{id:x}"),
                    "a member holds other data than the leader"
                );
                replica.set_alarm(id, Alarm::Corrupt, true).await?;
            }
            Ok::<_, Failure>(())
        };
        if let Err(failure) = compared.await {
            tracing::warn!(%failure, "the members could not be compared");
        }
    }
}
