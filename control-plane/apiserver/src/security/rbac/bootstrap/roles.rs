//! The cluster roles that every cluster has, a row a rule (upstream `bootstrappolicy/policy.go`). Lists are words; `core`
//! is the group without a name.

/// A rule. `on` is resources, or paths when there are no groups.
pub(super) struct Allow {
    pub verbs: &'static str,
    pub groups: &'static str,
    pub on: &'static str,
    pub names: &'static str,
}

/// A cluster role.
pub(super) struct RoleRow {
    pub name: &'static str,
    pub rules: &'static [Allow],
    /// It is part of this role: the last word of the `aggregate-to-` label.
    pub part_of: &'static str,
    /// Its rules are those of the roles that say they are part of it.
    pub gathers: bool,
}

pub(super) const fn may(verbs: &'static str, groups: &'static str, on: &'static str) -> Allow {
    Allow {
        verbs,
        groups,
        on,
        names: "",
    }
}

pub(super) const fn may_named(
    verbs: &'static str,
    groups: &'static str,
    on: &'static str,
    names: &'static str,
) -> Allow {
    Allow {
        verbs,
        groups,
        on,
        names,
    }
}

const fn may_get(paths: &'static str) -> Allow {
    may("get", "", paths)
}

pub(super) const fn role(name: &'static str, rules: &'static [Allow]) -> RoleRow {
    RoleRow {
        name,
        rules,
        part_of: "",
        gathers: false,
    }
}

const fn part(name: &'static str, part_of: &'static str, rules: &'static [Allow]) -> RoleRow {
    RoleRow {
        name,
        rules,
        part_of,
        gathers: false,
    }
}

const fn whole(name: &'static str, part_of: &'static str) -> RoleRow {
    RoleRow {
        name,
        rules: &[],
        part_of,
        gathers: true,
    }
}

pub(super) const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const READ_WRITE: &str = "create delete deletecollection get list patch update watch";
pub(super) const LISTEN: &str = "list watch";
pub(super) const EVENTS: Allow = may("create patch update", "core events.k8s.io", "events");
const ASK_TOKEN: Allow = may("create", "authentication.k8s.io", "tokenreviews");
pub(super) const ASK_ACCESS: Allow = may("create", "authorization.k8s.io", "subjectaccessreviews");
pub(super) const CERTIFICATES: &str = "certificates.k8s.io";

/// What every node may do; the Node authorizer narrows it to what concerns the node.
pub(super) const NODE: &[Allow] = &[
    ASK_TOKEN,
    may(
        "create",
        "authorization.k8s.io",
        "localsubjectaccessreviews subjectaccessreviews",
    ),
    may(READ, "core", "services"),
    may("create get list watch", "core", "nodes"),
    may("patch update", "core", "nodes/status"),
    may("patch update", "core", "nodes"),
    may("create patch update", "core", "events"),
    may("create patch update", "events.k8s.io", "events"),
    may(READ, "core", "pods"),
    may("create delete", "core", "pods"),
    may("patch update", "core", "pods/status"),
    may("create", "core", "pods/eviction"),
    may(READ, "core", "configmaps secrets"),
    may("get", "core", "persistentvolumeclaims"),
    // Upstream's nodes only get volumes. Here a node watches for those whose local data it has to remove, and takes the
    // finalizer off that says so; NodeRestriction allows no other change.
    may("get list patch watch", "core", "persistentvolumes"),
    may("get", "core", "endpoints"),
    may(
        "create get list watch",
        CERTIFICATES,
        "certificatesigningrequests",
    ),
    may("create delete get patch update", "coordination.k8s.io", "leases"),
    may("get", "storage.k8s.io", "volumeattachments"),
    may("create", "core", "serviceaccounts/token"),
    may("get patch update", "core", "persistentvolumeclaims/status"),
    may(READ, "storage.k8s.io", "csidrivers"),
    may("create delete get patch update", "storage.k8s.io", "csinodes"),
    may(READ, "node.k8s.io", "runtimeclasses"),
    may("get", "resource.k8s.io", "resourceclaims"),
    may("deletecollection", "resource.k8s.io", "resourceslices"),
    may(READ, CERTIFICATES, "clustertrustbundles"),
];

const EDIT: &[Allow] = &[
    may(
        READ,
        "core",
        "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
    ),
    may("impersonate", "core", "serviceaccounts"),
    may(
        WRITE,
        "core",
        "pods pods/attach pods/exec pods/portforward pods/proxy",
    ),
    may("create", "core", "pods/eviction"),
    may(
        WRITE,
        "core",
        "configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale secrets \
         serviceaccounts services services/proxy",
    ),
    may("create", "core", "serviceaccounts/token"),
    may(
        WRITE,
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets \
         statefulsets/scale",
    ),
    may(WRITE, "autoscaling", "horizontalpodautoscalers"),
    may(WRITE, "batch", "cronjobs jobs"),
    may(
        WRITE,
        "extensions",
        "daemonsets deployments deployments/rollback deployments/scale ingresses networkpolicies replicasets \
         replicasets/scale replicationcontrollers/scale",
    ),
    may(WRITE, "policy", "poddisruptionbudgets"),
    may(WRITE, "networking.k8s.io", "ingresses networkpolicies"),
    may(READ_WRITE, "coordination.k8s.io", "leases"),
    may(WRITE, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
];

const VIEW: &[Allow] = &[
    may(
        READ,
        "core",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers \
         replicationcontrollers/scale serviceaccounts services services/status",
    ),
    may(
        READ,
        "core",
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status \
         resourcequotas resourcequotas/status",
    ),
    may(READ, "core", "namespaces"),
    may(READ, "discovery.k8s.io", "endpointslices"),
    may(
        READ,
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets \
         replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
    ),
    may(
        READ,
        "autoscaling",
        "horizontalpodautoscalers horizontalpodautoscalers/status",
    ),
    may(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    may(
        READ,
        "extensions",
        "daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses ingresses/status \
         networkpolicies replicasets replicasets/scale replicasets/status replicationcontrollers/scale",
    ),
    may(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    may(
        READ,
        "networking.k8s.io",
        "ingresses ingresses/status networkpolicies",
    ),
    may(
        READ,
        "resource.k8s.io",
        "resourceclaims resourceclaims/status resourceclaimtemplates",
    ),
];

const SCHEDULER: &[Allow] = &[
    EVENTS,
    may("create list watch", "coordination.k8s.io", "leases"),
    may_named("get update", "coordination.k8s.io", "leases", "kube-scheduler"),
    may(READ, "core", "nodes"),
    may("delete get list watch", "core", "pods"),
    may("create", "core", "bindings pods/binding"),
    may("patch update", "core", "pods/status"),
    may(READ, "core", "replicationcontrollers services"),
    may(READ, "apps extensions", "replicasets"),
    may(READ, "apps", "statefulsets"),
    may(READ, "policy", "poddisruptionbudgets"),
    may(READ, "core", "persistentvolumeclaims persistentvolumes"),
    ASK_TOKEN,
    ASK_ACCESS,
    may(READ, "storage.k8s.io", "csinodes"),
    may(READ, "core", "namespaces"),
    may(READ, "storage.k8s.io", "csidrivers"),
    may(READ, "storage.k8s.io", "csistoragecapacities"),
    may(READ, "storage.k8s.io", "volumeattachments"),
    may(
        READ,
        "resource.k8s.io",
        "deviceclasses resourceclaims resourceslices",
    ),
    may("patch update", "resource.k8s.io", "resourceclaims/status"),
    may("patch update", "resource.k8s.io", "resourceclaims/binding"),
    may("patch update", "resource.k8s.io", "resourceclaims"),
];

const CONTROLLER_MANAGER: &[Allow] = &[
    EVENTS,
    may("create", "coordination.k8s.io", "leases"),
    may_named(
        "get update",
        "coordination.k8s.io",
        "leases",
        "kube-controller-manager",
    ),
    may("create", "core", "secrets serviceaccounts"),
    may("delete", "core", "secrets"),
    may("get", "core", "configmaps namespaces secrets serviceaccounts"),
    may("update", "core", "secrets serviceaccounts"),
    ASK_TOKEN,
    ASK_ACCESS,
    may(LISTEN, "*", "*"),
    may("create", "core", "serviceaccounts/token"),
];

/// The cluster roles of people, of boxes, and of whoever asks.
pub(super) const ROLES: &[RoleRow] = &[
    role("cluster-admin", &[may("*", "*", "*"), may("*", "", "*")]),
    role(
        "system:discovery",
        &[may_get(
            "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
        )],
    ),
    role(
        "system:monitoring",
        &[may_get(
            "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*",
        )],
    ),
    role(
        "system:basic-user",
        &[
            may(
                "create",
                "authorization.k8s.io",
                "selfsubjectaccessreviews selfsubjectrulesreviews",
            ),
            may("create", "authentication.k8s.io", "selfsubjectreviews"),
        ],
    ),
    role(
        "system:public-info-viewer",
        &[may_get("/healthz /livez /readyz /version /version/")],
    ),
    // Not upstream's: whoever is known may ask, and is told of the objects that they may get.
    role(
        "ferrokube:decisions",
        &[may("list", "insight.ferrokube.io", "decisions")],
    ),
    whole("admin", ""),
    whole("edit", "admin"),
    whole("view", "edit"),
    part(
        "system:aggregate-to-admin",
        "admin",
        &[
            may("create", "authorization.k8s.io", "localsubjectaccessreviews"),
            may(READ_WRITE, "rbac.authorization.k8s.io", "rolebindings roles"),
        ],
    ),
    part("system:aggregate-to-edit", "edit", EDIT),
    part("system:aggregate-to-view", "view", VIEW),
    role("system:node", NODE),
    role(
        "system:heapster",
        &[
            may(READ, "core", "events namespaces nodes pods"),
            may(READ, "extensions", "deployments"),
        ],
    ),
    role(
        "system:node-problem-detector",
        &[
            may("get", "core", "nodes"),
            may("patch", "core", "nodes/status"),
            EVENTS,
        ],
    ),
    role(
        "system:kubelet-api-admin",
        &[
            may(READ, "core", "nodes"),
            may("proxy", "core", "nodes"),
            may(
                "*",
                "core",
                "nodes/checkpoint nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/spec \
                 nodes/stats",
            ),
        ],
    ),
    role(
        "system:node-bootstrapper",
        &[may(
            "create get list watch",
            CERTIFICATES,
            "certificatesigningrequests",
        )],
    ),
    role("system:auth-delegator", &[ASK_TOKEN, ASK_ACCESS]),
    role(
        "system:kube-aggregator",
        &[may(READ, "core", "endpoints services")],
    ),
    role("system:kube-controller-manager", CONTROLLER_MANAGER),
    role("system:kube-scheduler", SCHEDULER),
    role(
        "system:kube-dns",
        &[
            may(LISTEN, "core", "endpoints namespaces pods services"),
            may(LISTEN, "discovery.k8s.io", "endpointslices"),
        ],
    ),
    role(
        "system:persistent-volume-provisioner",
        &[
            may("create delete get list watch", "core", "persistentvolumes"),
            may("get list update watch", "core", "persistentvolumeclaims"),
            may(READ, "storage.k8s.io", "storageclasses"),
            may("watch", "core", "events"),
            EVENTS,
        ],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &[may(
            "create",
            CERTIFICATES,
            "certificatesigningrequests/nodeclient",
        )],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &[may(
            "create",
            CERTIFICATES,
            "certificatesigningrequests/selfnodeclient",
        )],
    ),
    role(
        "system:volume-scheduler",
        &[
            may("get list patch update watch", "core", "persistentvolumes"),
            may(READ, "storage.k8s.io", "storageclasses"),
            may("get list patch update watch", "core", "persistentvolumeclaims"),
        ],
    ),
    role(
        "system:certificates.k8s.io:kubelet-serving-approver",
        &[may_named(
            "approve",
            CERTIFICATES,
            "signers",
            "kubernetes.io/kubelet-serving",
        )],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        &[may_named(
            "approve",
            CERTIFICATES,
            "signers",
            "kubernetes.io/kube-apiserver-client",
        )],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        &[may_named(
            "approve",
            CERTIFICATES,
            "signers",
            "kubernetes.io/kube-apiserver-client-kubelet",
        )],
    ),
    role(
        "system:certificates.k8s.io:legacy-unknown-approver",
        &[may_named(
            "approve",
            CERTIFICATES,
            "signers",
            "kubernetes.io/legacy-unknown",
        )],
    ),
    role(
        "system:service-account-issuer-discovery",
        &[may_get(
            "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/",
        )],
    ),
    role(
        "system:node-proxier",
        &[
            may(LISTEN, "core", "endpoints services"),
            may(READ, "core", "nodes"),
            EVENTS,
            may(LISTEN, "discovery.k8s.io", "endpointslices"),
            may(LISTEN, "networking.k8s.io", "servicecidrs"),
        ],
    ),
];
