//! Users, roles and what they may do: one entry of the table beside the key space, changed by entries of the log, so that
//! every member judges the same. What a client asks to write is judged when it is applied: a right that was taken back
//! before is not used any more.

mod change;
mod error;
mod grants;
mod judge;
mod ranges;
mod tokens;

use super::pack::Garbled;
use crate::state::Command;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use etcd_proto::authpb::{Permission, Role, User, UserAddOptions};
use grants::Grants;
use prost::Message;
use std::collections::BTreeMap;

pub use change::{Change, NewToken};
pub use error::AuthError;
pub use judge::{Access, Lookup};
pub use tokens::{Tokens, index_of};

const KEY: &str = "auth";
/// The user, and the role, that may do everything.
const ROOT: &str = "root";

/// Who asks for something: a user, as of a revision of the table. Nobody is the user without a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The user's name.
    pub user: String,
    /// The revision that its token is of.
    pub revision: u64,
}

/// The entry of the table.
#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(bool, tag = "1")]
    enabled: bool,
    #[prost(uint64, tag = "2")]
    revision: u64,
    #[prost(message, repeated, tag = "3")]
    users: Vec<User>,
    #[prost(message, repeated, tag = "4")]
    roles: Vec<Role>,
}

/// Users and roles.
#[derive(Clone, Debug)]
pub struct Auth {
    enabled: bool,
    revision: u64,
    users: BTreeMap<String, User>,
    roles: BTreeMap<String, Role>,
    /// What each user may do, by all of its roles.
    grants: BTreeMap<String, Grants>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            enabled: false,
            revision: 1,
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
            grants: BTreeMap::new(),
        }
    }
}

/// The entry of the table that says what a snapshot of etcd does of its users and their roles.
pub fn entry(enabled: bool, revision: u64, users: Vec<User>, roles: Vec<Role>) -> (Bytes, Bytes) {
    let mut stored = Stored {
        enabled,
        revision,
        users,
        roles,
    };
    // They are looked for by their order.
    for user in &mut stored.users {
        user.roles.sort();
    }
    for role in &mut stored.roles {
        let place = |held: &Permission| (held.key.clone(), held.range_end.clone());
        role.key_permission.sort_by_key(place);
    }
    (Bytes::from_static(KEY.as_bytes()), stored.encode_to_vec().into())
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

impl Auth {
    /// What a table says.
    pub fn of(table: &BTreeMap<Bytes, Bytes>) -> Result<Self, Garbled> {
        let Some(stored) = table.get(KEY.as_bytes()) else {
            return Ok(Self::default());
        };
        let stored = Stored::decode(stored.clone()).map_err(|_| Garbled)?;
        let users = stored.users.into_iter().map(|user| (text(&user.name), user));
        let roles = stored.roles.into_iter().map(|role| (text(&role.name), role));
        let mut this = Self {
            enabled: stored.enabled,
            revision: stored.revision,
            users: users.collect(),
            roles: roles.collect(),
            grants: BTreeMap::new(),
        };
        this.see_grants();
        Ok(this)
    }

    /// The command that makes the table say this.
    fn command(&self) -> Command {
        let users = self.users.values().cloned().collect();
        let roles = self.roles.values().cloned().collect();
        let (key, value) = entry(self.enabled, self.revision, users, roles);
        Command::Meta {
            key,
            value: Some(value),
        }
    }

    fn see_grants(&mut self) {
        let of = |user: &User| Grants::of(user.roles.iter().filter_map(|role| self.roles.get(role)));
        self.grants = self
            .users
            .iter()
            .map(|(name, user)| (name.clone(), of(user)))
            .collect();
    }

    /// Whether everybody is asked who they are.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Counts the changes.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The users, by name.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// The roles, by name.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values()
    }

    /// A user.
    pub fn user(&self, name: &str) -> Result<&User, AuthError> {
        self.users.get(name).ok_or(AuthError::UserNotFound)
    }

    /// A role.
    pub fn role(&self, name: &str) -> Result<&Role, AuthError> {
        self.roles.get(name).ok_or(AuthError::RoleNotFound)
    }

    /// Whether a user has a role.
    pub fn has_role(&self, user: &str, role: &str) -> bool {
        self.users
            .get(user)
            .is_some_and(|user| user.roles.iter().any(|has| has == role))
    }

    /// Does a change that is agreed on; the command that makes the table say it.
    pub fn change(&mut self, change: &Change) -> Result<Command, AuthError> {
        let was = self.enabled;
        let changed = match change {
            Change::Enable(_) => self.enable()?,
            Change::Disable(_) => std::mem::take(&mut self.enabled),
            Change::Token(new) => self.may_have_token(&new.user)?,
            Change::UserAdd(new) => self.add_user(&new.name, new.options, &new.hashed_password)?,
            Change::UserDelete(gone) => self.remove_user(&gone.name)?,
            Change::UserPassword(new) => self.set_password(&new.name, &new.hashed_password)?,
            Change::UserGrant(grant) => self.grant_role(&grant.user, &grant.role)?,
            Change::UserRevoke(revoke) => self.revoke_role(&revoke.name, &revoke.role)?,
            Change::RoleAdd(new) => self.add_role(&new.name)?,
            Change::RoleDelete(gone) => self.remove_role(&gone.role)?,
            Change::RoleGrant(grant) => self.grant(&grant.name, grant.perm.as_ref())?,
            Change::RoleRevoke(revoke) => self.revoke(&revoke.role, &revoke.key, &revoke.range_end)?,
        };
        // Turning it on is no change of what somebody may, and tokens stay good.
        self.revision += u64::from(changed);
        if !changed && self.enabled == was {
            return Ok(Command::Nothing);
        }
        self.see_grants();
        Ok(self.command())
    }

    fn enable(&mut self) -> Result<bool, AuthError> {
        let root = self.users.get(ROOT).ok_or(AuthError::RootUserNotExist)?;
        if !root.roles.iter().any(|role| role == ROOT) {
            return Err(AuthError::RootRoleNotExist);
        }
        self.enabled = true;
        Ok(false)
    }

    fn may_have_token(&self, name: &str) -> Result<bool, AuthError> {
        if !self.enabled {
            return Err(AuthError::NotEnabled);
        }
        match self.users.get(name) {
            Some(user) if !has_no_password(user) => Ok(false),
            _ => Err(AuthError::Failed),
        }
    }

    fn add_user(
        &mut self,
        name: &str,
        options: Option<UserAddOptions>,
        hashed: &str,
    ) -> Result<bool, AuthError> {
        if name.is_empty() {
            return Err(AuthError::UserEmpty);
        }
        if self.users.contains_key(name) {
            return Err(AuthError::UserExists);
        }
        let options = options.unwrap_or_default();
        let password = match options.no_password {
            true => Bytes::new(),
            false => hash_of(hashed)?,
        };
        let user = User {
            name: Bytes::copy_from_slice(name.as_bytes()),
            password,
            roles: Vec::new(),
            options: Some(options),
        };
        self.users.insert(name.to_owned(), user);
        Ok(true)
    }

    fn remove_user(&mut self, name: &str) -> Result<bool, AuthError> {
        if self.enabled && name == ROOT {
            return Err(AuthError::InvalidManagement);
        }
        self.users.remove(name).ok_or(AuthError::UserNotFound)?;
        Ok(true)
    }

    fn user_mut(&mut self, name: &str) -> Result<&mut User, AuthError> {
        self.users.get_mut(name).ok_or(AuthError::UserNotFound)
    }

    fn role_mut(&mut self, name: &str) -> Result<&mut Role, AuthError> {
        self.roles.get_mut(name).ok_or(AuthError::RoleNotFound)
    }

    fn set_password(&mut self, name: &str, hashed: &str) -> Result<bool, AuthError> {
        let user = self.user_mut(name)?;
        if !has_no_password(user) {
            user.password = hash_of(hashed)?;
        }
        Ok(true)
    }

    fn grant_role(&mut self, name: &str, role: &str) -> Result<bool, AuthError> {
        self.user(name)?;
        if role != ROOT {
            self.role(role)?;
        }
        let roles = &mut self.user_mut(name)?.roles;
        match roles.binary_search_by(|has| has.as_str().cmp(role)) {
            Ok(_) => Ok(false),
            Err(at) => {
                roles.insert(at, role.to_owned());
                Ok(true)
            }
        }
    }

    fn revoke_role(&mut self, name: &str, role: &str) -> Result<bool, AuthError> {
        if self.enabled && name == ROOT && role == ROOT {
            return Err(AuthError::InvalidManagement);
        }
        let roles = &mut self.user_mut(name)?.roles;
        let before = roles.len();
        roles.retain(|has| has != role);
        if roles.len() == before {
            return Err(AuthError::RoleNotGranted);
        }
        Ok(true)
    }

    fn add_role(&mut self, name: &str) -> Result<bool, AuthError> {
        if name.is_empty() {
            return Err(AuthError::RoleEmpty);
        }
        if self.roles.contains_key(name) {
            return Err(AuthError::RoleExists);
        }
        let role = Role {
            name: Bytes::copy_from_slice(name.as_bytes()),
            key_permission: Vec::new(),
        };
        self.roles.insert(name.to_owned(), role);
        Ok(true)
    }

    fn remove_role(&mut self, name: &str) -> Result<bool, AuthError> {
        if self.enabled && name == ROOT {
            return Err(AuthError::InvalidManagement);
        }
        self.roles.remove(name).ok_or(AuthError::RoleNotFound)?;
        for user in self.users.values_mut() {
            user.roles.retain(|has| has != name);
        }
        Ok(true)
    }

    fn grant(&mut self, name: &str, permission: Option<&Permission>) -> Result<bool, AuthError> {
        let permission = permission.ok_or(AuthError::PermissionNotGiven)?;
        let (key, end) = (&permission.key, &permission.range_end);
        if key.is_empty() || !(end.is_empty() || key < end || end.as_ref() == [0]) {
            return Err(AuthError::InvalidManagement);
        }
        let held = &mut self.role_mut(name)?.key_permission;
        match held
            .iter_mut()
            .find(|held| held.key == *key && held.range_end == *end)
        {
            Some(held) => held.perm_type = permission.perm_type,
            None => {
                held.push(permission.clone());
                held.sort_by(|a, b| (&a.key, &a.range_end).cmp(&(&b.key, &b.range_end)));
            }
        }
        Ok(true)
    }

    fn revoke(&mut self, name: &str, key: &Bytes, end: &Bytes) -> Result<bool, AuthError> {
        let held = &mut self.role_mut(name)?.key_permission;
        let before = held.len();
        held.retain(|held| held.key != *key || held.range_end != *end);
        if held.len() == before {
            return Err(AuthError::PermissionNotGranted);
        }
        Ok(true)
    }
}

/// Whether a user is known by its certificate only.
pub fn has_no_password(user: &User) -> bool {
    user.options.is_some_and(|options| options.no_password)
}

fn hash_of(hashed: &str) -> Result<Bytes, AuthError> {
    let hash = STANDARD.decode(hashed).map_err(|_| AuthError::NoPasswordUser)?;
    Ok(hash.into())
}

#[cfg(test)]
mod stories;
