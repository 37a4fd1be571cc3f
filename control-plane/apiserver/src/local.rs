//! The transport in memory: the server's own objects, by reference.

use crate::{
    Server,
    cache::{Item, Kind, Selection, Watcher},
    fairness::{Listing, Seat},
    handler::{Call, ListQuery, Place, Validation, WatchQuery},
    security::{Attributes, User},
    subresources,
};
use api::{FieldSelector, Object, Status};
use client::{
    List, ListParams, Target, Transport, WatchEvent, WatchParams, WatchStream, Write, WriteOptions,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use resources::VirtualResource;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

/// How often a watcher that asked for bookmarks is told where it stands, if that has moved.
pub const BOOKMARKS: Duration = Duration::from_secs(60);

/// A client in this process. The user is private to it: there is no header that could claim to be another.
pub(crate) struct Local {
    server: Arc<Server>,
    user: Arc<User>,
}

impl Local {
    pub(crate) fn new(server: Arc<Server>, user: User) -> Self {
        Self {
            server,
            user: Arc::new(user),
        }
    }

    fn place(&self, target: &Target) -> Result<Place, Status> {
        let places = &self.server.handler.places;
        places.find(&target.gvr, &target.namespace, &target.name, target.subresource)
    }

    /// Waits for a seat, and asks whether it is allowed.
    async fn allow(
        &self,
        asked: Attributes,
        list: Option<Listing>,
    ) -> Result<(Option<Seat>, Attributes), Status> {
        let asked = Arc::new(asked);
        let patience = self.server.limits.request_timeout;
        let seat = self.server.seat(&asked, list, patience).await;
        self.server.clients.answered(&self.user.name, seat.is_err());
        let seat = seat.map_err(|refused| refused.status())?;
        self.server.authorize(&asked).await?;
        Ok((seat, Arc::unwrap_or_clone(asked)))
    }

    async fn call(&self, verb: &str, place: &Place) -> Result<(Option<Seat>, Call), Status> {
        let (seat, attributes) = self
            .allow(Server::attributes(&self.user, verb, place), None)
            .await?;
        let call = Call {
            attributes,
            validation: Validation::Ignore,
            ..Call::default()
        };
        Ok((seat, call))
    }

    /// What is asked with `verb` of a collection. A selection of one name asks for that object, as over HTTP.
    fn collection(&self, verb: &str, place: &Place, fields: &str) -> Attributes {
        let mut attributes = Server::attributes(&self.user, verb, place);
        let selector = FieldSelector::parse(fields).unwrap_or_default();
        if let Some(name) = selector
            .required("metadata.name")
            .filter(|_| attributes.name.is_empty())
        {
            attributes.name = name.to_owned();
        }
        attributes
    }

    async fn read(&self, target: Target) -> Result<Arc<Object>, Status> {
        let place = self.place(&target)?;
        let _seat = self
            .allow(Server::attributes(&self.user, "get", &place), None)
            .await?;
        subresources::get(&self.server, &place).await
    }

    async fn read_list(&self, target: Target, params: ListParams) -> Result<List, Status> {
        let place = self.place(&target)?;
        let asked = self.collection("list", &place, &params.field_selector);
        let list = Listing {
            limit: u64::try_from(params.limit).unwrap_or(u64::MAX),
            single: !asked.name.is_empty(),
            selects: !params.label_selector.is_empty() || !params.field_selector.is_empty(),
        };
        let _seat = self.allow(asked, Some(list)).await?;
        let query = query(&place, params)?;
        let page = self.server.handler.list(&place, &query).await?;
        let items = page
            .items
            .iter()
            .map(|held| held.version(place.version).clone())
            .collect();
        Ok(List {
            items,
            resource_version: page.revision,
            continue_token: page.continue_token,
        })
    }

    async fn read_watch(&self, target: Target, params: WatchParams) -> Result<WatchStream, Status> {
        let place = self.place(&target)?;
        let asked = self.collection("watch", &place, &params.field_selector);
        let list = Listing {
            single: !asked.name.is_empty(),
            ..Listing::default()
        };
        let (_seat, asked) = self
            .allow(asked, (params.resource_version == 0).then_some(list))
            .await?;
        let watching = self.server.fairness.watches.begin(&asked, &params.field_selector);
        let selection = Selection::parse(
            place.row(),
            &place.namespace,
            &params.label_selector,
            &params.field_selector,
        )?;
        let query = WatchQuery {
            selection,
            resource_version: Some(params.resource_version),
            send_initial: false,
        };
        let watcher = self.server.handler.watch(&place, query).await?;
        let events = events(watcher, params.bookmarks, self.server.clone());
        let keep = move |event| {
            let _keep = &watching;
            event
        };
        Ok(events.map(keep).boxed())
    }

    async fn change(
        &self,
        target: Target,
        write: Write,
        options: WriteOptions,
    ) -> Result<Arc<Object>, Status> {
        if let Some(of) = self.server.handler.places.virtual_resource(&target.gvr) {
            return self.ask(of, &target, write, options).await;
        }
        let place = self.place(&target)?;
        let (_seat, mut call) = self.call(verb(&write, &place), &place).await?;
        call.dry_run = options.dry_run;
        (call.field_manager, call.force) = (options.field_manager, options.force);
        if let (Write::Delete(delete), true) = (&write, place.name.is_empty()) {
            let query = query(&place, ListParams::default())?;
            self.server
                .handler
                .delete_collection(&place, &call, &query, delete)
                .await?;
            return subresources::success(None, None);
        }
        let outcome = subresources::write(&self.server, &place, &call, write).await?;
        Ok(outcome.object)
    }
}

impl Local {
    /// A create of what is not stored.
    async fn ask(
        &self,
        of: &'static VirtualResource,
        target: &Target,
        write: Write,
        options: WriteOptions,
    ) -> Result<Arc<Object>, Status> {
        let Write::Create(body) = write else {
            return Err(Status::method_not_allowed());
        };
        let attributes = Server::virtual_attributes(&self.user, of, &target.namespace);
        let (_seat, attributes) = self.allow(attributes, None).await?;
        let call = Call {
            attributes,
            dry_run: options.dry_run,
            validation: Validation::Ignore,
            ..Call::default()
        };
        let outcome = subresources::create_virtual(&self.server, of, &target.namespace, &call, &body).await?;
        Ok(outcome.object)
    }
}

fn verb(write: &Write, place: &Place) -> &'static str {
    match write {
        Write::Create(_) => "create",
        Write::Update(_) => "update",
        Write::Patch(..) => "patch",
        Write::Delete(_) if place.name.is_empty() => "deletecollection",
        Write::Delete(_) => "delete",
    }
}

fn query(place: &Place, params: ListParams) -> Result<ListQuery, Status> {
    let selection = Selection::parse(
        place.row(),
        &place.namespace,
        &params.label_selector,
        &params.field_selector,
    )?;
    Ok(ListQuery {
        selection,
        limit: params.limit,
        continue_token: params.continue_token,
        resource_version: params.resource_version,
        ..ListQuery::default()
    })
}

/// The stream of a watch. It ends when the watcher is cut; the client then starts again from where it stands.
fn events(watcher: Watcher, bookmarks: bool, server: Arc<Server>) -> WatchStream {
    let state = (watcher, server, 0u64);
    stream::unfold(state, move |(mut watcher, server, mut told)| async move {
        loop {
            let clock = &server.handler.env.clock;
            let item = match bookmarks {
                false => watcher.next().await?,
                true => match clock.timeout(BOOKMARKS, watcher.next()).await {
                    Some(item) => item?,
                    None => match watcher.bookmark() {
                        Err(item) => item,
                        Ok(revision) if revision <= told => continue,
                        Ok(revision) => Item::Bookmark(revision),
                    },
                },
            };
            if !server.handler.ensure_item(&watcher, &item).await {
                return None;
            }
            match item {
                Item::Event(kind, event) => {
                    told = event.revision.max(told);
                    let Some(object) = event.held(kind).map(|held| held.version(watcher.version).clone())
                    else {
                        continue;
                    };
                    let shown = match kind {
                        Kind::Added => WatchEvent::Added(object),
                        Kind::Modified => WatchEvent::Modified(object),
                        Kind::Deleted => WatchEvent::Deleted(object),
                    };
                    return Some((Ok(shown), (watcher, server, told)));
                }
                Item::InitialEnd(revision) | Item::Bookmark(revision) if bookmarks => {
                    told = revision;
                    return Some((Ok(WatchEvent::Bookmark(revision)), (watcher, server, told)));
                }
                Item::InitialEnd(_) | Item::Bookmark(_) => {}
            }
        }
    })
    .boxed()
}

/// A panic in the handler is the answer 500, not the end of the caller.
async fn contained<T>(work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let panicked = |_| Err(Status::internal("the request panicked"));
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(panicked)
}

impl Transport for Local {
    fn get(&self, target: Target) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        contained(self.read(target)).boxed()
    }

    fn list(&self, target: Target, params: ListParams) -> BoxFuture<'_, Result<List, Status>> {
        contained(self.read_list(target, params)).boxed()
    }

    fn watch(&self, target: Target, params: WatchParams) -> BoxFuture<'_, Result<WatchStream, Status>> {
        contained(self.read_watch(target, params)).boxed()
    }

    fn write(
        &self,
        target: Target,
        write: Write,
        options: WriteOptions,
    ) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        contained(self.change(target, write, options)).boxed()
    }
}
