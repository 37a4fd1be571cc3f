//! In which form a client wants its answer.

use crate::cache::{Include, Shape};
use api::Status;
use http::{HeaderMap, header};

/// The text an answer is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Text {
    /// JSON.
    #[default]
    Json,
    /// YAML.
    Yaml,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// Its text.
    pub text: Text,
    /// Its shape.
    pub shape: Shape,
    /// Indented.
    pub pretty: bool,
    /// Compressed, if it is large.
    pub gzip: bool,
    /// Aggregated discovery.
    pub aggregated: bool,
}

const ACCEPTED: &str = "application/json, application/yaml";

/// Reads the headers, and `pretty` and `includeObject` of the query.
pub fn form(headers: &HeaderMap, query: &super::query::Query) -> Result<Form, Status> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let include = match query.get("includeObject") {
        "None" => Include::None,
        "Object" => Include::Object,
        _ => Include::Metadata,
    };
    let mut form = choose(text(header::ACCEPT), include)?;
    let agent = text(header::USER_AGENT);
    // Upstream indents for people at a terminal or browser.
    let person = ["curl", "Wget", "Mozilla/5.0"]
        .iter()
        .any(|a| agent.starts_with(a));
    form.pretty = if query.get("pretty").is_empty() {
        person
    } else {
        query.flag("pretty")
    };
    form.gzip = gzip(headers);
    Ok(form)
}

/// Whether the client can take compressed answers.
pub fn gzip(headers: &HeaderMap) -> bool {
    let encodings = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok());
    encodings
        .unwrap_or_default()
        .split(',')
        .any(|e| e.trim().split(';').next() == Some("gzip"))
}

/// What the v2 document is as protobuf.
pub const OPENAPI_V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// The name that clients still ask for it by, which is no media type by the RFC.
const OPENAPI_V2_PROTOBUF_OLD: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// Whether the v2 document is wished as protobuf rather than as text.
pub fn openapi_v2_protobuf(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let wished = accept.unwrap_or_default().split(',').find_map(|clause| {
        let kind = clause.split(';').next().unwrap_or_default().trim();
        if [OPENAPI_V2_PROTOBUF, OPENAPI_V2_PROTOBUF_OLD].contains(&kind) {
            return Some(true);
        }
        accepted(clause, Include::Metadata).map(|_| false)
    });
    wished.unwrap_or_default()
}

fn choose(accept: &str, include: Include) -> Result<Form, Status> {
    if accept.trim().is_empty() {
        return Ok(Form::default());
    }
    accept
        .split(',')
        .find_map(|clause| accepted(clause, include))
        .ok_or_else(|| Status::not_acceptable(ACCEPTED))
}

fn accepted(clause: &str, include: Include) -> Option<Form> {
    let mut parts = clause.split(';').map(str::trim);
    let text = match parts.next()? {
        "application/json" | "*/*" | "application/*" => Text::Json,
        "application/yaml" => Text::Yaml,
        _ => return None,
    };
    let parameters: Vec<(&str, &str)> = parts.filter_map(|p| p.split_once('=')).collect();
    let get = |name| {
        parameters
            .iter()
            .find(|(n, _)| *n == name)
            .map_or("", |(_, value)| *value)
    };
    let mut form = Form {
        text,
        ..Form::default()
    };
    match (get("as"), get("g"), get("v")) {
        ("", _, _) => {}
        ("Table", "meta.k8s.io", "v1") => form.shape = Shape::Table(include),
        ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1") => {
            form.shape = Shape::Partial
        }
        ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => form.aggregated = true,
        _ => return None,
    }
    Some(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_that_can_be_made_is_chosen() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(
            choose(kubectl, Include::Metadata).unwrap().shape,
            Shape::Table(Include::Metadata)
        );
        let typed = "application/vnd.kubernetes.protobuf,application/json";
        assert_eq!(choose(typed, Include::None).unwrap(), Form::default());
        assert_eq!(
            choose("application/yaml", Include::None).unwrap().text,
            Text::Yaml
        );
        let old =
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert!(!choose(old, Include::None).unwrap().aggregated);
        assert_eq!(choose("text/html", Include::None).unwrap_err().code, 406);
    }

    #[test]
    fn the_v2_document_is_protobuf_for_those_who_ask() {
        let wished = |accept: &'static str| {
            openapi_v2_protobuf(&HeaderMap::from_iter([(
                header::ACCEPT,
                header::HeaderValue::from_static(accept),
            )]))
        };
        assert!(wished(OPENAPI_V2_PROTOBUF));
        assert!(wished(OPENAPI_V2_PROTOBUF_OLD));
        assert!(wished(
            "application/com.github.proto-openapi.spec.v2@v1.0+protobuf;q=1, application/json"
        ));
        assert!(!wished(
            "application/json, application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
        ));
        assert!(!wished("*/*"));
        assert!(!openapi_v2_protobuf(&HeaderMap::new()));
    }
}
