//! Bad input: upstream's error, event or condition, and nothing changed by it.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;
use e2e::wait;

use crate::containers::script_pod;
use crate::deployments::NGINX;
use crate::expect::{has, has_not, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    an_unknown_image,
    a_dead_registry,
    a_missing_config_map,
    unknown_fields,
    wrong_types,
    malformed_text,
    bad_names,
    invalid_objects,
    immutable_fields,
    conflicts,
    a_body_too_large,
    an_unschedulable_pod,
    no_credentials,
];

const APPLY: &[&str] = &["apply", "--filename", "-"];

/// Waits until the first container waits for one of these reasons, and gives the message.
fn until_waiting(c: &Cluster, pod: &str, reasons: &[&str]) -> Result<String> {
    wait::until(
        &format!("{pod} to wait because of {reasons:?}"),
        Duration::from_secs(60),
        || {
            let reason = c.value(
                &format!("pod {pod}"),
                ".status.containerStatuses[0].state.waiting.reason",
            )?;
            ensure!(
                reasons.contains(&reason.as_str()),
                "it waits because of {reason:?}"
            );
            c.value(
                &format!("pod {pod}"),
                ".status.containerStatuses[0].state.waiting.message",
            )
            .map(Some)
        },
    )
}

fn an_unknown_image(c: &mut Cluster) -> Result<()> {
    c.apply(&script_pod("lost", "Always", "true").replace("busybox:1.28", "busybox:nosuch"))?;
    has(
        &until_waiting(c, "lost", &["ImagePullBackOff"])?,
        &["Back-off pulling image \"busybox:nosuch\""],
    )?;
    let events = c.kubectl("get events --field-selector involvedObject.name=lost,reason=Failed")?;
    has(
        &events,
        &["Failed to pull image \"busybox:nosuch\"", "Error: ErrImagePull"],
    )?;
    same(c.value("pod lost", ".status.phase")?, "Pending")?;
    c.apply(&script_pod("named", "Always", "true").replace("busybox:1.28", "Not/A/Name"))?;
    until_waiting(c, "named", &["InvalidImageName"]).map(drop)
}

fn a_dead_registry(c: &mut Cluster) -> Result<()> {
    c.apply(&script_pod("dead", "Always", "true").replace("busybox:1.28", "dead.example/busybox:1.28"))?;
    until_waiting(c, "dead", &["ErrImagePull", "ImagePullBackOff"]).map(drop)
}

fn a_missing_config_map(c: &mut Cluster) -> Result<()> {
    let env = "    env: [{name: X, valueFrom: {configMapKeyRef: {name: later, key: x}}}]\n";
    c.apply(&(script_pod("early", "Always", "sleep 3600") + env))?;
    has(
        &until_waiting(c, "early", &["CreateContainerConfigError"])?,
        &["configmap \"later\" not found"],
    )?;
    c.kubectl("create configmap later --from-literal=y=z")?;
    wait::until("the missing key to be told", Duration::from_secs(60), || {
        let message = until_waiting(c, "early", &["CreateContainerConfigError"])?;
        ensure!(message.contains("couldn't find key x in ConfigMap"), "{message}");
        Ok(Some(()))
    })?;
    c.kubectl_words(
        &["patch", "configmap", "later", "--patch", r#"{"data":{"x":"1"}}"#],
        "",
    )?;
    c.kubectl("wait --for=condition=Ready pod/early --timeout=60s")?;
    let volume = "    volumeMounts: [{name: v, mountPath: /v}]\n  volumes: [{name: v, secret: {secretName: nosuch}}]\n";
    c.apply(&(script_pod("unmounted", "Always", "sleep 3600") + volume))?;
    wait::until("the event of a missing secret", Duration::from_secs(60), || {
        let events = c.kubectl("get events --field-selector involvedObject.name=unmounted")?;
        ensure!(
            events.contains("FailedMount") && events.contains("secret \"nosuch\" not found"),
            "{events}"
        );
        Ok(Some(()))
    })
}

fn unknown_fields(c: &mut Cluster) -> Result<()> {
    let manifest = NGINX.replace("  replicas: 3\n", "  replicas: 0\n  replicaz: 3\n");
    let strict = c.refused(APPLY, &manifest)?;
    has(
        &strict,
        &[
            "Error from server (BadRequest)",
            "Deployment in version \"v1\" cannot be handled as a Deployment",
        ],
    )?;
    has(
        &strict,
        &["strict decoding error: unknown field \"spec.replicaz\""],
    )?;
    has(
        &c.refused(&["get", "deployment", "nginx-deployment"], "")?,
        &["not found"],
    )?;
    let warned = c.try_kubectl(&["apply", "--validate=warn", "--filename", "-"], &manifest)?;
    same(warned.code, 0)?;
    has(&warned.stderr, &["Warning: unknown field \"spec.replicaz\""])?;
    let ignored = c.try_kubectl(&["apply", "--validate=ignore", "--filename", "-"], &manifest)?;
    same((ignored.code, ignored.stderr.as_str()), (0, ""))?;
    let stored = c.kubectl("get deployment nginx-deployment --output json --show-managed-fields=false")?;
    has_not(&stored, &["\"replicaz\":"])
}

fn wrong_types(c: &mut Cluster) -> Result<()> {
    let refused = c.refused(APPLY, &NGINX.replace("replicas: 3", "replicas: three"))?;
    has(
        &refused,
        &[
            "Error from server (BadRequest)",
            "Deployment in version \"v1\" cannot be handled as a Deployment",
        ],
    )?;
    let refused = c.refused(APPLY, &NGINX.replace("apps/v1", "apps/v7"))?;
    has(
        &refused,
        &["no matches for kind \"Deployment\" in version \"apps/v7\""],
    )?;
    has(
        &c.refused(&["get", "deployment", "nginx-deployment"], "")?,
        &["not found"],
    )
}

fn malformed_text(c: &mut Cluster) -> Result<()> {
    has(&c.refused(APPLY, "a: b: c\n")?, &["error"])?;
    has(&c.refused(APPLY, "{\"apiVersion\": \"v1\",")?, &["error"])?;
    let path = format!("/api/v1/namespaces/{}/configmaps", c.namespace);
    let refused = c.refused(&["create", "--raw", &path, "--filename", "-"], "{\"kind\": ")?;
    has(&refused, &["Error from server (BadRequest)"])
}

fn bad_names(c: &mut Cluster) -> Result<()> {
    let refused = c.refused(&["create", "configmap", "Not_A_Name"], "")?;
    has(
        &refused,
        &["ConfigMap \"Not_A_Name\" is invalid: metadata.name: Invalid value: \"Not_A_Name\""],
    )?;
    has(
        &refused,
        &["a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"],
    )?;
    has(
        &c.refused(&["create", "configmap", "x", "--namespace", "nosuch"], "")?,
        &["namespaces \"nosuch\" not found"],
    )?;
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: Up}\nspec: {ports: [{port: 80}]}\n";
    has(
        &c.refused(APPLY, service)?,
        &["The Service \"Up\" is invalid: metadata.name: Invalid value: \"Up\""],
    )?;
    c.kubectl("create configmap one")?;
    has(&c.refused(&["label", "configmap", "one", "a=b/c"], "")?, &["b/c"])
}

fn invalid_objects(c: &mut Cluster) -> Result<()> {
    let other = NGINX.replacen("      app: nginx\n  template", "      app: other\n  template", 1);
    let refused = c.refused(APPLY, &other)?;
    has(
        &refused,
        &["The Deployment \"nginx-deployment\" is invalid: spec.template.metadata.labels: Invalid value:"],
    )?;
    has(&refused, &["`selector` does not match template `labels`"])?;
    let refused = c.refused(APPLY, &NGINX.replace("        image: nginx:1.14.2\n", ""))?;
    has(
        &refused,
        &["spec.template.spec.containers[0].image: Required value"],
    )?;
    let refused = c.refused(APPLY, &NGINX.replace("replicas: 3", "replicas: -1"))?;
    has(
        &refused,
        &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    )?;
    let refused = c.refused(APPLY, &NGINX.replace("containerPort: 80", "containerPort: 80000"))?;
    has(
        &refused,
        &["containerPort: Invalid value: 80000: must be between 1 and 65535, inclusive"],
    )?;
    has(
        &c.refused(&["get", "deployment", "nginx-deployment"], "")?,
        &["not found"],
    )
}

fn immutable_fields(c: &mut Cluster) -> Result<()> {
    let manifest = NGINX.replace("replicas: 3", "replicas: 0");
    c.apply(&manifest)?;
    let refused = c.refused(
        APPLY,
        &manifest
            .replace("      app: nginx\n", "      app: other\n")
            .replace("app: nginx", "app: other"),
    )?;
    has(
        &refused,
        &[
            "The Deployment \"nginx-deployment\" is invalid: spec.selector: Invalid value:",
            "field is immutable",
        ],
    )?;
    c.apply(&script_pod("fixed", "Never", "sleep 3600"))?;
    let refused = c.refused(APPLY, &script_pod("fixed", "Never", "sleep 7200"))?;
    has(
        &refused,
        &["The Pod \"fixed\" is invalid: spec: Forbidden: pod updates may not change fields other than"],
    )?;
    let path = r#"{"metadata":{"uid":"11111111-1111-1111-1111-111111111111"}}"#;
    c.refused(&["patch", "deployment", "nginx-deployment", "--patch", path], "")
        .map(drop)
}

fn conflicts(c: &mut Cluster) -> Result<()> {
    c.kubectl("create configmap one --from-literal=a=b")?;
    let old = c.kubectl("get configmap one --output yaml")?;
    c.kubectl("label configmap one x=y")?;
    let refused = c.refused(&["replace", "--filename", "-"], &old)?;
    has(
        &refused,
        &[
            "Error from server (Conflict)",
            "Operation cannot be fulfilled on configmaps \"one\"",
        ],
    )?;
    has(
        &refused,
        &["the object has been modified; please apply your changes to the latest version and try again"],
    )
}

fn a_body_too_large(c: &mut Cluster) -> Result<()> {
    let file = c.lab.folder().join("large");
    std::fs::write(&file, "x".repeat(2 << 20))?;
    let from = format!("--from-file={}", file.display());
    let refused = c.refused(&["create", "configmap", "large", &from], "")?;
    has(&refused, &["Too long: may not be more than 1048576 bytes"])?;
    std::fs::write(&file, "x".repeat(5 << 20))?;
    c.refused(&["create", "configmap", "large", &from], "")?;
    has(&c.refused(&["get", "configmap", "large"], "")?, &["not found"])
}

fn an_unschedulable_pod(c: &mut Cluster) -> Result<()> {
    let wish = "  nodeSelector: {disk: ssd}\n";
    c.apply(&(script_pod("picky", "Never", "true") + wish))?;
    let greed = "    resources: {requests: {cpu: '1000'}}\n";
    c.apply(&(script_pod("greedy", "Never", "true") + greed))?;
    for (pod, why) in [
        (
            "picky",
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
        ),
        ("greedy", "0/1 nodes are available: 1 Insufficient cpu."),
    ] {
        let said = wait::until(
            &format!("{pod} to be told why it waits"),
            Duration::from_secs(30),
            || {
                let events = c.kubectl(&format!("get events --field-selector involvedObject.name={pod}"))?;
                Ok(events.contains("FailedScheduling").then_some(events))
            },
        )?;
        has(&said, &[why])?;
        let condition = r#".status.conditions[?(@.type=="PodScheduled")].reason"#;
        same(c.value(&format!("pod {pod}"), condition)?, "Unschedulable")?;
    }
    let node = c.kubectl("get nodes --output name")?;
    c.kubectl(&format!("label {} disk=ssd", node.trim()))?;
    c.kubectl("wait --for=jsonpath={.status.phase}=Succeeded pod/picky --timeout=60s")
        .map(drop)
}

fn no_credentials(c: &mut Cluster) -> Result<()> {
    let bare = [
        "--kubeconfig=/dev/null",
        "--server=https://127.0.0.1:6443",
        "--insecure-skip-tls-verify",
    ];
    let ask = |words: &[&str]| c.try_kubectl(&[&bare[..], words].concat(), "");
    // kubectl asks a person without credentials for a name; a password is none for an API server, as upstream's.
    let anonymous = |path: &str| ask(&["--username=anyone", "--password=any", "get", "--raw", path]);
    has(&anonymous("/version")?.stdout, &["gitVersion"])?;
    let refused = anonymous("/api/v1/namespaces/default/secrets")?;
    ensure!(
        refused.code != 0,
        "an anonymous user reads secrets:\n{}",
        refused.stdout
    );
    has(
        &refused.stderr,
        &[
            "User \"system:anonymous\" cannot list resource \"secrets\" in API group \"\" in the namespace \"default\"",
        ],
    )?;
    let refused = ask(&["get", "--raw", "/api/v1/pods", "--token=wrong"])?;
    has(&refused.stderr, &["nauthorized"])?;
    let token = format!("--token={}", c.kubectl("create token default")?.trim());
    same(
        ask(&[
            "auth",
            "whoami",
            "--output",
            "jsonpath={.status.userInfo.username}",
            &token,
        ])?
        .stdout,
        account(c),
    )?;
    same(ask(&["auth", "can-i", "list", "pods", &token])?.stdout, "no\n")
}

fn account(c: &Cluster) -> String {
    format!("system:serviceaccount:{}:default", c.namespace)
}
