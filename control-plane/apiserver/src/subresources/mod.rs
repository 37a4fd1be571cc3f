//! What is not a plain read or write of an object: one file each.

use crate::{
    Server,
    handler::{Call, Outcome, Place},
};
use api::{Object, Status};
use client::Write;
use std::sync::Arc;

/// GET of an object or of a subresource that answers an object.
pub async fn get(server: &Server, place: &Place) -> Result<Arc<Object>, Status> {
    match place.subresource.as_str() {
        "" | "status" | "finalize" | "ephemeralcontainers" | "resize" => server.handler.get(place).await,
        _ => Err(Status::method_not_allowed()),
    }
}

/// A write of an object or subresource.
pub async fn write(server: &Server, place: &Place, call: &Call, write: Write) -> Result<Outcome, Status> {
    let handler = &server.handler;
    match (place.subresource.as_str(), write) {
        ("", Write::Create(body)) => handler.create(place, call, &body).await,
        ("", Write::Delete(options)) => handler.delete(place, call, &options).await,
        (_, Write::Update(body)) => handler.update(place, call, &body).await,
        (_, Write::Patch(kind, patch)) => handler.patch(place, call, kind, &patch).await,
        _ => Err(Status::method_not_allowed()),
    }
}

/// A `Status` that says success, as an object.
pub fn success(details: Option<&api::Details>) -> Result<Arc<Object>, Status> {
    #[derive(serde::Serialize)]
    struct Success<'a> {
        kind: &'static str,
        #[serde(rename = "apiVersion")]
        api_version: &'static str,
        metadata: Empty,
        status: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        details: Option<&'a api::Details>,
    }
    #[derive(serde::Serialize)]
    struct Empty {}
    let status = Success { kind: "Status", api_version: "v1", metadata: Empty {}, status: "Success", details };
    let text = serde_json::to_vec(&status).map_err(Status::internal)?;
    Object::parse(text.into(), 0, &[]).map(Arc::new).map_err(Status::internal)
}
