//! Helm 4, with what it does by itself: it applies on the server, waits, and runs hooks.

use anyhow::{Result, ensure};
use e2e::artifacts;
use e2e::cluster::Cluster;
use e2e::process::{self, Output};

use crate::expect::{has, has_not, same};
use crate::{Story, stories};

/// The stories.
pub const STORIES: &[Story] = stories![
    helm_installs_a_chart,
    helm_upgrades_and_rolls_back,
    helm_takes_back_what_fails,
    helm_starts_a_chart_of_its_own,
];

/// Runs helm, whatever comes of it.
fn try_helm(c: &Cluster, line: &str) -> Result<Output> {
    let mut command = c.lab.network_command(artifacts::tool("helm"));
    command
        .args(line.split(' '))
        .arg("--namespace")
        .arg(&c.namespace)
        .env("KUBECONFIG", c.kubeconfig());
    process::run(&mut command, "")
}

fn helm(c: &Cluster, line: &str) -> Result<String> {
    let done = try_helm(c, line)?;
    ensure!(
        done.code == 0,
        "helm {line} ended with {}:\n{}{}",
        done.code,
        done.stdout,
        done.stderr
    );
    Ok(done.stdout)
}

fn helm_fails(c: &Cluster, line: &str) -> Result<String> {
    let done = try_helm(c, line)?;
    ensure!(
        done.code != 0,
        "helm {line} did not fail, but said:\n{}",
        done.stdout
    );
    Ok(done.stderr)
}

/// A chart with a bit of everything. Its custom resource has the name of the release, which a namespace has once.
fn chart() -> String {
    let folder = artifacts::root().join("tests/e2e/charts/shop");
    folder.display().to_string()
}

fn helm_installs_a_chart(c: &mut Cluster) -> Result<()> {
    let chart = chart();
    let said = helm(
        c,
        &format!("install shop {chart} --wait --wait-for-jobs --timeout 90s"),
    )?;
    has(
        &said,
        &["STATUS: deployed", "REVISION: 1", "hello, shop of 1.16.1"],
    )?;
    let kinds =
        "deployments,statefulsets,services,configmaps,secrets,serviceaccounts,roles,rolebindings,jobs,menus";
    has(
        &c.kubectl(&format!("get {kinds} --output name"))?,
        &[
            "deployment.apps/shop-web",
            "statefulset.apps/shop-data",
            "service/shop-data",
            "service/shop-web",
            "configmap/shop",
            "secret/shop",
            "secret/sh.helm.release.v1.shop.v1",
            "serviceaccount/shop",
            "role.rbac.authorization.k8s.io/shop",
            "rolebinding.rbac.authorization.k8s.io/shop",
            "job.batch/shop-pre-install",
            "job.batch/shop-post-install",
            "job.batch/shop-seed-1",
            "menu.shop.example/shop",
        ],
    )?;
    same(c.value("deployment shop-web", ".status.readyReplicas")?, "1")?;
    same(c.value("statefulset shop-data", ".status.readyReplicas")?, "1")?;
    same(c.value("job shop-seed-1", ".status.succeeded")?, "1")?;
    same(
        c.kubectl("exec shop-data-0 -- redis-cli get greeting")?,
        "hello\n",
    )?;
    let managers = ".metadata.managedFields[*].manager";
    has(&c.value("configmap shop", managers)?, &["helm"])?;
    let account = format!("system:serviceaccount:{}:shop", c.namespace);
    same(
        c.kubectl(&format!("auth can-i list menus --as {account}"))?,
        "yes\n",
    )?;
    let before = c.value("job shop-pre-install", ".status.completionTime")?;
    ensure!(
        before <= c.value("deployment shop-web", ".metadata.creationTimestamp")?,
        "what stands before the installation was over at {before}"
    );
    has(
        &c.kubectl("logs job/shop-post-install")?,
        &["this is post-install"],
    )?;
    has(
        &helm(c, "test shop --logs")?,
        &["TEST SUITE:     shop-test", "Phase:          Succeeded", "1.16.1"],
    )?;
    has(&helm(c, "list")?, &["shop", "deployed", "shop-0.1.0", "1.16.1"])?;
    has(&helm(c, "status shop")?, &["==> v1/Deployment", "shop-web   1/1"])?;
    let said = helm(c, "uninstall shop --wait --timeout 60s")?;
    has(&said, &["release \"shop\" uninstalled"])?;
    let left = c.kubectl("get deployments,statefulsets,services,secrets,roles,menus --output name")?;
    same(left, "")?;
    // The definition, and the data of the set, stay.
    c.kubectl("get customresourcedefinition menus.shop.example")?;
    c.kubectl("get persistentvolumeclaim data-shop-data-0")?;
    has(&c.kubectl("logs job/shop-post-delete")?, &["this is post-delete"])
}

fn helm_upgrades_and_rolls_back(c: &mut Cluster) -> Result<()> {
    let chart = chart();
    helm(c, &format!("install shop {chart} --wait --timeout 90s"))?;
    let more = "--set replicas=2 --set greeting=hi --set tag=1.14.2";
    let said = helm(c, &format!("upgrade shop {chart} {more} --wait --timeout 90s"))?;
    has(&said, &["has been upgraded", "REVISION: 2", "hi, shop of 1.16.1"])?;
    same(c.value("configmap shop", ".data.greeting")?, "hi")?;
    let image = ".spec.template.spec.containers[0].image";
    same(c.value("deployment shop-web", image)?, "nginx:1.14.2")?;
    same(c.value("deployment shop-web", ".status.readyReplicas")?, "2")?;
    has(&c.kubectl("logs job/shop-pre-upgrade")?, &["this is pre-upgrade"])?;
    let wrong = format!("upgrade shop {chart} --set tag=none --rollback-on-failure --timeout 3s");
    has(&helm_fails(c, &wrong)?, &["has been rolled back"])?;
    same(c.value("deployment shop-web", image)?, "nginx:1.14.2")?;
    same(c.value("deployment shop-web", ".status.readyReplicas")?, "2")?;
    has(
        &helm(c, "rollback shop 1 --wait --timeout 90s")?,
        &["Rollback was a success"],
    )?;
    same(c.value("deployment shop-web", image)?, "nginx:1.16.1")?;
    same(c.value("configmap shop", ".data.greeting")?, "hello")?;
    let history = helm(c, "history shop")?;
    let ends = [
        "Install complete",
        "Upgrade complete",
        "failed:",
        "Rollback to 2",
        "Rollback to 1",
    ];
    let lines: Vec<&str> = history.lines().skip(1).collect();
    same(lines.len(), ends.len())?;
    for (line, end) in lines.iter().zip(ends) {
        has(line, &[end])?;
    }
    helm(c, "uninstall shop --wait --timeout 60s").map(drop)
}

fn helm_takes_back_what_fails(c: &mut Cluster) -> Result<()> {
    let chart = chart();
    let wrong = format!("install shop {chart} --set tag=none --rollback-on-failure --timeout 3s");
    has(
        &helm_fails(c, &wrong)?,
        &["release shop failed, and has been uninstalled due to rollback-on-failure being set"],
    )?;
    let left = c.kubectl("get deployments,statefulsets,services,secrets,menus --output name")?;
    same(left, "")?;
    same(helm(c, "list --short")?.trim(), "")
}

fn helm_starts_a_chart_of_its_own(c: &mut Cluster) -> Result<()> {
    let chart = c.lab.folder().join("mine").display().to_string();
    // Helm makes it in the folder that it is told.
    helm(c, &format!("create {chart}"))?;
    let said = helm(
        c,
        &format!("install mine {chart} --set image.tag=1.16.1 --wait --timeout 60s"),
    )?;
    has(
        &said,
        &[
            "STATUS: deployed",
            "Visit http://127.0.0.1:8080 to use your application",
        ],
    )?;
    has(&helm(c, "test mine")?, &["Phase:          Succeeded"])?;
    has_not(
        &c.kubectl("get events")?,
        // The probes of that chart begin at once, and each is ten seconds from the next.
        &["Unhealthy"],
    )?;
    helm(c, "uninstall mine").map(drop)
}
