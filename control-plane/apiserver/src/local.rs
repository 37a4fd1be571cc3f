//! The transport in memory: the server's own objects, by reference.

use crate::{
    Server,
    admission::Notes,
    aggregate::Across,
    audit::{Outside, Record},
    cache::{Item, Kind, Watcher},
    fairness::{Listing, Seat},
    handler::{Call, ListQuery, Place, Validation, WatchQuery},
    security::{Attributes, Selectors, User},
    subresources,
};
use api::{FieldSelector, Object, Status};
use client::{
    Discovered, List, ListParams, Target, Transport, WatchEvent, WatchParams, WatchStream, Write,
    WriteOptions,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use resources::VirtualResource;
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// How often a watcher that asked for bookmarks is told where it stands, if that has moved.
pub const BOOKMARKS: Duration = Duration::from_secs(60);

/// A client in this process. The user is private to it: there is no header that could claim to be another.
pub(crate) struct Local {
    server: Arc<Server>,
    user: Arc<User>,
    /// What is told of the request for which this is, if anything is.
    record: OnceLock<Arc<Record>>,
}

impl Local {
    pub(crate) fn new(server: Arc<Server>, user: User) -> Self {
        Self {
            server,
            user: Arc::new(user),
            record: OnceLock::new(),
        }
    }

    /// The same for one request.
    fn one(&self) -> Self {
        Self {
            server: self.server.clone(),
            user: self.user.clone(),
            record: OnceLock::new(),
        }
    }

    /// Begins the record of a request, if it is to have one.
    async fn begin(&self, asked: &Attributes) -> Result<(), Status> {
        let Some(audit) = &self.server.handler.security.audit else {
            return Ok(());
        };
        let long = asked.verb == "watch";
        match audit.record(asked, Outside::here(asked), long) {
            // It is begun once.
            Some(record) => self.record.get_or_init(|| record).begin().await,
            None => Ok(()),
        }
    }

    /// Ends it.
    async fn end<T>(&self, code: u16, done: &Result<T, Status>, object: impl FnOnce(&T) -> Option<&Object>) {
        if let Some(record) = self.record.get() {
            let answer = done.as_ref().map(object);
            record.returned(code, answer).await;
        }
    }

    fn place(&self, target: &Target) -> Result<Place, Status> {
        let places = &self.server.handler.places;
        places.find(&target.gvr, &target.namespace, &target.name, target.subresource)
    }

    /// The way to the other server that answers for the resource, if one does.
    fn across(&self, target: &Target) -> Option<Across> {
        Across::find(&self.server, &self.user, &target.gvr.group, &target.gvr.version)
    }

    /// Waits for a seat, and asks whether it is allowed.
    async fn allow(
        &self,
        asked: Attributes,
        list: Option<Listing>,
    ) -> Result<(Option<Seat>, Attributes), Status> {
        self.begin(&asked).await?;
        let asked = Arc::new(asked);
        let patience = self.server.limits.request_timeout;
        let seat = self.server.seat(&asked, list, patience).await;
        self.server.clients.answered(&self.user.name, seat.is_err());
        let seat = seat.map_err(|refused| refused.status())?;
        self.server
            .permit(&asked, self.record.get().map(AsRef::as_ref))
            .await?;
        Ok((seat, Arc::unwrap_or_clone(asked)))
    }

    async fn call(&self, verb: &str, place: &Place) -> Result<(Option<Seat>, Call), Status> {
        let (seat, attributes) = self
            .allow(Server::attributes(&self.user, verb, place), None)
            .await?;
        let call = Call {
            attributes,
            validation: Validation::Ignore,
            notes: Arc::new(Notes::of(self.record.get().cloned())),
            ..Call::default()
        };
        Ok((seat, call))
    }

    /// What is asked with `verb` of a collection. A selection of one name asks for that object, as over HTTP.
    fn collection(&self, verb: &str, place: &Place, fields: &str, labels: &str) -> Attributes {
        let mut attributes = Server::attributes(&self.user, verb, place);
        let selector = FieldSelector::parse(fields).unwrap_or_default();
        if let Some(name) = selector
            .required("metadata.name")
            .filter(|_| attributes.name.is_empty())
        {
            attributes.name = name.to_owned();
        }
        attributes.selectors = Selectors::parse(fields, labels);
        attributes
    }

    async fn read(&self, target: Target) -> Result<Arc<Object>, Status> {
        if let Some(across) = self.across(&target) {
            let _seat = self.allow(across.attributes("get", &target), None).await?;
            return across.get(target).await;
        }
        let place = self.place(&target)?;
        let _seat = self
            .allow(Server::attributes(&self.user, "get", &place), None)
            .await?;
        subresources::get(&self.server, &place).await
    }

    async fn read_list(&self, target: Target, params: ListParams) -> Result<List, Status> {
        if let Some(across) = self.across(&target) {
            let asked = across.attributes("list", &target);
            let _seat = self.allow(asked, Some(Listing::default())).await?;
            return across.list(target, params).await;
        }
        let place = self.place(&target)?;
        let asked = self.collection("list", &place, &params.field_selector, &params.label_selector);
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
        if let Some(across) = self.across(&target) {
            let _seat = self.allow(across.attributes("watch", &target), None).await?;
            return across.watch(target, params).await;
        }
        let place = self.place(&target)?;
        let asked = self.collection("watch", &place, &params.field_selector, &params.label_selector);
        let list = Listing {
            single: !asked.name.is_empty(),
            ..Listing::default()
        };
        let (_seat, asked) = self
            .allow(asked, (params.resource_version == 0).then_some(list))
            .await?;
        let watching = self.server.fairness.watches.begin(&asked, &params.field_selector);
        let selection = place.selection(&params.label_selector, &params.field_selector)?;
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
        if let Some(across) = self.across(&target) {
            let asked = across.attributes(verb(&write, &target.name), &target);
            let _seat = self.allow(asked, None).await?;
            return across.write(target, write, options).await;
        }
        let place = self.place(&target)?;
        let (_seat, mut call) = self.call(verb(&write, &place.name), &place).await?;
        self.sent(&write);
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
    /// What a version of a group has, here or elsewhere.
    async fn resources(&self, group: &str, version: &str) -> Result<Vec<Discovered>, Status> {
        let path = match group {
            "" => format!("/api/{version}"),
            group => format!("/apis/{group}/{version}"),
        };
        let asked = Attributes {
            user: self.user.clone(),
            verb: "get".to_owned(),
            path,
            ..Attributes::default()
        };
        let _seat = self.allow(asked, None).await?;
        if let Some(across) = Across::find(&self.server, &self.user, group, version) {
            return across.resources();
        }
        let documents = self.server.documents();
        let served = documents.served.iter();
        let found: Vec<_> = served
            .filter(|served| (served.group, served.version) == (group, version))
            .flat_map(|served| &served.resources)
            .filter(|listed| !listed.name.contains('/'))
            .map(|listed| Discovered {
                name: listed.name.clone(),
                kind: listed.kind.2.to_owned(),
                namespaced: listed.namespaced,
                verbs: listed.verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            })
            .collect();
        if found.is_empty() {
            return Err(Status::no_such_path());
        }
        Ok(found)
    }

    /// Tells the record what is sent.
    fn sent(&self, write: &Write) {
        if let Some(record) = self.record.get() {
            match write {
                Write::Create(json) | Write::Update(json) => record.sent(json, true),
                Write::Patch(_, json) => record.sent(json, false),
                Write::Delete(_) => {}
            }
        }
    }

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
        self.sent(&Write::Create(body.clone()));
        let call = Call {
            notes: Arc::new(Notes::of(self.record.get().cloned())),
            attributes,
            dry_run: options.dry_run,
            validation: Validation::Ignore,
            ..Call::default()
        };
        let outcome = subresources::create_virtual(&self.server, of, &target.namespace, &call, &body).await?;
        Ok(outcome.object)
    }
}

fn verb(write: &Write, name: &str) -> &'static str {
    match write {
        Write::Create(_) => "create",
        Write::Update(_) => "update",
        Write::Patch(..) => "patch",
        Write::Delete(_) if name.is_empty() => "deletecollection",
        Write::Delete(_) => "delete",
    }
}

fn query(place: &Place, params: ListParams) -> Result<ListQuery, Status> {
    Ok(ListQuery {
        selection: place.selection(&params.label_selector, &params.field_selector)?,
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
            let Some(item) = server.handler.ensure_item(&watcher, item).await.ok()? else {
                continue;
            };
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
        let own = self.one();
        async move {
            let done = contained(own.read(target)).await;
            own.end(200, &done, |object| Some(object.as_ref())).await;
            done
        }
        .boxed()
    }

    fn list(&self, target: Target, params: ListParams) -> BoxFuture<'_, Result<List, Status>> {
        let own = self.one();
        async move {
            let done = contained(own.read_list(target, params)).await;
            own.end(200, &done, |_| None).await;
            done
        }
        .boxed()
    }

    fn watch(&self, target: Target, params: WatchParams) -> BoxFuture<'_, Result<WatchStream, Status>> {
        let own = self.one();
        async move {
            let done = contained(own.read_watch(target, params)).await;
            let began = done.as_ref().map(drop).map_err(Clone::clone);
            own.end(200, &began, |()| None).await;
            let Some(record) = own.record.get().cloned() else {
                return done;
            };
            // It is complete when nobody watches any more.
            done.map(|events| {
                let keep = move |event| {
                    let _record = &record;
                    event
                };
                events.map(keep).boxed()
            })
        }
        .boxed()
    }

    fn write(
        &self,
        target: Target,
        write: Write,
        options: WriteOptions,
    ) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        let own = self.one();
        let code = if matches!(write, Write::Create(_)) {
            201
        } else {
            200
        };
        async move {
            let done = contained(own.change(target, write, options)).await;
            own.end(code, &done, |object| Some(object.as_ref())).await;
            done
        }
        .boxed()
    }

    fn discover(&self, group: String, version: String) -> BoxFuture<'_, Result<Vec<Discovered>, Status>> {
        let own = self.one();
        async move {
            let done = contained(own.resources(&group, &version)).await;
            own.end(200, &done, |_| None).await;
            done
        }
        .boxed()
    }
}
