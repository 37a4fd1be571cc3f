//! The decision: pure over a snapshot.

use crate::{
    plugins::{PLUGINS, Rejection},
    snapshot::{Node, Snapshot},
    views::Pod,
};
use std::collections::BTreeMap;

/// Why no node does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Diagnosis {
    /// How many nodes there are.
    pub nodes: usize,
    /// What speaks against all of them; empty: nothing.
    pub all: String,
    /// What each said against the pod.
    pub rejections: Vec<(String, Vec<Rejection>)>,
    /// On how many nodes the eviction of others could help but nobody of lower priority runs.
    pub no_victims: usize,
}

/// Picks a node. Of equals the first by name after a rotation by `salt` wins, so that they are used in turn.
pub(crate) fn schedule(pod: &Pod, snapshot: &Snapshot, salt: u64) -> Result<String, Diagnosis> {
    if let Some(all) = PLUGINS.iter().find_map(|p| p.check?(pod, snapshot)) {
        let nodes = snapshot.nodes().count();
        return Err(Diagnosis {
            nodes,
            all,
            rejections: Vec::new(),
            no_victims: 0,
        });
    }
    let mut rejections = Vec::new();
    let mut feasible: Vec<(&str, &Node)> = Vec::new();
    for (name, node) in snapshot.nodes() {
        let found = reject(pod, node, snapshot);
        if found.is_empty() {
            feasible.push((name, node));
        } else {
            rejections.push((name.to_owned(), found));
        }
    }
    if feasible.is_empty() {
        let nodes = rejections.len();
        let no_victims = rejections
            .iter()
            .filter(|(_, r)| r.iter().all(|r| r.preemptible))
            .count();
        return Err(Diagnosis {
            nodes,
            all: String::new(),
            rejections,
            no_victims,
        });
    }
    if let [(only, _)] = feasible.as_slice() {
        return Ok((*only).to_owned());
    }
    let start = usize::try_from(salt % feasible.len() as u64).unwrap_or(0);
    feasible.rotate_left(start);
    let mut best = ("", i64::MIN);
    for (name, node) in feasible {
        let score = score(pod, node, snapshot);
        if score > best.1 {
            best = (name, score);
        }
    }
    Ok(best.0.to_owned())
}

/// The first plugin that objects speaks for the node, with all it has to say.
fn reject(pod: &Pod, node: &Node, snapshot: &Snapshot) -> Vec<Rejection> {
    let mut found = Vec::new();
    for plugin in PLUGINS {
        if let Some(filter) = plugin.filter {
            filter(pod, node, snapshot, &mut found);
            if !found.is_empty() {
                found
                    .iter_mut()
                    .for_each(|r| r.reason.params.push(("plugin", plugin.name.to_owned())));
                break;
            }
        }
    }
    found
}

fn score(pod: &Pod, node: &Node, snapshot: &Snapshot) -> i64 {
    PLUGINS
        .iter()
        .filter_map(|p| p.score.map(|score| score(pod, node, snapshot) * p.weight))
        .sum()
}

impl Diagnosis {
    /// Upstream's words (`FitError`), the preemption part included.
    pub fn message(&self) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, found) in &self.rejections {
            found
                .iter()
                .for_each(|r| *counts.entry(&r.message).or_default() += 1);
        }
        let mut reasons: Vec<String> = counts
            .into_iter()
            .map(|(text, n)| format!("{n} {text}"))
            .collect();
        reasons.sort();
        if !self.all.is_empty() {
            reasons = vec![self.all.clone()];
        }
        let all = self.nodes;
        let mut preemption = Vec::new();
        if self.no_victims > 0 {
            preemption.push(format!(
                "{} No preemption victims found for incoming pod",
                self.no_victims
            ));
        }
        if all > self.no_victims {
            preemption.push(format!(
                "{} Preemption is not helpful for scheduling",
                all - self.no_victims
            ));
        }
        preemption.sort();
        format!(
            "0/{all} nodes are available: {}. preemption: 0/{all} nodes are available: {}.",
            reasons.join(", "),
            preemption.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::Object;
    use bytes::Bytes;
    use std::sync::Arc;

    fn object(text: &str) -> Arc<Object> {
        Arc::new(Object::parse(Bytes::from(text.to_owned()), 1, &[]).unwrap())
    }

    fn node(name: &str, cpu: &str, spec: &str, labels: &str) -> Arc<Object> {
        object(&format!(
            r#"{{"kind":"Node","metadata":{{"name":"{name}","labels":{{"kubernetes.io/hostname":"{name}"{labels}}}}},"spec":{{{spec}}},"status":{{"allocatable":{{"cpu":"{cpu}","memory":"1Gi","pods":"3"}}}}}}"#
        ))
    }

    fn pod(name: &str, spec: &str) -> Arc<Pod> {
        let text = format!(
            r#"{{"kind":"Pod","metadata":{{"name":"{name}","namespace":"d","uid":"{name}","labels":{{"app":"web"}}}},"spec":{{"containers":[{{"resources":{{"requests":{{"cpu":"500m"}}}}}}]{spec}}}}}"#
        );
        Arc::new(Pod::new(object(&text)).unwrap())
    }

    fn snapshot(nodes: &[Arc<Object>]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        nodes.iter().for_each(|n| snapshot.set_node(n.clone()));
        snapshot
    }

    #[test]
    fn pods_go_where_there_is_room_and_nowhere_else() {
        let mut snapshot = snapshot(&[node("a", "1", "", ""), node("b", "1", "", "")]);
        for i in 0..4 {
            let pod = pod(&format!("p{i}"), "");
            let place = schedule(&pod, &snapshot, 0).unwrap();
            snapshot.set_pod(&place, pod);
        }
        assert!(snapshot.nodes().all(|(_, n)| n.pods.len() == 2));
        let full = schedule(&pod("p5", ""), &snapshot, 0).unwrap_err();
        assert_eq!(
            full.message(),
            "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod."
        );
        snapshot.remove_pod("p0");
        assert!(schedule(&pod("p5", ""), &snapshot, 0).is_ok());
    }

    #[test]
    fn upstreams_words() {
        let taint = r#""taints":[{"key":"k","value":"v","effect":"NoSchedule"}]"#;
        let nodes = snapshot(&[
            node("a", "4", taint, ""),
            node("b", "4", r#""unschedulable":true"#, ""),
            node("c", "4", "", r#","disk":"hdd""#),
        ]);
        let wants_ssd = r#","nodeSelector":{"disk":"ssd"}"#;
        assert_eq!(
            schedule(&pod("p", wants_ssd), &nodes, 0).unwrap_err().message(),
            "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint {k: v}, 1 node(s) were unschedulable. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
        );
        assert_eq!(schedule(&pod("p", ""), &nodes, 0).unwrap(), "c");
        let tolerates = r#","tolerations":[{"key":"k","operator":"Exists"}],"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"disk","operator":"DoesNotExist"}]}]}}}"#;
        assert_eq!(schedule(&pod("p", tolerates), &nodes, 0).unwrap(), "a");
        assert_eq!(
            schedule(&pod("p", ""), &Snapshot::default(), 0)
                .unwrap_err()
                .message(),
            "no nodes available to schedule pods"
        );
    }

    #[test]
    fn host_ports_clash_by_address_and_protocol() {
        let port = |ip: &str, protocol: &str| {
            format!(
                r#","initContainers":[{{"restartPolicy":"Always","ports":[{{"hostPort":80,"protocol":"{protocol}","hostIP":"{ip}"}}]}}]"#
            )
        };
        let mut nodes = snapshot(&[node("a", "4", "", "")]);
        nodes.set_pod("a", pod("held", &port("127.0.0.1", "TCP")));
        assert!(schedule(&pod("p", &port("127.0.0.1", "UDP")), &nodes, 0).is_ok());
        assert!(schedule(&pod("p", &port("127.0.0.2", "TCP")), &nodes, 0).is_ok());
        assert!(schedule(&pod("p", &port("", "TCP")), &nodes, 0).is_err());
    }

    #[test]
    fn hard_spread_constraints_hold() {
        let spread = r#","topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"kubernetes.io/hostname","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"app":"web"}}}]"#;
        let mut nodes = snapshot(&[
            node("a", "4", "", ""),
            node("b", "1", r#""unschedulable":true"#, ""),
        ]);
        nodes.set_pod("a", pod("one", spread));
        let message = schedule(&pod("two", spread), &nodes, 0).unwrap_err().message();
        assert!(
            message.contains("1 node(s) didn't match pod topology spread constraints"),
            "{message}"
        );
    }

    fn seen(text: &str) -> client::Change {
        client::Change::Applied {
            old: None,
            new: object(text),
        }
    }

    fn claim(name: &str, more: &str) -> client::Change {
        seen(&format!(
            r#"{{"kind":"PersistentVolumeClaim","metadata":{{"name":"{name}","namespace":"d","uid":"{name}"{more}"#
        ))
    }

    fn volume(name: &str, node: &str, spec: &str) -> client::Change {
        seen(&format!(
            r#"{{"kind":"PersistentVolume","metadata":{{"name":"{name}","uid":"{name}"}},"spec":{{"capacity":{{"storage":"1Gi"}},"accessModes":["ReadWriteOnce"],"storageClassName":"wait","nodeAffinity":{{"required":{{"nodeSelectorTerms":[{{"matchExpressions":[{{"key":"kubernetes.io/hostname","operator":"In","values":["{node}"]}}]}}]}}}}{spec}}},"status":{{"phase":"Available"}}}}"#
        ))
    }

    fn class(provisioner: &str) -> client::Change {
        seen(&format!(
            r#"{{"kind":"StorageClass","metadata":{{"name":"wait"}},"provisioner":"{provisioner}","volumeBindingMode":"WaitForFirstConsumer"}}"#
        ))
    }

    /// A claim of the class that waits for pods.
    const WAITS: &str = r#"},"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"wait","resources":{"requests":{"storage":"1Gi"}}}}"#;

    fn with_claim(name: &str, claim: &str) -> Arc<Pod> {
        pod(
            name,
            &format!(r#","volumes":[{{"name":"v","persistentVolumeClaim":{{"claimName":"{claim}"}}}}]"#),
        )
    }

    #[test]
    fn a_pod_waits_for_its_claim() {
        let mut nodes = snapshot(&[node("a", "4", "", "")]);
        let said = |nodes: &Snapshot| schedule(&with_claim("p", "c"), nodes, 0).unwrap_err().message();
        assert_eq!(
            said(&nodes),
            r#"0/1 nodes are available: persistentvolumeclaim "c" not found. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."#
        );
        nodes.volumes.claim(&claim("c", WAITS));
        assert!(
            said(&nodes).contains("available: pod has unbound immediate PersistentVolumeClaims. preemption"),
            "without a class that waits it is for a controller to bind"
        );
        nodes.volumes.class(&class("kubernetes.io/no-provisioner"));
        assert!(said(&nodes).contains("1 node(s) didn't find available persistent volumes to bind"));
        let going = format!(r#","deletionTimestamp":"2030-01-01T00:00:00Z"{WAITS}"#);
        nodes.volumes.claim(&claim("c", &going));
        assert!(said(&nodes).contains(r#"persistentvolumeclaim "c" is being deleted"#));
    }

    #[test]
    fn free_volumes_lead_pods_to_their_nodes_once() {
        let mut nodes = snapshot(&[node("a", "4", "", ""), node("b", "4", "", "")]);
        nodes.volumes.class(&class("kubernetes.io/no-provisioner"));
        nodes.volumes.volume(&volume("local", "b", ""));
        for name in ["c", "other"] {
            nodes.volumes.claim(&claim(name, WAITS));
        }
        let first = with_claim("p", "c");
        assert_eq!(schedule(&first, &nodes, 0).unwrap(), "b");
        let assignment = nodes.volumes.assign(&first, &node("b", "4", "", "")).unwrap();
        assert_eq!(assignment.bind.len(), 1);
        nodes.volumes.assume(&assignment, "b");
        assert!(schedule(&with_claim("q", "other"), &nodes, 0).is_err());
        assert_eq!(
            schedule(&with_claim("q", "c"), &nodes, 0).unwrap(),
            "b",
            "who shares the claim goes along"
        );
        nodes.volumes.forget(&assignment);
        assert_eq!(schedule(&with_claim("q", "other"), &nodes, 0).unwrap(), "b");
    }

    #[test]
    fn volumes_are_made_where_the_provisioner_can() {
        let rooted = node("b", "4", "", "");
        let text = String::from_utf8(rooted.body().to_vec()).unwrap().replace(
            r#""labels""#,
            r#""annotations":{"ferrokube.io/local-path-root":"/data"},"labels""#,
        );
        let mut nodes = snapshot(&[node("a", "4", "", ""), object(&text)]);
        nodes.volumes.class(&class("ferrokube.io/local-path"));
        nodes.volumes.claim(&claim("c", WAITS));
        let first = with_claim("p", "c");
        assert_eq!(schedule(&first, &nodes, 0).unwrap(), "b");
        let assignment = nodes.volumes.assign(&first, nodes.node("b").unwrap()).unwrap();
        assert_eq!(assignment.provision.len(), 1);
    }

    #[test]
    fn a_bound_volume_holds_its_pod_to_its_nodes_and_zones() {
        let mut nodes = snapshot(&[
            node("a", "4", "", ""),
            node("b", "4", "", r#","topology.kubernetes.io/zone":"z1""#),
        ]);
        let bound = r#","annotations":{"pv.kubernetes.io/bind-completed":"yes"}},"spec":{"accessModes":["ReadWriteOncePod"],"volumeName":"v"},"status":{"phase":"Bound"}}"#;
        nodes.volumes.claim(&claim("c", bound));
        let said = |nodes: &Snapshot| schedule(&with_claim("p", "c"), nodes, 0).unwrap_err().message();
        assert!(
            said(&nodes)
                .contains("2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)")
        );
        nodes.volumes.volume(&volume("v", "b", ""));
        let message = schedule(&with_claim("p", "c"), &snapshot(&[]), 0)
            .unwrap_err()
            .message();
        assert_eq!(message, "no nodes available to schedule pods");
        assert_eq!(schedule(&with_claim("p", "c"), &nodes, 0).unwrap(), "b");
        nodes.set_pod("b", with_claim("q", "c"));
        assert!(said(&nodes).contains(
            "2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
        ));
        nodes.remove_pod("q");
        let text = r#"{"kind":"PersistentVolume","metadata":{"name":"v","labels":{"topology.kubernetes.io/zone":"z2__z3"}}}"#;
        nodes.volumes.volume(&seen(text));
        assert_eq!(schedule(&with_claim("p", "c"), &nodes, 0).unwrap(), "a");
    }
}
