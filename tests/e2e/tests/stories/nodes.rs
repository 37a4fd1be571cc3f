//! The node: its lease, what it keeps pods away with, and why things are as they are.

use std::time::Duration;

use anyhow::Result;
use e2e::cluster::Cluster;
use e2e::{process, wait};

use crate::containers::script_pod;
use crate::deployments::roll_out;
use crate::expect::{has, has_not, same};
use crate::pod::{until_event, until_ready};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    a_node_has_a_lease,
    taints_keep_pods_away,
    host_ports_are_taken_once,
    why_tells_the_decisions,
    decisions_are_under_the_rights_of_their_object,
];

fn node(c: &Cluster) -> Result<String> {
    c.kubectl("get nodes --output jsonpath={.items[0].metadata.name}")
}

fn a_node_has_a_lease(c: &mut Cluster) -> Result<()> {
    let node = node(c)?;
    let lease = format!("lease {node} --namespace=kube-node-lease");
    same(c.value(&lease, ".spec.holderIdentity")?, node.as_str())?;
    same(c.value(&lease, ".spec.leaseDurationSeconds")?, "40")?;
    same(c.value(&lease, ".metadata.ownerReferences[0].name")?, node)?;
    let conditions = c.value("nodes", ".items[0].status.conditions[*].type")?;
    has(
        &conditions,
        &["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"],
    )
}

fn taints_keep_pods_away(c: &mut Cluster) -> Result<()> {
    let node = node(c)?;
    c.kubectl(&format!("taint node {node} stories=apart:NoSchedule"))?;
    let told = (|| {
        c.apply(&script_pod("kept", "Never", "sleep 3600"))?;
        until_event(
            c,
            "kept",
            &[
                "FailedScheduling",
                "0/1 nodes are available: 1 node(s) had untolerated taint",
            ],
        )?;
        let tolerates =
            "  tolerations: [{key: stories, operator: Equal, value: apart, effect: NoSchedule}]\n";
        c.apply(&(script_pod("tolerant", "Never", "sleep 3600") + tolerates))?;
        until_ready(c, "tolerant")
    })();
    // The next stories need the node, whatever came of this one.
    c.kubectl(&format!("taint node {node} stories-"))?;
    told?;
    until_ready(c, "kept")
}

fn host_ports_are_taken_once(c: &mut Cluster) -> Result<()> {
    let port = "    ports: [{containerPort: 80, hostPort: 31080}]\n";
    c.apply(&(script_pod("first", "Never", "sleep 3600") + port))?;
    until_ready(c, "first")?;
    c.apply(&(script_pod("second", "Never", "sleep 3600") + port))?;
    until_event(
        c,
        "second",
        &[
            "FailedScheduling",
            "1 node(s) didn't have free ports for the requested pod ports",
        ],
    )?;
    c.kubectl("delete pod first --grace-period=1")?;
    until_ready(c, "second")
}

fn why(c: &Cluster, object: &str) -> Result<String> {
    let kubeconfig = c.kubeconfig().display().to_string();
    process::output(&mut c.ferrokube(&[
        "why",
        object,
        "--namespace",
        &c.namespace,
        "--kubeconfig",
        &kubeconfig,
    ]))
}

fn why_tells_the_decisions(c: &mut Cluster) -> Result<()> {
    c.apply(&(script_pod("picky", "Never", "true") + "  nodeSelector: {disk: nosuch}\n"))?;
    until_event(
        c,
        "picky",
        &["FailedScheduling", "didn't match Pod's node affinity/selector"],
    )?;
    has(&why(c, "pod/picky")?, &["scheduler", "NodeAffinity"])?;
    roll_out(c)?;
    has(&why(c, "deployment/nginx-deployment")?, &["deployment"])?;
    has(
        &why(c, "deploy/nosuch")?,
        &["nothing was decided lately about deployment nosuch"],
    )?;
    let mut unknown = c.ferrokube(&["why", "nosuches/x"]);
    let done = process::run(&mut unknown, "")?;
    same(done.code, 1)?;
    has(&done.stderr, &["there is no resource \"nosuches\""])
}

fn decisions_are_under_the_rights_of_their_object(c: &mut Cluster) -> Result<()> {
    c.apply(&(script_pod("picky", "Never", "true") + "  nodeSelector: {disk: nosuch}\n"))?;
    until_event(
        c,
        "picky",
        &["FailedScheduling", "didn't match Pod's node affinity/selector"],
    )?;
    let path = format!(
        "/apis/insight.ferrokube.io/v1alpha1/namespaces/{}/decisions",
        c.namespace
    );
    has(
        &c.kubectl_words(&["get", "--raw", &path], "")?,
        &["\"name\":\"picky\"", "\"resource\":\"pods\""],
    )?;
    let user = format!("--as=system:serviceaccount:{}:default", c.namespace);
    let seen = || -> Result<String> { Ok(c.try_kubectl(&["get", "--raw", &path, &user], "")?.stdout) };
    has_not(&seen()?, &["picky"])?;
    c.kubectl(&format!(
        "create rolebinding reader --clusterrole=view --serviceaccount={}:default",
        c.namespace
    ))?;
    wait::until(
        "a reader of pods to see decisions",
        Duration::from_secs(10),
        || has(&seen()?, &["picky"]).map(Some),
    )
}
