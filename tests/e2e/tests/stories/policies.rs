//! Admission policies, as the documentation's pages have them.

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;
use e2e::{artifacts, process, wait};
use std::process::Command;
use std::time::Duration;

use crate::expect::{has, same};
use crate::{Story, stories};

const PATIENCE: Duration = Duration::from_secs(30);

pub const STORIES: &[Story] = stories![
    a_policy_limits_replicas,
    a_policy_has_parameters,
    a_policy_adds_a_sidecar,
    manifests_of_a_policy_project_are_taken_as_they_stand,
];

/// A policy about Deployments of this story's namespace, and its binding.
fn policy(c: &Cluster, parts: &str, binding: &str) -> String {
    let name = &c.namespace;
    format!(
        r#"apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {{apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}}
{parts}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec:
  policyName: {name}
  validationActions: [Deny]
  matchResources:
    namespaceSelector:
      matchLabels: {{kubernetes.io/metadata.name: {name}}}
{binding}
"#
    )
}

fn forget(c: &Cluster, kind: &str) -> Result<()> {
    let name = &c.namespace;
    c.kubectl(&format!("delete {kind}binding {name}"))?;
    c.kubectl(&format!("delete {kind} {name}")).map(drop)
}

fn a_policy_limits_replicas(c: &mut Cluster) -> Result<()> {
    let parts = "  validations:\n  - expression: object.spec.replicas <= 5\n  - expression: object.replicas > 1 || true";
    let made = c.apply(&policy(c, parts, ""))?;
    has(&made, &["validatingadmissionpolicy", "created"])?;
    let name = c.namespace.clone();
    let create = ["create", "deployment", "nginx", "--image=nginx", "--replicas=6"];
    has(
        &c.refused(&create, "")?,
        &[&format!(
            "deployments.apps \"nginx\" is forbidden: ValidatingAdmissionPolicy '{name}' with binding '{name}' denied \
             request: failed expression: object.spec.replicas <= 5"
        )],
    )?;
    c.kubectl("create deployment nginx --image=nginx --replicas=0")?;
    let scaled = c.refused(
        &[
            "patch",
            "deployment",
            "nginx",
            "--patch",
            r#"{"spec":{"replicas":7}}"#,
        ],
        "",
    )?;
    has(&scaled, &["failed expression: object.spec.replicas <= 5"])?;
    let policy = format!("validatingadmissionpolicy/{name}");
    let warning = wait::until("the types to be told", PATIENCE, || {
        let told = c.value(&policy, ".status.typeChecking.expressionWarnings[0].warning")?;
        Ok((!told.is_empty()).then_some(told))
    })?;
    has(
        &warning,
        &["apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'"],
    )?;
    let (heading, rows) = c.table(&format!("get validatingadmissionpolicy {name}"))?;
    same(heading, ["NAME", "VALIDATIONS", "PARAMKIND", "AGE"])?;
    same(rows[0][1].clone(), "2")?;
    forget(c, "validatingadmissionpolicy")?;
    c.kubectl("create deployment other --image=nginx --replicas=6 --dry-run=server")?;
    c.kubectl("delete deployment nginx").map(drop)
}

fn a_policy_has_parameters(c: &mut Cluster) -> Result<()> {
    let (name, group) = (c.namespace.clone(), format!("rules.{}.example.com", c.namespace));
    c.apply(&format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: replicalimits.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{plural: replicalimits, singular: replicalimit, kind: ReplicaLimit}}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {{type: object, properties: {{maxReplicas: {{type: integer}}}}}}
"
    ))?;
    c.kubectl(&format!(
        "wait --for condition=established --timeout=30s crd replicalimits.{group}"
    ))?;
    let parts = format!(
        "  paramKind: {{apiVersion: {group}/v1, kind: ReplicaLimit}}
  validations:
  - expression: object.spec.replicas <= params.maxReplicas
    messageExpression: \"'object.spec.replicas must be no greater than %d'.format([params.maxReplicas])\"
    reason: Invalid"
    );
    let binding = "  paramRef: {name: limit, parameterNotFoundAction: Deny}";
    c.apply(&policy(c, &parts, binding))?;
    let create = ["create", "deployment", "nginx", "--image=nginx", "--replicas=4"];
    has(
        &c.refused(&create, "")?,
        &["no params found for policy binding with `Deny` parameterNotFoundAction"],
    )?;
    c.apply(&format!(
        "apiVersion: {group}/v1\nkind: ReplicaLimit\nmetadata: {{name: limit}}\nmaxReplicas: 3\n"
    ))?;
    has(
        &c.refused(&create, "")?,
        &[&format!(
            "ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: object.spec.replicas must be no \
             greater than 3"
        )],
    )?;
    c.kubectl(&format!(
        "patch replicalimits.{group} limit --type merge --patch {{\"maxReplicas\":4}}"
    ))?;
    c.kubectl("create deployment nginx --image=nginx --replicas=4 --dry-run=server")?;
    forget(c, "validatingadmissionpolicy")?;
    c.kubectl(&format!("delete crd replicalimits.{group} --timeout=60s"))
        .map(drop)
}

fn a_policy_adds_a_sidecar(c: &mut Cluster) -> Result<()> {
    let name = c.namespace.clone();
    c.apply(&format!(
        r#"apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {{name: {name}}}
spec:
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  matchConstraints:
    namespaceSelector:
      matchLabels: {{kubernetes.io/metadata.name: {name}}}
    resourceRules:
    - {{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}}
  matchConditions:
  - name: does-not-already-have-sidecar
    expression: "!object.spec.?initContainers.orValue([]).exists(c, c.name == 'mesh-proxy')"
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: >
        Object{{
          spec: Object.spec{{
            initContainers: [
              Object.spec.initContainers{{
                name: "mesh-proxy",
                image: "mesh/proxy:v1.0.0",
                restartPolicy: "Always"
              }}
            ]
          }}
        }}
  - patchType: JSONPatch
    jsonPatch:
      expression: >
        [JSONPatch{{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("example.com/mesh"), value: "on"}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec:
  policyName: {name}
"#
    ))?;
    let made = c.kubectl("run web --image=nginx --labels=app=web --dry-run=server --output=yaml")?;
    has(
        &made,
        &[
            "name: mesh-proxy",
            "image: mesh/proxy:v1.0.0",
            "example.com/mesh: \"on\"",
            "name: web",
        ],
    )?;
    forget(c, "mutatingadmissionpolicy")
}

/// Gatekeeper's, whose licence is beside them.
const PROJECT: &str = "tests/e2e/manifests/gatekeeper.yaml.gz";

const TEMPLATE: &str = "apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: requiredlabels}
spec:
  crd: {spec: {names: {kind: RequiredLabels}}}
  targets:
  - {target: admission.k8s.gatekeeper.sh, rego: 'package labels'}
";

fn manifests_of_a_policy_project_are_taken_as_they_stand(c: &mut Cluster) -> Result<()> {
    let mut gzip = Command::new("gzip");
    let all = process::output(gzip.arg("-dc").arg(artifacts::root().join(PROJECT)))?;
    let documents: Vec<&str> = all.split("\n---").filter(|one| one.contains("kind:")).collect();
    let run = |documents: &[&str], words: &[&str], done: &str| {
        let other = "namespace: gatekeeper-system";
        let (theirs, systems): (Vec<&str>, Vec<&str>) =
            documents.iter().copied().partition(|one| one.contains(other));
        for (namespace, part) in [("system", systems), ("gatekeeper-system", theirs)] {
            let told = c
                .in_namespace(namespace)
                .kubectl_words(words, &part.join("\n---"))?;
            let taken = told.lines().filter(|line| line.contains(done)).count();
            ensure!(taken == part.len(), "{taken} of {}{done}:\n{told}", part.len());
        }
        Ok(())
    };
    c.kubectl("create namespace gatekeeper-system")?;
    run(
        &documents,
        &["apply", "--validate=strict", "--filename=-"],
        " created",
    )?;
    let definitions = documents
        .iter()
        .filter(|one| one.contains("\nkind: CustomResourceDefinition"));
    let established = c.kubectl("wait --for condition=established crd --all --timeout=60s")?;
    ensure!(
        established.lines().count() >= definitions.count(),
        "{established}"
    );
    // Webhooks go before all else: nobody answers them.
    let (hooks, rest): (Vec<&str>, Vec<&str>) = documents
        .iter()
        .copied()
        .partition(|one| one.contains("WebhookConfiguration\n"));
    run(&hooks, &["delete", "--filename=-"], " deleted")?;
    let server_side = ["apply", "--server-side", "--force-conflicts", "--filename=-"];
    run(&rest, &server_side, " serverside-applied")?;
    run(&rest, &server_side, " serverside-applied")?;
    has(
        &c.apply(TEMPLATE)?,
        &["constrainttemplate.templates.gatekeeper.sh/requiredlabels created"],
    )?;
    has(
        &c.kubectl("explain constrainttemplate.spec.targets.rego")?,
        &["FIELD: rego <string>"],
    )?;
    run(&rest, &["delete", "--filename=-"], " deleted")?;
    c.kubectl("delete namespace gatekeeper-system").map(drop)
}
