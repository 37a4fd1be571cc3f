//! How a request comes to its seat, over HTTP and in memory.

use super::{Arc, Duration, Listing, Load, Refused, Seat};
use crate::{Server, security::Attributes};

impl Server {
    /// Waits for a seat for a request that has so much time, if requests are served by priority and fairness. `list` is
    /// what it lists, be it as the first part of a watch.
    pub(crate) async fn seat(
        &self,
        asked: &Arc<Attributes>,
        list: Option<Listing>,
        patience: Duration,
    ) -> Result<Option<Seat>, Refused> {
        if !self.limits.fairness {
            return Ok(None);
        }
        let load = self.load(asked, list);
        self.fairness.enter(asked.clone(), load, patience).await.map(Some)
    }

    fn load(&self, asked: &Attributes, list: Option<Listing>) -> Load {
        if !asked.is_resource {
            return Load::One;
        }
        match (asked.verb.as_str(), list) {
            ("list" | "watch", Some(list)) => {
                let cache = self.handler.cache(&asked.group, &asked.resource);
                let count = cache.map(|cache| u64::try_from(cache.len()).unwrap_or(u64::MAX));
                count.map_or(Load::One, |count| Load::List(list, count))
            }
            // No event is made of it.
            ("create", _)
                if (asked.resource.as_str(), asked.subresource.as_str()) == ("serviceaccounts", "token") =>
            {
                Load::One
            }
            ("create" | "update" | "patch" | "delete", _) => {
                Load::Write(self.fairness.watches.interested(asked))
            }
            _ => Load::One,
        }
    }
}
