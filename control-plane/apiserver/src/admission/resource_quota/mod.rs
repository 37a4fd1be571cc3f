//! ResourceQuota: what a request uses is added to the quotas of its namespace before the object is written, by writes
//! that fail if another server was faster; so no quota is exceeded, however many create at once (upstream
//! `apiserver/pkg/admission/plugin/resourcequota`).
//!
//! Requests that come while a quota is being written wait and are added together, with one write for all. What was added
//! for a request that comes to nothing is taken off at once.

mod books;
mod check;
#[cfg(test)]
pub(crate) mod story;
#[cfg(test)]
mod tests;

pub use check::Limited;

use super::{Attributes, Operation, Parts, Remote};
use api::{Gvr, Status, quota};
use books::Books;
use check::Ask;
use futures::{FutureExt, future::BoxFuture};
use serde::Deserialize;
use std::sync::{Arc, Mutex};

const QUOTAS: Gvr = Gvr::new("", "v1", "resourcequotas");

/// `apiserver.config.k8s.io/v1 ResourceQuotaConfiguration`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Configuration {
    /// What may be used only under a quota.
    pub limited_resources: Vec<Limited>,
}

impl Configuration {
    /// Says what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let nameless = self
            .limited_resources
            .iter()
            .position(|limited| limited.resource.is_empty());
        match nameless {
            Some(at) => Err(format!("limitedResources[{at}].resource: Required value")),
            None => Ok(()),
        }
    }
}

/// The plugin.
pub struct ResourceQuota(Arc<Books>);

impl ResourceQuota {
    /// The plugin.
    pub fn new(parts: &Parts) -> Self {
        Self(Arc::new(Books {
            reader: parts.reader.clone(),
            own: parts.own.clone(),
            clock: parts.env.clock.clone(),
            limited: parts.configuration.resource_quota.limited_resources.clone(),
            desks: Mutex::default(),
        }))
    }

    /// What is asked for; none if quotas have nothing to do with it.
    fn ask(&self, request: &Attributes<'_>) -> Option<Ask> {
        let of = request.request();
        let item =
            |object: &Option<Arc<api::Object>>| quota::Item::new(&of.group, &of.resource, object.as_deref()?);
        let (item, old) = (item(&request.object)?, item(&request.old));
        let create = request.operation == Operation::Create;
        let moved = old.as_ref().is_some_and(|old| item.moved_from(old));
        let concerns = match (of.group.as_str(), of.resource.as_str(), of.subresource.as_str()) {
            ("", "pods", "") => create || moved,
            ("", "pods", "resize") => !create,
            ("", "persistentvolumeclaims", "status") => moved,
            _ => true,
        };
        concerns.then(|| Ask {
            gvr: request.gvr(),
            name: request.object_name().to_owned(),
            item,
            old,
            of_status: of.subresource == "status",
            dry_run: request.call.dry_run,
            now: self.0.clock.wall(),
        })
    }

    async fn evaluate(&self, request: &Attributes<'_>, ask: Ask) -> Result<(), Status> {
        let (books, begun) = (self.0.clone(), self.0.clock.now());
        let namespace = request.request().namespace.clone();
        let added = books.add(&namespace, ask).await?;
        if !added.is_empty() {
            let undo = async move { books.take_off(&namespace, added, begun).await };
            request.call.undo.push(undo.boxed());
        }
        Ok(())
    }
}

impl Remote for ResourceQuota {
    fn validates(&self, request: &Attributes<'_>) -> bool {
        let of = request.request();
        let subresource = of.subresource.as_str();
        let handled = match (of.group.as_str(), of.resource.as_str()) {
            ("", "namespaces") => false,
            ("", "pods") => subresource.is_empty() || subresource == "resize",
            ("", "persistentvolumeclaims") => subresource.is_empty() || subresource == "status",
            ("", "services") => request.operation != Operation::Create || subresource.is_empty(),
            (group, plural) => {
                let create = request.operation == Operation::Create;
                create && subresource.is_empty() && !quota::is_ignored(group, plural)
            }
        };
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        let stored = request.place.is_some() && !of.namespace.is_empty();
        let limited = || !self.0.limited.is_empty() || !self.0.reader.list(&QUOTAS, &of.namespace).is_empty();
        handled && writes && stored && limited()
    }

    fn validate<'a>(&'a self, request: &'a Attributes<'_>) -> BoxFuture<'a, Result<(), Status>> {
        async move {
            match self.ask(request) {
                Some(ask) => self.evaluate(request, ask).await,
                None => Ok(()),
            }
        }
        .boxed()
    }
}
