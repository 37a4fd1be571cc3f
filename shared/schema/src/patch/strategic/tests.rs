//! Stories in YAML: a document, a patch, and what comes of it; they follow the documented behaviour of strategic merge.

use super::*;
use crate::{type_of, yaml_to_json};

fn merged(kind: (&str, &str, &str), doc: &str, patch: &str) -> Result<Value, PatchError> {
    let ty = type_of(kind.0, kind.1, kind.2).unwrap();
    let doc = yaml_to_json(doc.as_bytes()).unwrap();
    let patch = yaml_to_json(patch.as_bytes()).unwrap();
    let once = strategic_merge(&doc, &patch, ty)?;
    let twice = strategic_merge(&once, &patch, ty)?;
    assert_eq!(
        String::from_utf8(once.clone()),
        String::from_utf8(twice),
        "a patch applied again changes nothing"
    );
    Ok(serde_json::from_slice(&once).unwrap())
}

const DEPLOYMENT: (&str, &str, &str) = ("apps", "v1", "Deployment");
const POD: (&str, &str, &str) = ("", "v1", "Pod");
const SERVICE: (&str, &str, &str) = ("", "v1", "Service");

fn story(kind: (&str, &str, &str), doc: &str, patch: &str, want: &str) {
    let want: Value = serde_json::from_slice(&yaml_to_json(want.as_bytes()).unwrap()).unwrap();
    assert_eq!(merged(kind, doc, patch).unwrap(), want);
}

#[test]
fn a_container_is_added_and_tolerations_are_replaced() {
    story(
        DEPLOYMENT,
        "
spec:
  template:
    spec:
      containers: [{name: ctr, image: nginx}]
      tolerations: [{key: dedicated, value: team}]
",
        "
spec:
  template:
    spec:
      containers: [{name: ctr-2, image: redis}]
      tolerations: [{key: disk, value: ssd}]
",
        "
spec:
  template:
    spec:
      containers: [{name: ctr-2, image: redis}, {name: ctr, image: nginx}]
      tolerations: [{key: disk, value: ssd}]
",
    );
}

#[test]
fn a_container_is_changed_in_place_and_its_env_merged() {
    story(
        POD,
        "spec: {containers: [{name: a, image: x, env: [{name: K, value: '1'}]}, {name: b, image: y}]}",
        "spec: {containers: [{name: b, image: z}, {name: a, env: [{name: L, value: '2'}, {name: K, value: null}]}]}",
        "spec: {containers: [{name: b, image: z}, {name: a, image: x, env: [{name: L, value: '2'}, {name: K}]}]}",
    );
}

#[test]
fn directives_delete_and_replace() {
    story(
        POD,
        "spec: {containers: [{name: a}, {name: b}, {name: c}], nodeSelector: {disk: ssd, zone: z}}",
        "spec: {containers: [{name: b, $patch: delete}], nodeSelector: {$patch: replace, arch: arm64}}",
        "spec: {containers: [{name: a}, {name: c}], nodeSelector: {arch: arm64}}",
    );
    story(
        POD,
        "spec: {containers: [{name: a}, {name: b}], nodeSelector: {disk: ssd}, securityContext: {runAsUser: 1}}",
        "spec: {containers: [{$patch: replace}, {name: z}], nodeSelector: {$patch: delete}, securityContext: null}",
        "spec: {containers: [{name: z}], nodeSelector: {}}",
    );
}

#[test]
fn retain_keys_clears_the_fields_of_the_other_strategy() {
    story(
        DEPLOYMENT,
        "spec: {strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1}}}",
        "spec: {strategy: {$retainKeys: [type], type: Recreate}}",
        "spec: {strategy: {type: Recreate}}",
    );
    story(
        POD,
        "spec: {volumes: [{name: v, emptyDir: {}}, {name: w, hostPath: {path: /w}}]}",
        "spec: {volumes: [{name: v, $retainKeys: [name, hostPath], hostPath: {path: /v}}]}",
        "spec: {volumes: [{name: v, hostPath: {path: /v}}, {name: w, hostPath: {path: /w}}]}",
    );
    let error = merged(
        DEPLOYMENT,
        "spec: {strategy: {}}",
        "spec: {strategy: {$retainKeys: [rollingUpdate], type: R}}",
    );
    assert_eq!(
        error,
        Err(PatchError::BadRequest(
            "invalid patch format of retainKeys".to_owned()
        ))
    );
}

#[test]
fn lists_of_scalars_merge_as_sets_or_lose_what_is_named() {
    story(
        POD,
        "metadata: {finalizers: [a, b]}",
        "metadata: {finalizers: [c, a]}",
        "metadata: {finalizers: [c, a, b]}",
    );
    story(
        POD,
        "metadata: {finalizers: [a, b, c]}",
        "metadata: {$deleteFromPrimitiveList/finalizers: [b, x]}",
        "metadata: {finalizers: [a, c]}",
    );
    story(
        POD,
        "metadata: {}",
        "metadata: {$deleteFromPrimitiveList/finalizers: [b]}",
        "metadata: {}",
    );
}

#[test]
fn an_order_directive_orders_old_and_new() {
    story(
        POD,
        "spec: {containers: [{name: a}, {name: b}, {name: side}]}",
        "
spec:
  $setElementOrder/containers: [{name: b}, {name: a}, {name: n}]
  containers: [{name: a, image: x}, {name: n, image: y}]
",
        "spec: {containers: [{name: b}, {name: a, image: x}, {name: n, image: y}, {name: side}]}",
    );
    story(
        POD,
        "metadata: {finalizers: [a, b, c]}",
        "metadata: {$setElementOrder/finalizers: [c, b], finalizers: [c]}",
        "metadata: {finalizers: [a, c, b]}",
    );
    let wrong = "spec: {$setElementOrder/containers: [{name: a}], containers: [{name: b}]}";
    let Err(PatchError::Internal(text)) = merged(POD, "spec: {containers: [{name: a}]}", wrong) else {
        panic!()
    };
    assert_eq!(
        text,
        "The order in patch list:\n[map[name:b]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n"
    );
}

#[test]
fn null_removes_and_what_was_absent_comes_clean() {
    story(
        DEPLOYMENT,
        "metadata: {labels: {a: '1', b: '2'}}",
        "metadata: {labels: {a: null, c: '3', d: null}, annotations: {x: null, y: z}}",
        "metadata: {labels: {b: '2', c: '3'}, annotations: {y: z}}",
    );
    story(
        DEPLOYMENT,
        "spec: {}",
        "spec: {strategy: {$retainKeys: [type], type: Recreate}, selector: {$patch: delete}, new: {$patch: replace}}",
        "spec: {strategy: {type: Recreate}}",
    );
}

#[test]
fn a_value_of_another_type_is_taken_whole() {
    story(
        POD,
        "spec: {containers: {odd: 1}, nonsense: 1, nodeSelector: [x]}",
        "spec: {containers: [{name: a, image: null}, {$patch: delete, name: b}], nonsense: 2, nodeSelector: {$patch: delete}}",
        "spec: {containers: [{name: a}], nonsense: 2}",
    );
}

#[test]
fn service_ports_merge_by_number() {
    story(
        SERVICE,
        "spec: {ports: [{port: 80, targetPort: 8080}, {port: 443}]}",
        "spec: {ports: [{port: 443, name: https}, {port: 80, targetPort: http}]}",
        "spec: {ports: [{port: 443, name: https}, {port: 80, targetPort: http}]}",
    );
}

#[test]
fn what_cannot_be_merged_is_an_error_of_upstreams() {
    let internal = |doc: &str, patch: &str, text: &str| {
        assert_eq!(
            merged(POD, doc, patch),
            Err(PatchError::Internal(text.to_owned()))
        );
    };
    internal(
        "spec: {containers: [{name: a}]}",
        "spec: {containers: [{image: x}]}",
        "map: map[image:x] does not contain declared merge key: name",
    );
    internal(
        "spec: {containers: [{name: a}]}",
        "spec: {containers: [{name: a, $patch: grow}]}",
        "unknown patch type: grow in map: map[$patch:grow name:a]",
    );
    internal(
        "spec: {containers: [{name: a}]}",
        "spec: {containers: [a]}",
        "list element types are not identical: [[map[name:a]] [a]]",
    );
    internal(
        "spec: {nonsense: {a: 1}}",
        "spec: {nonsense: {a: 2}}",
        "unable to find api field in struct PodSpec for the json field \"nonsense\"",
    );
    let ty = type_of("", "v1", "Pod").unwrap();
    assert_eq!(
        strategic_merge(b"{}", b"[1]", ty),
        Err(PatchError::BadRequest(
            "json: cannot unmarshal array into Go value of type map[string]interface {}".to_owned()
        ))
    );
    let lists = merged(
        POD,
        "metadata: {finalizers: [[a]]}",
        "metadata: {finalizers: [[b]]}",
    );
    assert_eq!(
        lists,
        Err(PatchError::Unprocessable(
            "lists of lists are not supported".to_owned()
        ))
    );
}
