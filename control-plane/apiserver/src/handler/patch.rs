//! PATCH.

use super::{Call, Handler, Incoming, Outcome, Place};
use crate::cache::Held;
use api::{Status, field};
use client::Patch;
use schema::PatchError;

/// How often a patch meets a newer object before it is a conflict, as upstream.
const TRIES: usize = 5;

impl Handler {
    /// Patches an object, or with a subresource its part.
    pub async fn patch(
        &self,
        place: &Place,
        call: &Call,
        kind: Patch,
        patch: &[u8],
    ) -> Result<Outcome, Status> {
        if kind == Patch::Apply {
            return self.apply(place, call, patch).await;
        }
        self.transact(place, call, TRIES, |held| patched(place, call, kind, patch, held))
            .await
    }
}

fn patched(place: &Place, call: &Call, kind: Patch, patch: &[u8], held: &Held) -> Result<Incoming, Status> {
    let old = held.version(place.version);
    let text = apply(
        kind,
        (place.group(), place.served().name, place.row().kind),
        &old.to_json(),
        patch,
    )?;
    super::decode::check_version(&text)?;
    let mut incoming = Incoming::decode(place, call.validation, &text)?;
    incoming.check_names(place)?;
    let uid = incoming.object.uid();
    if !uid.is_empty() && uid != old.uid() {
        let error = field::Error::invalid("metadata.uid", uid, "field is immutable");
        let (group, kind) = (place.group(), place.row().kind);
        return Err(Status::invalid(group, kind, &place.name, vec![error]));
    }
    // The version that the patch did not touch is no precondition.
    if incoming.object.resource_version() == old.resource_version() {
        incoming.object = incoming.object.at(0);
    }
    Ok(incoming)
}

/// `document`, of group, version and kind `of`, with `patch` applied.
pub fn apply(kind: Patch, of: (&str, &str, &str), document: &[u8], patch: &[u8]) -> Result<Vec<u8>, Status> {
    let made = match kind {
        Patch::Json => schema::json_patch(document, patch),
        Patch::Merge => schema::merge_patch(document, patch),
        Patch::Strategic => match schema::type_of(of.0, of.1, of.2) {
            Some(ty) => schema::strategic_merge(document, patch, ty),
            None => return Err(unsupported()),
        },
        Patch::Apply => return Err(unsupported()),
    };
    made.map_err(refusal)
}

fn unsupported() -> Status {
    let accepted = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
    Status::unsupported_media_type(format!(
        "the body of the request was in an unknown format - accepted media types include: {accepted}"
    ))
}

fn refusal(error: PatchError) -> Status {
    match error {
        PatchError::BadRequest(message) => Status::bad_request(message),
        PatchError::TooLarge(message) => Status::too_large(message),
        PatchError::Unprocessable(why) => {
            tracing::debug!(why, "patch does not apply");
            let message = "the server rejected our request due to an error in our request";
            Status {
                code: 422,
                reason: "Invalid".to_owned(),
                message: message.to_owned(),
                details: Some(Box::default()),
                ..Status::default()
            }
        }
        PatchError::Internal(message) => Status::internal(message),
    }
}
