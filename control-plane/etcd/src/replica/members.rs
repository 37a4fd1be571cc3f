//! Who is a member, as the table beside the key space says.

use super::{
    codec::texts,
    pack::{Garbled, Pack, Unpack},
};
use crate::state::Command;
use bytes::Bytes;
use raft::{Change, ChangeKind};
use std::collections::{BTreeMap, BTreeSet};

const PREFIX: &str = "members/";

/// A member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub id: u64,
    /// Where the others reach it.
    pub peer_urls: Vec<String>,
    /// Its name; empty until it has started.
    pub name: String,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Whether it only gets the log and has no vote.
    pub learner: bool,
    /// Whether it was removed, for ever.
    pub removed: bool,
}

impl Member {
    /// Whether it has told its name.
    pub fn has_started(&self) -> bool {
        !self.name.is_empty()
    }

    fn key(&self) -> Bytes {
        format!("{PREFIX}{:016x}", self.id).into()
    }

    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut out = Pack::default();
        out.fixed(self.id);
        texts(&mut out, &self.peer_urls);
        out.bytes(self.name.as_bytes());
        texts(&mut out, &self.client_urls);
        out.flag(self.learner);
        out.flag(self.removed);
        out.0.into()
    }

    /// Of its bytes.
    pub fn decode(bytes: Bytes) -> Result<Self, Garbled> {
        let mut from = Unpack(bytes);
        let member = Self::read(&mut from)?;
        from.end()?;
        Ok(member)
    }

    /// Reads one.
    pub fn read(from: &mut Unpack) -> Result<Self, Garbled> {
        Ok(Self {
            id: from.fixed()?,
            peer_urls: from.list(Unpack::text)?,
            name: from.text()?,
            client_urls: from.list(Unpack::text)?,
            learner: from.flag()?,
            removed: from.flag()?,
        })
    }

    /// The command that makes the table say this.
    pub fn command(&self) -> Command {
        Command::Meta {
            key: self.key(),
            value: Some(self.encode()),
        }
    }
}

/// Why a change of the members was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// There is such a member already.
    #[error("member ID already exist")]
    Exists,
    /// Another member is at one of the addresses.
    #[error("Peer URLs already exists")]
    UrlExists,
    /// There is no such member.
    #[error("member not found")]
    NotFound,
    /// It was removed, for ever.
    #[error("the member has been permanently removed from the cluster")]
    Removed,
    /// It has a vote already.
    #[error("can only promote a learner member")]
    NotLearner,
    /// There are as many learners as there may be.
    #[error("too many learner members in cluster")]
    TooManyLearners,
}

/// The members, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    all: BTreeMap<u64, Member>,
}

impl FromIterator<Member> for Membership {
    fn from_iter<T: IntoIterator<Item = Member>>(members: T) -> Self {
        let members = members.into_iter();
        Self {
            all: members.map(|member| (member.id, member)).collect(),
        }
    }
}

impl Membership {
    /// What a table says.
    pub fn of(table: &BTreeMap<Bytes, Bytes>) -> Result<Self, Garbled> {
        let entries = table.iter().filter(|(key, _)| key.starts_with(PREFIX.as_bytes()));
        let members = entries.map(|(_, value)| Member::decode(value.clone()));
        let all = members.map(|member| member.map(|member| (member.id, member)));
        Ok(Self {
            all: all.collect::<Result<_, _>>()?,
        })
    }

    /// Those who are members.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.all.values().filter(|member| !member.removed)
    }

    /// Those who vote.
    pub fn voters(&self) -> impl Iterator<Item = &Member> {
        self.iter().filter(|member| !member.learner)
    }

    /// Whether nobody else votes.
    pub fn is_only_voter(&self, id: u64) -> bool {
        let mut voters = self.voters().map(|member| member.id);
        voters.next() == Some(id) && voters.next().is_none()
    }

    /// A member.
    pub fn get(&self, id: u64) -> Option<&Member> {
        self.all.get(&id).filter(|member| !member.removed)
    }

    /// Whether it was a member and is none any more.
    pub fn is_removed(&self, id: u64) -> bool {
        self.all.get(&id).is_some_and(|member| member.removed)
    }

    /// As Raft sees them.
    pub fn raft(&self) -> raft::Members {
        let ids = |learner| -> BTreeSet<u64> {
            let those = self.iter().filter(|member| member.learner == learner);
            those.map(|member| member.id).collect()
        };
        raft::Members {
            voters: ids(false),
            learners: ids(true),
        }
    }

    fn put(&mut self, member: Member) -> Command {
        let command = member.command();
        self.all.insert(member.id, member);
        command
    }

    fn is_taken(&self, urls: &[String], but: u64) -> bool {
        let others = self.iter().filter(|member| member.id != but);
        let mut taken = others.flat_map(|member| &member.peer_urls);
        taken.any(|url| urls.contains(url))
    }

    /// Whether a change can be done.
    pub fn check(&self, change: &Change, max_learners: usize) -> Result<(), MemberError> {
        if self.is_removed(change.id) {
            return Err(MemberError::Removed);
        }
        let member = self.get(change.id);
        match (change.kind, member) {
            (ChangeKind::Add | ChangeKind::AddLearner, Some(_)) => Err(MemberError::Exists),
            (ChangeKind::Add | ChangeKind::AddLearner, None) => {
                let urls = added(change).map(|member| member.peer_urls).unwrap_or_default();
                let learners = self.iter().filter(|member| member.learner).count();
                if self.is_taken(&urls, change.id) {
                    Err(MemberError::UrlExists)
                } else if change.kind == ChangeKind::AddLearner && learners >= max_learners {
                    Err(MemberError::TooManyLearners)
                } else {
                    Ok(())
                }
            }
            (_, None) => Err(MemberError::NotFound),
            (ChangeKind::Promote, Some(member)) if !member.learner => Err(MemberError::NotLearner),
            (ChangeKind::Promote | ChangeKind::Remove, Some(_)) => Ok(()),
        }
    }

    /// Does a change that is agreed on; the command that makes the table say it.
    pub fn change(&mut self, change: &Change) -> Result<Command, MemberError> {
        // How many learners there may be is for the member to say that proposes one more.
        self.check(change, usize::MAX)?;
        let mut member = match self.get(change.id) {
            Some(member) => member.clone(),
            None => added(change).map_err(|_| MemberError::NotFound)?,
        };
        match change.kind {
            ChangeKind::Add => member.learner = false,
            ChangeKind::AddLearner => member.learner = true,
            ChangeKind::Promote => member.learner = false,
            ChangeKind::Remove => member.removed = true,
        }
        Ok(self.put(member))
    }

    /// A member tells its name and where clients reach it; the command that makes the table say it.
    pub fn publish(
        &mut self,
        id: u64,
        name: String,
        client_urls: Vec<String>,
    ) -> Result<Command, MemberError> {
        let member = self.get(id).ok_or(MemberError::NotFound)?.clone();
        Ok(self.put(Member {
            name,
            client_urls,
            ..member
        }))
    }

    /// A member is reached elsewhere by the others; the command that makes the table say it.
    pub fn relocate(&mut self, id: u64, peer_urls: Vec<String>) -> Result<Command, MemberError> {
        if self.is_taken(&peer_urls, id) {
            return Err(MemberError::UrlExists);
        }
        let member = self.get(id).ok_or(MemberError::NotFound)?.clone();
        Ok(self.put(Member { peer_urls, ..member }))
    }
}

/// What comes with a change of the members: the proposal's number and, if one is added, the member.
pub fn context(proposal: u64, member: Option<&Member>) -> Bytes {
    let mut out = Pack::default();
    out.fixed(proposal);
    out.maybe(member, |out, member| out.bytes(&member.encode()));
    out.0.into()
}

/// The number of the proposal of a change.
pub fn proposal_of(change: &Change) -> Option<u64> {
    Unpack(change.context.clone()).fixed().ok()
}

fn added(change: &Change) -> Result<Member, Garbled> {
    let mut from = Unpack(change.context.clone());
    from.fixed()?;
    let bytes = from.maybe(Unpack::bytes)?.ok_or(Garbled)?;
    Member::decode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64) -> Member {
        Member {
            id,
            peer_urls: vec![format!("http://{id}:2380")],
            ..Member::default()
        }
    }

    fn change(kind: ChangeKind, id: u64) -> Change {
        Change {
            kind,
            id,
            context: context(1, Some(&member(id))),
        }
    }

    #[test]
    fn changes_are_checked_and_the_table_says_what_they_made() {
        use ChangeKind::{Add, AddLearner, Promote, Remove};
        let mut members = Membership::default();
        let mut table = BTreeMap::new();
        let mut done = |kind, id| {
            let command = members.change(&change(kind, id))?;
            if let Command::Meta { key, value } = command {
                table.insert(key, value.unwrap());
            }
            assert_eq!(Membership::of(&table).unwrap(), members);
            Ok(members.raft())
        };
        assert!(done(Add, 1).is_ok());
        assert_eq!(done(Add, 1), Err(MemberError::Exists));
        assert_eq!(done(AddLearner, 2).unwrap().learners, [2].into());
        assert_eq!(done(Promote, 1), Err(MemberError::NotLearner));
        assert_eq!(done(Promote, 3), Err(MemberError::NotFound));
        assert_eq!(done(Promote, 2).unwrap().voters, [1, 2].into());
        assert_eq!(done(Remove, 1).unwrap().voters, [2].into());
        assert_eq!(done(Add, 1), Err(MemberError::Removed));
        let twice = Change {
            context: context(1, Some(&Member { id: 9, ..member(2) })),
            ..change(Add, 9)
        };
        assert_eq!(members.change(&twice).err(), Some(MemberError::UrlExists));
        members.change(&change(AddLearner, 4)).unwrap();
        let more = change(AddLearner, 5);
        assert_eq!(members.check(&more, 1), Err(MemberError::TooManyLearners));
        members.publish(2, "two".to_owned(), Vec::new()).unwrap();
        assert!(members.get(2).unwrap().has_started());
    }
}
