//! DELETE of a collection.

use super::{Call, Handler, ListQuery, Page, Place};
use api::Status;
use client::DeleteOptions;

impl Handler {
    /// Deletes all objects that are selected. The page shows them as they were.
    pub async fn delete_collection(
        &self,
        place: &Place,
        call: &Call,
        query: &ListQuery,
        options: &DeleteOptions,
    ) -> Result<Page, Status> {
        let page = self.list(place, query).await?;
        for held in &page.items {
            let object = held.hub();
            let one = place.named(object.namespace(), object.name());
            // Each only as it was listed: what has its name by now is another object.
            let options = DeleteOptions {
                uid: Some(object.uid().to_owned()),
                ..options.clone()
            };
            match self.delete(&one, call, &options).await {
                Ok(_) => {}
                Err(status) if status.is_not_found() || status.is_conflict() => {}
                Err(status) => return Err(status),
            }
        }
        Ok(page)
    }
}
