//! Webhooks of admission that run as pods of the cluster, as the documentation's page about dynamic admission has them.

use anyhow::{Result, ensure};
use component::Clock;
use component::pki::{Authority, Purpose};
use e2e::cluster::Cluster;
use e2e::{process, wait};
use std::process::Command;
use std::time::Duration;

use crate::expect::{has, has_not, same};
use crate::pod::{sleeper, start, until_ready};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    webhooks_deny_and_change_writes,
    custom_resources_go_by_webhooks,
    a_webhook_that_is_down_blocks_or_not,
];

const PATIENCE: Duration = Duration::from_secs(60);

/// The server: what it answers follows from the path.
const SERVER: &str = r#"import base64, http.server, json, ssl, time
class Hook(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = review["request"]
        path = self.path.split("?")[0]
        answer = {"uid": request["uid"], "allowed": True}
        thing = request.get("object") or request.get("oldObject") or {}
        labels = thing.get("metadata", {}).get("labels") or {}
        if path == "/slow":
            time.sleep(5)
        if path == "/deny" or (path == "/judge" and labels.get("verdict") == "bad"):
            answer["allowed"] = False
            answer["status"] = {"code": 403, "reason": "Forbidden", "message": "no " + request["kind"]["kind"] + " today"}
            answer["warnings"] = ["the judge is in a bad mood"]
        if path == "/change":
            patch = [{"op": "add", "path": "/metadata/annotations", "value": {"changed": request["operation"]}}]
            answer["patchType"] = "JSONPatch"
            answer["patch"] = base64.b64encode(json.dumps(patch).encode()).decode()
        review = {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": answer}
        body = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
tls.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
server = http.server.ThreadingHTTPServer(("", 8443), Hook)
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

/// The webhooks' server as a pod behind the service `hook`; the bundle that its certificate is by, in base64.
fn serve(c: &Cluster) -> Result<String> {
    let folder = c.lab.folder().join(format!("hook-{}", c.namespace));
    let now = Clock::system().wall();
    let authority = Authority::open(&folder, now)?;
    let name = format!("hook.{}.svc", c.namespace);
    let leaf = authority.leaf("hook", &Purpose::server("hook", vec![name]), now)?;
    let path = |name: &str| folder.join(name).display().to_string();
    let (cert, key, script) = (path("tls.crt"), path("tls.key"), path("hook.py"));
    std::fs::write(&cert, &leaf.certificate)?;
    std::fs::write(&key, &leaf.key)?;
    std::fs::write(&script, SERVER)?;
    std::fs::write(path("bundle.crt"), authority.certificate())?;
    c.kubectl(&format!("create secret tls hook --cert {cert} --key {key}"))?;
    c.kubectl(&format!("create configmap hook --from-file {script}"))?;
    c.apply(
        "apiVersion: v1
kind: Pod
metadata: {name: hook, labels: {app: hook}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: hook
    image: python:3
    command: [python3, /script/hook.py]
    ports: [{containerPort: 8443}]
    readinessProbe: {tcpSocket: {port: 8443}, periodSeconds: 1}
    volumeMounts: [{name: script, mountPath: /script}, {name: tls, mountPath: /tls}]
  volumes:
  - {name: script, configMap: {name: hook}}
  - {name: tls, secret: {secretName: hook}}
---
apiVersion: v1
kind: Service
metadata: {name: hook}
spec: {selector: {app: hook}, ports: [{port: 443, targetPort: 8443}]}
",
    )?;
    until_ready(c, "hook")?;
    process::output(Command::new("base64").args(["-w0", &path("bundle.crt")]))
}

/// A webhook of the story's own namespace: its path, and what else it says.
struct Hook<'a> {
    sort: &'a str,
    path: &'a str,
    rules: &'a str,
    more: &'a str,
}

fn configure(c: &Cluster, bundle: &str, name: &str, hook: &Hook<'_>) -> Result<()> {
    let namespace = &c.namespace;
    let Hook {
        sort,
        path,
        rules,
        more,
    } = hook;
    c.apply(&format!(
        "apiVersion: admissionregistration.k8s.io/v1
kind: {sort}WebhookConfiguration
metadata: {{name: {name}-{namespace}, labels: {{story: {namespace}}}}}
webhooks:
- name: {name}.example.com
  clientConfig: {{caBundle: {bundle}, service: {{namespace: {namespace}, name: hook, path: {path}}}}}
  rules: [{rules}]
  namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}
  sideEffects: None
  admissionReviewVersions: [v1, v1beta1]
{more}"
    ))
    .map(drop)
}

fn forget(c: &Cluster) -> Result<()> {
    let all = "validatingwebhookconfigurations,mutatingwebhookconfigurations";
    c.kubectl(&format!("delete {all} --selector story={}", c.namespace))
        .map(drop)
}

fn rule(group: &str, resources: &str, operations: &str) -> String {
    format!(
        "{{apiGroups: ['{group}'], apiVersions: ['*'], resources: [{resources}], operations: [{operations}]}}"
    )
}

fn webhooks_deny_and_change_writes(c: &mut Cluster) -> Result<()> {
    let bundle = serve(c)?;
    let judge = Hook {
        sort: "Validating",
        path: "/judge",
        rules: &rule("", "pods, configmaps", "CREATE, UPDATE, DELETE"),
        more: "",
    };
    configure(c, &bundle, "judge", &judge)?;
    let bad = sleeper("bad", "", "").replace("tier: one", "verdict: bad");
    let refused = c.refused(&["create", "--filename", "-"], &bad)?;
    has(
        &refused,
        &[
            "admission webhook \"judge.example.com\" denied the request: no Pod today",
            "Warning: the judge is in a bad mood",
        ],
    )?;
    start(c, "good", "", "")?;
    let refused = c.refused(&["label", "pod", "good", "verdict=bad"], "")?;
    has(&refused, &["no Pod today"])?;
    let change = Hook {
        sort: "Mutating",
        path: "/change",
        rules: &rule("", "configmaps, pods", "CREATE, UPDATE"),
        more: "",
    };
    configure(c, &bundle, "change", &change)?;
    c.kubectl("create configmap plain --from-literal a=b")?;
    same(
        c.value("configmap/plain", ".metadata.annotations.changed")?,
        "CREATE",
    )?;
    c.kubectl("label configmap plain x=y")?;
    same(
        c.value("configmap/plain", ".metadata.annotations.changed")?,
        "UPDATE",
    )?;
    c.apply(&sleeper("changed", "", ""))?;
    same(c.value("pod/changed", ".metadata.annotations.changed")?, "CREATE")?;
    let attach = Hook {
        sort: "Validating",
        path: "/deny",
        rules: &rule("", "pods/attach, pods/exec", "CONNECT"),
        more: "",
    };
    configure(c, &bundle, "attach", &attach)?;
    let refused = c.refused(&["attach", "good", "--stdin"], "")?;
    has(&refused, &["no PodAttachOptions today"])?;
    let refused = c.refused(&["exec", "good", "--", "true"], "")?;
    has(&refused, &["no PodExecOptions today"])?;
    let listed = c.kubectl(&format!(
        "get validatingwebhookconfigurations --selector story={}",
        c.namespace
    ))?;
    has(&listed, &["judge", "attach", "WEBHOOKS"])?;
    forget(c)?;
    let listed = c.kubectl(&format!(
        "get validatingwebhookconfigurations --selector story={}",
        c.namespace
    ))?;
    has_not(&listed, &["judge"])?;
    c.kubectl("exec good -- true")?;
    c.kubectl_words(&["create", "--filename", "-"], &bad).map(drop)
}

fn custom_resources_go_by_webhooks(c: &mut Cluster) -> Result<()> {
    let bundle = serve(c)?;
    let group = format!("{}.example.com", c.namespace);
    let define = format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: tabs.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: tabs, singular: tab, kind: Tab}}
  versions:
  - {{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: string}}}}}}}}}}
  - {{name: v2, served: true, storage: false, schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: string}}}}}}}}}}
"
    );
    c.apply(&define)?;
    c.kubectl(&format!(
        "wait --for condition=established --timeout=30s crd tabs.{group}"
    ))?;
    let tab = |version: &str, name: &str, labels: &str| {
        format!(
            "apiVersion: {group}/{version}\nkind: Tab\nmetadata: {{name: {name}, labels: {{{labels}}}}}\nspec: x\n"
        )
    };
    for (sort, name, path, operations) in [
        ("Validating", "judge", "/judge", "'*'"),
        ("Mutating", "change", "/change", "CREATE, UPDATE"),
    ] {
        let rules = format!(
            "{{apiGroups: ['{group}'], apiVersions: [v1], resources: [tabs], operations: [{operations}]}}"
        );
        let more = if sort == "Validating" {
            "  matchConditions: [{name: x, expression: \"request.operation != 'UPDATE'\"}]\n"
        } else {
            ""
        };
        let hook = Hook {
            sort,
            path,
            rules: &rules,
            more,
        };
        configure(c, &bundle, name, &hook)?;
    }
    // The rules name v1; who writes v2 is seen too.
    let refused = c.refused(&["create", "--filename", "-"], &tab("v2", "bad", "verdict: bad"))?;
    has(&refused, &["no Tab today"])?;
    c.apply(&tab("v2", "good", ""))?;
    let tabs = format!("tabs.{group}");
    same(
        c.value(&format!("{tabs}/good"), ".metadata.annotations.changed")?,
        "CREATE",
    )?;
    c.kubectl(&format!("label {tabs} good verdict=bad"))?;
    let refused = c.refused(&["delete", &tabs, "good"], "")?;
    has(&refused, &["no Tab today"])?;
    c.kubectl(&format!("label {tabs} good verdict-"))?;
    c.kubectl(&format!("delete {tabs} good"))?;
    forget(c)?;
    c.kubectl(&format!("delete crd tabs.{group} --timeout=60s"))
        .map(drop)
}

fn a_webhook_that_is_down_blocks_or_not(c: &mut Cluster) -> Result<()> {
    let bundle = serve(c)?;
    let rules = rule("", "configmaps", "CREATE");
    let hook = |path: &'static str, more: &'static str| Hook {
        sort: "Validating",
        path,
        rules: &rules,
        more,
    };
    configure(c, &bundle, "slow", &hook("/slow", "  timeoutSeconds: 1\n"))?;
    let refused = c.refused(&["create", "configmap", "late"], "")?;
    has(
        &refused,
        &[
            "failed calling webhook \"slow.example.com\"",
            "context deadline exceeded",
        ],
    )?;
    let open = "  timeoutSeconds: 1\n  failurePolicy: Ignore\n";
    configure(c, &bundle, "slow", &hook("/slow", open))?;
    c.kubectl("create configmap late")?;
    configure(c, &bundle, "slow", &hook("/slow", "  timeoutSeconds: 10\n"))?;
    c.kubectl("create configmap patient")?;
    c.kubectl("delete pod hook --now")?;
    wait::until("the webhook to be missed", PATIENCE, || {
        let done = c.try_kubectl(&["create", "configmap", "closed", "--dry-run=server"], "")?;
        ensure!(done.code != 0, "it was let through");
        ensure!(done.stderr.contains("failed calling webhook"), "{}", done.stderr);
        Ok(Some(()))
    })?;
    // What it may not see is written nevertheless, and so is the cure.
    c.kubectl("create secret generic other")?;
    forget(c)?;
    c.kubectl("create configmap closed").map(drop)
}
