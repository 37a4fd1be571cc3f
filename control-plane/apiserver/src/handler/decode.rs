//! From a body as a client sent it to the stored form.

use super::Place;
use crate::splice;
use api::{Object, Status, scan};
use bytes::Bytes;
use resources::CustomVersion;
use schema::{Finding, Findings, Instance};

/// What becomes of unknown and duplicate fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validation {
    /// They are dropped in silence.
    #[default]
    Ignore,
    /// They are dropped with a warning.
    Warn,
    /// They are an error.
    Strict,
}

impl Validation {
    /// The value of `fieldValidation` that says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ignore => "Ignore",
            Self::Warn => "Warn",
            Self::Strict => "Strict",
        }
    }

    /// The value of `fieldValidation`; the server's default is to warn.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "Warn" => Some(Self::Warn),
            "Ignore" => Some(Self::Ignore),
            "Strict" => Some(Self::Strict),
            _ => None,
        }
    }
}

/// How far an object is on its way from the client to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// As the client wants it.
    Sent,
    /// Made by server-side apply, which settled who manages its fields.
    Applied,
    /// The row has seen it: it is what is to be stored.
    Prepared,
}

/// A body in its stored version.
#[derive(Debug)]
pub struct Incoming {
    /// Header and text. The header's resourceVersion is the one that the client sent, 0 for none.
    pub object: Object,
    /// What was wrong but let through.
    pub warnings: Vec<String>,
    /// How far it is.
    pub stage: Stage,
}

impl Incoming {
    /// Decodes `body`, which must be of the kind and version of `place`.
    pub fn decode(place: &Place, validation: Validation, body: &[u8]) -> Result<Self, Status> {
        check_kind(place, body)?;
        if let Some(custom) = place.cache.custom() {
            return decode_custom(place, &custom.versions[place.version], validation, body);
        }
        let warnings = check_fields(place, validation, body)?;
        let text = hub(place, body)?;
        let object = Object::parse_any(Bytes::from(text), place.row().fields)
            .map_err(|e| unusable(place, &e.to_string()))?;
        Ok(Self {
            object,
            warnings,
            stage: Stage::Sent,
        })
    }

    /// Checks that name and namespace are those of the URL, or left out.
    pub fn check_names(&self, place: &Place) -> Result<(), Status> {
        check_names(place, &self.object)
    }
}

/// The same of an object.
pub(super) fn check_names(place: &Place, object: &Object) -> Result<(), Status> {
    let (namespace, name) = (object.namespace(), object.name());
    if place.row().namespaced && !namespace.is_empty() && namespace != place.namespace {
        let message = match place.name.as_str() {
            "" => "the namespace of the provided object does not match the namespace sent on the request"
                .to_owned(),
            _ => format!(
                "the namespace of the object ({namespace}) does not match the namespace on the request ({})",
                place.namespace
            ),
        };
        return Err(Status::bad_request(message));
    }
    if !place.name.is_empty() && !name.is_empty() && name != place.name {
        let message = format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            place.name
        );
        return Err(Status::bad_request(message));
    }
    Ok(())
}

/// A version that is no number is no precondition but an error, as upstream.
pub(super) fn check_version(body: &[u8]) -> Result<(), Status> {
    let version = scan::scalar(body, "metadata.resourceVersion").unwrap_or_default();
    match version.is_empty() || version.parse::<u64>().is_ok() {
        true => Ok(()),
        false => Err(Status {
            reason: String::new(),
            message: format!("strconv.ParseUint: parsing {version:?}: invalid syntax"),
            ..Status::internal("")
        }),
    }
}

/// A custom resource stays in the version of the request: its write converts it.
fn decode_custom(
    place: &Place,
    version: &CustomVersion,
    validation: Validation,
    body: &[u8],
) -> Result<Incoming, Status> {
    let found = schema::check_untyped(body).map_err(|error| unusable(place, &error.to_string()))?;
    let instance = Instance::parse(body).map_err(|error| unusable(place, &error.to_string()))?;
    let shaped = instance
        .shaped(version.schema.as_ref(), version.preserve)
        .map_err(|why| unusable(place, &why))?;
    let mut findings = found;
    findings
        .0
        .extend(shaped.unknown.into_iter().map(Finding::Unknown));
    let warnings = judged(place, validation, &findings)?;
    let object = Object::parse_any(shaped.instance.to_json().into(), place.row().fields)
        .map_err(|e| unusable(place, &e.to_string()))?;
    Ok(Incoming {
        object,
        warnings,
        stage: Stage::Sent,
    })
}

/// `body`, of the served version of `place`, in the stored one.
pub fn hub(place: &Place, body: &[u8]) -> Result<Vec<u8>, Status> {
    let (served, row) = (place.served(), place.row());
    match served.to_hub {
        Some(to_hub) => to_hub(body),
        None if (place.group(), served.name) == (row.group, row.hub) => Ok(body.to_vec()),
        // The identity but for the name of the version.
        None => {
            let version = splice::quoted(&row.gvk().api_version());
            splice::set(body, "apiVersion", Some(&version)).map_err(|e| unusable(place, &e.to_string()))
        }
    }
}

fn unusable(place: &Place, why: &str) -> Status {
    let kind = place.row().kind;
    Status::bad_request(schema::mishandled(kind, place.served().name, kind, why))
}

/// Kind and version may be left out; if they are there they must be right.
fn check_kind(place: &Place, body: &[u8]) -> Result<(), Status> {
    let wanted = place.row().kind;
    let meta = schema::type_meta(body)
        .map_err(|error| Status::bad_request(schema::undecodable(wanted, &error, body)))?;
    if !meta.kind.is_empty() && meta.kind != wanted {
        let version = meta.api_version.rsplit('/').next().unwrap_or_default();
        let message = schema::mishandled(&meta.kind, version, wanted, "unknown conversion");
        return Err(Status::bad_request(message));
    }
    let expected = place.api_version();
    if !meta.api_version.is_empty() && meta.api_version != expected {
        let message = format!(
            "the API version in the data ({}) does not match the expected API version ({expected})",
            meta.api_version
        );
        return Err(Status::bad_request(message));
    }
    Ok(())
}

fn check_fields(place: &Place, validation: Validation, body: &[u8]) -> Result<Vec<String>, Status> {
    let row = place.row();
    let findings = match schema::type_of(place.group(), place.served().name, row.kind) {
        Some(ty) => schema::check(body, ty),
        None => schema::check_untyped(body),
    };
    let findings = findings.map_err(|error| unusable(place, &error.to_string()))?;
    judged(place, validation, &findings)
}

/// Warnings of what was found, or an error.
fn judged(place: &Place, validation: Validation, findings: &Findings) -> Result<Vec<String>, Status> {
    match validation {
        Validation::Ignore => Ok(Vec::new()),
        Validation::Warn => Ok(findings.0.iter().map(ToString::to_string).collect()),
        Validation::Strict => match findings.strict_error() {
            Some(error) => Err(unusable(place, &error)),
            None => Ok(Vec::new()),
        },
    }
}
