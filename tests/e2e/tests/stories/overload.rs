//! More requests than the server takes: priority and fairness, as its operator sees it.

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;
use std::process::{Child, Stdio};

use crate::expect::{has, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![a_noisy_client_waits_and_others_are_served];

/// A level without queues, and nearly without seats, for one user.
const LEVEL: &str = "\
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata:
  name: noisy
spec:
  type: Limited
  limited:
    nominalConcurrencyShares: 0
    borrowingLimitPercent: 0
    limitResponse:
      type: Reject
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata:
  name: noisy
spec:
  priorityLevelConfiguration:
    name: noisy
  matchingPrecedence: 700
  rules:
  - subjects:
    - kind: User
      user:
        name: noisy
    resourceRules:
    - verbs: ['*']
      apiGroups: ['*']
      resources: ['*']
      namespaces: ['*']
";

/// A kubectl that is ended with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn a_noisy_client_waits_and_others_are_served(c: &mut Cluster) -> Result<()> {
    let (heading, rows) = c.table("get flowschemas")?;
    same(
        heading.join("|"),
        "NAME|PRIORITYLEVEL|MATCHINGPRECEDENCE|DISTINGUISHERMETHOD|AGE|MISSINGPL",
    )?;
    let row = |name: &str| {
        rows.iter()
            .find(|row| row[0] == name)
            .cloned()
            .unwrap_or_default()
    };
    for (name, level, precedence, method) in [
        ("exempt", "exempt", "1", "<none>"),
        ("system-node-high", "node-high", "400", "ByUser"),
        ("catch-all", "catch-all", "10000", "ByUser"),
    ] {
        let row = row(name);
        same(
            row.get(..4).unwrap_or_default(),
            [name, level, precedence, method],
        )?;
        same(row.last().map(String::as_str), Some("False"))?;
    }
    let (heading, rows) = c.table("get prioritylevelconfigurations")?;
    same(
        heading.join("|"),
        "NAME|TYPE|NOMINALCONCURRENCYSHARES|QUEUES|HANDSIZE|QUEUELENGTHLIMIT|AGE",
    )?;
    let low = rows.iter().find(|row| row[0] == "workload-low");
    let low = low.and_then(|row| row.get(..6)).unwrap_or_default();
    same(low, ["workload-low", "Limited", "100", "128", "6", "50"])?;
    c.kubectl("create rolebinding noisy --clusterrole=view --user=noisy")?;
    c.apply(LEVEL)?;
    let told = tell(c);
    // They are of the cluster, and the next stories need none of them.
    c.kubectl("delete flowschema,prioritylevelconfiguration noisy")?;
    told
}

fn tell(c: &Cluster) -> Result<()> {
    c.until_value("flowschema noisy", ".status.conditions[0].status", "False")?;
    // A list of what is not there yet waits for it, and has the seat meanwhile.
    let configmaps = format!("/api/v1/namespaces/{}/configmaps", c.namespace);
    let later = format!("{configmaps}?resourceVersion=999999999999&resourceVersionMatch=NotOlderThan");
    let waits = || -> Result<Running> {
        let mut kubectl = c.kubectl_command(&["get", "--raw", &later, "--as=noisy"]);
        kubectl
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(Running(kubectl.spawn()?))
    };
    let running = [waits()?, waits()?, waits()?];
    let refused = e2e::wait::until("noisy is refused", std::time::Duration::from_secs(60), || {
        let words = [
            "get",
            "--raw",
            &configmaps,
            "--as=noisy",
            "-v=6",
            "--request-timeout=5s",
        ];
        let said = c.try_kubectl(&words, "")?.stderr;
        Ok(Some(said).filter(|said| said.contains("429 Too Many Requests")))
    })?;
    ensure!(refused.contains("configmaps"), "{refused}");
    has(&c.kubectl("get configmaps")?, &["kube-root-ca.crt"])?;
    let dump = "/debug/api_priority_and_fairness/dump_priority_levels";
    let levels = c.kubectl(&format!("get --raw {dump}"))?;
    has(&levels, &["PriorityLevelName,", "noisy,", "workload-high,"])?;
    let clients = c.kubectl("get --raw /debug/clients")?;
    has(&clients, &["UserName,", "noisy,"])?;
    drop(running);
    let served = e2e::wait::until("noisy is served", std::time::Duration::from_secs(60), || {
        Ok(c.kubectl("get configmaps --as=noisy").ok())
    })?;
    has(&served, &["kube-root-ca.crt"])
}
