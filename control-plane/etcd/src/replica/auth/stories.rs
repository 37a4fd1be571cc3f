//! Users and roles, without members.

use super::*;
use crate::txn::{Compare, Field, Known, Relation, Txn, TxnOp};
use etcd_proto::{authpb::permission::Type, etcdserverpb as pb};

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn user(name: &str) -> Change {
    Change::UserAdd(pb::AuthUserAddRequest {
        name: name.to_owned(),
        hashed_password: STANDARD.encode("hash"),
        ..Default::default()
    })
}

fn role(name: &str) -> Change {
    Change::RoleAdd(pb::AuthRoleAddRequest {
        name: name.to_owned(),
    })
}

fn has(user: &str, role: &str) -> Change {
    Change::UserGrant(pb::AuthUserGrantRoleRequest {
        user: user.to_owned(),
        role: role.to_owned(),
    })
}

fn may(role: &str, kind: Type, key: &str, end: &str) -> Change {
    Change::RoleGrant(pb::AuthRoleGrantPermissionRequest {
        name: role.to_owned(),
        perm: Some(Permission {
            perm_type: kind as i32,
            key: bytes(key),
            range_end: bytes(end),
        }),
    })
}

fn some() -> Auth {
    let mut auth = Auth::default();
    let changes = [
        user("root"),
        has("root", "root"),
        user("ann"),
        role("reader"),
        role("writer"),
        may("reader", Type::Read, "a", "c"),
        may("writer", Type::Write, "b", "d"),
        may("writer", Type::Readwrite, "x", ""),
        has("ann", "reader"),
        has("ann", "writer"),
        Change::Enable(pb::AuthEnableRequest {}),
    ];
    for change in &changes {
        auth.change(change).unwrap();
    }
    auth
}

fn ann(auth: &Auth) -> Who {
    Who {
        user: "ann".to_owned(),
        revision: auth.revision(),
    }
}

#[test]
fn users_and_roles_follow_etcds_rules() {
    let mut auth = Auth::default();
    let enable = Change::Enable(pb::AuthEnableRequest {});
    let mut refused = |change: &Change| auth.change(change).err();
    assert_eq!(refused(&enable), Some(AuthError::RootUserNotExist));
    assert_eq!(refused(&user("root")), None);
    assert_eq!(refused(&user("root")), Some(AuthError::UserExists));
    assert_eq!(refused(&enable), Some(AuthError::RootRoleNotExist));
    assert_eq!(refused(&has("root", "root")), None);
    assert_eq!(refused(&has("root", "other")), Some(AuthError::RoleNotFound));
    assert_eq!(refused(&has("other", "root")), Some(AuthError::UserNotFound));
    assert_eq!(refused(&user("")), Some(AuthError::UserEmpty));
    assert_eq!(refused(&role("")), Some(AuthError::RoleEmpty));
    assert_eq!(refused(&role("r")), None);
    assert_eq!(refused(&role("r")), Some(AuthError::RoleExists));
    assert_eq!(
        refused(&may("r", Type::Read, "b", "a")),
        Some(AuthError::InvalidManagement)
    );
    assert_eq!(
        refused(&may("s", Type::Read, "a", "b")),
        Some(AuthError::RoleNotFound)
    );
    assert_eq!(refused(&enable), None);
    let gone = Change::UserDelete(pb::AuthUserDeleteRequest {
        name: "root".to_owned(),
    });
    assert_eq!(refused(&gone), Some(AuthError::InvalidManagement));
    let revoke = Change::UserRevoke(pb::AuthUserRevokeRoleRequest {
        name: "root".to_owned(),
        role: "root".to_owned(),
    });
    assert_eq!(refused(&revoke), Some(AuthError::InvalidManagement));
    assert_eq!((auth.revision(), auth.is_enabled()), (4, true));
}

#[test]
fn the_table_of_users_reads_as_it_was_written() {
    let mut auth = some();
    let Command::Meta { key, value } = auth.change(&user("bob")).unwrap() else {
        panic!("the table is written");
    };
    let read = Auth::of(&[(key, value.unwrap())].into()).unwrap();
    assert_eq!(format!("{read:?}"), format!("{auth:?}"));
    assert!(Auth::of(&[(bytes(KEY), bytes("\u{7}\u{7}"))].into()).is_err());
}

#[test]
fn a_transaction_is_judged_by_all_of_its_parts() {
    let auth = some();
    let who = ann(&auth);
    let none: Lookup<'_> = &|_| Vec::new();
    let put = |key: &str, lease, prev| TxnOp::Put {
        key: bytes(key),
        value: Some(Bytes::new()),
        lease: Some(lease),
        prev,
    };
    let delete = |start: &str, end: &str, prev| TxnOp::Delete {
        start: bytes(start),
        end: bytes(end),
        prev,
    };
    let judged = |op: TxnOp, keys: Lookup<'_>| {
        let inner = Txn::of(op.clone());
        let nested = Txn {
            failure: vec![TxnOp::Txn(inner.clone())],
            ..Txn::default()
        };
        let of = |txn| auth.may_do(&who, &Command::Txn(txn, Known::new()), keys);
        let judged = of(inner);
        assert_eq!(of(nested), judged, "{op:?}");
        judged.is_ok()
    };
    assert!(judged(put("b", 0, true), none) && judged(put("cc", 0, false), none));
    assert!(!judged(put("cc", 0, true), none) && !judged(put("a", 0, false), none));
    assert!(judged(delete("b", "d", false), none) && !judged(delete("b", "d", true), none));
    assert!(!judged(delete("b", "\0", false), none) && judged(put("x", 0, true), none));
    // A lease by which a key lives that the user may not write is not the user's to end.
    assert!(judged(put("x", 7, false), &|_| vec![bytes("b")]));
    assert!(!judged(put("x", 7, false), &|_| vec![bytes("b"), bytes("z")]));
    assert!(auth.looks_at_leases(&Command::Txn(Txn::of(put("x", 7, false)), Known::new())));
    assert!(!auth.looks_at_leases(&Command::Txn(Txn::of(put("x", 0, false)), Known::new())));
    let compare = |start: &str| Txn {
        compare: vec![Compare {
            start: bytes(start),
            end: Bytes::new(),
            relation: Relation::Equal,
            field: Field::Version(0),
        }],
        ..Txn::default()
    };
    assert_eq!(auth.may_txn(&who, &compare("a"), none), Ok(()));
    assert_eq!(auth.may_txn(&who, &compare("c"), none), Err(AuthError::Denied));
    assert_eq!(
        auth.may_do(&who, &Command::Compact(3), none),
        Err(AuthError::Denied)
    );
    assert_eq!(
        auth.may_do(&Who::default(), &Command::Compact(3), none),
        Err(AuthError::UserEmpty)
    );
}

#[test]
fn who_comes_with_an_old_revision_is_told() {
    let mut auth = some();
    let who = ann(&auth);
    let (key, end) = (bytes("a"), Bytes::new());
    assert_eq!(auth.may_read(&who, &key, &end), Ok(()));
    auth.change(&user("bob")).unwrap();
    assert_eq!(auth.may_read(&who, &key, &end), Err(AuthError::OldRevision));
    assert_eq!(
        auth.may_read(&Who::default(), &key, &end),
        Err(AuthError::UserEmpty)
    );
    auth.change(&Change::Disable(pb::AuthDisableRequest {})).unwrap();
    assert_eq!(auth.may_read(&Who::default(), &key, &end), Ok(()));
}
