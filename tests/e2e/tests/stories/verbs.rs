//! Verbs of kubectl that no other story is about.

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;

use crate::expect::{has, has_not, same};
use crate::{Story, stories};

/// The stories.
pub const STORIES: &[Story] = stories![
    top_fails_clearly,
    replaces_by_force,
    denies_a_certificate,
    reconciles_rights,
    deletes_in_the_foreground,
    dumps_the_cluster,
    compares_a_folder,
    acts_on_all_of_a_kind,
    prints_in_order_and_as_kyaml,
    undoes_sets_of_all_kinds,
    describes_every_kind,
    a_node_tells_of_its_images,
];

fn top_fails_clearly(c: &mut Cluster) -> Result<()> {
    for what in ["nodes", "pods"] {
        same(
            c.refused(&["top", what], "")?.trim(),
            "error: Metrics API not available",
        )?;
    }
    Ok(())
}

fn sleeper(kind: &str, name: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}}}
spec:
  {more}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {{name: c, image: 'busybox:1.36', command: [sleep, infinity]}}
"
    )
}

fn replaces_by_force(c: &mut Cluster) -> Result<()> {
    let (set, map) = (
        sleeper("StatefulSet", "db", "serviceName: db"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: b}\n",
    );
    let manifest = format!("{set}---\n{map}");
    c.apply(&manifest)?;
    c.kubectl("rollout status statefulset/db --timeout=60s")?;
    let before = c.value("configmap one", ".metadata.uid")?;
    let said = c.kubectl_words(&["replace", "--force", "--filename", "-"], &manifest)?;
    has(
        &said,
        &[
            "statefulset.apps \"db\" deleted",
            "configmap \"one\" deleted",
            "statefulset.apps/db replaced",
            "configmap/one replaced",
        ],
    )?;
    ensure!(
        c.value("configmap one", ".metadata.uid")? != before,
        "it is the old one"
    );
    c.until_value("statefulset db", ".status.readyReplicas", "1")?;
    // The pod of the old set stands in the way for a moment, which is nothing to tell of.
    has_not(&c.kubectl("events")?, &["already exists"])
}

/// A request for a certificate, as `openssl req -new -newkey ed25519 -subj /CN=jane` makes it.
fn request(name: &str) -> Result<String> {
    let script =
        "openssl req -new -newkey ed25519 -nodes -keyout /dev/null -subj /CN=jane 2>/dev/null | base64 -w 0";
    let made = e2e::process::output(std::process::Command::new("sh").args(["-c", script]))?;
    Ok(format!(
        "apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {{name: {name}}}
spec: {{request: {made}, signerName: kubernetes.io/kube-apiserver-client, usages: [client auth]}}
"
    ))
}

fn denies_a_certificate(c: &mut Cluster) -> Result<()> {
    c.apply(&request("denied")?)?;
    has(&c.kubectl("get csr denied")?, &["kubernetes-admin", "Pending"])?;
    let said = c.kubectl("certificate deny denied")?;
    has(
        &said,
        &["certificatesigningrequest.certificates.k8s.io/denied denied"],
    )?;
    has(&c.kubectl("get csr denied")?, &["Denied"])?;
    same(c.value("csr denied", ".status.certificate")?, "")?;
    c.kubectl("delete csr denied").map(drop)
}

fn reconciles_rights(c: &mut Cluster) -> Result<()> {
    // This verb wants the namespace in the manifest.
    let namespace = &c.namespace;
    let role = |verbs: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: reader, namespace: {namespace}}}
rules: [{{apiGroups: [''], resources: [pods], verbs: [{verbs}]}}]
"
        )
    };
    let reconcile = |verbs: &str| {
        let words = ["auth", "reconcile", "--filename", "-"];
        c.kubectl_words(&words, &role(verbs))
    };
    has(
        &reconcile("get")?,
        &["role.rbac.authorization.k8s.io/reader reconciled"],
    )?;
    // What it changed is told on the other stream.
    reconcile("list")?;
    has(&c.kubectl("describe role reader")?, &["get", "list"])
}

fn deletes_in_the_foreground(c: &mut Cluster) -> Result<()> {
    c.apply(&sleeper("Deployment", "web", "replicas: 2"))?;
    c.kubectl("rollout status deployment/web --timeout=60s")?;
    c.kubectl("delete deployment web --cascade=foreground --timeout=60s")?;
    same(c.kubectl("get replicasets,pods --output name")?, "")?;
    c.apply(&sleeper("Deployment", "web", "replicas: 1"))?;
    c.kubectl("rollout status deployment/web --timeout=60s")?;
    c.kubectl("delete deployment web --cascade=orphan")?;
    has(
        &c.kubectl("get replicasets --output name")?,
        &["replicaset.apps/web-"],
    )?;
    // The same deployment takes them up again.
    let set = c.kubectl("get replicasets --output name")?;
    c.apply(&sleeper("Deployment", "web", "replicas: 1"))?;
    c.kubectl("rollout status deployment/web --timeout=60s")?;
    same(c.kubectl("get replicasets --output name")?, set)
}

fn dumps_the_cluster(c: &mut Cluster) -> Result<()> {
    c.kubectl("run talker --image=busybox:1.36 --restart=Never -- echo I was here")?;
    c.until_value("pod talker", ".status.phase", "Succeeded")?;
    let said = c.kubectl(&format!("cluster-info dump --namespaces {}", c.namespace))?;
    has(
        &said,
        &[
            "\"kind\": \"NodeList\"",
            "\"kind\": \"PodList\"",
            "==== START logs for container talker of pod",
            "I was here",
        ],
    )
}

fn compares_a_folder(c: &mut Cluster) -> Result<()> {
    let folder = c.lab.folder().join("differences");
    std::fs::create_dir_all(&folder)?;
    let write = |text: &str| {
        let kustomization = "configMapGenerator:\n- {name: one, literals: [a=TEXT]}\n\
                             generatorOptions: {disableNameSuffixHash: true}\n";
        std::fs::write(
            folder.join("kustomization.yaml"),
            kustomization.replace("TEXT", text),
        )
    };
    let folder = folder.display().to_string();
    write("before")?;
    has(
        &c.kubectl(&format!("apply -k {folder}"))?,
        &["configmap/one created"],
    )?;
    same(c.kubectl(&format!("diff -k {folder}"))?, "")?;
    write("after")?;
    let done = c.try_kubectl(&["diff", "-k", &folder], "")?;
    same(done.code, 1)?;
    has(&done.stdout, &["-  a: before", "+  a: after"])
}

fn acts_on_all_of_a_kind(c: &mut Cluster) -> Result<()> {
    for name in ["a", "b"] {
        c.kubectl(&format!("create configmap {name}"))?;
    }
    let said = c.kubectl("label configmaps --all tier=low")?;
    has(&said, &["configmap/a labeled", "configmap/b labeled"])?;
    let said = c.kubectl("annotate configmaps --all note=yes")?;
    has(&said, &["configmap/a annotated", "configmap/b annotated"])?;
    let said = c.kubectl("get configmaps --selector tier=low --label-columns tier --no-headers")?;
    same(said.lines().filter(|line| line.ends_with("low")).count(), 3)?;
    has(
        &c.kubectl("label configmaps --all tier-")?,
        &["configmap/b unlabeled"],
    )
}

fn prints_in_order_and_as_kyaml(c: &mut Cluster) -> Result<()> {
    for (name, value) in [("x", "3"), ("y", "1"), ("z", "2")] {
        c.kubectl(&format!("create configmap {name} --from-literal=rank={value}"))?;
        c.kubectl(&format!("label configmap {name} ranked=yes"))?;
    }
    let ranked = "get configmaps --selector ranked=yes";
    let said = c.kubectl(&format!("{ranked} --sort-by=.data.rank --output name"))?;
    same(said, "configmap/y\nconfigmap/z\nconfigmap/x\n")?;
    has(
        &c.kubectl("get configmap x --output kyaml")?,
        &["---\n{", "kind: \"ConfigMap\",", "rank: \"3\","],
    )?;
    let said = c.kubectl_words(
        &[
            "get",
            "configmaps",
            "-l",
            "ranked=yes",
            "-o",
            "go-template={{range .items}}{{.data.rank}}{{end}}",
        ],
        "",
    )?;
    same(said, "312")
}

fn undoes_sets_of_all_kinds(c: &mut Cluster) -> Result<()> {
    let sets = [
        ("Deployment", "deployment", ""),
        ("DaemonSet", "daemonset", ""),
        ("StatefulSet", "statefulset", "serviceName: web"),
    ];
    for (kind, word, more) in sets {
        let set = format!("{word}/web");
        c.kubectl_words(&["create", "--filename", "-"], &sleeper(kind, "web", more))?;
        let done = || c.kubectl(&format!("rollout status {set} --timeout=60s"));
        done()?;
        c.kubectl(&format!("set env {set} COLOUR=blue"))?;
        done()?;
        let said = c.kubectl(&format!("rollout history {set}"))?;
        let numbers: Vec<&str> = said
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        ensure!(numbers.ends_with(&["1", "2"]), "the history is\n{said}");
        let said = c.kubectl(&format!("rollout history {set} --revision=2"))?;
        has(&said, &["COLOUR:\tblue"])?;
        has(&c.kubectl(&format!("rollout undo {set}"))?, &["rolled back"])?;
        done()?;
        same(c.value(&set, ".spec.template.spec.containers[0].env")?, "")?;
        has(&c.kubectl(&format!("rollout restart {set}"))?, &["restarted"])?;
        done()?;
        c.kubectl(&format!("delete {set}"))?;
    }
    Ok(())
}

/// What `kubectl describe` says of objects of each kind.
const DESCRIBED: &[(&str, &[&str])] = &[
    (
        "deployment/web",
        &["StrategyType:           RollingUpdate", "NewReplicaSet:   web-"],
    ),
    (
        "statefulset/db",
        &[
            "Replicas:               1 desired | 1 total",
            "Update Strategy:        RollingUpdate",
        ],
    ),
    (
        "daemonset/agent",
        &["Desired Number of Nodes Scheduled: 1", "Pods Status:  1 Running"],
    ),
    (
        "job/once",
        &["Completion Mode:  NonIndexed", "1 Succeeded / 0 Failed"],
    ),
    (
        "cronjob/tick",
        &[
            "Schedule:                      */5 * * * *",
            "Active Jobs:         <none>",
        ],
    ),
    (
        "service/web",
        &[
            "IP Family Policy:         SingleStack",
            "Session Affinity:         None",
        ],
    ),
    (
        "poddisruptionbudget/web",
        &["Min available:  1", "Allowed disruptions:"],
    ),
    ("ingress/web", &["a.example", "web:80 ("]),
    (
        "networkpolicy/web",
        &["Allowing ingress traffic:", "Policy Types: Ingress"],
    ),
    (
        "limitrange/small",
        &["Container   cpu       -    -    500m             500m           -"],
    ),
    (
        "role/reader",
        &[
            "PolicyRule:",
            "pods       []                 []              [get]",
        ],
    ),
    ("rolebinding/reader", &["Kind:  Role", "ServiceAccount  default"]),
    ("secret/word", &["Type:  Opaque", "p:  1 bytes"]),
    ("serviceaccount/default", &["Image pull secrets:  <none>"]),
    ("endpoints/web", &["Subsets:", "NotReadyAddresses:  <none>"]),
    ("endpointslices", &["AddressType:  IPv4", "TargetRef:  Pod/web-"]),
    (
        "node",
        &["Non-terminated Pods:", "Allocated resources:", "KubeletReady"],
    ),
    (
        "storageclass/local-path",
        &[
            "IsDefaultClass:        Yes",
            "VolumeBindingMode:     WaitForFirstConsumer",
        ],
    ),
];

const REST: &str = "apiVersion: batch/v1
kind: Job
metadata: {name: once}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: 'busybox:1.36', command: [echo, hi]}]}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: '*/5 * * * *'
  suspend: true
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: 'busybox:1.36'}]}}}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  rules:
  - {host: a.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec: {podSelector: {matchLabels: {app: nobody}}, policyTypes: [Ingress]}
---
apiVersion: v1
kind: LimitRange
metadata: {name: small}
spec: {limits: [{type: Container, default: {cpu: 500m}}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: default}]
---
apiVersion: v1
kind: Secret
metadata: {name: word}
stringData: {p: q}
";

fn describes_every_kind(c: &mut Cluster) -> Result<()> {
    c.apply(&sleeper("Deployment", "web", "replicas: 1"))?;
    c.apply(&sleeper("StatefulSet", "db", "serviceName: db"))?;
    c.apply(&sleeper("DaemonSet", "agent", ""))?;
    c.apply(REST)?;
    c.kubectl("wait job/once --for=condition=complete --timeout=60s")?;
    for set in ["deployment/web", "statefulset/db", "daemonset/agent"] {
        c.kubectl(&format!("rollout status {set} --timeout=60s"))?;
    }
    c.until_value(
        "endpointslices",
        ".items[*].endpoints[*].conditions.ready",
        "true",
    )?;
    for (object, said) in DESCRIBED {
        has(&c.kubectl(&format!("describe {object}"))?, said)?;
    }
    Ok(())
}

fn a_node_tells_of_its_images(c: &mut Cluster) -> Result<()> {
    let images = [
        ("plain", "nginx:1.16.1", "docker.io/library/nginx@sha256:"),
        (
            "slim",
            "registry.k8s.io/nginx-slim:0.8",
            "registry.k8s.io/nginx-slim@sha256:",
        ),
        // The same once more, now that the image has both names.
        ("again", "nginx:1.16.1", "docker.io/library/nginx@sha256:"),
    ];
    for (name, image, id) in images {
        c.kubectl(&format!("run {name} --image={image}"))?;
        c.until_value(&format!("pod {name}"), ".status.phase", "Running")?;
        has(
            &c.value(&format!("pod {name}"), ".status.containerStatuses[0].imageID")?,
            &[id],
        )?;
    }
    e2e::wait::until(
        "the node to tell of an image",
        std::time::Duration::from_secs(30),
        || {
            let names = c.value("nodes", ".items[*].status.images[*].names")?;
            Ok(names.contains("registry.k8s.io/nginx-slim:0.8").then_some(()))
        },
    )?;
    let sizes = c.value("nodes", ".items[*].status.images[*].sizeBytes")?;
    let sizes: Vec<u64> = sizes.split(' ').filter_map(|size| size.parse().ok()).collect();
    ensure!(
        sizes.is_sorted_by(|a, b| a >= b),
        "the largest come first: {sizes:?}"
    );
    Ok(())
}
