//! Objects by kubectl: made, read in every form, changed, watched and deleted.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use e2e::cluster::Cluster;
use e2e::process;
use rustix::process::{Pid, Signal};

use crate::expect::{has, has_not, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    shows_the_cluster,
    lists_resources,
    serves_every_version,
    labels_and_annotates,
    reads_in_every_form,
    patches,
    applies_changes,
    edits,
    watches,
    waits,
    generates_names,
    dry_runs_change_nothing,
    explains,
    deletes_by_selector,
    lists_in_chunks,
    a_namespace_goes_with_all_in_it,
];

fn shows_the_cluster(c: &mut Cluster) -> Result<()> {
    has(
        &c.kubectl("version")?,
        &["Client Version: v1.", "Server Version: v1.", "+ferrokube."],
    )?;
    has(
        &c.kubectl("cluster-info")?,
        &["Kubernetes control plane", "is running at", "https://"],
    )?;
    c.kubectl("wait --for=condition=Ready node --all --timeout=60s")?;
    let (heading, rows) = c.table("get nodes")?;
    same(heading, ["NAME", "STATUS", "ROLES", "AGE", "VERSION"])?;
    same((rows.len(), rows[0][1].as_str()), (1, "Ready"))?;
    let wide = c.kubectl("get nodes --output wide")?;
    has(
        &wide,
        &[
            "INTERNAL-IP",
            "10.99.0.2",
            "OS-IMAGE",
            "KERNEL-VERSION",
            "CONTAINER-RUNTIME",
        ],
    )?;
    has(
        &c.kubectl("describe nodes")?,
        &[
            "Capacity:",
            "Allocatable:",
            "PodCIDR:",
            "Non-terminated Pods:",
            "KubeletReady",
        ],
    )?;
    has(
        &c.kubectl("get namespaces")?,
        &[
            "default",
            "kube-system",
            "kube-public",
            "kube-node-lease",
            "Active",
        ],
    )?;
    has(&c.kubectl("get --raw /readyz")?, &["ok"])?;
    same(c.kubectl("auth can-i create deployments")?, "yes\n")
}

fn lists_resources(c: &mut Cluster) -> Result<()> {
    let all = c.kubectl("api-resources")?;
    has(&all, &["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"])?;
    for kind in [
        "Deployment",
        "ReplicaSet",
        "Pod",
        "Service",
        "ConfigMap",
        "Secret",
        "Lease",
        "ClusterRole",
        "Event",
    ] {
        has(&all, &[&format!(" {kind}\n")])?;
    }
    has(
        &c.kubectl("api-versions")?,
        &["apps/v1\n", "autoscaling/v2\n", "events.k8s.io/v1\n", "v1\n"],
    )?;
    has(
        &c.kubectl("api-resources --namespaced=false --output name")?,
        &["nodes\n", "namespaces\n"],
    )
}

const SCALER: &str = "\
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: {name: scaler}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: nosuch}
  maxReplicas: 5
  targetCPUUtilizationPercentage: 60
";

const EVENT: &str = "\
apiVersion: events.k8s.io/v1
kind: Event
metadata: {name: told}
eventTime: 2026-01-02T03:04:05.000006Z
reportingController: example.com/teller
reportingInstance: teller-1
action: Telling
reason: Told
type: Normal
note: a tale
regarding: {apiVersion: v1, kind: ConfigMap, name: one, namespace: NAMESPACE}
";

fn serves_every_version(c: &mut Cluster) -> Result<()> {
    c.apply(SCALER)?;
    same(
        c.value(
            "horizontalpodautoscalers.v1.autoscaling scaler",
            ".spec.targetCPUUtilizationPercentage",
        )?,
        "60",
    )?;
    same(
        c.value(
            "horizontalpodautoscalers.v2.autoscaling scaler",
            ".spec.metrics[0].resource.target.averageUtilization",
        )?,
        "60",
    )?;
    same(
        c.value(
            "horizontalpodautoscalers.v2.autoscaling scaler",
            ".spec.minReplicas",
        )?,
        "1",
    )?;
    c.kubectl_words(
        &["create", "--filename", "-"],
        &EVENT.replace("NAMESPACE", &c.namespace),
    )?;
    same(c.value("events.v1.events.k8s.io told", ".note")?, "a tale")?;
    same(c.value("events.v1. told", ".message")?, "a tale")?;
    same(c.value("events.v1. told", ".involvedObject.name")?, "one")
}

fn labels_and_annotates(c: &mut Cluster) -> Result<()> {
    c.kubectl("create configmap one --from-literal=a=b")?;
    has(
        &c.kubectl("label configmap one tier=back")?,
        &["configmap/one labeled"],
    )?;
    has(
        &c.refused(&["label", "configmap", "one", "tier=front"], "")?,
        &["'tier' already has a value (back)"],
    )?;
    c.kubectl("label configmap one tier=front --overwrite")?;
    same(
        c.kubectl("get configmaps --selector tier=front --output name")?,
        "configmap/one\n",
    )?;
    same(
        c.kubectl("get configmaps --selector tier!=front,tier --output name")?,
        "",
    )?;
    has(
        &c.kubectl("label configmap one tier-")?,
        &["configmap/one unlabeled"],
    )?;
    has(
        &c.kubectl("annotate configmap one note=hello")?,
        &["configmap/one annotated"],
    )?;
    same(c.value("configmap one", ".metadata.annotations.note")?, "hello")
}

fn reads_in_every_form(c: &mut Cluster) -> Result<()> {
    c.kubectl("create configmap one --from-literal=a=b")?;
    same(c.kubectl("get configmap one --output jsonpath={.data.a}")?, "b")?;
    has(
        &c.kubectl("get configmap one --output yaml")?,
        &["apiVersion: v1\ndata:\n  a: b\nkind: ConfigMap\n"],
    )?;
    has(
        &c.kubectl("get configmap one --output json")?,
        &["\"kind\": \"ConfigMap\""],
    )?;
    let columns = c.kubectl("get configmap one --output custom-columns=N:.metadata.name,A:.data.a")?;
    same(columns, "N     A\none   b\n")?;
    let (heading, rows) = c.table("get configmap one")?;
    same(
        (heading.join(" "), rows[0][..2].join(" ")),
        ("NAME DATA AGE".into(), "one 1".into()),
    )?;
    has(&c.kubectl("describe configmap one")?, &["Name:", "a:\n----\nb\n"])?;
    has(
        &c.kubectl("get configmaps --sort-by=.metadata.name")?,
        &["kube-root-ca.crt", "one"],
    )?;
    same(
        c.kubectl("get configmaps --field-selector metadata.name=one --output name")?,
        "configmap/one\n",
    )?;
    has(
        &c.refused(&["get", "configmap", "two"], "")?,
        &["Error from server (NotFound): configmaps \"two\" not found"],
    )?;
    has(
        &c.refused(&["get", "nosuches"], "")?,
        &["the server doesn't have a resource type \"nosuches\""],
    )
}

fn patches(c: &mut Cluster) -> Result<()> {
    c.apply(&crate::deployments::NGINX.replace("replicas: 3", "replicas: 0"))?;
    let deployment = "deployment nginx-deployment";
    let patch = |kind: &str, text: &str| {
        c.kubectl_words(
            &[
                "patch",
                "deployment",
                "nginx-deployment",
                "--type",
                kind,
                "--patch",
                text,
            ],
            "",
        )
    };
    let add = r#"{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"busybox:1.28"}]}}}}"#;
    has(
        &patch("strategic", add)?,
        &["deployment.apps/nginx-deployment patched"],
    )?;
    same(
        c.value(deployment, ".spec.template.spec.containers[*].name")?,
        "side nginx",
    )?;
    patch(
        "merge",
        r#"{"spec":{"template":{"spec":{"containers":[{"name":"only","image":"busybox:1.28"}]}}}}"#,
    )?;
    same(
        c.value(deployment, ".spec.template.spec.containers[*].name")?,
        "only",
    )?;
    patch(
        "json",
        r#"[{"op":"replace","path":"/spec/template/spec/containers/0/name","value":"new"}]"#,
    )?;
    same(
        c.value(deployment, ".spec.template.spec.containers[*].name")?,
        "new",
    )?;
    has(&patch("merge", r#"{"metadata":{"labels":null}}"#)?, &["patched"])?;
    same(c.value(deployment, ".metadata.labels")?, "")?;
    same(c.value(deployment, ".metadata.generation")?, "4")?;
    let test = r#"[{"op":"test","path":"/spec/replicas","value":7}]"#;
    let words = [
        "patch",
        "deployment",
        "nginx-deployment",
        "--type",
        "json",
        "--patch",
        test,
    ];
    has(
        &c.refused(&words, "")?,
        &["the server rejected our request due to an error in our request"],
    )
}

fn applies_changes(c: &mut Cluster) -> Result<()> {
    let map =
        |data: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: one}}\ndata: {{{data}}}\n");
    has(&c.apply(&map("a: b, c: d"))?, &["configmap/one created"])?;
    has(&c.apply(&map("a: b, c: d"))?, &["configmap/one unchanged"])?;
    c.kubectl_words(
        &[
            "patch",
            "configmap",
            "one",
            "--patch",
            r#"{"data":{"other":"hand"}}"#,
        ],
        "",
    )?;
    has(&c.apply(&map("a: e"))?, &["configmap/one configured"])?;
    same(c.value("configmap one", ".data")?, r#"{"a":"e","other":"hand"}"#)?;
    let differs = c.try_kubectl(&["diff", "--filename", "-"], &map("a: f"))?;
    same(differs.code, 1)?;
    has(&differs.stdout, &["-  a: e", "+  a: f"])?;
    has(
        &c.kubectl_words(&["replace", "--filename", "-"], &map("z: 'y'"))?,
        &["configmap/one replaced"],
    )?;
    same(c.value("configmap one", ".data")?, r#"{"z":"y"}"#)?;
    has(
        &c.refused(&["create", "--filename", "-"], &map("a: b"))?,
        &["(AlreadyExists)", "configmaps \"one\" already exists"],
    )
}

fn edits(c: &mut Cluster) -> Result<()> {
    c.kubectl("create configmap one --from-literal=colour=red")?;
    let mut edit = c.kubectl_command(&["edit", "configmap", "one"]);
    let done = process::run(edit.env("KUBE_EDITOR", "sed -i s/red/green/"), "")?;
    has(&done.stdout, &["configmap/one edited"])?;
    same(c.value("configmap one", ".data.colour")?, "green")?;
    let mut edit = c.kubectl_command(&["edit", "configmap", "one"]);
    let done = process::run(edit.env("KUBE_EDITOR", "true"), "")?;
    has(
        &(done.stderr + &done.stdout),
        &["Edit cancelled, no changes made."],
    )
}

fn watches(c: &mut Cluster) -> Result<()> {
    let words = [
        "get",
        "configmaps",
        "--watch",
        "--output-watch-events",
        "--no-headers",
        "--request-timeout=60s",
    ];
    let mut watch = c
        .kubectl_command(&words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(watch.stdout.take().context("no output")?).lines();
    let mut until = |kind: &str| -> Result<()> {
        for line in lines.by_ref() {
            if let [first, "seen", ..] = line?.split_whitespace().collect::<Vec<_>>()[..] {
                return same(first, kind);
            }
        }
        bail!("the watch ended before {kind}")
    };
    c.kubectl("create configmap seen --from-literal=a=b")?;
    until("ADDED")?;
    c.kubectl("label configmap seen now=labelled")?;
    until("MODIFIED")?;
    c.kubectl("delete configmap seen")?;
    until("DELETED")?;
    let pid = Pid::from_raw(i32::try_from(watch.id())?).context("a pid is not 0")?;
    rustix::process::kill_process(pid, Signal::TERM)?;
    watch.wait()?;
    Ok(())
}

fn waits(c: &mut Cluster) -> Result<()> {
    c.kubectl("create configmap one --from-literal=a=b")?;
    let waiting = [
        "wait",
        "--for=jsonpath={.data.a}=c",
        "configmap/one",
        "--timeout=30s",
    ];
    let waiting = c
        .kubectl_command(&waiting)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    c.kubectl_words(
        &["patch", "configmap", "one", "--patch", r#"{"data":{"a":"c"}}"#],
        "",
    )?;
    let said = waiting.wait_with_output()?;
    has(
        &String::from_utf8_lossy(&said.stdout),
        &["configmap/one condition met"],
    )?;
    let late = c.refused(
        &[
            "wait",
            "--for=jsonpath={.data.a}=d",
            "configmap/one",
            "--timeout=1s",
        ],
        "",
    )?;
    has(&late, &["timed out waiting for the condition on configmaps/one"])
}

fn generates_names(c: &mut Cluster) -> Result<()> {
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: many-}\n";
    let one = c.kubectl_words(&["create", "--filename", "-", "--output", "name"], manifest)?;
    let two = c.kubectl_words(&["create", "--filename", "-", "--output", "name"], manifest)?;
    ensure!(one != two, "twice {one}");
    for name in [one, two] {
        let random = name.trim().strip_prefix("configmap/many-").map(str::len);
        same(random, Some(5))?;
    }
    Ok(())
}

fn dry_runs_change_nothing(c: &mut Cluster) -> Result<()> {
    let said = c.kubectl("create configmap one --from-literal=a=b --dry-run=server")?;
    has(&said, &["configmap/one created (server dry run)"])?;
    has(&c.refused(&["get", "configmap", "one"], "")?, &["not found"])?;
    c.kubectl("create configmap one --from-literal=a=b")?;
    c.kubectl("delete configmap one --dry-run=server")?;
    same(c.value("configmap one", ".data.a")?, "b")
}

fn explains(c: &mut Cluster) -> Result<()> {
    let said = c.kubectl("explain deployment.spec.replicas")?;
    has(
        &said,
        &[
            "KIND:       Deployment",
            "VERSION:    v1",
            "FIELD: replicas <integer>",
        ],
    )
}

fn deletes_by_selector(c: &mut Cluster) -> Result<()> {
    for name in ["a", "b", "keep"] {
        c.kubectl(&format!("create configmap {name}"))?;
    }
    c.kubectl("label configmap a b group=go")?;
    has(
        &c.kubectl("delete configmaps --selector group=go")?,
        &["configmap \"a\" deleted", "configmap \"b\" deleted"],
    )?;
    let left = c.kubectl("get configmaps --output name")?;
    has_not(&left, &["/a\n", "/b\n"])?;
    has(&left, &["/keep\n"])?;
    has(&c.kubectl("delete configmap nosuch --ignore-not-found")?, &[])?;
    c.kubectl("delete configmaps --all")?;
    has_not(&c.kubectl("get configmaps --output name")?, &["keep"])
}

fn lists_in_chunks(c: &mut Cluster) -> Result<()> {
    let one =
        |number: u32| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c{number:02}}}\n---\n");
    c.apply(&(0..25).map(one).collect::<String>())?;
    let whole = c.kubectl("get configmaps --output name")?;
    same(c.kubectl("get configmaps --output name --chunk-size=7")?, whole)?;
    let path = format!("/api/v1/namespaces/{}/configmaps?limit=7", c.namespace);
    has(
        &c.kubectl_words(&["get", "--raw", &path], "")?,
        &["\"continue\":\"", "\"remainingItemCount\":"],
    )
}

fn a_namespace_goes_with_all_in_it(c: &mut Cluster) -> Result<()> {
    c.kubectl("create namespace doomed")?;
    c.kubectl("create configmap inside --namespace doomed")?;
    has(
        &c.kubectl("delete namespace doomed --timeout=60s")?,
        &["namespace \"doomed\" deleted"],
    )?;
    has(
        &c.refused(&["get", "namespace", "doomed"], "")?,
        &["namespaces \"doomed\" not found"],
    )?;
    let late = c.refused(&["create", "configmap", "late", "--namespace", "doomed"], "")?;
    has(&late, &["namespaces \"doomed\" not found"])
}
