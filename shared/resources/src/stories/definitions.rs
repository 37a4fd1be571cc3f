//! Stories of definitions of custom resources.

use super::*;

fn definition(names: &str, spec: &str) -> String {
    format!(
        r#"{{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{{"name":"tabs.example.com"}},"spec":{{"group":"example.com","names":{names},"scope":"Namespaced",{spec}}}}}"#
    )
}

const NAMES: &str = r#"{"kind":"Tab","plural":"tabs"}"#;

fn version(more: &str) -> String {
    format!(
        r#""versions":[{{"name":"v1","served":true,"storage":true,"schema":{{"openAPIV3Schema":{{"type":"object","properties":{{"spec":{{"type":"object","default":{{}},"properties":{{"size":{{"type":"integer","maximum":10.0,"default":0}}}}}}}}}}}}{more}}}]"#
    )
}

#[test]
fn a_definition_is_stored_whole() {
    let stored = create(&definition(NAMES, &version(r#","subresources":{"status":{}}"#)));
    for part in [
        r#""conversion":{"strategy":"None"}"#,
        r#""names":{"kind":"Tab","listKind":"TabList","plural":"tabs","singular":"tab"}"#,
        r#""default":{}"#,
        r#""maximum":10,"#,
        r#""default":0"#,
        r#""subresources":{"status":{}}"#,
        r#""status":{"storedVersions":["v1"]}"#,
        r#""generation":1"#,
    ] {
        assert!(stored.contains(part), "{part} in {stored}");
    }
    assert_eq!(
        line(&stored),
        "tabs.example.com|Namespaced|v1(storage)|2026-01-02T03:04:05Z|example.com|Tab||false"
    );
}

#[test]
fn definitions_are_checked() {
    let told = |names: &str, spec: &str| refused(&definition(names, spec));
    let webhook = r#","conversion":{"strategy":"Webhook","webhook":{"clientConfig":{"url":"http://a/?b"},"conversionReviewVersions":["v7"]}}"#;
    for (names, spec, expected) in [
        (
            r#"{"kind":"Tab","plural":"others"}"#,
            version(""),
            r#"metadata.name: Invalid value: "tabs.example.com": must be spec.names.plural+"."+spec.group"#,
        ),
        (
            r#"{"kind":"Tab","plural":"tabs","listKind":"Tab"}"#,
            version(""),
            r#"spec.names.listKind: Invalid value: "Tab": kind and listKind may not be the same"#,
        ),
        (
            r#"{"kind":"Tab","plural":"tabs","shortNames":["T"]}"#,
            version(""),
            r#"spec.names.shortNames[0]: Invalid value: "T": a DNS-1035 label"#,
        ),
        (
            NAMES,
            version("").replace(r#""storage":true"#, r#""storage":false"#),
            "must have exactly one version marked as storage version",
        ),
        (
            NAMES,
            version(r#","additionalPrinterColumns":[{"name":"A","type":"text","jsonPath":"spec"}]"#),
            r#"spec.versions[0].additionalPrinterColumns[0].type: Invalid value: "text": must be one of boolean,date,integer,number,string, spec.versions[0].additionalPrinterColumns[0].jsonPath: Invalid value: "spec": must be a simple json path starting with ."#,
        ),
        (
            NAMES,
            version(
                r#","subresources":{"scale":{"specReplicasPath":".status.a","statusReplicasPath":".status.b"}}"#,
            ),
            r#"spec.versions[0].subresources.scale.specReplicasPath: Invalid value: ".status.a": should be a json path under .spec"#,
        ),
        (
            NAMES,
            version(r#","selectableFields":[{"jsonPath":".spec.none"},{"jsonPath":".spec"}]"#),
            r#"spec.versions[0].selectableFields[0].jsonPath: Invalid value: ".spec.none": is an invalid path: does not refer to a valid field: none, spec.versions[0].selectableFields[1].jsonPath: Invalid value: ".spec": must point to a field of type string, boolean or integer."#,
        ),
        (
            NAMES,
            format!("{}{webhook}", version("")),
            r#"spec.conversion.webhook.clientConfig.url: Invalid value: "http://a/?b": 'https' is the only allowed URL scheme; desired format: https://host[/path], spec.conversion.webhook.clientConfig.url: Invalid value: "http://a/?b": query parameters are not permitted in the URL, spec.conversion.webhook.conversionReviewVersions: Invalid value: ["v7"]: must include at least one of v1, v1beta1"#,
        ),
        (
            NAMES,
            version(r#","deprecationWarning":"old""#),
            r#"spec.versions[0].deprecationWarning: Invalid value: "old": can only be set for deprecated versions"#,
        ),
    ] {
        let told = told(names, &spec);
        assert!(told.contains(expected), "{expected}\nin {told}");
    }
    let ours = definition(NAMES, &version("")).replace("example.com", "example.k8s.io");
    let told = refused(&ours);
    assert!(
        told.contains("metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation"),
        "{told}"
    );
}

#[test]
fn some_of_a_definition_is_immutable() {
    let stored = create(&definition(NAMES, &version("")));
    let established = stored.replace(
        r#""status":{"#,
        r#""status":{"conditions":[{"status":"True","type":"Established"}],"#,
    );
    let told = update(
        &established.replace(r#""scope":"Namespaced""#, r#""scope":"Cluster""#),
        &established,
    );
    assert!(
        told.unwrap_err()
            .contains(r#"spec.scope: Invalid value: "Cluster": field is immutable"#)
    );
    assert!(
        update(
            &stored.replace(r#""scope":"Namespaced""#, r#""scope":"Cluster""#),
            &stored
        )
        .is_ok()
    );
}
