//! Who has the bootstrap roles, and the roles inside namespaces (upstream `bootstrappolicy/policy.go` and
//! `namespace_policy.go`).

use super::roles::{Allow, EVENTS, may, may_named};

/// A binding of a role to subjects, each `kind:name`; service accounts are of kube-system.
pub(super) struct BindingRow {
    pub name: &'static str,
    pub role: &'static str,
    pub subjects: &'static [&'static str],
}

/// A role in a namespace.
pub(super) struct LocalRole {
    pub namespace: &'static str,
    pub name: &'static str,
    pub rules: &'static [Allow],
}

/// A binding in a namespace, to a role there.
pub(super) struct LocalBinding {
    pub namespace: &'static str,
    pub binding: BindingRow,
}

const fn same(role: &'static str, subjects: &'static [&'static str]) -> BindingRow {
    BindingRow {
        name: role,
        role,
        subjects,
    }
}

const EVERYBODY: &[&str] = &["Group:system:authenticated", "Group:system:unauthenticated"];
const KNOWN: &[&str] = &["Group:system:authenticated"];

/// Cluster-wide bindings. `system:node` has no subjects: the Node authorizer stands for it.
pub(super) const BINDINGS: &[BindingRow] = &[
    same("cluster-admin", &["Group:system:masters"]),
    BindingRow {
        name: "kubeadm:cluster-admins",
        role: "cluster-admin",
        subjects: &["Group:kubeadm:cluster-admins"],
    },
    same("system:monitoring", &["Group:system:monitoring"]),
    same("system:discovery", KNOWN),
    same("system:basic-user", KNOWN),
    same("ferrokube:decisions", KNOWN),
    same("system:public-info-viewer", EVERYBODY),
    same("system:node-proxier", &["User:system:kube-proxy"]),
    same(
        "system:kube-controller-manager",
        &["User:system:kube-controller-manager"],
    ),
    same("system:kube-dns", &["ServiceAccount:kube-dns"]),
    same("system:kube-scheduler", &["User:system:kube-scheduler"]),
    same("system:volume-scheduler", &["User:system:kube-scheduler"]),
    same("system:node", &[]),
    same(
        "system:service-account-issuer-discovery",
        &["Group:system:serviceaccounts"],
    ),
];

const fn local(namespace: &'static str, name: &'static str, rules: &'static [Allow]) -> LocalRole {
    LocalRole {
        namespace,
        name,
        rules,
    }
}

/// Roles in namespaces.
pub(super) const LOCAL_ROLES: &[LocalRole] = &[
    local(
        "kube-system",
        "extension-apiserver-authentication-reader",
        &[may_named(
            "get list watch",
            "core",
            "configmaps",
            "extension-apiserver-authentication",
        )],
    ),
    local(
        "kube-system",
        "system:controller:bootstrap-signer",
        &[may("get list watch", "core", "secrets")],
    ),
    local(
        "kube-system",
        "system:controller:token-cleaner",
        &[may("delete get list watch", "core", "secrets"), EVENTS],
    ),
    local(
        "kube-system",
        "system:controller:cloud-provider",
        &[may("create get list update watch", "core", "configmaps")],
    ),
    local(
        "kube-system",
        "system::leader-locking-kube-controller-manager",
        &[
            may("watch", "core", "configmaps"),
            may_named("get update", "core", "configmaps", "kube-controller-manager"),
        ],
    ),
    local(
        "kube-system",
        "system::leader-locking-kube-scheduler",
        &[
            may("watch", "core", "configmaps"),
            may_named("get update", "core", "configmaps", "kube-scheduler"),
        ],
    ),
    local(
        "kube-public",
        "system:controller:bootstrap-signer",
        &[
            may("get list watch", "core", "configmaps"),
            may_named("update", "core", "configmaps", "cluster-info"),
            EVENTS,
        ],
    ),
];

const fn in_namespace(namespace: &'static str, binding: BindingRow) -> LocalBinding {
    LocalBinding { namespace, binding }
}

/// Bindings in namespaces.
pub(super) const LOCAL_BINDINGS: &[LocalBinding] = &[
    in_namespace(
        "kube-system",
        BindingRow {
            name: "system::extension-apiserver-authentication-reader",
            role: "extension-apiserver-authentication-reader",
            subjects: &[
                "User:system:kube-controller-manager",
                "User:system:kube-scheduler",
            ],
        },
    ),
    in_namespace(
        "kube-system",
        same(
            "system:controller:bootstrap-signer",
            &["ServiceAccount:bootstrap-signer"],
        ),
    ),
    in_namespace(
        "kube-system",
        same(
            "system:controller:token-cleaner",
            &["ServiceAccount:token-cleaner"],
        ),
    ),
    in_namespace(
        "kube-system",
        same(
            "system:controller:cloud-provider",
            &["ServiceAccount:cloud-provider"],
        ),
    ),
    in_namespace(
        "kube-system",
        same(
            "system::leader-locking-kube-controller-manager",
            &[
                "User:system:kube-controller-manager",
                "ServiceAccount:kube-controller-manager",
            ],
        ),
    ),
    in_namespace(
        "kube-system",
        same(
            "system::leader-locking-kube-scheduler",
            &["User:system:kube-scheduler", "ServiceAccount:kube-scheduler"],
        ),
    ),
    in_namespace(
        "kube-public",
        same(
            "system:controller:bootstrap-signer",
            &["ServiceAccount:bootstrap-signer"],
        ),
    ),
];
