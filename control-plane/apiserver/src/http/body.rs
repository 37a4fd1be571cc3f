//! Bodies of requests.

use super::negotiate::CBOR;
use api::Status;
use bytes::Bytes;
use client::Patch;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};

/// No body may be larger.
const LIMIT: usize = 3 << 20;

fn content_type(headers: &HeaderMap) -> &str {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

fn unknown_format(accepted: &str) -> Status {
    Status::unsupported_media_type(format!(
        "the body of the request was in an unknown format - accepted media types include: {accepted}"
    ))
}

/// All of a body, within the limit.
pub async fn read<B>(headers: &HeaderMap, body: B) -> Result<Bytes, Status>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let too_large = || Status::too_large(format!("Request entity too large: limit is {LIMIT}"));
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<usize>().ok());
    if length.is_some_and(|length| length > LIMIT) {
        return Err(too_large());
    }
    match Limited::new(body, LIMIT).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Err(error) => Err(Status::bad_request(format!("reading the body: {error}"))),
    }
}

/// A body that holds an object, as JSON. `cbor` says whether it may be CBOR.
pub fn object(headers: &HeaderMap, body: Bytes, cbor: bool) -> Result<Bytes, Status> {
    match content_type(headers).to_ascii_lowercase().as_str() {
        "" | "application/json" => Ok(body),
        "application/yaml" => schema::yaml_to_json(&body)
            .map(Bytes::from)
            .map_err(Status::bad_request),
        "application/vnd.kubernetes.protobuf" => {
            let json =
                schema::protobuf_to_json(&body).map_err(|error| Status::bad_request(error.to_string()))?;
            Ok(json.into())
        }
        CBOR if cbor => schema::cbor_to_json(&body)
            .map(Bytes::from)
            .map_err(|error| Status::bad_request(error.to_string())),
        _ if cbor => Err(unknown_format(
            "application/json, application/yaml, application/vnd.kubernetes.protobuf, application/cbor",
        )),
        _ => Err(unknown_format(
            "application/json, application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

/// An applied configuration, which is YAML, as JSON: most clients send JSON as such.
fn applied(body: Bytes) -> Result<Bytes, Status> {
    if schema::check_untyped(&body).is_ok() {
        return Ok(body);
    }
    schema::yaml_to_json(&body)
        .map(Bytes::from)
        .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))
}

/// The kind of a patch, and the patch as JSON. `cbor` says whether it may be CBOR.
pub fn patch(headers: &HeaderMap, body: Bytes, cbor: bool) -> Result<(Patch, Bytes), Status> {
    match content_type(headers) {
        "application/json-patch+json" => Ok((Patch::Json, body)),
        "application/merge-patch+json" => Ok((Patch::Merge, body)),
        "application/strategic-merge-patch+json" => Ok((Patch::Strategic, body)),
        "application/apply-patch+yaml" => Ok((Patch::Apply, applied(body)?)),
        "application/apply-patch+cbor" if cbor => {
            let json = schema::cbor_to_json(&body)
                .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
            Ok((Patch::Apply, json.into()))
        }
        _ if cbor => Err(unknown_format(
            "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
             application/apply-patch+yaml, application/apply-patch+cbor",
        )),
        _ => Err(unknown_format(
            "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
             application/apply-patch+yaml",
        )),
    }
}
