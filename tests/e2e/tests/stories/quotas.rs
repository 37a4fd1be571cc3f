//! The documentation's tasks on quotas, limits and Pod Security, with the manifests of its pages.

use anyhow::{Result, ensure};
use e2e::{cluster::Cluster, wait};
use std::time::Duration;

use crate::expect::{has, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    default_memory_of_a_namespace,
    cpu_constraints_of_a_namespace,
    a_quota_of_memory_and_cpu,
    a_quota_of_pods,
    a_quota_of_api_objects,
    pod_security_by_namespace_labels,
];

/// Applies a manifest that must be refused, and gives what was said.
fn refused(c: &Cluster, manifest: &str) -> Result<String> {
    c.refused(&["apply", "--filename", "-"], manifest)
}

fn pod(name: &str, resources: &str) -> String {
    format!(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  containers:
  - name: {name}-ctr
    image: nginx
{resources}"
    )
}

fn resources_of(c: &Cluster, pod: &str) -> Result<String> {
    c.value(&format!("pod {pod}"), ".spec.containers[0].resources")
}

fn default_memory_of_a_namespace(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: LimitRange
metadata:
  name: mem-limit-range
spec:
  limits:
  - default:
      memory: 512Mi
    defaultRequest:
      memory: 256Mi
    type: Container
",
    )?;
    for (name, resources, wanted) in [
        (
            "default-mem-demo",
            "",
            r#"{"limits":{"memory":"512Mi"},"requests":{"memory":"256Mi"}}"#,
        ),
        (
            "default-mem-demo-2",
            "    resources:\n      limits:\n        memory: \"1Gi\"\n",
            r#"{"limits":{"memory":"1Gi"},"requests":{"memory":"1Gi"}}"#,
        ),
        (
            "default-mem-demo-3",
            "    resources:\n      requests:\n        memory: \"128Mi\"\n",
            r#"{"limits":{"memory":"512Mi"},"requests":{"memory":"128Mi"}}"#,
        ),
    ] {
        c.apply(&pod(name, resources))?;
        same(resources_of(c, name)?, wanted)?;
    }
    let annotation = ".metadata.annotations.kubernetes\\.io/limit-ranger";
    same(
        c.value("pod default-mem-demo", annotation)?,
        "LimitRanger plugin set: memory request for container default-mem-demo-ctr; memory limit for container \
         default-mem-demo-ctr",
    )
}

fn cpu_constraints_of_a_namespace(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: LimitRange
metadata:
  name: cpu-min-max-demo-lr
spec:
  limits:
  - max:
      cpu: \"800m\"
    min:
      cpu: \"200m\"
    type: Container
",
    )?;
    let cpu = |limit: &str, request: &str| {
        format!(
            "    resources:\n      limits:\n        cpu: \"{limit}\"\n      requests:\n        cpu: \"{request}\"\n"
        )
    };
    c.apply(&pod("constraints-cpu-demo", &cpu("800m", "500m")))?;
    for (name, limit, request, why) in [
        (
            "constraints-cpu-demo-2",
            "1.5",
            "500m",
            "maximum cpu usage per Container is 800m, but limit is 1500m",
        ),
        (
            "constraints-cpu-demo-3",
            "800m",
            "100m",
            "minimum cpu usage per Container is 200m, but request is 100m",
        ),
    ] {
        let said = refused(c, &pod(name, &cpu(limit, request)))?;
        has(&said, &[&format!("pods \"{name}\" is forbidden: {why}")])?;
    }
    c.apply(&pod("constraints-cpu-demo-4", ""))?;
    same(
        resources_of(c, "constraints-cpu-demo-4")?,
        r#"{"limits":{"cpu":"800m"},"requests":{"cpu":"800m"}}"#,
    )
}

fn a_quota_of_memory_and_cpu(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: ResourceQuota
metadata:
  name: mem-cpu-demo
spec:
  hard:
    requests.cpu: \"1\"
    requests.memory: 1Gi
    limits.cpu: \"2\"
    limits.memory: 2Gi
",
    )?;
    c.until_value("resourcequota mem-cpu-demo", ".status.used.limits\\.cpu", "0")?;
    let resources = |memory: &str, request: &str| {
        format!(
            "    resources:\n      limits:\n        memory: \"{memory}\"\n        cpu: \"800m\"\n      requests:\n        \
             memory: \"{request}\"\n        cpu: \"400m\"\n"
        )
    };
    c.apply(&pod("quota-mem-cpu-demo", &resources("800Mi", "600Mi")))?;
    same(
        c.value("resourcequota mem-cpu-demo", ".status.used")?,
        r#"{"limits.cpu":"800m","limits.memory":"800Mi","requests.cpu":"400m","requests.memory":"600Mi"}"#,
    )?;
    has(
        &refused(c, &pod("quota-mem-cpu-demo-2", &resources("1Gi", "700Mi")))?,
        &[
            "pods \"quota-mem-cpu-demo-2\" is forbidden: exceeded quota: mem-cpu-demo, requested: \
           requests.memory=700Mi, used: requests.memory=600Mi, limited: requests.memory=1Gi",
        ],
    )?;
    has(
        &refused(c, &pod("bare", ""))?,
        &[
            "failed quota: mem-cpu-demo: must specify limits.cpu for: bare-ctr; limits.memory for: bare-ctr; \
           requests.cpu for: bare-ctr; requests.memory for: bare-ctr",
        ],
    )?;
    // What is deleted is free again.
    c.kubectl("delete pod quota-mem-cpu-demo --now")?;
    c.until_value(
        "resourcequota mem-cpu-demo",
        ".status.used.requests\\.memory",
        "0",
    )?;
    c.apply(&pod("quota-mem-cpu-demo-2", &resources("1Gi", "700Mi")))
        .map(drop)
}

fn a_quota_of_pods(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: ResourceQuota
metadata:
  name: pod-demo
spec:
  hard:
    pods: \"2\"
",
    )?;
    c.until_value("resourcequota pod-demo", ".status.used.pods", "0")?;
    c.apply(
        "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: pod-quota-demo
spec:
  selector:
    matchLabels:
      purpose: quota-demo
  replicas: 3
  template:
    metadata:
      labels:
        purpose: quota-demo
    spec:
      containers:
      - name: pod-quota-demo
        image: nginx
",
    )?;
    c.until_value("deployment pod-quota-demo", ".status.replicas", "2")?;
    let what = "the deployment to say that the quota is exceeded";
    wait::until(what, Duration::from_secs(60), || {
        let said = c.value("deployment pod-quota-demo", ".status.conditions[*].message")?;
        let why = "exceeded quota: pod-demo, requested: pods=1, used: pods=2, limited: pods=2";
        Ok(said.contains(why).then_some(()))
    })?;
    // With more room the third pod comes.
    let patch = r#"{"spec":{"hard":{"pods":"3"}}}"#;
    c.kubectl_words(&["patch", "resourcequota", "pod-demo", "--patch", patch], "")?;
    c.until_value("deployment pod-quota-demo", ".status.replicas", "3")?;
    c.until_value("resourcequota pod-demo", ".status.used.pods", "3")
}

fn a_quota_of_api_objects(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: ResourceQuota
metadata:
  name: object-quota-demo
spec:
  hard:
    persistentvolumeclaims: \"1\"
    services.loadbalancers: \"2\"
    services.nodeports: \"0\"
    count/deployments.apps: \"1\"
",
    )?;
    c.until_value(
        "resourcequota object-quota-demo",
        ".status.used",
        r#"{"count/deployments.apps":"0","persistentvolumeclaims":"0","services.loadbalancers":"0","services.nodeports":"0"}"#,
    )?;
    let claim = |name: &str, size: &str| {
        format!(
            "\
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {name}
spec:
  storageClassName: manual
  accessModes:
    - ReadWriteOnce
  resources:
    requests:
      storage: {size}
"
        )
    };
    c.apply(&claim("pvc-quota-demo", "3Gi"))?;
    has(
        &refused(c, &claim("pvc-quota-demo-2", "4Gi"))?,
        &[
            "persistentvolumeclaims \"pvc-quota-demo-2\" is forbidden: exceeded quota: object-quota-demo, requested: \
           persistentvolumeclaims=1, used: persistentvolumeclaims=1, limited: persistentvolumeclaims=1",
        ],
    )?;
    let said = c.refused(&["create", "service", "nodeport", "n", "--tcp=80"], "")?;
    has(
        &said,
        &["exceeded quota: object-quota-demo, requested: services.nodeports=1"],
    )?;
    c.kubectl("create deployment one --image=nginx --replicas=0")?;
    let said = c.refused(
        &["create", "deployment", "two", "--image=nginx", "--replicas=0"],
        "",
    )?;
    has(
        &said,
        &["exceeded quota: object-quota-demo, requested: count/deployments.apps=1"],
    )?;
    has(
        &c.kubectl("describe quota object-quota-demo")?,
        &["persistentvolumeclaims  1     1"],
    )
}

fn pod_security_by_namespace_labels(c: &mut Cluster) -> Result<()> {
    let namespace = c.namespace.clone();
    c.apply(&pod("before", "").replace("spec:\n", "spec:\n  hostNetwork: true\n"))?;
    // What a stricter level would mean is told before it is set.
    let label = |more: &[&str]| {
        let mut words = vec!["label", "--overwrite", "namespace", &namespace];
        words.extend(more);
        let done = c.try_kubectl(&words, "")?;
        ensure!(done.code == 0, "{}", done.stderr);
        Ok(done.stderr)
    };
    let enforce = "pod-security.kubernetes.io/enforce=baseline";
    let told = label(&["--dry-run=server", enforce])?;
    has(
        &told,
        &[
            &format!(
                "Warning: existing pods in namespace \"{namespace}\" violate the new PodSecurity enforce level \
                 \"baseline:latest\""
            ),
            "Warning: before: host namespaces",
        ],
    )?;
    label(&[
        enforce,
        "pod-security.kubernetes.io/enforce-version=latest",
        "pod-security.kubernetes.io/warn=restricted",
        "pod-security.kubernetes.io/warn-version=latest",
    ])?;
    has(
        &refused(c, &pod("host", "").replace("spec:\n", "spec:\n  hostPID: true\n"))?,
        &[
            "pods \"host\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostPID=true)",
        ],
    )?;
    let done = c.try_kubectl(&["apply", "--filename", "-"], &pod("plain", ""))?;
    ensure!(done.code == 0, "{}", done.stderr);
    has(
        &done.stderr,
        &[
            "Warning: would violate PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false (container \
             \"plain-ctr\" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities \
             (container \"plain-ctr\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod \
             or container \"plain-ctr\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \
             \"plain-ctr\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
        ],
    )?;
    let said = c.refused(
        &[
            "label",
            "namespace",
            &namespace,
            "pod-security.kubernetes.io/audit=strict",
        ],
        "",
    )?;
    has(&said, &["must be one of privileged, baseline, restricted"])
}
