//! Custom resources, as the documentation's tasks have them: a CronTab's life.

use anyhow::Result;
use e2e::cluster::Cluster;
use e2e::wait;
use std::time::Duration;

use crate::expect::{has, has_not, same};
use crate::{Story, stories};

const PATIENCE: Duration = Duration::from_secs(30);

pub const STORIES: &[Story] = stories![
    a_definition_makes_a_resource,
    custom_objects_are_validated_pruned_and_filled,
    printer_columns_are_shown,
    custom_status_and_scale,
    custom_versions,
    a_definition_takes_its_objects_along,
    definitions_say_what_is_wrong_with_them,
    rules_are_written_in_cel,
];

/// The definition of the documentation, with names of the story's own: definitions have no namespace.
fn definition(c: &Cluster, versions: &str) -> String {
    let group = group(c);
    format!(
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: crontabs.{group}
spec:
  group: {group}
  scope: Namespaced
  names:
    plural: crontabs
    singular: crontab
    kind: CronTab
    shortNames: [ct{short}]
    categories: [all]
  versions:
{versions}",
        short = c.namespace.replace(['-', '.'], "")
    )
}

fn group(c: &Cluster) -> String {
    format!("{}.example.com", c.namespace)
}

const V1: &str = r"  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            description: What the CronTab does.
            properties:
              cronSpec:
                type: string
                pattern: '^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$'
                default: '5 0 * * *'
              image:
                type: string
                description: The image that is run.
              replicas:
                type: integer
                minimum: 1
                maximum: 10
                default: 1
          status:
            type: object
            properties:
              replicas: {type: integer}
              labelSelector: {type: string}
    additionalPrinterColumns:
    - {name: Spec, type: string, description: The cron spec, jsonPath: .spec.cronSpec}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas}
    - {name: Image, type: string, priority: 1, jsonPath: .spec.image}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    subresources:
      status: {}
      scale:
        specReplicasPath: .spec.replicas
        statusReplicasPath: .status.replicas
        labelSelectorPath: .status.labelSelector
";

fn crontab(c: &Cluster, name: &str, rest: &str) -> String {
    let group = group(c);
    format!("apiVersion: {group}/v1\nkind: CronTab\nmetadata: {{name: {name}}}\n{rest}")
}

/// Defines CronTabs and waits until they are served.
fn define(c: &Cluster, versions: &str) -> Result<String> {
    c.apply(&definition(c, versions))?;
    let crontabs = format!("crontabs.{}", group(c));
    c.kubectl(&format!(
        "wait --for condition=established --timeout=30s crd {crontabs}"
    ))?;
    Ok(crontabs)
}

fn forget(c: &Cluster, crontabs: &str) -> Result<()> {
    c.kubectl(&format!("delete crd {crontabs} --timeout=60s"))
        .map(drop)
}

fn a_definition_makes_a_resource(c: &mut Cluster) -> Result<()> {
    let crontabs = define(c, V1)?;
    let listed = c.kubectl(&format!("get crd {crontabs} --output wide"))?;
    has(&listed, &["SCOPE", "Namespaced", "v1(storage)", "CronTab"])?;
    let told = c.kubectl(&format!("describe crd {crontabs}"))?;
    has(&told, &["Accepted Names", "NoConflicts", "InitialNamesAccepted"])?;
    let resources = c.kubectl(&format!("api-resources --api-group {}", group(c)))?;
    has(&resources, &["crontabs", "CronTab", "true"])?;
    let made = c.apply(&crontab(c, "one", "spec: {image: my-image}"))?;
    has(&made, &["created"])?;
    let short = format!("ct{}", c.namespace.replace(['-', '.'], ""));
    has(&c.kubectl(&format!("get {short}"))?, &["one", "5 0 * * *"])?;
    has(&c.kubectl("get all")?, &["one"])?;
    has(
        &c.kubectl(&format!("describe {crontabs} one"))?,
        &["Cron Spec", "5 0 * * *"],
    )?;
    let explained = c.kubectl(&format!("explain {crontabs}.spec"))?;
    has(
        &explained,
        &["What the CronTab does.", "cronSpec", "image", "<integer>"],
    )?;
    let changed = c.apply(&crontab(c, "one", "spec: {image: other, replicas: 2}"))?;
    has(&changed, &["configured"])?;
    same(c.value(&format!("{crontabs}/one"), ".spec.replicas")?, "2")?;
    c.kubectl(&format!("label {crontabs} one tier=back"))?;
    has(
        &c.kubectl(&format!("get {crontabs} --selector tier=back"))?,
        &["one"],
    )?;
    c.kubectl(&format!("delete {crontabs} one"))?;
    forget(c, &crontabs)?;
    let refused = c.refused(&["get", &crontabs], "")?;
    has(&refused, &["the server doesn't have a resource type"])
}

fn custom_objects_are_validated_pruned_and_filled(c: &mut Cluster) -> Result<()> {
    let crontabs = define(c, V1)?;
    let wrong = crontab(c, "wrong", "spec: {cronSpec: '* * * *', replicas: 15}");
    let refused = c.refused(&["apply", "--filename", "-"], &wrong)?;
    has(
        &refused,
        &[
            "is invalid",
            "spec.cronSpec: Invalid value: \"* * * *\": spec.cronSpec in body should match",
            "spec.replicas: Invalid value: 15: spec.replicas in body should be less than or equal to 10",
        ],
    )?;
    let odd = crontab(c, "odd", "spec: {someRandomField: 42}");
    let refused = c.refused(&["create", "--validate=strict", "--filename", "-"], &odd)?;
    has(
        &refused,
        &["strict decoding error: unknown field \"spec.someRandomField\""],
    )?;
    c.kubectl_words(&["create", "--validate=ignore", "--filename", "-"], &odd)?;
    let stored = c.kubectl(&format!("get {crontabs} odd --output yaml"))?;
    has(&stored, &["cronSpec: 5 0 * * *", "replicas: 1"])?;
    has_not(&stored, &["someRandomField"])?;
    let invalid = c.refused(
        &[
            "patch",
            &crontabs,
            "odd",
            "--type",
            "merge",
            "--patch",
            r#"{"spec":{"replicas":0}}"#,
        ],
        "",
    )?;
    has(&invalid, &["should be greater than or equal to 1"])?;
    let strategic = ["patch", &crontabs, "odd", "--type", "strategic", "--patch", "{}"];
    has(&c.refused(&strategic, "")?, &["not supported by"])?;
    forget(c, &crontabs)
}

fn printer_columns_are_shown(c: &mut Cluster) -> Result<()> {
    let crontabs = define(c, V1)?;
    c.apply(&crontab(
        c,
        "one",
        "spec: {cronSpec: '* * * * */5', image: my-image, replicas: 3}",
    ))?;
    let (heading, rows) = c.table(&format!("get {crontabs}"))?;
    same(heading, ["NAME", "SPEC", "REPLICAS", "AGE"])?;
    same(rows[0][..3].to_vec(), ["one", "* * * * */5", "3"])?;
    let (heading, rows) = c.table(&format!("get {crontabs} --output wide"))?;
    same(heading, ["NAME", "SPEC", "REPLICAS", "IMAGE", "AGE"])?;
    same(rows[0][3].clone(), "my-image")?;
    forget(c, &crontabs)
}

fn custom_status_and_scale(c: &mut Cluster) -> Result<()> {
    let crontabs = define(c, V1)?;
    c.apply(&crontab(c, "one", "spec: {replicas: 3}"))?;
    let one = format!("{crontabs}/one");
    c.kubectl(&format!("scale --replicas=5 {one}"))?;
    same(c.value(&one, ".spec.replicas")?, "5")?;
    same(c.value(&one, ".metadata.generation")?, "2")?;
    let status = r#"{"status":{"replicas":5,"labelSelector":"app=one"}}"#;
    let patch = [
        "patch",
        &one,
        "--subresource=status",
        "--type",
        "merge",
        "--patch",
        status,
    ];
    c.kubectl_words(&patch, "")?;
    same(c.value(&one, ".status.replicas")?, "5")?;
    same(c.value(&one, ".metadata.generation")?, "2")?;
    let plain = [
        "patch",
        &one,
        "--type",
        "merge",
        "--patch",
        r#"{"status":{"replicas":9}}"#,
    ];
    c.kubectl_words(&plain, "")?;
    same(c.value(&one, ".status.replicas")?, "5")?;
    let scale = c.kubectl_words(
        &[
            "get",
            "--raw",
            &format!(
                "/apis/{}/v1/namespaces/{}/crontabs/one/scale",
                group(c),
                c.namespace
            ),
        ],
        "",
    )?;
    has(&scale, &[r#""kind":"Scale""#, r#""selector":"app=one""#])?;
    forget(c, &crontabs)
}

fn custom_versions(c: &mut Cluster) -> Result<()> {
    let crontabs = define(c, V1)?;
    c.apply(&crontab(c, "one", "spec: {image: my-image}"))?;
    let v2 = V1.replace("name: v1\n", "name: v2\n");
    let old = V1
        .replace("storage: true", "storage: false\n    deprecated: true")
        .replace(
            "    schema:",
            "    deprecationWarning: CronTabs of v1 are old\n    schema:",
        );
    c.apply(&definition(c, &format!("{old}{v2}")))?;
    let group = group(c);
    wait::until("v2 to be served", PATIENCE, || {
        let list = format!("get crontabs.v2.{group} one --output name");
        Ok(c.kubectl(&list).is_ok().then_some(()))
    })?;
    let versioned = |version: &str| c.kubectl(&format!("get crontabs.{version}.{group} one --output yaml"));
    has(&versioned("v2")?, &[&format!("apiVersion: {group}/v2")])?;
    has(&versioned("v1")?, &[&format!("apiVersion: {group}/v1")])?;
    let told = c.try_kubectl(&["get", &format!("crontabs.v1.{group}"), "one"], "")?;
    has(&told.stderr, &["Warning: CronTabs of v1 are old"])?;
    let stored = c.value(&format!("crd/{crontabs}"), ".status.storedVersions")?;
    same(stored, r#"["v1","v2"]"#)?;
    let refused = c.refused(&["apply", "--filename", "-"], &definition(c, &v2))?;
    has(
        &refused,
        &["missing from spec.versions", "was previously a storage version"],
    )?;
    forget(c, &crontabs)
}

fn a_definition_takes_its_objects_along(c: &mut Cluster) -> Result<()> {
    let crontabs = define(c, V1)?;
    c.apply(
        &crontab(
            c,
            "one",
            "metadata: {name: one, finalizers: [example.com/hold]}\nspec: {}",
        )
        .replacen("metadata: {name: one}\n", "", 1),
    )?;
    c.kubectl(&format!("delete crd {crontabs} --wait=false"))?;
    wait::until("the object to be deleted", PATIENCE, || {
        let at = c.value(&format!("{crontabs}/one"), ".metadata.deletionTimestamp")?;
        Ok((!at.is_empty()).then_some(()))
    })?;
    let told = c.kubectl(&format!("get crd {crontabs} --output yaml"))?;
    has(&told, &["type: Terminating", "InstanceDeletionInProgress"])?;
    let free = r#"{"metadata":{"finalizers":null}}"#;
    c.kubectl_words(
        &["patch", &crontabs, "one", "--type", "merge", "--patch", free],
        "",
    )?;
    c.kubectl(&format!("wait --for=delete --timeout=60s crd {crontabs}"))?;
    let again = define(c, V1)?;
    has_not(&c.kubectl(&format!("get {again}"))?, &["one"])?;
    forget(c, &again)
}

fn definitions_say_what_is_wrong_with_them(c: &mut Cluster) -> Result<()> {
    let open = "  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {}}}}}\n";
    let refused = c.refused(&["create", "--filename", "-"], &definition(c, open))?;
    has(
        &refused,
        &[
            "spec.versions[0].schema.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields",
        ],
    )?;
    let none = "  - {name: v1, served: true, storage: false, schema: {openAPIV3Schema: {type: object}}}\n";
    let refused = c.refused(&["create", "--filename", "-"], &definition(c, none))?;
    has(
        &refused,
        &["must have exactly one version marked as storage version"],
    )
}

/// The documentation's page on validation rules.
const RULES: &str = r#"  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            x-kubernetes-validations:
            - rule: self.minReplicas <= self.replicas
              messageExpression: "'replicas should be greater than or equal to %d.'.format([self.minReplicas])"
            - rule: self.replicas <= self.maxReplicas
              message: replicas should be smaller than or equal to maxReplicas.
              fieldPath: .replicas
              reason: FieldValueForbidden
            properties:
              replicas: {type: integer}
              minReplicas: {type: integer}
              maxReplicas: {type: integer}
              zone:
                type: string
                x-kubernetes-validations:
                - {rule: self == oldSelf, message: zone is immutable}
            required: [replicas, minReplicas, maxReplicas]
"#;

fn rules_are_written_in_cel(c: &mut Cluster) -> Result<()> {
    let costly = RULES
        .replace(
            "zone:",
            "names: {type: array, items: {type: string}}\n              zone:",
        )
        .replace(
            "self.minReplicas <= self.replicas",
            "self.names.all(a, self.names.all(b, a.contains(b)))",
        );
    let refused = c.refused(&["create", "--filename", "-"], &definition(c, &costly))?;
    has(
        &refused,
        &["estimated rule cost exceeds budget by factor of more than 100x"],
    )?;
    let wrong = RULES.replace("self.minReplicas <= self.replicas", "self.gone <= self.replicas");
    let refused = c.refused(&["create", "--filename", "-"], &definition(c, &wrong))?;
    has(
        &refused,
        &[
            "x-kubernetes-validations[0].rule",
            "compilation failed",
            "undefined field 'gone'",
        ],
    )?;
    let crontabs = define(c, RULES)?;
    let sizes =
        |replicas: u32| format!("spec: {{minReplicas: 0, replicas: {replicas}, maxReplicas: 10, zone: a}}");
    let refused = c.refused(&["apply", "--filename", "-"], &crontab(c, "one", &sizes(20)))?;
    has(
        &refused,
        &["spec.replicas: Forbidden: replicas should be smaller than or equal to maxReplicas."],
    )?;
    c.apply(&crontab(c, "one", &sizes(5)))?;
    let patch = |patch: &'static str| {
        ["patch", &crontabs, "one", "--type", "merge", "--patch", patch].map(str::to_owned)
    };
    let refused = |words: [String; 7]| c.refused(&words.each_ref().map(String::as_str), "");
    has(
        &refused(patch(r#"{"spec":{"minReplicas":6}}"#))?,
        &["spec: Invalid value: \"object\": replicas should be greater than or equal to 6."],
    )?;
    has(
        &refused(patch(r#"{"spec":{"zone":"b"}}"#))?,
        &["spec.zone: Invalid value: \"string\": zone is immutable"],
    )?;
    forget(c, &crontabs)
}
