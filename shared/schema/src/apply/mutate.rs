//! What a mutating admission policy applies: merged by the schema, and owned by nobody (upstream
//! `apiserver/pkg/admission/plugin/policy/mutating/patch/smd.go`).

use super::{
    merge::merge,
    node::{Node, Sort},
    raw::{Kind, Raw},
    validate::complaint,
};

/// `live` with what `patch` (JSON with sorted keys) says; what it does not name stays.
///
/// # Errors
/// In upstream's words: what is not of its type, or what of the patch would replace a whole where a part was meant.
pub fn mutate(node: Node<'_>, live: &[u8], patch: &[u8]) -> Result<Vec<u8>, String> {
    let (live, patch) = (Raw::new(live), Raw::new(patch));
    if let Some(why) = complaint(node, patch, false) {
        return Err(format!("failed to convert patch object to typed object: {why}"));
    }
    let mut atomic = Vec::new();
    find_atomic(node, patch, "", &mut atomic);
    if !atomic.is_empty() {
        let atomic = atomic.join(", ");
        return Err(format!(
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {atomic}"
        ));
    }
    if let Some(why) = complaint(node, live, true) {
        return Err(format!(
            "failed to convert original object to typed object: {why}"
        ));
    }
    Ok(merge(node, live, patch))
}

/// The paths of all lists, maps and structs that have one owner. Members of maps, which no schema declares, are not
/// looked into, as upstream.
fn find_atomic(node: Node<'_>, value: Raw<'_>, path: &str, found: &mut Vec<String>) {
    match value.kind() {
        Kind::Map => {
            if node.is_atomic() {
                found.push(path.to_owned());
            }
            for (name, value) in value.members() {
                if let Some((member, true)) = node.member(&name) {
                    find_atomic(member, value, &format!("{path}.{name}"), found);
                }
            }
        }
        Kind::List => {
            if node.sort(value) != Sort::List {
                found.push(path.to_owned());
            }
            for (at, value) in value.elements().into_iter().enumerate() {
                find_atomic(node.element(), value, &format!("{path}[{at}]"), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::config;

    fn changed(patch: &str) -> Result<String, String> {
        let node = Node::of(crate::type_of("apps", "v1", "Deployment").unwrap());
        let live = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},
            "template":{"spec":{"containers":[{"args":["x"],"image":"i","name":"c"}]}}}}"#;
        let made = mutate(node, live.as_bytes(), &config(patch.as_bytes()).unwrap())?;
        Ok(String::from_utf8(made).unwrap())
    }

    #[test]
    fn a_part_is_merged_and_a_whole_is_not_replaced() {
        let sidecar = r#"{"spec":{"template":{"spec":{"containers":[{"name":"s","image":"j"},{"name":"c","env":[{"name":"E","value":"v"}]}]}}}}"#;
        let made = changed(sidecar).unwrap();
        for part in [r#""args":["x"]"#, r#""image":"j""#, r#""value":"v""#] {
            assert!(made.contains(part), "{made}");
        }
        let refused = "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: ";
        for (patch, paths) in [
            (
                r#"{"spec":{"selector":{"matchLabels":{"c":"d"}}}}"#,
                ".spec.selector",
            ),
            (
                r#"{"spec":{"template":{"spec":{"containers":[{"name":"c","args":["y"],"command":[]}]}}}}"#,
                ".spec.template.spec.containers[0].args, .spec.template.spec.containers[0].command",
            ),
            (
                r#"{"spec":{"template":{"spec":{"nodeSelector":{"a":"b"}}}}}"#,
                ".spec.template.spec.nodeSelector",
            ),
        ] {
            assert_eq!(changed(patch).unwrap_err(), format!("{refused}{paths}"));
        }
        assert_eq!(
            changed(r#"{"spec":{"unknown":1}}"#).unwrap_err(),
            "failed to convert patch object to typed object: .spec.unknown: field not declared in schema"
        );
    }
}
