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
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![every_kubectl_sees_what_another_server_has];

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

/// The other server: it trusts the front proxy of the cluster.
fn start(c: &Cluster, papers: &Papers, parts: &mut Parts) -> Result<()> {
    let name = format!("api.{}.svc", c.namespace);
    papers.leaf("other", &Purpose::server("other", vec![name, NODE.to_owned()]))?;
    let pki = |name: &str| papers.path(&format!("pki/{name}"));
    let proxies = c.data_dir().join("pki/front-proxy-ca.crt").display().to_string();
    let flags = words(&[
        ("store-dir", &papers.path("store")),
        ("advertise-address", NODE),
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
    ]);
    parts.start_as(c, "other", "kube-apiserver", &flags)
}

/// A Service that leads to the other server, and the registration of its group.
fn registration(c: &Cluster, papers: &Papers) -> Result<String> {
    let bundle = STANDARD.encode(fs::read(papers.path("pki/ca.crt"))?);
    let namespace = &c.namespace;
    Ok(format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: api}}\nspec: {{ports: [{{name: https, port: 443, targetPort: {PORT}}}]}}\n\
         ---\napiVersion: v1\nkind: Endpoints\nmetadata: {{name: api}}\nsubsets:\n- addresses: [{{ip: {NODE}}}]\n  \
         ports: [{{name: https, port: {PORT}}}]\n\
         ---\napiVersion: apiregistration.k8s.io/v1\nkind: APIService\nmetadata: {{name: v1alpha1.{GROUP}}}\nspec:\n  group: {GROUP}\n  \
         version: v1alpha1\n  groupPriorityMinimum: 2000\n  versionPriority: 200\n  caBundle: {bundle}\n  \
         service: {{namespace: {namespace}, name: api}}\n"
    ))
}

fn every_kubectl_sees_what_another_server_has(c: &mut Cluster) -> Result<()> {
    let folder = c.lab.folder().join("other");
    fs::create_dir_all(&folder)?;
    let papers = Papers::new(folder.clone())?;
    let mut parts = Parts::new(folder);
    start(c, &papers, &mut parts)?;
    let told = see(c, &papers);
    told.map_err(|error| anyhow!("{error:#}\n{}", parts.logs()))?;
    parts.stop()
}

fn see(c: &Cluster, papers: &Papers) -> Result<()> {
    let own = papers.kubeconfig("other-admin", "admin", &["system:masters"])?;
    fs::write(
        &own,
        fs::read_to_string(&own)?.replace(":6443", &format!(":{PORT}")),
    )?;
    let there = format!("--kubeconfig={own}");
    let namespace = &c.namespace;
    wait::until("the other server", LIMIT, || {
        c.kubectl(&format!("{there} get --raw /readyz")).map(Some)
    })?;
    c.kubectl(&format!("{there} create namespace {namespace}"))?;
    c.kubectl_words(&[&there, "apply", "--filename", "-"], FLUNDERS)?;
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
