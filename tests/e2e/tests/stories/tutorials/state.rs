//! Tutorials on StatefulSets.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;
use e2e::wait;

use super::{inside, inside_until, until_ready};
use crate::expect::{has, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![stateful_set_basics, a_stateful_set_in_parallel,];

const WEB: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: nginx
  labels:
    app: nginx
spec:
  ports:
  - port: 80
    name: web
  clusterIP: None
  selector:
    app: nginx
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: web
spec:
  serviceName: \"nginx\"
  replicas: 2
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
        image: registry.k8s.io/nginx-slim:0.21
        ports:
        - containerPort: 80
          name: web
        volumeMounts:
        - name: www
          mountPath: /usr/share/nginx/html
  volumeClaimTemplates:
  - metadata:
      name: www
    spec:
      accessModes: [ \"ReadWriteOnce\" ]
      resources:
        requests:
          storage: 1Gi
";

fn web_images(c: &Cluster) -> Result<String> {
    c.value("pods --selector app=nginx", ".items[*].spec.containers[0].image")
}

/// Waits until just these pods are there and ready.
fn until_web(c: &Cluster, count: usize) -> Result<()> {
    wait::until(&format!("{count} ready pods"), Duration::from_secs(120), || {
        let (_, rows) = c.table("get pods --selector app=nginx")?;
        let names: Vec<String> = (0..count).map(|n| format!("web-{n}")).collect();
        let ready = rows.iter().filter(|row| row[1] == "1/1" && row[2] == "Running");
        let found: Vec<&str> = ready.map(|row| row[0].as_str()).collect();
        ensure!(found == names && rows.len() == count, "{rows:?}");
        Ok(Some(()))
    })
}

fn stateful_set_basics(c: &mut Cluster) -> Result<()> {
    same(
        c.apply(WEB)?,
        "service/nginx created\nstatefulset.apps/web created\n",
    )?;
    until_web(c, 2)?;
    let (heading, rows) = c.table("get statefulset web")?;
    same(heading, ["NAME", "READY", "AGE"])?;
    same(&rows[0][1], "2/2")?;
    ordinals_and_names(c)?;
    claims_stay(c)?;
    scaling(c)?;
    updating(c)?;
    deleting(c)
}

fn ordinals_and_names(c: &Cluster) -> Result<()> {
    for n in 0..2 {
        let pod = format!("web-{n}");
        same(inside(c, &pod, "hostname")?, format!("{pod}\n"))?;
    }
    c.kubectl("run dns-test --image=busybox:1.28 --restart=Never -- sleep 1000")?;
    until_ready(c, "dns-test")?;
    let name = format!("web-0.nginx.{}.svc.cluster.local", c.namespace);
    inside_until(c, "dns-test", &format!("nslookup {name}"), "Address: 10.244.").map(drop)
}

fn claims_stay(c: &Cluster) -> Result<()> {
    let (heading, rows) = c.table("get pvc -l app=nginx")?;
    same(&heading[..3], &["NAME", "STATUS", "VOLUME"][..])?;
    same(
        (rows.len(), &*rows[0][0], &*rows[0][1]),
        (2, "www-web-0", "Bound"),
    )?;
    for n in 0..2 {
        inside(
            c,
            &format!("web-{n}"),
            "echo \"$(hostname)\" > /usr/share/nginx/html/index.html",
        )?;
    }
    c.kubectl("delete pod -l app=nginx")?;
    until_web(c, 2)?;
    for n in 0..2 {
        let pod = format!("web-{n}");
        same(
            inside(c, &pod, "cat /usr/share/nginx/html/index.html")?,
            format!("{pod}\n"),
        )?;
    }
    Ok(())
}

fn scaling(c: &Cluster) -> Result<()> {
    same(
        c.kubectl("scale sts web --replicas=5")?,
        "statefulset.apps/web scaled\n",
    )?;
    until_web(c, 5)?;
    c.kubectl_words(&["patch", "sts", "web", "-p", r#"{"spec":{"replicas":3}}"#], "")?;
    until_web(c, 3)?;
    let (_, rows) = c.table("get pvc -l app=nginx")?;
    same(rows.len(), 5)
}

fn updating(c: &Cluster) -> Result<()> {
    c.kubectl_words(
        &[
            "patch",
            "statefulset",
            "web",
            "-p",
            r#"{"spec":{"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":2}}}}"#,
        ],
        "",
    )?;
    let image = |version: &str| {
        format!(
            r#"[{{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"registry.k8s.io/nginx-slim:{version}"}}]"#
        )
    };
    c.kubectl_words(
        &["patch", "statefulset", "web", "--type=json", "-p", &image("0.24")],
        "",
    )?;
    let (new, old) = (
        "registry.k8s.io/nginx-slim:0.24",
        "registry.k8s.io/nginx-slim:0.21",
    );
    // The canary.
    wait::until("the canary", Duration::from_secs(60), || {
        let images = web_images(c)?;
        ensure!(images == format!("{old} {old} {new}"), "{images}");
        Ok(Some(()))
    })?;
    until_web(c, 3)?;
    c.kubectl_words(
        &[
            "patch",
            "statefulset",
            "web",
            "-p",
            r#"{"spec":{"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":0}}}}"#,
        ],
        "",
    )?;
    has(
        &c.kubectl("rollout status sts/web --timeout=120s")?,
        &["partitioned roll out complete: 3 new pods have been updated..."],
    )?;
    same(web_images(c)?, format!("{new} {new} {new}"))?;
    has(&c.kubectl("rollout history sts/web")?, &["REVISION", "1", "2"])
}

fn deleting(c: &Cluster) -> Result<()> {
    same(
        c.kubectl("delete statefulset web --cascade=orphan")?,
        format!(
            "statefulset.apps \"web\" deleted from {} namespace\n",
            c.namespace
        ),
    )?;
    until_web(c, 3)?;
    c.kubectl("delete pod web-0")?;
    c.kubectl("delete pod web-2")?;
    has(
        &c.apply(WEB)?,
        &["statefulset.apps/web created", "service/nginx unchanged"],
    )?;
    until_web(c, 2)?;
    same(
        inside(c, "web-0", "cat /usr/share/nginx/html/index.html")?,
        "web-0\n",
    )?;
    c.kubectl("delete statefulset web")?;
    c.kubectl("wait --for=delete pod --selector app=nginx --timeout=60s")?;
    c.kubectl("delete service nginx")?;
    let volumes = || {
        c.value(
            "pv",
            &format!(
                ".items[?(@.spec.claimRef.namespace==\"{}\")].metadata.name",
                c.namespace
            ),
        )
    };
    ensure!(!volumes()?.is_empty(), "the claims have volumes");
    c.kubectl("delete pvc -l app=nginx")?;
    wait::until(
        "the volumes to go with their claims",
        Duration::from_secs(60),
        || {
            let left = volumes()?;
            ensure!(left.is_empty(), "{left}");
            Ok(Some(()))
        },
    )
}

fn a_stateful_set_in_parallel(c: &mut Cluster) -> Result<()> {
    let parallel = WEB
        .replace(
            "  replicas: 2\n",
            "  podManagementPolicy: \"Parallel\"\n  replicas: 3\n",
        )
        .replace(
            "registry.k8s.io/nginx-slim:0.21",
            "registry.k8s.io/nginx-slim:0.24",
        );
    c.apply(&parallel)?;
    until_web(c, 3)?;
    c.kubectl("scale statefulset/web --replicas=5")?;
    until_web(c, 5)?;
    c.kubectl("delete sts web")?;
    c.kubectl("wait --for=delete pod --selector app=nginx --timeout=60s")
        .map(drop)
}
