//! The API as programs use it: watches from a version, preconditions, collections, subresources, reviews.

use anyhow::{Context as _, Result};
use e2e::cluster::Cluster;

use crate::containers::script_pod;
use crate::deployments::NGINX;
use crate::expect::{has, has_not, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    watches_from_a_version,
    preconditions_hold,
    collections_are_deleted,
    status_is_apart,
    scale_is_a_view,
    binds_a_pod,
    reviews_tokens_and_access,
    pods_have_priorities,
    what_a_namespace_needs_comes_back,
];

const CREATE: &[&str] = &["create", "--filename", "-"];

/// The path of this namespace's objects of a resource of the core group.
fn path(c: &Cluster, rest: &str) -> String {
    format!("/api/v1/namespaces/{}/{rest}", c.namespace)
}

fn raw(c: &Cluster, path: &str) -> Result<String> {
    c.kubectl_words(&["get", "--raw", path], "")
}

fn watches_from_a_version(c: &mut Cluster) -> Result<()> {
    let list = raw(c, &path(c, "configmaps"))?;
    let version = list
        .split_once("\"resourceVersion\":\"")
        .and_then(|(_, rest)| rest.split_once('"'));
    let version = version.context("a list without version")?.0;
    c.kubectl("create configmap later")?;
    c.kubectl("delete configmap later")?;
    let watch = |version: &str| {
        raw(
            c,
            &path(
                c,
                &format!("configmaps?watch=1&timeoutSeconds=1&resourceVersion={version}"),
            ),
        )
    };
    let said = watch(version)?;
    let kinds: Vec<_> = said.lines().filter_map(|line| line.split('"').nth(3)).collect();
    same(kinds, ["ADDED", "DELETED"])?;
    has_not(&said, &["kube-root-ca.crt"])?;
    has(&watch("0")?, &["ADDED", "kube-root-ca.crt"])?;
    let refused = c.refused(
        &["get", "--raw", &path(c, "configmaps?watch=1&resourceVersion=x")],
        "",
    )?;
    has(&refused, &["resourceVersion: Invalid value: \"x\""])?;
    let all = path(
        c,
        "configmaps?watch=1&timeoutSeconds=1&sendInitialEvents=true&allowWatchBookmarks=true&\
                       resourceVersionMatch=NotOlderThan",
    );
    has(
        &raw(c, &all)?,
        &["BOOKMARK", "\"k8s.io/initial-events-end\":\"true\""],
    )
}

fn preconditions_hold(c: &mut Cluster) -> Result<()> {
    c.kubectl("create configmap one")?;
    let options = r#"{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"UID"}}"#;
    let one = path(c, "configmaps/one");
    let delete = ["delete", "--raw", &one, "--filename", "-"];
    let refused = c.refused(&delete, &options.replace("UID", "1234"))?;
    has(
        &refused,
        &[
            "(Conflict)",
            "the UID in the precondition (1234) does not match the UID in record",
        ],
    )?;
    let uid = c.value("configmap one", ".metadata.uid")?;
    c.kubectl_words(&delete, &options.replace("UID", &uid))?;
    has(&c.refused(&["get", "configmap", "one"], "")?, &["not found"])
}

fn collections_are_deleted(c: &mut Cluster) -> Result<()> {
    for name in ["a", "b", "keep"] {
        c.kubectl(&format!("create configmap {name}"))?;
    }
    c.kubectl("label configmap a b group=go")?;
    c.kubectl(&format!(
        "delete --raw {}",
        path(c, "configmaps?labelSelector=group%3Dgo")
    ))?;
    let left = c.kubectl("get configmaps --output name")?;
    has_not(&left, &["/a\n", "/b\n"])?;
    has(&left, &["/keep\n"])
}

const SCALER: &str = "\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: scaler}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: nosuch}
  maxReplicas: 5
";

fn status_is_apart(c: &mut Cluster) -> Result<()> {
    c.apply(SCALER)?;
    let change = r#"--patch={"spec":{"maxReplicas":9},"status":{"currentReplicas":1,"desiredReplicas":2}}"#;
    let patch = ["patch", "hpa", "scaler", "--type=merge", change];
    c.kubectl_words(&[&patch[..], &["--subresource=status"]].concat(), "")?;
    let values = |c: &Cluster| -> Result<String> {
        Ok(c.value("hpa scaler", ".spec.maxReplicas")?
            + " "
            + &c.value("hpa scaler", ".status.desiredReplicas")?)
    };
    same(values(c)?, "5 2")?;
    c.kubectl_words(
        &patch.map(|word| {
            if word == change {
                r#"--patch={"spec":{"maxReplicas":8},"status":{"desiredReplicas":7}}"#
            } else {
                word
            }
        }),
        "",
    )?;
    same(values(c)?, "8 2")
}

fn scale_is_a_view(c: &mut Cluster) -> Result<()> {
    c.apply(&NGINX.replace("replicas: 3", "replicas: 0"))?;
    let scale = "deployment nginx-deployment --subresource=scale";
    same(c.value(scale, ".kind")?, "Scale")?;
    same(c.value(scale, ".status.selector")?, "app=nginx")?;
    let patch = r#"{"spec":{"replicas":1}}"#;
    let words = [
        "patch",
        "deployment",
        "nginx-deployment",
        "--subresource=scale",
        "--type=merge",
        "--patch",
        patch,
    ];
    c.kubectl_words(&words, "")?;
    same(c.value("deployment nginx-deployment", ".spec.replicas")?, "1")?;
    let stale = [
        "scale",
        "deployment",
        "nginx-deployment",
        "--current-replicas=7",
        "--replicas=2",
    ];
    has(&c.refused(&stale, "")?, &["Expected replicas to be 7, was 1"])
}

fn binds_a_pod(c: &mut Cluster) -> Result<()> {
    c.apply(&(script_pod("bound", "Never", "true") + "  schedulerName: nobody\n"))?;
    let node = c.kubectl("get nodes --output jsonpath={.items[0].metadata.name}")?;
    let binding = format!(
        "apiVersion: v1\nkind: Binding\nmetadata: {{name: bound}}\ntarget: {{kind: Node, name: {node}}}\n"
    );
    c.kubectl_words(CREATE, &binding)?;
    c.kubectl("wait --for=jsonpath={.status.phase}=Succeeded pod/bound --timeout=60s")
        .map(drop)
}

fn reviews_tokens_and_access(c: &mut Cluster) -> Result<()> {
    let ask = |manifest: &str, path: &str| -> Result<String> {
        let path = format!("jsonpath={{{path}}}");
        c.kubectl_words(&[CREATE, &["--output", &path]].concat(), manifest)
    };
    let token = c.kubectl("create token default --duration=10m")?;
    let review = |token: &str| {
        format!("apiVersion: authentication.k8s.io/v1\nkind: TokenReview\nspec: {{token: {token}}}\n")
    };
    let user = format!("system:serviceaccount:{}:default", c.namespace);
    same(
        ask(&review(token.trim()), ".status.user.username")?,
        user.as_str(),
    )?;
    same(ask(&review(token.trim()), ".status.authenticated")?, "true")?;
    same(ask(&review("wrong"), ".status.authenticated")?, "")?;
    let access = |kind: &str, metadata: &str| {
        format!(
            "apiVersion: authorization.k8s.io/v1\nkind: {kind}\n{metadata}spec: {{user: '{user}', resourceAttributes: \
             {{namespace: {}, verb: get, resource: pods}}}}\n",
            c.namespace
        )
    };
    same(
        ask(&access("SubjectAccessReview", ""), ".status.allowed")?,
        "false",
    )?;
    c.kubectl(&format!(
        "create rolebinding reader --clusterrole=view --serviceaccount={}:default",
        c.namespace
    ))?;
    same(
        ask(&access("SubjectAccessReview", ""), ".status.allowed")?,
        "true",
    )?;
    let local = format!("metadata: {{namespace: {}}}\n", c.namespace);
    same(
        ask(&access("LocalSubjectAccessReview", &local), ".status.allowed")?,
        "true",
    )?;
    let impersonated = format!("--as={user}");
    has(
        &c.kubectl(&format!("auth can-i --list {impersonated}"))?,
        &["Resources", "pods", "[get list watch]"],
    )?;
    same(
        c.refused(&["auth", "can-i", "delete", "pods", &impersonated], "")?,
        "no\n",
    )
}

fn pods_have_priorities(c: &mut Cluster) -> Result<()> {
    c.kubectl("create priorityclass stories-high --value=1000 --description=tale")?;
    let told = (|| {
        let manifest = script_pod("high", "Never", "true") + "  priorityClassName: stories-high\n";
        c.apply(&manifest)?;
        same(c.value("pod high", ".spec.priority")?, "1000")?;
        let refused = c.refused(
            &["create", "--filename", "-"],
            &manifest.replace("stories-high", "nosuch"),
        )?;
        has(&refused, &["no PriorityClass with name nosuch was found"])?;
        has(
            &c.kubectl("get priorityclasses")?,
            &["system-node-critical", "stories-high", "1000"],
        )
    })();
    c.kubectl("delete priorityclass stories-high")?;
    told
}

fn what_a_namespace_needs_comes_back(c: &mut Cluster) -> Result<()> {
    for object in ["serviceaccount default", "configmap kube-root-ca.crt"] {
        let uid = c.value(object, ".metadata.uid")?;
        c.kubectl(&format!("delete {object}"))?;
        let again = e2e::wait::until(object, std::time::Duration::from_secs(30), || {
            c.value(object, ".metadata.uid").map(Some)
        })?;
        anyhow::ensure!(again != uid, "{object} did not go");
    }
    Ok(())
}
