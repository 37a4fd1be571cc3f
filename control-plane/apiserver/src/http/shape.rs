//! The shapes of answers: objects, lists, metadata only, tables, watch frames.

use crate::{
    cache::{Held, Include, Kind, Shape, Text},
    handler::{Page, Place},
};
use api::{Budget, Encoding, Object, Status};
use bytes::Bytes;
use jiff::Timestamp;
use resources::{Cell, Custom, CustomVersion, Row};
use std::sync::Arc;

/// Writes the shapes of one served resource.
#[derive(Clone)]
pub struct Shaper {
    /// The resource.
    pub row: &'static Row,
    /// Index of the served version.
    pub version: usize,
    /// Now, for ages.
    pub now: Timestamp,
    /// The shape.
    pub shape: Shape,
    /// The text of frames.
    pub text: Text,
    /// The definition of a custom resource.
    pub custom: Option<Arc<Custom>>,
    /// What encodings may take that are kept.
    pub encodings: Arc<Budget>,
}

/// What stands before and after the items of a list, and the items.
pub struct Encoded {
    /// Before.
    pub head: Vec<u8>,
    /// The items.
    pub items: Vec<Bytes>,
    /// After.
    pub tail: Vec<u8>,
}

/// The object `json` as a body of another form.
pub fn transcoded(encoding: Encoding, json: &[u8]) -> Result<Vec<u8>, String> {
    match encoding {
        Encoding::Protobuf => schema::json_to_protobuf(json).map_err(|error| error.to_string()),
        Encoding::Cbor => schema::json_to_cbor(json).map_err(|error| error.to_string()),
    }
}

impl Shaper {
    /// For the resource and version of `place`.
    pub fn new(place: &Place, (shape, text): (Shape, Text), now: Timestamp) -> Self {
        Self {
            row: place.row(),
            version: place.version,
            now,
            shape,
            text,
            custom: place.cache.custom(),
            encodings: place.cache.feed().encodings().clone(),
        }
    }

    /// One object, as JSON.
    pub fn one(&self, held: &Held) -> Vec<u8> {
        let object = held.version(self.version);
        let mut out = Vec::with_capacity(object.body().len() + 64);
        match self.shape {
            Shape::Table(include) => self.table(
                &[held],
                include,
                &version_meta(object.resource_version()),
                &mut out,
            ),
            _ => self.object(held, &mut out),
        }
        out
    }

    /// An object or its metadata, as JSON.
    pub fn object(&self, held: &Held, out: &mut Vec<u8>) {
        let object = held.version(self.version);
        match self.shape {
            Shape::Partial => partial(object, out),
            _ => object.write_json(None, out),
        }
    }

    /// A list, as JSON.
    pub fn list(&self, page: &Page) -> Vec<u8> {
        let size: usize = page
            .items
            .iter()
            .map(|held| held.version(self.version).body().len() + 64)
            .sum();
        let mut out = Vec::with_capacity(size + 256);
        if let Shape::Table(include) = self.shape {
            let items: Vec<&Held> = page.items.iter().collect();
            self.table(&items, include, &list_meta(page), &mut out);
            return out;
        }
        self.list_head(page, &mut out);
        for (index, held) in page.items.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.object(held, &mut out);
        }
        out.extend_from_slice(b"]}");
        out
    }

    /// What comes before the objects of a list.
    pub fn list_head(&self, page: &Page, out: &mut Vec<u8>) {
        let ((kind, version), meta) = (self.list_type(), list_meta(page));
        let head = format!(r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{meta},"items":["#);
        out.extend_from_slice(head.as_bytes());
    }

    /// An object or its metadata as a message of protobuf, or an item of CBOR. Those of objects are kept.
    fn encoded(&self, held: &Held, encoding: Encoding) -> Result<Bytes, String> {
        let object = held.version(self.version);
        let make = || {
            let ((kind, version), mut text) = (self.item_type(), Vec::new());
            self.object(held, &mut text);
            match encoding {
                Encoding::Protobuf => {
                    schema::json_to_message(&version, &kind, &text).map_err(|error| error.to_string())
                }
                Encoding::Cbor => {
                    schema::json_to_item(&version, &kind, &text).map_err(|error| error.to_string())
                }
            }
        };
        match self.shape {
            Shape::Object => object.encoded(encoding, &self.encodings, make),
            Shape::Partial | Shape::Table(_) => make().map(Bytes::from),
        }
    }

    /// An object or its metadata as a body of that form.
    pub fn body(&self, held: &Held, encoding: Encoding) -> Result<Vec<u8>, String> {
        let encoded = self.encoded(held, encoding)?;
        match encoding {
            Encoding::Protobuf => {
                let (kind, version) = self.item_type();
                schema::protobuf_body(&version, &kind, &encoded).map_err(|error| error.to_string())
            }
            Encoding::Cbor => Ok(schema::cbor_body(&encoded)),
        }
    }

    /// A list of objects or metadata in that form.
    pub fn encoded_list(&self, page: &Page, encoding: Encoding) -> Result<Encoded, String> {
        let ((kind, version), meta) = (self.list_type(), list_meta(page));
        let items = page.items.iter().map(|held| self.encoded(held, encoding));
        let items: Vec<Bytes> = items.collect::<Result<_, _>>()?;
        let (head, tail) = match encoding {
            Encoding::Protobuf => {
                let sizes = items.iter().map(Bytes::len);
                schema::protobuf_list(&version, &kind, meta.as_bytes(), sizes)
                    .map_err(|error| error.to_string())?
            }
            Encoding::Cbor => {
                let head = schema::cbor_list(&version, &kind, meta.as_bytes(), items.len());
                (head.map_err(|error| error.to_string())?, Vec::new())
            }
        };
        Ok(Encoded { head, items, tail })
    }

    /// Kind and version of an object, or its metadata.
    fn item_type(&self) -> (String, String) {
        match self.shape {
            Shape::Partial => ("PartialObjectMetadata".to_owned(), "meta.k8s.io/v1".to_owned()),
            _ => {
                let version = crate::cache::api_version(self.row, &self.row.versions[self.version]);
                (self.row.kind.to_owned(), version)
            }
        }
    }

    /// Kind and version of lists.
    fn list_type(&self) -> (String, String) {
        match self.shape {
            Shape::Partial => (
                "PartialObjectMetadataList".to_owned(),
                "meta.k8s.io/v1".to_owned(),
            ),
            _ => {
                let version = crate::cache::api_version(self.row, &self.row.versions[self.version]);
                (self.list_kind(), version)
            }
        }
    }

    fn custom(&self) -> Option<&CustomVersion> {
        self.custom
            .as_ref()
            .and_then(|custom| custom.versions.get(self.version))
    }

    fn list_kind(&self) -> String {
        self.custom().map_or_else(
            || format!("{}List", self.row.kind),
            |version| version.published.list_kind.clone(),
        )
    }

    fn cells(&self, held: &Held) -> Vec<Cell> {
        match self.custom() {
            Some(version) => version.cells(held.version(self.version), self.now),
            None => (self.row.cells)(held.hub(), self.now),
        }
    }

    /// A frame of a watch.
    pub fn frame(&self, kind: Kind, held: &Held) -> Bytes {
        match self.text.encoding() {
            Some(encoding) => self.encoded_frame(kind.name(), encoding, self.body(held, encoding)),
            None => json_frame(kind.name(), &self.one(held)),
        }
    }

    /// An event of the type `kind` about `object`, which is JSON.
    fn framed(&self, kind: &str, object: &[u8]) -> Bytes {
        match self.text.encoding() {
            Some(encoding) => self.encoded_frame(kind, encoding, transcoded(encoding, object)),
            None => json_frame(kind, object),
        }
    }

    /// An event of the type `kind` about an object, of which that is the body.
    fn encoded_frame(&self, kind: &str, encoding: Encoding, body: Result<Vec<u8>, String>) -> Bytes {
        let frame = match encoding {
            Encoding::Protobuf => schema::protobuf_frame,
            Encoding::Cbor => schema::cbor_frame,
        };
        let body = body.inspect_err(|error| {
            tracing::error!(resource = %self.row.gvr(), form = ?encoding, error, "an event cannot be written");
        });
        match body {
            Ok(body) => frame(kind, &body).into(),
            Err(error) => {
                let status = transcoded(encoding, &Status::internal(error).to_json());
                frame("ERROR", &status.unwrap_or_default()).into()
            }
        }
    }

    /// A bookmark; `initial_end` marks the end of the state at the start.
    pub fn bookmark(&self, revision: u64, initial_end: bool) -> Bytes {
        let mark = if initial_end {
            r#","annotations":{"k8s.io/initial-events-end":"true"}"#
        } else {
            ""
        };
        let meta = format!(r#"{{"resourceVersion":"{revision}"{mark}}}"#);
        let object = match self.shape {
            Shape::Table(_) => {
                let mut table = Vec::new();
                self.table(&[], Include::None, &meta, &mut table);
                String::from_utf8_lossy(&table).into_owned()
            }
            Shape::Partial => {
                format!(
                    r#"{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{meta}}}"#
                )
            }
            Shape::Object => {
                let version = crate::cache::api_version(self.row, &self.row.versions[self.version]);
                format!(
                    r#"{{"kind":"{}","apiVersion":"{version}","metadata":{meta}}}"#,
                    self.row.kind
                )
            }
        };
        self.framed("BOOKMARK", object.as_bytes())
    }

    fn table(&self, items: &[&Held], include: Include, meta: &str, out: &mut Vec<u8>) {
        let head = r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":"#;
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(meta.as_bytes());
        out.extend_from_slice(br#","columnDefinitions":"#);
        out.extend_from_slice(&self.columns());
        out.extend_from_slice(br#","rows":["#);
        for (index, held) in items.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(br#"{"cells":"#);
            let cells = self.cells(held);
            out.extend_from_slice(&serde_json::to_vec(&cells).unwrap_or_default());
            let object = held.version(self.version);
            match include {
                Include::None => {}
                Include::Metadata => {
                    out.extend_from_slice(br#","object":"#);
                    partial(object, out);
                }
                Include::Object => {
                    out.extend_from_slice(br#","object":"#);
                    object.write_json(None, out);
                }
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"]}");
    }
}

fn json_frame(kind: &str, object: &[u8]) -> Bytes {
    let head = format!(r#"{{"type":"{kind}","object":"#);
    [head.as_bytes(), object, b"}\n"].concat().into()
}

fn partial(object: &Object, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":"#);
    object.write_metadata(out);
    out.push(b'}');
}

fn version_meta(revision: u64) -> String {
    format!(r#"{{"resourceVersion":"{revision}"}}"#)
}

fn list_meta(page: &Page) -> String {
    let mut meta = format!(r#"{{"resourceVersion":"{}""#, page.revision);
    if !page.continue_token.is_empty() {
        meta.push_str(&format!(r#","continue":"{}""#, page.continue_token));
    }
    if let Some(remaining) = page.remaining {
        meta.push_str(&format!(r#","remainingItemCount":{remaining}"#));
    }
    meta.push('}');
    meta
}

#[derive(serde::Serialize)]
struct Column<'a> {
    name: &'a str,
    r#type: &'a str,
    format: &'a str,
    description: &'a str,
    priority: i32,
}

fn column(of: &resources::Column) -> Column<'_> {
    Column {
        name: of.name,
        r#type: of.kind,
        format: of.format,
        description: of.description,
        priority: of.priority,
    }
}

impl Shaper {
    fn columns(&self) -> Vec<u8> {
        let all: Vec<Column<'_>> = match self.custom() {
            Some(version) => {
                let own = version.columns.iter().map(|of| Column {
                    name: &of.name,
                    r#type: &of.kind,
                    format: &of.format,
                    description: &of.description,
                    priority: of.priority,
                });
                self.row
                    .columns
                    .first()
                    .map(column)
                    .into_iter()
                    .chain(own)
                    .collect()
            }
            None => self.row.columns.iter().map(column).collect(),
        };
        serde_json::to_vec(&all).unwrap_or_default()
    }
}
