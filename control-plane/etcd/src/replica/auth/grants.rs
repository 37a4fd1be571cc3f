//! What a user may do by all of its roles.

use super::{ROOT, ranges::Ranges};
use etcd_proto::authpb::{Permission, Role, permission::Type};

/// What a user may read and write.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    pub read: Ranges,
    pub write: Ranges,
}

impl Grants {
    /// Of roles.
    pub fn of<'a>(roles: impl Iterator<Item = &'a Role>) -> Self {
        let all: Vec<&Permission> = roles.flat_map(|role| &role.key_permission).collect();
        let ranges = |but: Type| -> Ranges {
            let those = all.iter().filter(|permission| permission.perm_type() != but);
            those
                .map(|permission| (&permission.key, &permission.range_end))
                .collect()
        };
        Self {
            read: ranges(Type::Write),
            write: ranges(Type::Read),
        }
    }
}

/// Whether these roles may do everything.
pub fn are_root(roles: &[String]) -> bool {
    roles.iter().any(|role| role == ROOT)
}
