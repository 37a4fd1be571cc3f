//! The cluster roles of the controllers, named `system:controller:…`, a row a rule (upstream
//! `bootstrappolicy/controller_policy.go`); each is bound to the service account of that name. Upstream's list is whole,
//! so that its own controllers find their rights as well.

use super::roles::{ASK_ACCESS, CERTIFICATES, EVENTS, LISTEN, READ, RoleRow, may, may_named, role};

/// The roles.
pub(super) const CONTROLLERS: &[RoleRow] = &[
    role(
        "attachdetach-controller",
        &[
            may(LISTEN, "core", "persistentvolumeclaims persistentvolumes"),
            may(READ, "core", "nodes"),
            may("patch update", "core", "nodes/status"),
            may(LISTEN, "core", "pods"),
            EVENTS,
            may(
                "create delete get list watch",
                "storage.k8s.io",
                "volumeattachments",
            ),
            may(READ, "storage.k8s.io", "csidrivers"),
            may(READ, "storage.k8s.io", "csinodes"),
        ],
    ),
    role(
        "certificate-controller",
        &[
            may(
                "delete get list watch",
                CERTIFICATES,
                "certificatesigningrequests",
            ),
            may(
                "update",
                CERTIFICATES,
                "certificatesigningrequests/approval certificatesigningrequests/status",
            ),
            may_named(
                "approve",
                CERTIFICATES,
                "signers",
                "kubernetes.io/kube-apiserver-client-kubelet",
            ),
            may_named(
                "sign",
                CERTIFICATES,
                "signers",
                "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet \
kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown",
            ),
            ASK_ACCESS,
            EVENTS,
        ],
    ),
    role(
        "clusterrole-aggregation-controller",
        &[may(
            "escalate get list patch update watch",
            "rbac.authorization.k8s.io",
            "clusterroles",
        )],
    ),
    role(
        "cronjob-controller",
        &[
            may("get list update watch", "batch", "cronjobs"),
            may("create delete get list patch update watch", "batch", "jobs"),
            may("update", "batch", "cronjobs/status"),
            may("update", "batch", "cronjobs/finalizers"),
            may("delete list watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "daemon-set-controller",
        &[
            may(READ, "apps extensions", "daemonsets"),
            may("update", "apps extensions", "daemonsets/status"),
            may("update", "apps extensions", "daemonsets/finalizers"),
            may(LISTEN, "core", "nodes"),
            may("create delete list patch watch", "core", "pods"),
            may("create", "core", "pods/binding"),
            may(
                "create delete get list patch update watch",
                "apps",
                "controllerrevisions",
            ),
            EVENTS,
        ],
    ),
    role(
        "deployment-controller",
        &[
            may("get list update watch", "apps extensions", "deployments"),
            may("update", "apps extensions", "deployments/status"),
            may("update", "apps extensions", "deployments/finalizers"),
            may(
                "create delete get list patch update watch",
                "apps extensions",
                "replicasets",
            ),
            may("get list update watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "device-taint-eviction-controller",
        &[
            may("delete get list watch", "core", "pods"),
            may("patch update", "core", "pods/status"),
            may(READ, "resource.k8s.io", "resourceclaims"),
            may(READ, "resource.k8s.io", "resourceslices"),
            may(READ, "resource.k8s.io", "deviceclasses"),
            EVENTS,
        ],
    ),
    role(
        "disruption-controller",
        &[
            may(READ, "apps extensions", "deployments"),
            may(READ, "apps extensions", "replicasets"),
            may(READ, "core", "replicationcontrollers"),
            may(READ, "policy", "poddisruptionbudgets"),
            may(READ, "apps", "statefulsets"),
            may("update", "policy", "poddisruptionbudgets/status"),
            may("patch update", "core", "pods/status"),
            may("get", "*", "*/scale"),
            EVENTS,
        ],
    ),
    role(
        "endpoint-controller",
        &[
            may(READ, "core", "pods services"),
            may("create delete get list update watch", "core", "endpoints"),
            may("create", "core", "endpoints/restricted"),
            EVENTS,
        ],
    ),
    role(
        "endpointslice-controller",
        &[
            may(READ, "core", "nodes pods services"),
            may("update", "core", "services/finalizers"),
            may(
                "create delete get list update watch",
                "discovery.k8s.io",
                "endpointslices",
            ),
            EVENTS,
        ],
    ),
    role(
        "endpointslicemirroring-controller",
        &[
            may(READ, "core", "endpoints services"),
            may("update", "core", "services/finalizers"),
            may("update", "core", "endpoints/finalizers"),
            may(
                "create delete get list update watch",
                "discovery.k8s.io",
                "endpointslices",
            ),
            EVENTS,
        ],
    ),
    role(
        "ephemeral-volume-controller",
        &[
            may(READ, "core", "pods"),
            may("update", "core", "pods/finalizers"),
            may("create get list watch", "core", "persistentvolumeclaims"),
            EVENTS,
        ],
    ),
    role(
        "expand-controller",
        &[
            may("get list patch update watch", "core", "persistentvolumes"),
            may("patch update", "core", "persistentvolumeclaims/status"),
            may(READ, "core", "persistentvolumeclaims"),
            EVENTS,
        ],
    ),
    role(
        "generic-garbage-collector",
        &[may("delete get list patch update watch", "*", "*"), EVENTS],
    ),
    role(
        "horizontal-pod-autoscaler",
        &[
            may(READ, "autoscaling", "horizontalpodautoscalers"),
            may("update", "autoscaling", "horizontalpodautoscalers/status"),
            may("get update", "*", "*/scale"),
            may(LISTEN, "core", "pods"),
            may(LISTEN, "metrics.k8s.io", "pods"),
            may(READ, "custom.metrics.k8s.io", "*"),
            may(READ, "external.metrics.k8s.io", "*"),
            EVENTS,
        ],
    ),
    role(
        "job-controller",
        &[
            may("get list patch update watch", "batch", "jobs"),
            may("update", "batch", "jobs/status"),
            may("update", "batch", "jobs/finalizers"),
            may("create delete list patch watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "legacy-service-account-token-cleaner",
        &[
            may_named(
                "get",
                "core",
                "configmaps",
                "kube-apiserver-legacy-service-account-token-tracking",
            ),
            may("delete patch", "core", "secrets"),
        ],
    ),
    role(
        "namespace-controller",
        &[
            may("delete get list watch", "core", "namespaces"),
            may("update", "core", "namespaces/finalize namespaces/status"),
            may("delete deletecollection get list watch", "*", "*"),
        ],
    ),
    role(
        "node-controller",
        &[
            may("delete get list patch update watch", "core", "nodes"),
            may("patch update", "core", "nodes/status"),
            may("patch update", "core", "pods/status"),
            may("delete get list watch", "core", "pods"),
            may(LISTEN, "coordination.k8s.io", "leases"),
            EVENTS,
        ],
    ),
    role(
        "kube-apiserver-serving-clustertrustbundle-publisher",
        &[
            may_named(
                "attest",
                CERTIFICATES,
                "signers",
                "kubernetes.io/kube-apiserver-serving",
            ),
            may(
                "create delete list update watch",
                CERTIFICATES,
                "clustertrustbundles",
            ),
            EVENTS,
        ],
    ),
    role(
        "persistent-volume-binder",
        &[
            may("create delete get list update watch", "core", "persistentvolumes"),
            may("update", "core", "persistentvolumes/status"),
            may("get list update watch", "core", "persistentvolumeclaims"),
            may("update", "core", "persistentvolumeclaims/status"),
            may("create delete get list watch", "core", "pods"),
            may(READ, "storage.k8s.io", "storageclasses"),
            may(LISTEN, "core", "nodes"),
            EVENTS,
            may("watch", "core", "events"),
        ],
    ),
    role(
        "pod-garbage-collector",
        &[
            may("delete list watch", "core", "pods"),
            may(READ, "core", "nodes"),
            may("patch", "core", "pods/status"),
        ],
    ),
    role(
        "podcertificaterequestcleaner",
        &[may(
            "delete get list watch",
            CERTIFICATES,
            "podcertificaterequests",
        )],
    ),
    role(
        "pv-protection-controller",
        &[may("get list update watch", "core", "persistentvolumes"), EVENTS],
    ),
    role(
        "pvc-protection-controller",
        &[
            may("get list update watch", "core", "persistentvolumeclaims"),
            may("update", "core", "persistentvolumeclaims/status"),
            may(READ, "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "replicaset-controller",
        &[
            may("get list update watch", "apps extensions", "replicasets"),
            may("update", "apps extensions", "replicasets/status"),
            may("update", "apps extensions", "replicasets/finalizers"),
            may("create delete list patch watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "replication-controller",
        &[
            may("get list update watch", "core", "replicationcontrollers"),
            may("update", "core", "replicationcontrollers/status"),
            may("update", "core", "replicationcontrollers/finalizers"),
            may("create delete list patch watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "resource-claim-controller",
        &[
            may(READ, "core", "pods"),
            may("update", "core", "pods/finalizers"),
            may(
                "create delete get list watch",
                "resource.k8s.io",
                "resourceclaims",
            ),
            may(
                "patch update",
                "resource.k8s.io",
                "resourceclaims resourceclaims/status",
            ),
            may("patch update", "resource.k8s.io", "resourceclaims/binding"),
            may("patch update", "core", "pods/status"),
            EVENTS,
        ],
    ),
    role(
        "resourcequota-controller",
        &[
            may(LISTEN, "*", "*"),
            may("update", "core", "resourcequotas/status"),
            EVENTS,
        ],
    ),
    role(
        "root-ca-cert-publisher",
        &[may("create update", "core", "configmaps"), EVENTS],
    ),
    role(
        "route-controller",
        &[
            may(LISTEN, "core", "nodes"),
            may("patch", "core", "nodes/status"),
            EVENTS,
        ],
    ),
    role(
        "selinux-warning-controller",
        &[
            EVENTS,
            may(READ, "core", "persistentvolumes"),
            may(READ, "core", "persistentvolumeclaims"),
            may(READ, "core", "pods"),
            may(READ, "storage.k8s.io", "csidrivers"),
        ],
    ),
    role(
        "service-account-controller",
        &[may("create", "core", "serviceaccounts"), EVENTS],
    ),
    role(
        "service-cidrs-controller",
        &[
            may("get list patch update watch", "networking.k8s.io", "servicecidrs"),
            may("patch update", "networking.k8s.io", "servicecidrs/finalizers"),
            may("patch update", "networking.k8s.io", "servicecidrs/status"),
            may(READ, "networking.k8s.io", "ipaddresses"),
            EVENTS,
        ],
    ),
    role(
        "service-controller",
        &[
            may(READ, "core", "services"),
            may("patch update", "core", "services/status"),
            may(LISTEN, "core", "nodes"),
            EVENTS,
        ],
    ),
    role(
        "statefulset-controller",
        &[
            may(LISTEN, "core", "pods"),
            may(READ, "apps", "statefulsets"),
            may("update", "apps", "statefulsets/status"),
            may("update", "apps", "statefulsets/finalizers"),
            may("create delete get patch update", "core", "pods"),
            may(
                "create delete get list patch update watch",
                "apps",
                "controllerrevisions",
            ),
            may("create get list watch", "core", "persistentvolumeclaims"),
            may("delete update", "core", "persistentvolumeclaims"),
            may("update", "core", "pods/finalizers"),
            EVENTS,
        ],
    ),
    role(
        "taint-eviction-controller",
        &[
            may(READ, "core", "nodes"),
            may("delete get list watch", "core", "pods"),
            may("patch", "core", "pods/status"),
            EVENTS,
        ],
    ),
    role(
        "ttl-after-finished-controller",
        &[may("delete get list watch", "batch", "jobs"), EVENTS],
    ),
    role(
        "ttl-controller",
        &[may("list patch update watch", "core", "nodes"), EVENTS],
    ),
    role(
        "validatingadmissionpolicy-status-controller",
        &[
            may(
                READ,
                "admissionregistration.k8s.io",
                "validatingadmissionpolicies",
            ),
            may(
                "get patch update",
                "admissionregistration.k8s.io",
                "validatingadmissionpolicies/status",
            ),
            EVENTS,
        ],
    ),
    role(
        "volumeattributesclass-protection-controller",
        &[
            may(READ, "core", "persistentvolumeclaims"),
            may(READ, "core", "persistentvolumes"),
            may(
                "get list update watch",
                "storage.k8s.io",
                "volumeattributesclasses",
            ),
            EVENTS,
        ],
    ),
];
