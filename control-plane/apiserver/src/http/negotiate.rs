//! In which form a client wants its answer.

use crate::cache::{Include, Shape, Text};
use api::Status;
use component::gates::Gates;
use http::{HeaderMap, header};

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

/// Objects in upstream's protobuf form.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// Objects in CBOR.
pub const CBOR: &str = "application/cbor";
/// Events in CBOR, one behind the other.
pub const CBOR_SEQUENCE: &str = "application/cbor-seq";
/// The gate of CBOR.
const CBOR_GATE: &str = "CBORServingAndStorage";

/// Whether CBOR is read and written.
pub fn speaks_cbor(gates: &Gates) -> bool {
    gates.enabled(CBOR_GATE)
}

/// What an endpoint answers in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What is asked for.
    pub of: Kind,
    /// Whether CBOR is written.
    pub cbor: bool,
}

/// What an endpoint answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Objects of kinds that are built in.
    BuiltIn,
    /// Answers that are no objects of a collection, so have no table.
    Review,
    /// Custom objects: only their metadata has a protobuf form.
    Custom,
    /// Events of a watch of objects that are built in.
    Watch,
    /// Events of a watch of custom objects.
    CustomWatch,
}

impl Offer {
    /// What upstream says that it accepts, also where protobuf is only for metadata.
    fn accepted(self) -> &'static str {
        match (self.is_watch(), self.cbor) {
            (true, false) => {
                "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
            }
            (true, true) => {
                "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch, application/cbor-seq"
            }
            (false, false) => "application/json, application/yaml, application/vnd.kubernetes.protobuf",
            (false, true) => {
                "application/json, application/yaml, application/vnd.kubernetes.protobuf, application/cbor"
            }
        }
    }

    fn is_watch(self) -> bool {
        matches!(self.of, Kind::Watch | Kind::CustomWatch)
    }

    fn takes(self, form: &Form) -> bool {
        match (form.text, form.shape) {
            (_, Shape::Table(_)) if self.of == Kind::Review => false,
            (Text::Cbor, _) if !self.cbor => false,
            (Text::Protobuf, Shape::Object) => !matches!(self.of, Kind::Custom | Kind::CustomWatch),
            (Text::Protobuf | Text::Cbor, Shape::Table(_)) => false,
            (Text::Protobuf, Shape::Partial) | (Text::Json | Text::Yaml | Text::Cbor, _) => true,
        }
    }
}

/// Reads the headers, and `pretty` and `includeObject` of the query.
pub fn form(headers: &HeaderMap, query: &super::query::Query, offer: Offer) -> Result<Form, Status> {
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
    let mut form = choose(text(header::ACCEPT), include, offer)?;
    let agent = text(header::USER_AGENT);
    // Upstream indents for people at a terminal or browser.
    let person = ["curl", "Wget", "Mozilla/5.0"]
        .iter()
        .any(|a| agent.starts_with(a));
    form.pretty |= if query.get("pretty").is_empty() {
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

fn choose(accept: &str, include: Include, offer: Offer) -> Result<Form, Status> {
    if accept.trim().is_empty() {
        return Ok(Form::default());
    }
    let mut clauses: Vec<&str> = accept.split(',').collect();
    clauses.sort_by_key(|clause| std::cmp::Reverse(preference(clause)));
    let found = clauses
        .into_iter()
        .find_map(|clause| accepted(clause, include).filter(|form| offer.takes(form)));
    // The text is chosen first, and only then asked whether events can be framed in it.
    found
        .filter(|form| !(offer.is_watch() && form.text == Text::Yaml))
        .ok_or_else(|| Status::not_acceptable(offer.accepted()))
}

/// How much a clause is preferred: by its `q`, in thousandths, then by how much it names.
fn preference(clause: &str) -> (u64, usize) {
    let mut parts = clause.split(';').map(str::trim);
    let named = parts
        .next()
        .map_or(0, |kind| 2 - kind.matches('*').count().min(2));
    let q = parts.find_map(|part| part.strip_prefix("q=")?.trim().parse::<f64>().ok());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number from 0 to 1000"
    )]
    let thousandths = (q.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u64;
    (thousandths, named)
}

fn accepted(clause: &str, include: Include) -> Option<Form> {
    let mut parts = clause.split(';').map(str::trim);
    let text = match parts.next()? {
        "application/json" | "*/*" | "application/*" => Text::Json,
        "application/yaml" => Text::Yaml,
        PROTOBUF => Text::Protobuf,
        CBOR | CBOR_SEQUENCE => Text::Cbor,
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
        pretty: get("pretty") == "1",
        ..Form::default()
    };
    if !matches!(
        (get("stream"), text),
        ("", _) | ("watch", Text::Json | Text::Protobuf | Text::Cbor)
    ) {
        return None;
    }
    match (get("as"), get("g"), get("v")) {
        ("", _, _) => {}
        ("Table", "meta.k8s.io", "v1") => form.shape = Shape::Table(include),
        ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1") => {
            form.shape = Shape::Partial
        }
        ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") if text == Text::Json => {
            form.aggregated = true;
        }
        _ => return None,
    }
    Some(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(accept: &str, of: Kind) -> Result<(Text, Shape), Status> {
        choose(accept, Include::Metadata, Offer { of, cbor: false }).map(|form| (form.text, form.shape))
    }

    #[test]
    fn the_first_form_that_can_be_made_is_chosen() {
        let of = |accept: &str| chosen(accept, Kind::BuiltIn).unwrap();
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(of(kubectl), (Text::Json, Shape::Table(Include::Metadata)));
        assert_eq!(of("application/yaml"), (Text::Yaml, Shape::Object));
        let typed = "application/vnd.kubernetes.protobuf,application/json";
        assert_eq!(of(typed), (Text::Protobuf, Shape::Object));
        assert_eq!(
            of("application/json, application/vnd.kubernetes.protobuf").0,
            Text::Json
        );
        assert_eq!(of("*/*, application/vnd.kubernetes.protobuf").0, Text::Protobuf);
        assert_eq!(
            of("application/json;q=0.5, application/vnd.kubernetes.protobuf;q=0.9").0,
            Text::Protobuf
        );
        assert_eq!(
            of("application/vnd.kubernetes.protobuf;q=0.1, application/*").0,
            Text::Json
        );
        let table = "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io";
        assert_eq!(of(&format!("{table}, application/yaml")).0, Text::Yaml);
        let old =
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert!(
            !choose(
                old,
                Include::None,
                Offer {
                    of: Kind::BuiltIn,
                    cbor: false
                }
            )
            .unwrap()
            .aggregated
        );
        let pretty = |accept| {
            choose(
                accept,
                Include::None,
                Offer {
                    of: Kind::BuiltIn,
                    cbor: false,
                },
            )
            .unwrap()
            .pretty
        };
        assert!(pretty("application/json;pretty=1") && !pretty("application/json;pretty=0"));
        for refused in ["text/html", table] {
            let status = chosen(refused, Kind::BuiltIn).unwrap_err();
            let message = "only the following media types are accepted: application/json, application/yaml, \
                application/vnd.kubernetes.protobuf";
            assert_eq!((status.code, status.message.as_str()), (406, message));
        }
    }

    #[test]
    fn custom_objects_have_protobuf_only_of_their_metadata() {
        assert_eq!(chosen(PROTOBUF, Kind::Custom).unwrap_err().code, 406);
        let any = "application/vnd.kubernetes.protobuf, */*";
        assert_eq!(chosen(any, Kind::Custom), Ok((Text::Json, Shape::Object)));
        let partial = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        for offer in [Kind::Custom, Kind::CustomWatch, Kind::BuiltIn] {
            assert_eq!(chosen(partial, offer), Ok((Text::Protobuf, Shape::Partial)));
        }
    }

    #[test]
    fn watches_are_in_forms_that_have_frames() {
        let watch = "application/vnd.kubernetes.protobuf;stream=watch";
        assert_eq!(chosen(watch, Kind::Watch), Ok((Text::Protobuf, Shape::Object)));
        assert_eq!(
            chosen("application/json;stream=watch", Kind::CustomWatch)
                .unwrap()
                .0,
            Text::Json
        );
        let status = chosen("application/yaml", Kind::Watch).unwrap_err();
        let message = "only the following media types are accepted: application/json;stream=watch, \
            application/vnd.kubernetes.protobuf;stream=watch";
        assert_eq!((status.code, status.message.as_str()), (406, message));
        assert_eq!(
            chosen("application/yaml;stream=watch", Kind::Watch)
                .unwrap_err()
                .code,
            406
        );
        assert_eq!(
            chosen("application/json;stream=other", Kind::Watch)
                .unwrap_err()
                .code,
            406
        );
    }

    #[test]
    fn cbor_is_written_where_its_gate_is_on() {
        let chosen = |accept: &str, of, cbor| {
            choose(accept, Include::Metadata, Offer { of, cbor }).map(|form| (form.text, form.shape))
        };
        let of = [
            Kind::BuiltIn,
            Kind::Custom,
            Kind::Watch,
            Kind::CustomWatch,
            Kind::Review,
        ];
        for of in of {
            assert_eq!(chosen(CBOR, of, true), Ok((Text::Cbor, Shape::Object)));
            let both = "application/cbor, application/json;q=0.9";
            assert_eq!(chosen(both, of, false), Ok((Text::Json, Shape::Object)));
        }
        assert_eq!(chosen(CBOR_SEQUENCE, Kind::Watch, true).unwrap().0, Text::Cbor);
        let partial = "application/cbor;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        assert_eq!(
            chosen(partial, Kind::Custom, true),
            Ok((Text::Cbor, Shape::Partial))
        );
        let table = "application/cbor;as=Table;g=meta.k8s.io;v=v1";
        for (accept, of, cbor, end) in [
            (CBOR, Kind::BuiltIn, false, "application/vnd.kubernetes.protobuf"),
            (
                table,
                Kind::BuiltIn,
                true,
                "application/vnd.kubernetes.protobuf, application/cbor",
            ),
            (
                CBOR_SEQUENCE,
                Kind::Watch,
                false,
                "application/vnd.kubernetes.protobuf;stream=watch",
            ),
            (
                "application/yaml",
                Kind::Watch,
                true,
                "application/vnd.kubernetes.protobuf;stream=watch, application/cbor-seq",
            ),
        ] {
            let refused = chosen(accept, of, cbor).unwrap_err();
            assert!(
                refused.code == 406 && refused.message.ends_with(end),
                "{}",
                refused.message
            );
        }
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
