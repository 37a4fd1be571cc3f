//! What is asked of the table of users and roles, as entries of the log hold it.

use crate::replica::pack::{Garbled, Pack, Unpack};
use etcd_proto::etcdserverpb as pb;
use prost::Message;

/// A token that is given to a user whose password was checked.
#[derive(Clone, PartialEq, Message)]
pub struct NewToken {
    /// The user.
    #[prost(string, tag = "1")]
    pub user: String,
    /// The token but for its end, which is the index of the entry.
    #[prost(string, tag = "2")]
    pub prefix: String,
}

/// Makes the enumeration and its codec of one table.
macro_rules! changes {
    ($($tag:literal $name:ident($message:ty): $doc:literal,)*) => {
        /// A change of users and roles. Passwords are hashed already.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Change {
            $(#[doc = $doc] $name($message),)*
        }

        impl Change {
            /// Writes it.
            pub fn write(&self, out: &mut Pack) {
                match self {
                    $(Self::$name(message) => {
                        out.tag($tag);
                        out.bytes(&message.encode_to_vec());
                    })*
                }
            }

            /// Reads one.
            pub fn read(from: &mut Unpack) -> Result<Self, Garbled> {
                match from.tag()? {
                    $($tag => {
                        let message = <$message>::decode(from.bytes()?);
                        message.map(Self::$name).map_err(|_| Garbled)
                    })*
                    _ => Err(Garbled),
                }
            }
        }
    };
}

changes! {
    1 Enable(pb::AuthEnableRequest): "From now on everybody is asked who they are.",
    2 Disable(pb::AuthDisableRequest): "Nobody is asked any more.",
    3 Token(NewToken): "A user gets a token.",
    4 UserAdd(pb::AuthUserAddRequest): "A new user.",
    5 UserDelete(pb::AuthUserDeleteRequest): "A user goes.",
    6 UserPassword(pb::AuthUserChangePasswordRequest): "A user gets another password.",
    7 UserGrant(pb::AuthUserGrantRoleRequest): "A user gets a role.",
    8 UserRevoke(pb::AuthUserRevokeRoleRequest): "A user loses a role.",
    9 RoleAdd(pb::AuthRoleAddRequest): "A new role.",
    10 RoleDelete(pb::AuthRoleDeleteRequest): "A role goes.",
    11 RoleGrant(pb::AuthRoleGrantPermissionRequest): "A role gets a permission.",
    12 RoleRevoke(pb::AuthRoleRevokePermissionRequest): "A role loses a permission.",
}
