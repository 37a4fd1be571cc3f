//! `pods/eviction`: a delete that asks first. There are no disruption budgets to ask yet, so it is a delete.

use crate::{
    Server,
    handler::{Call, Did, Outcome, Place, delete_options},
};
use api::{Status, scan};

/// POST of a `policy/v1 Eviction`.
pub async fn create(server: &Server, place: &Place, call: &Call, body: &[u8]) -> Result<Outcome, Status> {
    let unusable = |error| Status::bad_request(format!("unable to decode Eviction: {error}"));
    let name = scan::scalar(body, "metadata.name").map_err(unusable)?;
    if !name.is_empty() && name != place.name {
        return Err(Status::bad_request(
            "name in URL does not match name in Eviction object",
        ));
    }
    let options = scan::find(body, "deleteOptions")
        .map_err(unusable)?
        .map_or(&b""[..], |range| &body[range]);
    let (options, dry_run) = delete_options(options)?;
    let whole = Place {
        subresource: String::new(),
        ..place.clone()
    };
    let call = Call {
        dry_run: dry_run || call.dry_run,
        ..call.clone()
    };
    let outcome = server.handler.delete(&whole, &call, &options).await?;
    Ok(Outcome {
        object: super::success(None)?,
        did: Did::Created,
        ..outcome
    })
}
