//! The documentation's pages on draining a node and on disruption budgets.

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;

use crate::deployments::roll_out;
use crate::expect::{has, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![a_drain_waits_for_the_budget];

const BUDGET: &str = "\
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: nginx-pdb
spec:
  minAvailable: 3
  selector:
    matchLabels:
      app: nginx
";

fn a_drain_waits_for_the_budget(c: &mut Cluster) -> Result<()> {
    roll_out(c)?;
    has(
        &c.apply(BUDGET)?,
        &["poddisruptionbudget.policy/nginx-pdb created"],
    )?;
    c.until_value("pdb nginx-pdb", ".status.currentHealthy", "3")?;
    let (heading, rows) = c.table("get poddisruptionbudgets")?;
    let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
    same(
        heading.join("|"),
        "NAME|MIN AVAILABLE|MAX UNAVAILABLE|ALLOWED DISRUPTIONS|AGE",
    )?;
    same(&rows[0][..4], ["nginx-pdb", "3", "N/A", "0"])?;
    let node = c.kubectl("get nodes --output jsonpath={.items[0].metadata.name}")?;
    let selector = format!("--namespace={}", c.namespace);
    let drain = |c: &Cluster, timeout: &str| {
        let words = ["drain", &node, "--pod-selector=app=nginx", timeout, &selector];
        c.try_kubectl(&words, "")
    };
    let waiting = drain(c, "--timeout=8s");
    let pods = c.kubectl("get pods --output name");
    c.kubectl("delete pdb nginx-pdb")?;
    let drained = drain(c, "--timeout=60s");
    // The next stories need the node, whatever came of this one.
    c.kubectl(&format!("uncordon {node}"))?;
    let waiting = waiting?;
    ensure!(waiting.code != 0, "it drained against the budget");
    has(
        &waiting.stderr,
        &["(will retry after 5s): Cannot evict pod as it would violate the pod's disruption budget."],
    )?;
    same(pods?.lines().count(), 3)?;
    let drained = drained?;
    has(&drained.stdout, &[&format!("node/{node} drained")])
}
