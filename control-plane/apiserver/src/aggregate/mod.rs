//! The aggregation layer: groups of the API that other servers answer, found by their APIServices.
//! Upstream: `kube-aggregator`.

mod across;
mod attend;
mod available;
mod connect;
mod discover;
pub mod priority;
mod proxy;
mod register;
mod service;
#[cfg(test)]
mod stories;
mod trust;

pub use across::Across;
pub use discover::Found;
pub use proxy::answer;

use crate::{
    cache::{Cache, Event, Held},
    security::Trust,
};
use priority::Priority;
use rustls::client::ResolvesClientCert;
use service::{ApiService, name_of};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// What the aggregation layer is given.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The certificate of the front proxy, shown to other servers; none: they have nothing to know this one by.
    pub certificate: Option<Arc<dyn ResolvesClientCert>>,
    /// What other servers are told about whom to trust.
    pub trust: Trust,
}

/// What is known of all APIServices at one time.
#[derive(Clone, Default)]
pub struct Known {
    /// Grows with each change.
    pub number: u64,
    services: BTreeMap<String, Arc<ApiService>>,
    found: BTreeMap<String, Arc<Found>>,
}

/// A group and version that another server answers.
pub struct Elsewhere<'a> {
    /// Group.
    pub group: &'a str,
    /// Version.
    pub version: &'a str,
    /// What it has, as far as is known.
    pub found: Option<&'a Arc<Found>>,
    /// Whether it answers.
    pub available: bool,
}

impl Known {
    /// The place of a group and version in discovery.
    pub fn priority(&self, group: &str, version: &str) -> Priority {
        let service = self.services.get(&name_of(group, version));
        service
            .map(|service| service.priority)
            .or_else(|| priority::built_in(group, version))
            .unwrap_or(priority::CUSTOM)
    }

    /// What other servers answer.
    pub fn elsewhere(&self) -> impl Iterator<Item = Elsewhere<'_>> {
        let remote = self
            .services
            .iter()
            .filter(|(_, service)| service.remote.is_some());
        remote.map(|(name, service)| Elsewhere {
            group: &service.group,
            version: &service.version,
            found: self.found.get(name),
            available: service.available,
        })
    }

    /// The names of all APIServices, and whether they are available.
    pub fn availability(&self) -> impl Iterator<Item = (&str, bool)> {
        let services = self.services.iter();
        services.map(|(name, service)| (name.as_str(), service.available))
    }

    /// Whether another server answers for the group and version.
    pub fn is_elsewhere(&self, group: &str, version: &str) -> bool {
        let service = self.services.get(&name_of(group, version));
        service.is_some_and(|service| service.remote.is_some())
    }
}

/// The state of the aggregation layer.
#[derive(Default)]
pub struct Aggregator {
    pub(crate) settings: Settings,
    known: watch::Sender<Arc<Known>>,
    attended: attend::Attended,
}

impl Aggregator {
    /// With `settings`.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// What is known now.
    pub fn known(&self) -> Arc<Known> {
        self.known.borrow().clone()
    }

    fn change(&self, change: impl FnOnce(&mut Known) -> bool) {
        self.known.send_if_modified(|slot| {
            let mut known = Known::clone(slot);
            let changed = change(&mut known);
            if changed {
                known.number += 1;
                *slot = Arc::new(known);
            }
            changed
        });
    }

    /// Follows the APIServices of `cache` from now on.
    pub fn follow(self: &Arc<Self>, cache: &Cache) {
        let follower = self.clone();
        cache.set_hook(Box::new(move |event| follower.saw(event)));
    }

    /// Takes what is there at the start.
    pub fn fill(&self, cache: &Cache) {
        self.change(|known| {
            let objects = cache.snapshot().hubs(cache.row, "");
            let services = objects.iter().filter_map(|object| {
                let service = ApiService::of(object)?;
                Some((object.name().to_owned(), Arc::new(service)))
            });
            known.services = services.collect();
            true
        });
    }

    fn saw(&self, event: &Event) {
        let now = event.new.as_ref().map(Held::hub);
        let now = now.and_then(|object| ApiService::of(object)).map(Arc::new);
        self.change(|known| {
            let name = event.key.to_string();
            if known.services.get(&name) == now.as_ref() {
                return false;
            }
            if now.as_ref().is_none_or(|service| service.remote.is_none()) {
                known.found.remove(&name);
            }
            match now {
                Some(service) => known.services.insert(name, service),
                None => known.services.remove(&name),
            };
            true
        });
    }

    fn found(&self, name: &str, found: Found) {
        self.change(|known| {
            if known.found.get(name).is_some_and(|there| **there == found) {
                return false;
            }
            known.found.insert(name.to_owned(), Arc::new(found));
            true
        });
    }

    /// The other server that answers for the group and version, if one does.
    fn service(&self, group: &str, version: &str) -> Option<Arc<ApiService>> {
        let known = self.known();
        let service = known.services.get(&name_of(group, version))?;
        service.remote.as_ref().map(|_| service.clone())
    }

    /// The other server that answers for `path`, if one does.
    pub fn behind(&self, path: &str) -> Option<Arc<ApiService>> {
        let known = self.known();
        // As it was read for authorization: what is no path of a resource there is none here.
        let path = crate::http::percent_decode(path);
        let mut segments = crate::http::segments(&path).into_iter();
        let first = segments.next()?;
        let (first, document) = match first {
            "openapi" if segments.next() == Some("v3") => (segments.next()?, true),
            other => (other, false),
        };
        let group = match first {
            "api" => "",
            "apis" => segments.next()?,
            _ => return None,
        };
        let name = name_of(group, segments.next()?);
        let service = known.services.get(&name)?;
        service.remote.as_ref()?;
        let documented = || {
            known
                .found
                .get(&name)
                .is_some_and(|found| found.openapi.is_some())
        };
        (!document || documented()).then(|| service.clone())
    }
}
