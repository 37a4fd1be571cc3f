//! The Kubernetes documentation's page on Deployments, step by step.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::Cluster;
use e2e::wait;

use crate::expect::{has, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    rolls_out_three_replicas,
    scales_up_and_down,
    updates_the_image_and_undoes_it,
    keeps_old_pods_while_a_rollout_is_stuck,
    replaces_a_deleted_pod,
    pauses_and_resumes_a_rollout,
    restarts_a_rollout,
    a_drain_evicts,
    deletes_all_it_owns,
];

/// The manifest of the documentation.
pub const NGINX: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: nginx-deployment
  labels:
    app: nginx
spec:
  replicas: 3
  selector:
    matchLabels:
      app: nginx
  template:
    metadata:
      labels:
        app: nginx
    spec:
      containers:
      - name: nginx
        image: nginx:1.14.2
        ports:
        - containerPort: 80
";

const ROLLED_OUT: &str = "deployment \"nginx-deployment\" successfully rolled out";

/// Applies the manifest and waits for the rollout.
pub fn roll_out(c: &Cluster) -> Result<()> {
    has(&c.apply(NGINX)?, &["deployment.apps/nginx-deployment created"])?;
    rolled_out(c)
}

fn rolled_out(c: &Cluster) -> Result<()> {
    has(
        &c.kubectl("rollout status deployment/nginx-deployment --timeout=60s")?,
        &[ROLLED_OUT],
    )
}

/// The names of the pods that are not being deleted, in order.
fn pods(c: &Cluster) -> Result<Vec<String>> {
    let template =
        "go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}} {{end}}{{end}}";
    let said = c.kubectl_words(
        &["get", "pods", "--selector", "app=nginx", "--output", template],
        "",
    )?;
    Ok(said.split_whitespace().map(str::to_owned).collect())
}

/// Waits until so many pods are ready and none besides is left.
fn until_pods(c: &Cluster, count: usize) -> Result<Vec<String>> {
    wait::until(
        &format!("{count} ready pods and no other"),
        Duration::from_secs(60),
        || {
            let (_, rows) = c.table("get pods --selector app=nginx")?;
            let ready = rows
                .iter()
                .filter(|row| row[1] == "1/1" && row[2] == "Running")
                .count();
            if ready == count && rows.len() == count {
                pods(c).map(Some)
            } else {
                anyhow::bail!("{rows:?}")
            }
        },
    )
}

fn images(c: &Cluster) -> Result<String> {
    c.value(
        "deployment nginx-deployment",
        ".spec.template.spec.containers[*].image",
    )
}

fn rolls_out_three_replicas(c: &mut Cluster) -> Result<()> {
    roll_out(c)?;
    let (heading, rows) = c.table("get deployments")?;
    same(heading, ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"])?;
    same(&rows[0][..4], &["nginx-deployment", "3/3", "3", "3"][..])?;
    let (heading, rows) = c.table("get rs")?;
    same(heading, ["NAME", "DESIRED", "CURRENT", "READY", "AGE"])?;
    ensure!(
        rows.len() == 1 && rows[0][0].starts_with("nginx-deployment-"),
        "{rows:?}"
    );
    same(&rows[0][1..4], &["3", "3", "3"][..])?;
    let (heading, rows) = c.table("get pods --show-labels")?;
    same(heading, ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "LABELS"])?;
    same(rows.len(), 3)?;
    for row in &rows {
        same(&row[1..4], &["1/1", "Running", "0"][..])?;
        has(&row[5], &["app=nginx,pod-template-hash="])?;
    }
    let wide = c.kubectl("get pods --output wide")?;
    has(&wide, &["NODE", "NOMINATED NODE", "READINESS GATES", " 10.244."])?;
    let wide = c.kubectl("get deployments --output wide")?;
    has(
        &wide,
        &["CONTAINERS", "IMAGES", "SELECTOR", "nginx:1.14.2", "app=nginx"],
    )?;
    let described = c.kubectl("describe deployment nginx-deployment")?;
    let lines = [
        "Replicas:",
        "3 desired | 3 updated | 3 total | 3 available | 0 unavailable",
        "RollingUpdateStrategy:",
    ];
    has(&described, &lines)?;
    has(
        &described,
        &[
            "25% max unavailable, 25% max surge",
            "MinimumReplicasAvailable",
            "NewReplicaSetAvailable",
        ],
    )?;
    has(
        &described,
        &[
            "ScalingReplicaSet",
            "Scaled up replica set nginx-deployment-",
            "from 0 to 3",
        ],
    )
}

fn scales_up_and_down(c: &mut Cluster) -> Result<()> {
    roll_out(c)?;
    let said = c.kubectl("scale deployment/nginx-deployment --replicas=5")?;
    has(&said, &["deployment.apps/nginx-deployment scaled"])?;
    rolled_out(c)?;
    until_pods(c, 5)?;
    c.kubectl("scale deployment/nginx-deployment --replicas=2 --current-replicas=5")?;
    until_pods(c, 2)?;
    has(
        &c.refused(
            &[
                "scale",
                "deployment/nginx-deployment",
                "--replicas=3",
                "--current-replicas=5",
            ],
            "",
        )?,
        &["5"],
    )?;
    c.until_value("deployment nginx-deployment", ".status.readyReplicas", "2")
}

fn updates_the_image_and_undoes_it(c: &mut Cluster) -> Result<()> {
    roll_out(c)?;
    let said = c.kubectl("set image deployment/nginx-deployment nginx=nginx:1.16.1")?;
    has(&said, &["deployment.apps/nginx-deployment image updated"])?;
    rolled_out(c)?;
    let new = until_pods(c, 3)?;
    same(
        c.kubectl(&format!("exec {} -- cat /usr/share/nginx/html/version", new[0]))?,
        "1.16.1\n",
    )?;
    let (_, mut rows) = c.table("get rs")?;
    rows.sort_by(|a, b| b[1].cmp(&a[1]));
    same(
        rows.iter().map(|row| row[1..4].join(" ")).collect::<Vec<_>>(),
        ["3 3 3", "0 0 0"],
    )?;
    let history = c.kubectl("rollout history deployment/nginx-deployment")?;
    has(
        &history,
        &["REVISION  CHANGE-CAUSE", "1         <none>", "2         <none>"],
    )?;
    has(
        &c.kubectl("rollout history deployment/nginx-deployment --revision=2")?,
        &["nginx:1.16.1"],
    )?;
    has(
        &c.kubectl("rollout undo deployment/nginx-deployment")?,
        &["deployment.apps/nginx-deployment rolled back"],
    )?;
    rolled_out(c)?;
    let old = until_pods(c, 3)?;
    same(images(c)?, "nginx:1.14.2")?;
    same(
        c.kubectl(&format!("exec {} -- cat /usr/share/nginx/html/version", old[0]))?,
        "1.14.2\n",
    )?;
    c.kubectl("rollout undo deployment/nginx-deployment --to-revision=2")?;
    rolled_out(c)?;
    same(images(c)?, "nginx:1.16.1")
}

fn keeps_old_pods_while_a_rollout_is_stuck(c: &mut Cluster) -> Result<()> {
    roll_out(c)?;
    c.kubectl("set image deployment/nginx-deployment nginx=nginx:1.161")?;
    wait::until(
        "a pod that cannot pull its image",
        Duration::from_secs(60),
        || {
            let said = c.kubectl("get pods")?;
            Ok((said.contains("ImagePullBackOff") || said.contains("ErrImagePull")).then_some(()))
        },
    )?;
    let (_, rows) = c.table("get pods")?;
    same(rows.iter().filter(|row| row[1] == "1/1").count(), 3)?;
    same(rows.len(), 4)?;
    let status = c.refused(
        &["rollout", "status", "deployment/nginx-deployment", "--timeout=1s"],
        "",
    )?;
    has(&status, &["1 out of 3 new replicas have been updated"])?;
    c.kubectl("rollout undo deployment/nginx-deployment")?;
    rolled_out(c)?;
    until_pods(c, 3).map(drop)
}

fn replaces_a_deleted_pod(c: &mut Cluster) -> Result<()> {
    roll_out(c)?;
    let before = pods(c)?;
    has(
        &c.kubectl(&format!("delete pod {}", before[0]))?,
        &[&format!("pod \"{}\" deleted", before[0])],
    )?;
    let after = until_pods(c, 3)?;
    ensure!(
        !after.contains(&before[0]),
        "the deleted pod is still there: {after:?}"
    );
    ensure!(
        before[1..].iter().all(|pod| after.contains(pod)),
        "other pods went as well: {before:?}, then {after:?}"
    );
    Ok(())
}

fn pauses_and_resumes_a_rollout(c: &mut Cluster) -> Result<()> {
    roll_out(c)?;
    has(
        &c.kubectl("rollout pause deployment/nginx-deployment")?,
        &["deployment.apps/nginx-deployment paused"],
    )?;
    c.kubectl("set image deployment/nginx-deployment nginx=nginx:1.16.1")?;
    let progressing = r#".status.conditions[?(@.type=="Progressing")].reason"#;
    c.until_value("deployment nginx-deployment", progressing, "DeploymentPaused")?;
    same(c.table("get rs")?.1.len(), 1)?;
    has(
        &c.kubectl("rollout resume deployment/nginx-deployment")?,
        &["deployment.apps/nginx-deployment resumed"],
    )?;
    rolled_out(c)?;
    same(c.table("get rs")?.1.len(), 2)
}

fn restarts_a_rollout(c: &mut Cluster) -> Result<()> {
    roll_out(c)?;
    let before = pods(c)?;
    has(
        &c.kubectl("rollout restart deployment/nginx-deployment")?,
        &["deployment.apps/nginx-deployment restarted"],
    )?;
    rolled_out(c)?;
    let after = until_pods(c, 3)?;
    ensure!(
        !after.iter().any(|pod| before.contains(pod)),
        "old pods are left: {before:?}, then {after:?}"
    );
    Ok(())
}

fn a_drain_evicts(c: &mut Cluster) -> Result<()> {
    roll_out(c)?;
    let node = c.kubectl("get nodes --output jsonpath={.items[0].metadata.name}")?;
    let drained = c.kubectl(&format!("drain {node} --pod-selector=app=nginx --timeout=60s"));
    let status = c.table("get nodes").map(|(_, rows)| rows[0][1].clone());
    // The next stories need the node, whatever came of this one.
    c.kubectl(&format!("uncordon {node}"))?;
    has(
        &drained?,
        &[&format!("node/{node} cordoned"), &format!("node/{node} drained")],
    )?;
    same(status?, "Ready,SchedulingDisabled")?;
    rolled_out(c)?;
    until_pods(c, 3).map(drop)
}

fn deletes_all_it_owns(c: &mut Cluster) -> Result<()> {
    roll_out(c)?;
    let pod = pods(c)?.into_iter().next().context("no pod")?;
    has(
        &c.kubectl("delete deployment nginx-deployment")?,
        &["deployment.apps \"nginx-deployment\" deleted"],
    )?;
    c.kubectl(&format!("wait --for=delete pod/{pod} --timeout=60s"))?;
    wait::until("nothing to be left", Duration::from_secs(60), || {
        let left = c.kubectl("get deployments,replicasets,pods --output name")?;
        if left.is_empty() {
            Ok(Some(()))
        } else {
            anyhow::bail!("{left}")
        }
    })
}
