//! The store's snapshots: a cluster comes back from one, and another cluster's data is moved here.

use std::fs::{self, File};

use anyhow::{Context as _, Result, anyhow};
use e2e::cluster::Cluster;
use e2e::{process, wait};

use crate::deployments::roll_out;
use crate::expect::{has, same};
use crate::parts::{LIMIT, Papers, Parts, api_server, words};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    a_cluster_comes_back_from_a_snapshot,
    upstreams_cluster_is_served_from_its_snapshot,
];

/// What Kubernetes 1.20 left in etcd, with its aescbc key.
const UPSTREAM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../control-plane/backup/tests/backup/data/kubernetes-1.20.db.zst"
);
const ENCRYPTION: &str = "apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - aescbc: {keys: [{name: key1, secret: QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=}]}
  - identity: {}
";

fn snapshot(c: &Cluster, words: &[&str]) -> Result<String> {
    let mut command = c.ferrokube(&["snapshot"]);
    process::output(command.args(words))
}

fn a_cluster_comes_back_from_a_snapshot(c: &mut Cluster) -> Result<()> {
    roll_out(c)?;
    c.kubectl("create configmap before --from-literal=n=1")?;
    let pods = |c: &Cluster| c.kubectl("get pods --selector app=nginx --output name");
    let (before, data) = (pods(c)?, c.data_dir().display().to_string());
    let file = c.lab.folder().join("kept.db").display().to_string();
    has(&snapshot(c, &["save", &file, "--data-dir", &data])?, &["kept.db"])?;
    has(&snapshot(c, &["save", "--data-dir", &data])?, &["snapshot-"])?;
    has(
        &snapshot(c, &["list", "--data-dir", &data, "--output", "json"])?,
        &["\"revision\":"],
    )?;
    c.kubectl("create configmap after --from-literal=n=1")?;
    c.kubectl("delete configmap before")?;
    let restore = ["restore", file.as_str(), "--data-dir", &data, "--replace"];
    let running = c.ferrokube(&["snapshot"]).args(restore).output()?;
    has(&String::from_utf8_lossy(&running.stderr), &["another ferrokube"])?;
    same(c.stop()?, 0)?;
    fs::remove_dir_all(c.data_dir().join("store"))?;
    has(&snapshot(c, &restore[..4])?, &["REVISION"])?;
    c.up()?;
    c.kubectl("get configmap before")?;
    has(&c.refused(&["get", "configmap", "after"], "")?, &["NotFound"])?;
    same(pods(c)?, before)?;
    c.kubectl("rollout status deployment/nginx-deployment --timeout=60s")?;
    c.kubectl("exec deployment/nginx-deployment -- true").map(drop)
}

fn upstreams_cluster_is_served_from_its_snapshot(c: &mut Cluster) -> Result<()> {
    same(c.stop()?, 0)?;
    let folder = c.lab.folder().join("moved");
    fs::create_dir_all(&folder)?;
    let path = |name: &str| folder.join(name).display().to_string();
    let file = File::create(path("upstream.db"))?;
    zstd::stream::copy_decode(File::open(UPSTREAM)?, file)?;
    fs::write(path("encryption.yaml"), ENCRYPTION)?;
    let from = path("upstream.db");
    let told = snapshot(c, &["restore", "--from-etcd", &from, "--data-dir", &path("")])?;
    has(&told, &["296", "221"])?;
    let papers = Papers::new(folder.clone())?;
    let mut flags = api_server(&papers)?;
    flags.extend(words(&[("encryption-provider-config", &path("encryption.yaml"))]));
    let mut parts = Parts::new(folder.clone());
    parts.start_as(c, "api", "kube-apiserver", &flags)?;
    fs::copy(
        papers.kubeconfig("admin", "admin", &["system:masters"])?,
        c.kubeconfig(),
    )
    .context("the administrator's kubeconfig")?;
    let told = see_that_all_is_there(c);
    told.map_err(|error| anyhow!("{error:#}\n{}", parts.logs()))?;
    parts.stop()?;
    c.up().map(drop)
}

fn see_that_all_is_there(c: &Cluster) -> Result<()> {
    let kubectl = |line: &str| {
        let words: Vec<&str> = ["--namespace=shop"].into_iter().chain(line.split(' ')).collect();
        c.kubectl_words(&words, "")
    };
    wait::until("the API server", LIMIT, || kubectl("get --raw /readyz").map(Some))?;
    let name = |object: &str| kubectl(&format!("get {object} --output name"));
    for object in [
        "deployment.apps/web",
        "cronjob.batch/nightly",
        "poddisruptionbudget.policy/web",
        "role.rbac.authorization.k8s.io/reader",
        "horizontalpodautoscaler.autoscaling/web",
        "flowschema.flowcontrol.apiserver.k8s.io/shop",
        "customresourcedefinition.apiextensions.k8s.io/carts.shop.test",
    ] {
        same(name(object)?, format!("{object}\n"))?;
    }
    let value = |object: &str, path: &str| kubectl(&format!("get {object} --output jsonpath={{{path}}}"));
    // As etcd had it: the value by its key, and the revision.
    same(value("secret/till", ".data.password")?, "b3Blbi1zZXNhbWU=")?;
    same(value("configmap/prices", ".data.apple")?, "5")?;
    let backend = ".spec.rules[0].http.paths[0].backend.service";
    same(value("ingress/web", &format!("{backend}.port.number"))?, "80")?;
    let shares = ".spec.limited.nominalConcurrencyShares";
    same(value("prioritylevelconfiguration/shop", shares)?, "7")?;
    wait::until("the custom resource", LIMIT, || {
        let items = value("carts/mine", ".spec.items[1]");
        Ok(items.ok().filter(|found| found == "pear"))
    })?;
    // It can be written, in the version of today.
    kubectl("label poddisruptionbudget/web moved=yes")?;
    same(value("poddisruptionbudget/web", ".apiVersion")?, "policy/v1")
}
