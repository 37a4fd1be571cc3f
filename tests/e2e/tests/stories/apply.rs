//! Server-side apply by kubectl: who owns which fields.

use anyhow::Result;
use e2e::cluster::Cluster;

use crate::expect::{has, has_not, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    applies_on_the_server,
    conflicts_are_told_and_forced,
    lists_merge_by_their_keys,
    changes_from_client_side_apply,
    status_and_scale_are_owned_by_themselves,
    differences_are_shown,
    custom_resources_are_applied,
];

fn server_side(c: &Cluster, more: &[&str], manifest: &str) -> Result<String> {
    let words = [&["apply", "--server-side", "--filename", "-"], more].concat();
    c.kubectl_words(&words, manifest)
}

fn map(name: &str, data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{{data}}}\n")
}

fn applies_on_the_server(c: &mut Cluster) -> Result<()> {
    let both = map("mine", "a: '1', b: '2'");
    has(
        &server_side(c, &[], &both)?,
        &["configmap/mine serverside-applied"],
    )?;
    let before = c.value("configmap mine", ".metadata.resourceVersion")?;
    server_side(c, &[], &both)?;
    same(c.value("configmap mine", ".metadata.resourceVersion")?, before)?;
    c.kubectl("label configmap mine by=hand")?;
    server_side(c, &[], &map("mine", "a: '3'"))?;
    same(c.value("configmap mine", ".data")?, r#"{"a":"3"}"#)?;
    same(c.value("configmap mine", ".metadata.labels.by")?, "hand")?;
    let shown = c.kubectl("get configmap mine --show-managed-fields --output yaml")?;
    has(
        &shown,
        &[
            "managedFields:",
            "f:a: {}",
            "manager: kubectl\n",
            "operation: Apply",
            "manager: kubectl-label",
        ],
    )?;
    has_not(
        &c.kubectl("get configmap mine --output yaml")?,
        &["managedFields"],
    )
}

fn conflicts_are_told_and_forced(c: &mut Cluster) -> Result<()> {
    c.kubectl("create deployment web --image=nothing.invalid/web --replicas=0")?;
    let wish =
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {revisionHistoryLimit: 3}\n";
    let refused = c.refused(&["apply", "--server-side", "--filename", "-"], wish)?;
    has(
        &refused,
        &[
            "Apply failed with 1 conflict: conflict with \"kubectl-create\" using apps/v1: .spec.revisionHistoryLimit",
            "--force-conflicts",
        ],
    )?;
    server_side(c, &["--force-conflicts"], wish)?;
    same(c.value("deployment web", ".spec.revisionHistoryLimit")?, "3")?;
    has(
        &server_side(c, &["--field-manager=other"], wish)?,
        &["serverside-applied"],
    )?;
    let shown = c.kubectl("get deployment web --show-managed-fields --output yaml")?;
    has(
        &shown,
        &["manager: kubectl\n", "manager: other", "manager: kubectl-create"],
    )
}

fn lists_merge_by_their_keys(c: &mut Cluster) -> Result<()> {
    let service = |manager: &str, port: u16| {
        let manifest = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: ports}}\nspec:\n  ports:\n  - {{name: p{port}, port: {port}}}\n"
        );
        server_side(c, &[&format!("--field-manager={manager}")], &manifest)
    };
    service("one", 80)?;
    service("two", 81)?;
    let ports = || c.value("service ports", ".spec.ports[*].port");
    same(ports()?, "80 81")?;
    service("one", 82)?;
    same(ports()?, "81 82")
}

fn changes_from_client_side_apply(c: &mut Cluster) -> Result<()> {
    let old = |value: &str| map("old", &format!("a: '{value}', b: '2'"));
    c.apply(&old("1"))?;
    has(&server_side(c, &[], &old("2"))?, &["serverside-applied"])?;
    let shown = c.kubectl("get configmap old --show-managed-fields --output yaml")?;
    has(&shown, &["operation: Apply", "a: \"2\"", r#""data":{"a":"2""#])?;
    // And back.
    has(&c.apply(&old("3"))?, &["configmap/old configured"])?;
    same(c.value("configmap old", ".data.a")?, "3")
}

fn status_and_scale_are_owned_by_themselves(c: &mut Cluster) -> Result<()> {
    c.kubectl("create deployment many --image=nothing.invalid/web --replicas=0")?;
    c.until_value("deployment many", ".status.observedGeneration", "1")?;
    c.kubectl("scale deployment many --replicas=1")?;
    c.until_value("deployment many", ".status.replicas", "1")?;
    let shown = c.kubectl("get deployment many --show-managed-fields --output yaml")?;
    has(
        &shown,
        &[
            "manager: kubectl-create",
            "subresource: scale",
            "manager: kube-controller-manager",
            "subresource: status",
            "f:observedGeneration: {}",
        ],
    )
}

fn differences_are_shown(c: &mut Cluster) -> Result<()> {
    let (one, seven) = (map("diff", "a: '1'"), map("diff", "a: '7'"));
    server_side(c, &[], &one)?;
    let diff = ["diff", "--server-side", "--filename", "-"];
    same(c.try_kubectl(&diff, &one)?.code, 0)?;
    let differs = c.try_kubectl(&diff, &seven)?;
    same(differs.code, 1)?;
    has(&differs.stdout, &["-  a: \"1\"", "+  a: \"7\""])?;
    same(c.value("configmap diff", ".data.a")?, "1")
}

const GADGETS: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.apply.example.com}
spec:
  group: apply.example.com
  scope: Namespaced
  names: {plural: gadgets, singular: gadget, kind: Gadget}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              parts:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items: {type: object, required: [name], properties: {name: {type: string}, size: {type: integer}}}
";

fn custom_resources_are_applied(c: &mut Cluster) -> Result<()> {
    server_side(c, &[], GADGETS)?;
    c.kubectl("wait --for=condition=Established crd/gadgets.apply.example.com --timeout=60s")?;
    let gadget = |manager: &str, part: &str| {
        let manifest = format!(
            "apiVersion: apply.example.com/v1\nkind: Gadget\nmetadata: {{name: g}}\nspec: {{parts: [{{name: {part}, size: 1}}]}}\n"
        );
        server_side(c, &[&format!("--field-manager={manager}")], &manifest)
    };
    gadget("one", "wheel")?;
    gadget("two", "axle")?;
    gadget("one", "spring")?;
    let parts = c.value("gadgets.apply.example.com g", ".spec.parts[*].name")?;
    c.kubectl("delete crd gadgets.apply.example.com")?;
    same(parts, "axle spring")
}
