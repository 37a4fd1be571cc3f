//! Documents over HTTP, which clients keep by their hashes. Upstream: `kube-openapi/pkg/handler`, `handler3`.

use super::{
    answer::{self, Body},
    documents::{Document, Documents},
    flow::Allowed,
    negotiate::{self, Form},
};
use http::{HeaderValue, Response, StatusCode, header, request::Parts};

/// How long a document that is asked for by its hash is good for.
const YEAR: jiff::SignedDuration = jiff::SignedDuration::from_hours(365 * 24);

/// `/openapi/v2`, as JSON or protobuf.
pub fn v2(documents: &Documents, parts: &Parts, form: Form) -> Response<Body> {
    let mut response = if negotiate::openapi_v2_protobuf(&parts.headers) {
        let form = Form {
            gzip: negotiate::gzip(&parts.headers),
            ..form
        };
        unless_known(documents.openapi_v2_protobuf(), parts, |text| {
            answer::packed(200, text, negotiate::OPENAPI_V2_PROTOBUF, form)
        })
    } else {
        tagged(documents.openapi_v2(), parts, form, false)
    };
    let vary = HeaderValue::from_static("Accept");
    response.headers_mut().append(header::VARY, vary);
    response
}

/// A document that clients keep by its hash.
pub fn tagged(document: &Document, parts: &Parts, form: Form, discovery: bool) -> Response<Body> {
    let mut response = unless_known(document, parts, |text| answer::json(200, text, form));
    if discovery {
        let headers = response.headers_mut();
        let kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    }
    response
}

/// `document` as `answer` has it, or only its hash if the client names that.
fn unless_known(
    document: &Document,
    parts: &Parts,
    answer: impl FnOnce(Vec<u8>) -> Response<Body>,
) -> Response<Body> {
    let tag = format!("\"{}\"", document.hash);
    let known = parts.headers.get_all(header::IF_NONE_MATCH).iter();
    let mut known = known
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let same = |known: &str| matches!(known.trim(), "*") || known.trim().trim_start_matches("W/") == tag;
    let mut response = if known.any(same) {
        let mut response = Response::new(answer::full(""));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        answer(document.text.clone())
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// `/openapi/v3/PATH`. Under its hash it never changes; under another there is another document.
pub fn v3(allowed: &Allowed, document: &Document, parts: &Parts, path: &str) -> Response<Body> {
    let hash = allowed.query.get("hash");
    if !(hash.is_empty() || hash == document.hash) {
        let mut response = Response::new(answer::full(""));
        *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
        if let Ok(there) = HeaderValue::from_str(&format!("/openapi/v3/{path}?hash={}", document.hash)) {
            response.headers_mut().insert(header::LOCATION, there);
        }
        return response;
    }
    let mut response = tagged(document, parts, allowed.form, false);
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Accept"));
    if !hash.is_empty() {
        let end = allowed.server.handler.env.clock.wall() + YEAR;
        let end = end.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        headers.extend(HeaderValue::from_str(&end).map(|end| (header::EXPIRES, end)));
        let cache = HeaderValue::from_static("public, immutable");
        headers.insert(header::CACHE_CONTROL, cache);
    }
    response
}
