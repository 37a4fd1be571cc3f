//! An API object at rest: its encoded bytes and a header of what every part of the system asks of it.

use crate::{
    Key,
    encodings::{Budget, Encoding, Encodings},
    scan,
};
use bytes::Bytes;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use std::{ops::Range, sync::Arc};

/// A stretch of an object's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn of(range: &Range<usize>) -> Self {
        // Bodies are limited to a few megabytes long before this.
        Self {
            start: u32::try_from(range.start).unwrap_or(u32::MAX),
            end: u32::try_from(range.end).unwrap_or(u32::MAX),
        }
    }

    /// As a range of bytes.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Whether there is nothing in it.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// An owner reference.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Owner {
    /// Group and version of the owner.
    pub api_version: String,
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner, in the same namespace or cluster-scoped.
    pub name: String,
    /// UID of the owner.
    pub uid: String,
    /// The owner manages this object.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub controller: bool,
    /// The owner cannot go (in the foreground) before this object.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub block_owner_deletion: bool,
}

/// What is read of an object without decoding it. Strings are spans of the object's bytes.
#[derive(Clone, Debug, Default)]
pub struct Header {
    api_version: Span,
    kind: Span,
    metadata: Span,
    managed_fields: Span,
    name: Span,
    namespace: Span,
    uid: Span,
    /// The revision of the store that wrote it; 0 before it is stored.
    resource_version: u64,
    generation: i64,
    creation_timestamp: Option<Timestamp>,
    deletion_timestamp: Option<Timestamp>,
    deletion_grace_seconds: Option<i64>,
    labels: Box<[(Span, Span)]>,
    finalizers: Box<[Span]>,
    owners: Box<[Owner]>,
    /// Values of the row's selectable fields, in the row's order.
    fields: Box<[Box<str>]>,
}

/// The bytes are not an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// Not JSON.
    #[error(transparent)]
    Scan(#[from] scan::ScanError),
    /// A field of the metadata is not what it must be.
    #[error("metadata.{0}: invalid value")]
    Metadata(&'static str),
    /// Another form than JSON, which cannot be read.
    #[error("{0}")]
    Form(String),
}

/// An API object: header and canonical JSON. `metadata.resourceVersion` is never in the bytes: it is spliced in when
/// the object is written out, so that store, cache and watchers share one copy.
#[derive(Clone, Debug)]
pub struct Object {
    header: Header,
    body: Bytes,
    encodings: Encodings,
}

impl Object {
    /// Reads the header of `body` (JSON, without resourceVersion; see [`Object::parse_any`] for foreign text).
    /// `fields` are the dotted paths of the selectable fields, in the row's order.
    pub fn parse(body: Bytes, resource_version: u64, fields: &[&str]) -> Result<Self, ObjectError> {
        let mut header = Header {
            resource_version,
            ..Header::default()
        };
        let mut wanted = scan::Wanted::new(fields);
        for member in scan::members(&body, 0) {
            let (key, value) = member?;
            wanted.member(&body, &key, value.clone())?;
            match &*key {
                "apiVersion" => header.api_version = inner(&body, value, "apiVersion")?,
                "kind" => header.kind = inner(&body, value, "kind")?,
                "metadata" => header.read_metadata(&body, value)?,
                _ => {}
            }
        }
        let values = wanted.scalars(&body);
        let values = values.map(|value| value.map(|value| value.into_owned().into_boxed_str()));
        header.fields = values.collect::<Result<_, _>>()?;
        Ok(Self {
            header,
            body,
            encodings: Encodings::default(),
        })
    }

    /// Reads an object as a server sent it: takes `metadata.resourceVersion` out of the text.
    pub fn parse_any(body: Bytes, fields: &[&str]) -> Result<Self, ObjectError> {
        let Some(metadata) = scan::find(&body, "metadata")? else {
            return Self::parse(body, 0, fields);
        };
        let Some(value) = scan::find(&body[metadata.clone()], "resourceVersion")? else {
            return Self::parse(body, 0, fields);
        };
        let value = metadata.start + value.start..metadata.start + value.end;
        let version = scan::text(&body, value.clone())?.parse().unwrap_or(0);
        let text = without(&body, br#""resourceVersion""#, value);
        Self::parse(text.into(), version, fields)
    }

    /// The same object at another resourceVersion.
    pub fn at(&self, resource_version: u64) -> Self {
        let mut object = self.clone();
        object.header.resource_version = resource_version;
        object
    }

    /// The stored bytes: canonical JSON without resourceVersion.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    fn str(&self, span: Span) -> &str {
        // Spans were made from text that was checked to be UTF-8.
        std::str::from_utf8(&self.body[span.range()]).unwrap_or_default()
    }

    /// `apiVersion`.
    pub fn api_version(&self) -> &str {
        self.str(self.header.api_version)
    }

    /// `kind`.
    pub fn kind(&self) -> &str {
        self.str(self.header.kind)
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.str(self.header.name)
    }

    /// `metadata.namespace`; empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        self.str(self.header.namespace)
    }

    /// Namespace and name.
    pub fn key(&self) -> Key {
        Key::new(self.namespace(), self.name())
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> &str {
        self.str(self.header.uid)
    }

    /// `metadata.resourceVersion` as a number; 0 before it is stored.
    pub fn resource_version(&self) -> u64 {
        self.header.resource_version
    }

    /// `metadata.generation`.
    pub fn generation(&self) -> i64 {
        self.header.generation
    }

    /// `metadata.creationTimestamp`.
    pub fn creation_timestamp(&self) -> Option<Timestamp> {
        self.header.creation_timestamp
    }

    /// `metadata.deletionTimestamp`: set once the object is being deleted.
    pub fn deletion_timestamp(&self) -> Option<Timestamp> {
        self.header.deletion_timestamp
    }

    /// `metadata.deletionGracePeriodSeconds`.
    pub fn deletion_grace_seconds(&self) -> Option<i64> {
        self.header.deletion_grace_seconds
    }

    /// Labels, in the text's order.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.header
            .labels
            .iter()
            .map(|&(key, value)| (self.str(key), self.str(value)))
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// Finalizers.
    pub fn finalizers(&self) -> impl Iterator<Item = &str> {
        self.header.finalizers.iter().map(|&span| self.str(span))
    }

    /// Owner references.
    pub fn owners(&self) -> &[Owner] {
        &self.header.owners
    }

    /// The owner that manages it.
    pub fn controller(&self) -> Option<&Owner> {
        self.header.owners.iter().find(|owner| owner.controller)
    }

    /// The value of the row's selectable field number `index`.
    pub fn field(&self, index: usize) -> &str {
        self.header.fields.get(index).map_or("", |value| value)
    }

    /// An annotation (scanned for, not kept in the header).
    pub fn annotation(&self, key: &str) -> Option<String> {
        let metadata = self.header.metadata.range();
        let annotations = scan::find(&self.body[metadata.clone()], "annotations").ok()??;
        scan::members(&self.body, metadata.start + annotations.start)
            .filter_map(Result::ok)
            .find(|(k, _)| k == key)
            .and_then(|(_, value)| {
                scan::text(&self.body, value)
                    .ok()
                    .map(std::borrow::Cow::into_owned)
            })
    }

    /// Where `metadata` stands in the body; empty if there is none.
    pub fn metadata_span(&self) -> Span {
        self.header.metadata
    }

    /// Where the value of `metadata.managedFields` stands; empty if there is none.
    pub fn managed_fields_span(&self) -> Span {
        self.header.managed_fields
    }

    /// The text of `metadata.managedFields`; empty if there is none.
    pub fn managed_fields(&self) -> &[u8] {
        &self.body[self.header.managed_fields.range()]
    }

    /// The stored bytes without `metadata.managedFields`.
    pub fn unmanaged(&self) -> Bytes {
        let value = self.header.managed_fields;
        if value.is_empty() {
            return self.body.clone();
        }
        without(&self.body, br#""managedFields""#, value.range()).into()
    }

    /// Appends the object as JSON, with its resourceVersion, as `api_version` if another than the stored is wanted.
    pub fn write_json(&self, api_version: Option<&str>, out: &mut Vec<u8>) {
        out.reserve(self.body.len() + 40);
        let mut at = 0;
        if let Some(version) = api_version
            && !self.header.api_version.is_empty()
        {
            let span = self.header.api_version.range();
            out.extend_from_slice(&self.body[..span.start]);
            out.extend_from_slice(version.as_bytes());
            at = span.end;
        }
        let metadata = self.header.metadata.range();
        if metadata.is_empty() || metadata.start < at {
            out.extend_from_slice(&self.body[at..]);
            return;
        }
        out.extend_from_slice(&self.body[at..metadata.start]);
        self.write_metadata(out);
        out.extend_from_slice(&self.body[metadata.end..]);
    }

    /// Appends the value of `metadata` with its resourceVersion.
    pub fn write_metadata(&self, out: &mut Vec<u8>) {
        let metadata = &self.body[self.header.metadata.range()];
        if self.header.resource_version == 0 || metadata.is_empty() {
            out.extend_from_slice(if metadata.is_empty() { b"{}" } else { metadata });
            return;
        }
        out.extend_from_slice(br#"{"resourceVersion":""#);
        out.extend_from_slice(self.header.resource_version.to_string().as_bytes());
        let rest = metadata[1..].trim_ascii_start();
        out.extend_from_slice(if rest.starts_with(b"}") { b"\"" } else { b"\"," });
        out.extend_from_slice(rest);
    }

    /// The object as JSON, with its resourceVersion.
    pub fn to_json(&self) -> Bytes {
        let mut out = Vec::new();
        self.write_json(None, &mut out);
        out.into()
    }

    /// The object, with its resourceVersion, in another form than JSON: made by `make` unless it is kept, and kept as long as
    /// the object if `budget` has room.
    pub fn encoded<E>(
        &self,
        encoding: Encoding,
        budget: &Arc<Budget>,
        make: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Bytes, E> {
        self.encodings.get(encoding, budget, make)
    }

    /// Decodes a view: a small struct with the fields that are needed. `metadata.resourceVersion` is not in it; take
    /// it from [`Object::resource_version`].
    pub fn view<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

/// `body` without the member that has this key (in quotes) and value, and one comma.
fn without(body: &[u8], key: &[u8], value: Range<usize>) -> Vec<u8> {
    // The key stands before the colon before the value.
    let start = body[..value.start]
        .windows(key.len())
        .rposition(|w| w == key)
        .unwrap_or(value.start);
    let end = scan::skip_space(body, value.end);
    let mut text = Vec::with_capacity(body.len());
    if body.get(end) == Some(&b',') {
        text.extend_from_slice(&body[..start]);
        text.extend_from_slice(&body[end + 1..]);
    } else {
        let before = body[..start].trim_ascii_end();
        text.extend_from_slice(before.strip_suffix(b",").unwrap_or(before));
        text.extend_from_slice(&body[value.end..]);
    }
    text
}

impl Header {
    fn read_metadata(&mut self, body: &Bytes, range: Range<usize>) -> Result<(), ObjectError> {
        self.metadata = Span::of(&range);
        for member in scan::members(body, range.start) {
            let (key, value) = member?;
            match &*key {
                "name" => self.name = inner(body, value, "name")?,
                "namespace" => self.namespace = inner(body, value, "namespace")?,
                "uid" => self.uid = inner(body, value, "uid")?,
                "managedFields" => self.managed_fields = Span::of(&value),
                "generation" => self.generation = number(body, value, "generation")?,
                "deletionGracePeriodSeconds" => {
                    self.deletion_grace_seconds = Some(number(body, value, "deletionGracePeriodSeconds")?);
                }
                "creationTimestamp" => self.creation_timestamp = time(body, value, "creationTimestamp")?,
                "deletionTimestamp" => self.deletion_timestamp = time(body, value, "deletionTimestamp")?,
                "labels" => self.labels = labels(body, value)?,
                "finalizers" => {
                    let spans = scan::elements(body, value.start)?.into_iter();
                    self.finalizers = spans
                        .map(|e| inner(body, e, "finalizers"))
                        .collect::<Result<_, _>>()?;
                }
                "ownerReferences" => {
                    let owners: Vec<Owner> = serde_json::from_slice(&body[value])
                        .map_err(|_| ObjectError::Metadata("ownerReferences"))?;
                    self.owners = owners.into();
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The span inside the quotes of a plain string; empty for null.
fn inner(body: &Bytes, value: Range<usize>, field: &'static str) -> Result<Span, ObjectError> {
    if &body[value.clone()] == b"null" {
        return Ok(Span::default());
    }
    let wrong = ObjectError::Metadata(field);
    match scan::text(body, value.clone()) {
        Ok(std::borrow::Cow::Borrowed(_)) => Ok(Span::of(&(value.start + 1..value.end - 1))),
        _ => Err(wrong),
    }
}

fn number(body: &Bytes, value: Range<usize>, field: &'static str) -> Result<i64, ObjectError> {
    let text = std::str::from_utf8(&body[value]).map_err(|_| ObjectError::Metadata(field))?;
    text.parse().map_err(|_| ObjectError::Metadata(field))
}

fn time(body: &Bytes, value: Range<usize>, field: &'static str) -> Result<Option<Timestamp>, ObjectError> {
    if &body[value.clone()] == b"null" {
        return Ok(None);
    }
    let text = scan::text(body, value)?;
    text.parse().map(Some).map_err(|_| ObjectError::Metadata(field))
}

fn labels(body: &Bytes, value: Range<usize>) -> Result<Box<[(Span, Span)]>, ObjectError> {
    let mut found = Vec::new();
    for member in scan::members(body, value.start) {
        let (key, value) = member?;
        let value = inner(body, value, "labels")?;
        // The key stands, quoted, before the colon before the value; keys hold no escapes.
        let mut end = (value.start as usize).saturating_sub(1);
        while end > 0 && body[end - 1] != b'"' {
            end -= 1;
        }
        let end = end.saturating_sub(1);
        let start = end.saturating_sub(key.len());
        if body[start..end] != *key.as_bytes() {
            return Err(ObjectError::Metadata("labels"));
        }
        found.push((Span::of(&(start..end)), value));
    }
    Ok(found.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"default","uid":"u1","generation":2,"labels":{"app": "web","e":""},"creationTimestamp":"2026-01-02T03:04:05Z","ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"rs","uid":"u2","controller":true}],"finalizers":["a/b"],"annotations":{"k":"v\n"}},"spec":{"nodeName":"n1"}}"#;

    #[test]
    fn managed_fields_come_out() {
        let with = |managed: &str| {
            let text = format!(r#"{{"metadata":{{"labels":{{}}{managed}"name":"x"}}}}"#);
            Object::parse(text.into_bytes().into(), 0, &[]).unwrap()
        };
        let object = with(r#","managedFields":[{"manager":"me"}],"#);
        assert_eq!(object.managed_fields(), br#"[{"manager":"me"}]"#);
        assert_eq!(object.unmanaged(), with(",").body());
        assert_eq!(with(",").unmanaged(), with(",").body());
    }

    #[test]
    fn header_of_a_pod() {
        let pod = Object::parse(Bytes::from(POD), 42, &["spec.nodeName", "status.phase"]).unwrap();
        assert_eq!(
            (pod.name(), pod.namespace(), pod.uid(), pod.generation()),
            ("web", "default", "u1", 2)
        );
        assert_eq!(pod.labels().collect::<Vec<_>>(), [("app", "web"), ("e", "")]);
        assert_eq!(pod.controller().unwrap().name, "rs");
        assert_eq!(pod.finalizers().collect::<Vec<_>>(), ["a/b"]);
        assert_eq!((pod.field(0), pod.field(1)), ("n1", ""));
        assert_eq!(pod.annotation("k").as_deref(), Some("v\n"));
        assert_eq!(
            pod.creation_timestamp().unwrap().to_string(),
            "2026-01-02T03:04:05Z"
        );
    }

    #[test]
    fn resource_version_is_spliced_and_taken_out_again() {
        let pod = Object::parse(Bytes::from(POD), 42, &[]).unwrap();
        let text = pod.to_json();
        assert!(
            std::str::from_utf8(&text)
                .unwrap()
                .contains(r#""metadata":{"resourceVersion":"42","name""#)
        );
        let again = Object::parse_any(text, &[]).unwrap();
        assert_eq!(again.body(), pod.body());
        assert_eq!(again.resource_version(), 42);
        let last = Object::parse_any(
            Bytes::from(r#"{"metadata":{"name":"a", "resourceVersion" : "7"}}"#),
            &[],
        )
        .unwrap();
        assert_eq!((last.name(), last.resource_version()), ("a", 7));
        assert_eq!(last.body(), r#"{"metadata":{"name":"a"}}"#);
    }

    #[test]
    fn another_api_version_is_a_swap_of_bytes() {
        let pod = Object::parse(Bytes::from(POD), 0, &[]).unwrap();
        let mut out = Vec::new();
        pod.write_json(Some("v2"), &mut out);
        assert!(out.starts_with(br#"{"apiVersion":"v2","kind":"Pod""#));
    }
}
