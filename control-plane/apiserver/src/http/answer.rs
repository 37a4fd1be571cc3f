//! Answers: bodies, codes and headers.

use super::{
    negotiate::{CBOR, Form, PROTOBUF},
    pretty::pretty,
    shape::transcoded,
};
use crate::cache::Text;
use api::{Encoding, Status};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use std::io::Write;

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Marks an answer that another server gave, and that is passed on as it comes: it may have no end, and what it is packed from
/// may be of any size.
#[derive(Clone, Copy, Debug)]
pub struct PassedOn;

/// Larger bodies are compressed when the client can take it, as upstream.
const LARGE: usize = 128 << 10;

/// A body that is there whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body that comes in pieces.
pub fn streamed(pieces: impl futures::Stream<Item = std::io::Result<Bytes>> + Send + 'static) -> Body {
    StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync()
}

fn code(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Plain text.
pub fn plain(status: u16, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = code(status);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// What upstream says of a path that nothing serves.
pub fn no_such_path() -> Response<Body> {
    plain(404, "404 page not found\n")
}

/// JSON text in the form that the client wants; as it is where it has no such form.
pub fn json(status: u16, text: Vec<u8>, form: Form) -> Response<Body> {
    let (text, kind) = match form.text {
        Text::Json if form.pretty => ([pretty(&text), vec![b'\n']].concat(), "application/json"),
        Text::Json => (text, "application/json"),
        Text::Yaml => {
            let yaml = schema::json_to_yaml(&text)
                .map(String::into_bytes)
                .unwrap_or(text);
            (yaml, "application/yaml")
        }
        Text::Protobuf | Text::Cbor => {
            let encoded = form
                .text
                .encoding()
                .map(|encoding| (encoding, transcoded(encoding, &text)));
            match encoded {
                Some((encoding, Ok(body))) => (body, media_type(encoding)),
                other => {
                    tracing::debug!(?other, "answered in JSON");
                    (text, "application/json")
                }
            }
        }
    };
    packed(status, text, kind, form)
}

/// The media type of an encoding.
pub fn media_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Protobuf => PROTOBUF,
        Encoding::Cbor => CBOR,
    }
}

/// Bytes that are `kind`, compressed if they are many and the client can take it.
pub fn packed(status: u16, text: Vec<u8>, kind: &'static str, form: Form) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = code(status);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let text = match (form.gzip && text.len() > LARGE).then(|| gzip(&text)).flatten() {
        Some(packed) => {
            mark_gzip(headers);
            packed
        }
        None => text,
    };
    *response.body_mut() = full(text);
    response
}

/// Says that the body is compressed.
pub fn mark_gzip(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
}

fn gzip(text: &[u8]) -> Option<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::fast());
    packer.write_all(text).ok()?;
    packer.finish().ok()
}

/// An error.
pub fn status(status: &Status, form: Form) -> Response<Body> {
    let mut response = json(status.code, status.to_json(), Form { gzip: false, ..form });
    let seconds = status
        .details
        .as_ref()
        .map_or(0, |details| details.retry_after_seconds);
    if seconds > 0 {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Adds warnings, as RFC 9110 has them and kubectl prints them.
pub fn warn(headers: &mut HeaderMap, warnings: &[String]) {
    for warning in warnings {
        let text = warning.replace('\\', r"\\").replace('"', r#"\""#);
        let text: String = text.chars().filter(|c| !c.is_control()).collect();
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{text}\"")) {
            headers.append(header::WARNING, value);
        }
    }
}
