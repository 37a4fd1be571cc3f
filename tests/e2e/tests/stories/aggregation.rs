//! A group of the API that another server answers: an API server of its own, behind a Service.

use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use component::pki::Purpose;
use e2e::cluster::Cluster;
use e2e::lab::NODE;
use e2e::{artifacts, process, wait};

use crate::expect::{has, has_not, same};
use crate::parts::{LIMIT, Papers, Parts, words};
use crate::pod::until_ready;
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    every_kubectl_sees_what_another_server_has,
    a_pod_answers_for_a_group,
];

const PORT: &str = "7443";
const GROUP: &str = "wardle.example.com";

/// What the other server has.
const FLUNDERS: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: flunders.wardle.example.com
spec:
  group: wardle.example.com
  scope: Namespaced
  names: {plural: flunders, singular: flunder, kind: Flunder, shortNames: [fl]}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            description: What the Flunder is like.
            properties:
              reference: {type: string}
    additionalPrinterColumns:
    - {name: Reference, type: string, jsonPath: .spec.reference}
";

/// The flags of the other server, which clients reach at `address`: it trusts the front proxy of the cluster.
fn flags(c: &Cluster, papers: &Papers, address: &str) -> Result<Vec<String>> {
    let name = format!("api.{}.svc", c.namespace);
    papers.leaf("other", &Purpose::server("other", vec![name, NODE.to_owned()]))?;
    let pki = |name: &str| papers.path(&format!("pki/{name}"));
    let proxies = c.data_dir().join("pki/front-proxy-ca.crt").display().to_string();
    Ok(words(&[
        ("store-dir", &papers.path("store")),
        ("advertise-address", address),
        ("secure-port", PORT),
        ("client-ca-file", &pki("ca.crt")),
        ("tls-cert-file", &pki("other.crt")),
        ("tls-private-key-file", &pki("other.key")),
        ("service-account-signing-key-file", &pki("sa.key")),
        ("service-account-issuer", "https://kubernetes.default.svc"),
        ("requestheader-client-ca-file", &proxies),
        ("requestheader-allowed-names", "front-proxy-client"),
        ("requestheader-username-headers", "X-Remote-User"),
        ("requestheader-group-headers", "X-Remote-Group"),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
    ]))
}

/// A Service without pods that leads to the other server.
fn service() -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: api}}\nspec: {{ports: [{{name: https, port: 443, targetPort: {PORT}}}]}}\n\
         ---\napiVersion: v1\nkind: Endpoints\nmetadata: {{name: api}}\nsubsets:\n- addresses: [{{ip: {NODE}}}]\n  \
         ports: [{{name: https, port: {PORT}}}]\n"
    )
}

/// The registration of its group.
fn registration(c: &Cluster, papers: &Papers) -> Result<String> {
    let bundle = STANDARD.encode(fs::read(papers.path("pki/ca.crt"))?);
    let namespace = &c.namespace;
    Ok(format!(
        "apiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {{name: v1alpha1.{GROUP}}}\nspec:\n  group: {GROUP}\n  \
         version: v1alpha1\n  groupPriorityMinimum: 2000\n  versionPriority: 200\n  caBundle: {bundle}\n  \
         service: {{namespace: {namespace}, name: api}}\n"
    ))
}

fn every_kubectl_sees_what_another_server_has(c: &mut Cluster) -> Result<()> {
    let folder = c.lab.folder().join("other");
    fs::create_dir_all(&folder)?;
    let papers = Papers::new(folder.clone())?;
    let mut parts = Parts::new(folder);
    parts.start_as(c, "other", "kube-apiserver", &flags(c, &papers, NODE)?)?;
    c.apply(&service())?;
    let told = see(c, &papers, NODE);
    told.map_err(|error| anyhow!("{error:#}\n{}", parts.logs()))?;
    parts.stop()
}

/// The same server as a pod behind a Service, as clusters have their extension servers.
fn a_pod_answers_for_a_group(c: &mut Cluster) -> Result<()> {
    let folder = c.lab.folder().join("pod-api");
    fs::create_dir_all(&folder)?;
    let papers = Papers::new(folder.clone())?;
    let binary = artifacts::ferrokube().ok_or_else(|| anyhow!("no ferrokube binary"))?;
    fs::copy(binary, folder.join("ferrokube"))?;
    let proxies = c.data_dir().join("pki/front-proxy-ca.crt");
    fs::copy(&proxies, folder.join("proxies.crt"))?;
    let flags = flags(c, &papers, "$(ADDRESS)")?.join("', '");
    let flags = flags.replace(&proxies.display().to_string(), &papers.path("proxies.crt"));
    let path = folder.display();
    c.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: api, labels: {{app: api}}}}\nspec:\n  terminationGracePeriodSeconds: 5\n  \
         containers:\n  - name: api\n    image: busybox:1.28\n    command: [{path}/ferrokube, kube-apiserver, '{flags}']\n    \
         env: [{{name: ADDRESS, valueFrom: {{fieldRef: {{fieldPath: status.podIP}}}}}}]\n    \
         ports: [{{containerPort: {PORT}}}]\n    \
         readinessProbe: {{tcpSocket: {{port: {PORT}}}, periodSeconds: 1}}\n    \
         volumeMounts: [{{name: own, mountPath: {path}}}]\n  \
         volumes: [{{name: own, hostPath: {{path: {path}, type: Directory}}}}]\n\
         ---\napiVersion: v1\nkind: Service\nmetadata: {{name: api}}\n\
         spec: {{selector: {{app: api}}, ports: [{{port: 443, targetPort: {PORT}}}]}}\n"
    ))?;
    until_ready(c, "api")?;
    let address = c.value("pod api", ".status.podIP")?;
    let told = see(c, &papers, &address);
    told.map_err(|error| anyhow!("{error:#}\n{}", c.kubectl("logs api").unwrap_or_default()))?;
    c.kubectl("delete pod/api service/api --timeout=60s").map(drop)
}

/// Uses the other server through the cluster; it listens at `address`.
fn see(c: &Cluster, papers: &Papers, address: &str) -> Result<()> {
    let own = papers.kubeconfig("other-admin", "admin", &["system:masters"])?;
    let namespace = &c.namespace;
    let there =
        format!("--kubeconfig={own} --server=https://{address}:{PORT} --tls-server-name=api.{namespace}.svc");
    wait::until("the other server", LIMIT, || {
        c.kubectl(&format!("{there} get --raw /readyz")).map(Some)
    })?;
    c.kubectl(&format!("{there} create namespace {namespace}"))?;
    let apply = format!("{there} apply --filename -");
    let apply: Vec<&str> = apply.split_whitespace().collect();
    c.kubectl_words(&apply, FLUNDERS)?;
    c.kubectl(&format!(
        "{there} wait --for condition=established --timeout=30s crd flunders.{GROUP}"
    ))?;

    c.apply(&registration(c, papers)?)?;
    c.kubectl(&format!(
        "wait --for condition=Available --timeout=60s apiservice v1alpha1.{GROUP}"
    ))?;
    // What it has is asked for after it has answered.
    wait::until("discovery", LIMIT, || {
        let resources = c.kubectl(&format!("api-resources --api-group {GROUP}"))?;
        Ok(resources.contains("flunders").then_some(()))
    })?;
    for kubectl in [artifacts::kubectl(), artifacts::tool("kubectl-1.20")] {
        use_it(c, &kubectl)?;
    }
    same(c.kubectl(&format!("{there} get flunders --output name"))?, "")?;

    c.kubectl(&format!("delete apiservice v1alpha1.{GROUP} --timeout=60s"))?;
    has_not(&c.kubectl("api-resources")?, &["flunders"])
}

/// Explains, makes, reads and deletes its objects, as those of any group.
fn use_it(c: &Cluster, kubectl: &Path) -> Result<()> {
    let run = |line: &str, input: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let done = process::run(&mut c.command_of(kubectl, &words), input)?;
        ensure!(done.code == 0, "{} {line}: {done:?}", kubectl.display());
        anyhow::Ok(done.stdout)
    };
    has(&run("api-versions", "")?, &["wardle.example.com/v1alpha1"])?;
    let resources = run(&format!("api-resources --api-group {GROUP}"), "")?;
    has(&resources, &["flunders", "fl", "true", "Flunder"])?;
    has(
        &run("explain flunders", "")?,
        &["Flunder", "v1alpha1", "spec", "metadata"],
    )?;
    let explained = run("explain flunders.spec", "")?;
    has(&explained, &["What the Flunder is like.", "reference"])?;
    let flunder = "apiVersion: wardle.example.com/v1alpha1\nkind: Flunder\nmetadata: {name: one}\nspec: {reference: other}\n";
    has(
        &run("apply --filename -", flunder)?,
        &["flunder.wardle.example.com/one created"],
    )?;
    has(&run("get fl", "")?, &["NAME", "REFERENCE", "one", "other"])?;
    has(&run("label flunder one tier=back", "")?, &["labeled"])?;
    has(&run("describe flunder one", "")?, &["Reference:", "tier=back"])?;
    has(&run("delete flunder one --timeout=60s", "")?, &["deleted"])
}
