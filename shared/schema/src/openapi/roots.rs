//! Paths that say what there is: versions, groups and resources, the release and the issuer of tokens.

use serde_json::{Value, json};

use super::{
    Dialect, Document, GroupVersion,
    operations::{ANSWERS, add_responses, capitalized, tag, words},
};
use crate::table::type_named;

const JSON: &[&str] = &["application/json"];

/// Adds the path of a group's version.
pub(super) fn version(document: &mut Document, group: &GroupVersion<'_>) {
    let id = format!(
        "get{}{}APIResources",
        capitalized(&words(group.group)),
        capitalized(&[group.version])
    );
    let answer = document.meta("APIResourceList");
    let path = format!("/{}/", group.path());
    insert(document, path, id, tag(group), &ANSWERS, answer);
}

/// Adds the paths above the versions of all groups, and those beside them.
pub(super) fn all(document: &mut Document, groups: &[GroupVersion<'_>]) {
    for group in groups.iter().map(|group| group.group) {
        let words = words(group);
        let (path, id, kind) = if group.is_empty() {
            ("/api/".to_owned(), "getCoreAPIVersions".to_owned(), "APIVersions")
        } else {
            let id = format!("get{}APIGroup", capitalized(&words));
            (format!("/apis/{group}/"), id, "APIGroup")
        };
        let answer = document.meta(kind);
        let tag = format!("{}{}", words[0], capitalized(&words[1..]));
        insert(document, path, id, tag, &ANSWERS, answer);
    }
    let answer = document.meta("APIGroupList");
    let place = |text: &str| text.to_owned();
    insert(
        document,
        place("/apis/"),
        place("getAPIVersions"),
        place("apis"),
        &ANSWERS,
        answer,
    );
    let info = "io.k8s.apimachinery.pkg.version.Info";
    document.types.extend(type_named(info));
    let answer = document.dialect.reference(info);
    let (id, tag) = (place("getCodeVersion"), place("version"));
    insert(document, place("/version/"), id, tag, JSON, answer);
    let text = json!({ "type": "string" });
    let id = place("getServiceAccountIssuerOpenIDConfiguration");
    let path = place("/.well-known/openid-configuration/");
    insert(document, path, id, place("WellKnown"), JSON, text.clone());
    let id = place("getServiceAccountIssuerOpenIDKeyset");
    let keys: &[&str] = &["application/jwk-set+json"];
    insert(
        document,
        place("/openid/v1/jwks/"),
        id,
        place("openid"),
        keys,
        text,
    );
}

fn insert(document: &mut Document, path: String, id: String, tag: String, types: &[&str], answer: Value) {
    let mut read = json!({ "operationId": id, "tags": [tag] });
    if document.dialect == Dialect::V2 && answer.get("$ref").is_some() {
        read["consumes"] = json!(types);
    }
    add_responses(document.dialect, &mut read, &[("200", "OK")], types, &answer);
    document.paths.insert(path, json!({ "get": read }));
}
