//! Objects in other versions of their resource, for those who are asked about these.

use crate::{
    cache::api_version,
    custom::Webhooks,
    handler::{self, Place},
    splice,
};
use api::{Object, Status};
use bytes::Bytes;
use std::sync::Arc;

/// `object`, which is in some version of the resource of `place`, in the version number `to`.
///
/// # Errors
/// It cannot be converted.
pub async fn in_version(
    conversions: &Webhooks,
    place: &Place,
    object: &Arc<Object>,
    to: usize,
) -> Result<Arc<Object>, Status> {
    let row = place.row();
    let wanted = api_version(row, &row.versions[to]);
    if object.api_version() == wanted {
        return Ok(object.clone());
    }
    let body = match place.cache.custom() {
        Some(custom) if custom.webhook.is_some() => {
            let converted = conversions.convert(&custom, to, vec![object.to_json()]).await?;
            let first = converted.into_iter().next();
            first
                .map(|first| first.body().clone())
                .ok_or_else(|| Status::internal("the conversion webhook answered no object"))?
        }
        Some(custom) => custom
            .renamed(to, object.body())
            .map_err(Status::internal)?
            .into(),
        None => match row.versions[to].from_hub {
            Some(from_hub) => from_hub(object.body())?.into(),
            None => named(object.body(), &wanted)?,
        },
    };
    let object = Object::parse_any(body, row.fields)
        .map_err(Status::internal)?
        .at(object.resource_version());
    Ok(Arc::new(object))
}

/// `body`, in the version number `from` or in another one that it names, in the form that the mutating phase has objects
/// in: the stored version, of a custom resource the version of the request.
///
/// # Errors
/// It cannot be converted.
pub async fn returned(
    conversions: &Webhooks,
    place: &Place,
    body: Bytes,
    from: usize,
) -> Result<Bytes, Status> {
    if place.cache.custom().is_none() {
        let row = place.row();
        let said = schema::type_meta(&body)
            .map(|meta| meta.api_version)
            .unwrap_or_default();
        let other = row
            .versions
            .iter()
            .position(|version| api_version(row, version) == said);
        let place = Place {
            version: other.unwrap_or(from),
            ..place.clone()
        };
        return handler::hub(&place, &body).map(Bytes::from);
    }
    let object = Object::parse_any(body, place.row().fields).map_err(Status::internal)?;
    let object = in_version(conversions, place, &Arc::new(object), place.version).await?;
    Ok(object.body().clone())
}

fn named(body: &[u8], version: &str) -> Result<Bytes, Status> {
    let version = splice::quoted(version);
    splice::set(body, "apiVersion", Some(&version))
        .map(Bytes::from)
        .map_err(Status::internal)
}
