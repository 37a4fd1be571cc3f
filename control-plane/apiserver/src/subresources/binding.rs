//! `pods/binding` and `bindings`: puts a pod on a node, once.

use crate::{
    Server,
    admission::Operation,
    handler::{Body, Call, Did, Incoming, Outcome, Place, Stage},
};
use api::{Gvk, Object, Status, scan};
use bytes::Bytes;

const TRIES: usize = 32;

/// POST of a `v1 Binding` for the pod at `place` (or, for `bindings`, the pod that it names).
pub async fn create(server: &Server, place: &Place, call: &Call, body: &[u8]) -> Result<Outcome, Status> {
    let unusable = |error| {
        Status::bad_request(schema::mishandled(
            "Binding",
            "v1",
            "Binding",
            &format!("{error}"),
        ))
    };
    let text = |path| scan::scalar(body, path).map_err(unusable);
    let (name, namespace) = (text("metadata.name")?, text("metadata.namespace")?);
    if !place.name.is_empty() && !name.is_empty() && name != place.name {
        return Err(Status::bad_request(
            "name in URL does not match name in Binding object",
        ));
    }
    if !namespace.is_empty() && namespace != place.namespace {
        let message = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(message));
    }
    let name = if place.name.is_empty() {
        name.into_owned()
    } else {
        place.name.clone()
    };
    let place = Place {
        name,
        subresource: "binding".to_owned(),
        ..place.clone()
    };
    let handler = &server.handler;
    let what = Body {
        operation: Operation::Create,
        place: Some(&place),
        kind: Gvk::new("", "v1", "Binding"),
        name: &place.name,
        json: Bytes::copy_from_slice(body),
        old: None,
    };
    let body = handler.admit_body(call, what).await?;
    let call = &Call {
        admitted: true,
        ..call.clone()
    };
    let now = handler.env.clock.wall();
    let bound = handler.transact(&place, call, TRIES, |held| {
        let bound = resources::bind(held.hub(), &body, now)?;
        let object = Object::parse(bound, 0, place.row().fields).map_err(Status::internal)?;
        Ok(Incoming {
            object,
            warnings: Vec::new(),
            stage: Stage::Prepared,
        })
    });
    bound.await?;
    Ok(Outcome {
        object: super::success(None, Some(201))?,
        did: Did::Created,
        warnings: Vec::new(),
    })
}
