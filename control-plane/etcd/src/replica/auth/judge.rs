//! Whether somebody may do what it asks for.

use super::{Auth, AuthError, Change, Who, grants::are_root};
use crate::{
    state::Command,
    txn::{Txn, TxnOp},
};
use bytes::Bytes;

/// The keys that live by a lease.
pub type Lookup<'a> = &'a dyn Fn(i64) -> Vec<Bytes>;

/// What is done to keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// They are read.
    Read,
    /// They are written or removed.
    Write,
}

/// The end of a range of one key.
const ONE: Bytes = Bytes::new();

impl Auth {
    /// Whether somebody may do something to keys.
    pub fn may(&self, who: &Who, key: &Bytes, end: &Bytes, access: Access) -> Result<(), AuthError> {
        if !self.enabled {
            return Ok(());
        }
        if who.revision == 0 {
            return Err(AuthError::UserEmpty);
        }
        if who.revision < self.revision {
            return Err(AuthError::OldRevision);
        }
        let user = self.users.get(&who.user).ok_or(AuthError::Denied)?;
        let held = self.grants.get(&who.user).map(|grants| match access {
            Access::Read => &grants.read,
            Access::Write => &grants.write,
        });
        let may = are_root(&user.roles) || held.is_some_and(|held| held.contain(key, end));
        may.then_some(()).ok_or(AuthError::Denied)
    }

    /// Whether somebody may read keys.
    pub fn may_read(&self, who: &Who, key: &Bytes, end: &Bytes) -> Result<(), AuthError> {
        self.may(who, key, end, Access::Read)
    }

    /// Whether somebody may write keys.
    pub fn may_write(&self, who: &Who, key: &Bytes, end: &Bytes) -> Result<(), AuthError> {
        self.may(who, key, end, Access::Write)
    }

    /// Whether somebody may do everything.
    pub fn may_all(&self, who: &Who) -> Result<(), AuthError> {
        if !self.enabled {
            return Ok(());
        }
        if who.user.is_empty() {
            return Err(AuthError::UserEmpty);
        }
        match are_root(&self.user(&who.user)?.roles) {
            true => Ok(()),
            false => Err(AuthError::Denied),
        }
    }

    /// Whether somebody says who it is, if it must.
    pub fn must_say(&self, who: &Who) -> Result<(), AuthError> {
        match self.enabled && who.user.is_empty() {
            true => Err(AuthError::UserEmpty),
            false => Ok(()),
        }
    }

    /// Whether somebody may do with all the keys of a lease as it may with its own: else it could end it for others.
    fn may_take(&self, who: &Who, lease: i64, keys: Lookup<'_>) -> Result<(), AuthError> {
        if lease == 0 || self.may_all(who).is_ok() {
            return Ok(());
        }
        let mut keys = keys(lease).into_iter();
        keys.try_for_each(|key| self.may_write(who, &key, &ONE))
    }

    /// Whether somebody may do a transaction: all of it, whatever its comparisons will say.
    pub fn may_txn(&self, who: &Who, txn: &Txn, keys: Lookup<'_>) -> Result<(), AuthError> {
        for compare in &txn.compare {
            self.may_read(who, &compare.start, &compare.end)?;
        }
        let mut ops = txn.success.iter().chain(&txn.failure);
        ops.try_for_each(|op| match op {
            TxnOp::Range(range) => self.may_read(who, &range.start, &range.end),
            TxnOp::Put { key, lease, prev, .. } => {
                self.may_write(who, key, &ONE)?;
                self.may_take(who, lease.unwrap_or(0), keys)?;
                if *prev {
                    self.may_read(who, key, &ONE)
                } else {
                    Ok(())
                }
            }
            TxnOp::Delete { start, end, prev } => {
                self.may_write(who, start, end)?;
                if *prev {
                    self.may_read(who, start, end)
                } else {
                    Ok(())
                }
            }
            TxnOp::Txn(inner) => self.may_txn(who, inner, keys),
        })
    }

    /// Whether somebody may do a command.
    pub fn may_do(&self, who: &Who, command: &Command, keys: Lookup<'_>) -> Result<(), AuthError> {
        if !self.enabled {
            return Ok(());
        }
        match command {
            Command::Write { key, .. } => self.may_write(who, key, &ONE),
            Command::Txn(txn, _) => self.may_txn(who, txn, keys),
            Command::Revoke(lease) => self.may_take(who, *lease, keys),
            // A lease may be had by anybody.
            Command::Grant { .. } | Command::Nothing => Ok(()),
            Command::Compact(_) | Command::Reserve(_) | Command::Meta { .. } => self.may_all(who),
        }
    }

    /// Whether somebody may change users and roles.
    pub fn may_change(&self, who: &Who, change: &Change) -> Result<(), AuthError> {
        match change {
            // Its password was checked.
            Change::Token(_) => Ok(()),
            _ => self.may_all(who),
        }
    }

    /// Whether the judgement of a command depends on the keys of a lease.
    pub fn looks_at_leases(&self, command: &Command) -> bool {
        fn txn_does(txn: &Txn) -> bool {
            txn.success.iter().chain(&txn.failure).any(|op| match op {
                TxnOp::Put { lease, .. } => lease.is_some_and(|lease| lease != 0),
                TxnOp::Txn(inner) => txn_does(inner),
                TxnOp::Range(_) | TxnOp::Delete { .. } => false,
            })
        }
        self.enabled
            && match command {
                Command::Txn(txn, _) => txn_does(txn),
                Command::Revoke(_) => true,
                _ => false,
            }
    }
}
