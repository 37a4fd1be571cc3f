//! Changes of the members, refused if they would cost the majority.

use super::{
    Failure, Input, Member, MemberError, Membership, Replica, Task,
    identity::member_id,
    members::context,
    node::successors,
    peer::{Call, ask},
    pending::Proposed,
};
use raft::{Change, ChangeKind};
use std::time::Duration;

/// How often a hand-over is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// A learner is ready once it has so many percent of the leader's log.
const READY_PERCENT: u64 = 90;

/// Whether of the voters that there would be enough have started.
fn enough_started(voters: impl Iterator<Item = bool>) -> bool {
    let (mut count, mut started) = (0, 0);
    for has_started in voters {
        count += 1;
        started += usize::from(has_started);
    }
    started > count / 2
}

/// Whether one more voter, which has not started, leaves enough that have.
fn may_add(members: &Membership) -> bool {
    let started = || members.voters().map(Member::has_started);
    // The second member of a cluster of one cannot start before it is added.
    let first_two = members.voters().count() == 1 && started().all(|started| started);
    first_two || enough_started(started().chain([false]))
}

fn may_remove(members: &Membership, id: u64) -> bool {
    let others = members.voters().filter(|member| member.id != id);
    enough_started(others.map(Member::has_started))
}

impl Replica {
    async fn change_members(
        &self,
        kind: ChangeKind,
        id: u64,
        member: Option<&Member>,
    ) -> Result<(), Failure> {
        let change = |proposal| Change {
            kind,
            id,
            context: context(proposal, member),
        };
        self.members().check(&change(0), self.settings().max_learners)?;
        let proposed = |proposal| Proposed::Change(change(proposal));
        self.waited(|reply| self.settle(None, reply, proposed))
            .await
            .map(drop)
    }

    fn voter_ids(&self) -> Vec<u64> {
        self.members().voters().map(|member| member.id).collect()
    }

    /// Adds a member, which is then to be started.
    pub async fn add(&self, peer_urls: Vec<String>, learner: bool) -> Result<Member, Failure> {
        let settings = self.settings();
        if settings.strict && !learner {
            if !may_add(&self.members()) {
                return Err(Failure::NotEnoughStarted);
            }
            let voters = self.voter_ids();
            if self.0.peers.reached(voters.iter(), settings.health) < voters.len() {
                return Err(Failure::Unhealthy);
            }
        }
        let now = self.0.env.clock.wall().as_second();
        let id = member_id(&peer_urls, &settings.token, Some(now));
        let member = Member {
            id,
            peer_urls,
            learner,
            ..Member::default()
        };
        let kind = match learner {
            true => ChangeKind::AddLearner,
            false => ChangeKind::Add,
        };
        self.change_members(kind, id, Some(&member)).await?;
        Ok(member)
    }

    /// Removes a member, for ever.
    pub async fn remove(&self, id: u64) -> Result<(), Failure> {
        let members = self.members();
        let member = match members.get(id) {
            Some(member) => member,
            None if members.is_removed(id) => return Err(MemberError::Removed.into()),
            None => return Err(MemberError::NotFound.into()),
        };
        if self.settings().strict && !member.learner {
            if !may_remove(&members, id) {
                return Err(Failure::NotEnoughStarted);
            }
            let me = self.identity().member;
            let voters = self.voter_ids();
            // One that is down is no part of the majority that there is.
            let is_up = id == me || self.0.peers.since(id).is_some();
            let up = self.0.peers.reached(voters.iter(), self.settings().health);
            if is_up && up.saturating_sub(1) < 1 + (voters.len() - 1) / 2 {
                return Err(Failure::Unhealthy);
            }
        }
        self.change_members(ChangeKind::Remove, id, None).await
    }

    /// Says where the others reach a member from now on.
    pub async fn update(&self, id: u64, peer_urls: Vec<String>) -> Result<(), Failure> {
        if self.members().get(id).is_none() {
            return Err(MemberError::NotFound.into());
        }
        self.propose(Task::Move { id, peer_urls }).await.map(drop)
    }

    /// Makes a learner a voter, if it has all but the newest of the log.
    pub async fn promote(&self, id: u64) -> Result<(), Failure> {
        let view = self.view();
        match view.leader {
            _ if view.leads => self.promote_here(id).await,
            0 => Err(Failure::NoLeader),
            leader => ask(self, leader, Call::Promote(id)).await.map(drop),
        }
    }

    pub(super) async fn promote_here(&self, id: u64) -> Result<(), Failure> {
        let status = self.leading().await?;
        let members = self.members();
        let member = members.get(id).ok_or(MemberError::NotFound)?;
        if !member.learner {
            return Err(MemberError::NotLearner.into());
        }
        let matched = status.progress.get(&id).map_or(0, |progress| progress.matched);
        if matched * 100 < status.last_index * READY_PERCENT || matched == 0 {
            return Err(Failure::LearnerNotReady);
        }
        if self.settings().strict {
            let started = members.voters().chain([member]).map(Member::has_started);
            if !enough_started(started) {
                return Err(Failure::NotEnoughStarted);
            }
        }
        self.change_members(ChangeKind::Promote, id, None).await
    }

    /// Hands leadership over to a voter.
    pub async fn transfer(&self, to: u64) -> Result<(), Failure> {
        if !self.view().leads {
            return Err(Failure::NotLeader);
        }
        if self.members().get(to).is_none_or(|member| member.learner) {
            return Err(Failure::BadTransferee);
        }
        if to == self.identity().member {
            return Ok(());
        }
        let sent = self.0.input.send(Input::Transfer(to)).await;
        sent.map_err(|_| Failure::Stopped)?;
        let clock = &self.0.env.clock;
        let handed = async {
            let mut view = self.0.view.subscribe();
            let _ = view.wait_for(|view| view.leader == to).await;
        };
        let limit = self.settings().election + LOOK;
        match clock.timeout(limit, handed).await {
            Some(()) => Ok(()),
            None => Err(Failure::TransferTimedOut),
        }
    }

    /// Hands leadership over to whom it can, before this member ends.
    pub(super) async fn hand_over(&self) {
        let Ok(status) = self.leading().await else { return };
        let Some((_, to)) = successors(&status).into_iter().max() else {
            return;
        };
        if let Err(failure) = self.transfer(to).await {
            tracing::warn!(%failure, "leadership was not handed over");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_must_have_started() {
        let started = |all: &[bool]| enough_started(all.iter().copied());
        assert!(started(&[true, true, false]));
        assert!(!started(&[true, false]));
        assert!(!started(&[]));
        assert!(!started(&[true, true, false, false]));
    }
}
