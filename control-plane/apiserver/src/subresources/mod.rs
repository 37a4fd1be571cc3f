//! What is not a plain read or write of an object: one file each.

mod binding;
mod eviction;
pub mod reviews;
mod scale;
mod selected;
mod token;

use crate::{
    Server,
    admission::Operation,
    handler::{Body, Call, Outcome, Place},
};
use api::{Gvk, Gvr, Object, Status};
use bytes::Bytes;
use client::Write;
use resources::VirtualResource;
use std::sync::Arc;

/// GET of an object or of a subresource that answers an object.
pub async fn get(server: &Server, place: &Place) -> Result<Arc<Object>, Status> {
    match place.subresource.as_str() {
        "" | "status" | "approval" | "finalize" | "ephemeralcontainers" | "resize" => {
            server.handler.get(place).await
        }
        "scale" => scale::get(server, place).await,
        _ => Err(Status::method_not_allowed()),
    }
}

/// A write of an object or subresource.
pub async fn write(server: &Server, place: &Place, call: &Call, write: Write) -> Result<Outcome, Status> {
    let handler = &server.handler;
    match (place.subresource.as_str(), write) {
        ("", Write::Create(body)) => handler.create(place, call, &body).await,
        ("", Write::Delete(options)) => handler.delete(place, call, &options).await,
        ("binding", Write::Create(body)) => binding::create(server, place, call, &body).await,
        ("eviction", Write::Create(body)) => eviction::create(server, place, call, &body).await,
        ("token", Write::Create(body)) => token::create(server, place, call, &body).await,
        ("scale", write) => scale::write(server, place, call, write).await,
        (_, Write::Update(body)) => handler.update(place, call, &body).await,
        (_, Write::Patch(kind, patch)) => handler.patch(place, call, kind, &patch).await,
        _ => Err(Status::method_not_allowed()),
    }
}

/// A POST of what is asked, not stored: a review, or a binding that names its pod itself.
pub async fn create_virtual(
    server: &Server,
    of: &VirtualResource,
    namespace: &str,
    call: &Call,
    body: &[u8],
) -> Result<Outcome, Status> {
    if of.kind == "Binding" {
        let pods = server
            .handler
            .places
            .find(&Gvr::new("", "v1", "pods"), namespace, "", "binding")?;
        return binding::create(server, &pods, call, body).await;
    }
    let what = Body {
        operation: Operation::Create,
        place: None,
        kind: Gvk::new(of.group, of.version, of.kind),
        name: "",
        json: Bytes::copy_from_slice(body),
        old: None,
    };
    let body = server.handler.admit_body(call, what).await?;
    reviews::create(server, of, namespace, call, &body).await
}

/// A `Status` that says success, as an object. Upstream writes the `code` into those that answer a create.
pub fn success(details: Option<&api::Details>, code: Option<u16>) -> Result<Arc<Object>, Status> {
    #[derive(serde::Serialize)]
    struct Success<'a> {
        kind: &'static str,
        #[serde(rename = "apiVersion")]
        api_version: &'static str,
        metadata: Empty,
        status: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        details: Option<&'a api::Details>,
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<u16>,
    }
    #[derive(serde::Serialize)]
    struct Empty {}
    let status = Success {
        kind: "Status",
        api_version: "v1",
        metadata: Empty {},
        status: "Success",
        details,
        code,
    };
    let text = serde_json::to_vec(&status).map_err(Status::internal)?;
    Object::parse(text.into(), 0, &[])
        .map(Arc::new)
        .map_err(Status::internal)
}
