//! Requests about resources.

use super::{
    answer::{self, Body},
    body, components, connect,
    connection::Second,
    decisions, discovery,
    flow::{self, Allowed},
    kubelet, listing,
    negotiate::{self, Form, Kind},
    patience, proxy, query, room,
    shape::Shaper,
    stream,
};
use crate::{
    admission::{Notes, Operation},
    cache::{Held, Shape, Text},
    fairness::room::Taken,
    handler::{self, Call, Did, Outcome, Page, Place, WatchQuery},
    subresources,
};
use api::{Details, Status};
use client::Write;
use http::{Request, Response};
use hyper::body::Incoming;
use std::{sync::Arc, time::Duration};

/// What of a pod is a connection to it.
const STREAMS: [&str; 3] = ["exec", "attach", "portforward"];
const CREATE_GATE: &str = "AuthorizePodWebsocketUpgradeCreatePermission";

/// Answers it, with the warnings of admission whatever becomes of it.
pub async fn answer(allowed: Allowed, request: Request<Incoming>) -> Result<Response<Body>, Status> {
    let (notes, form) = (Arc::new(Notes::of(allowed.record.clone())), allowed.form);
    let answered = noted(allowed, request, &notes).await;
    let warnings = notes.take_warnings();
    if warnings.is_empty() {
        return answered;
    }
    let mut response = answered.unwrap_or_else(|status| answer::status(&status, form));
    answer::warn(response.headers_mut(), &warnings);
    Ok(response)
}

async fn noted(
    mut allowed: Allowed,
    request: Request<Incoming>,
    notes: &Arc<Notes>,
) -> Result<Response<Body>, Status> {
    let route = &allowed.route;
    if (route.gvr.group.as_ref(), route.gvr.resource.as_ref()) == (decisions::GROUP, decisions::PLURAL) {
        return flow::decisions(&allowed).await;
    }
    if let Some(of) = allowed.server.handler.places.virtual_resource(&route.gvr) {
        if route.verb != "create" || !route.name.is_empty() {
            return Err(Status::method_not_allowed());
        }
        if of.namespaced == route.namespace.is_empty() {
            return Ok(answer::no_such_path());
        }
        allowed.form = negotiate::form(request.headers(), &allowed.query, allowed.offer(Kind::Review))?;
        let body = object_body(&allowed, request).await?;
        let call = call(&allowed, of.namespaced, notes)?;
        let outcome =
            subresources::create_virtual(&allowed.server, of, &allowed.route.namespace, &call, &body).await?;
        return Ok(allowed.shaped(|| written(&allowed, None, outcome)));
    }
    let Some(place) = place(&allowed) else {
        return nothing(&allowed);
    };
    check_segments(&place)?;
    check_verb(&place, route.verb)?;
    if !place.subresource.is_empty() && !place.has(&place.subresource) {
        return Err(Status::no_such_path());
    }
    admit_connection(&allowed, &place, &request, notes).await?;
    may_create(&allowed, &place).await?;
    if place.subresource == "proxy" {
        return proxy::answer(&allowed, &place, request).await;
    }
    if allowed.form.text == Text::Protobuf && !has_protobuf(&place) {
        let kind = if allowed.route.verb == "watch" {
            Kind::CustomWatch
        } else {
            Kind::Custom
        };
        allowed.form = negotiate::form(request.headers(), &allowed.query, allowed.offer(kind))?;
    }
    let route = &allowed.route;
    let verb = route.verb;
    let custom = place.cache.custom();
    let warning = custom.and_then(|custom| custom.versions[place.version].warning.clone());
    let warning = warning.or_else(|| components::are_at(&place).then(|| components::WARNING.to_owned()));
    let mut response = match (verb, place.subresource.as_str()) {
        ("get" | "list", "") if components::are_at(&place) => component_statuses(&allowed, &place).await,
        ("get", "log") => kubelet::log(&allowed, &place, request).await,
        ("get" | "create", "exec" | "attach" | "portforward") => {
            kubelet::stream(&allowed, &place, request).await
        }
        ("get", _) => get(&allowed, &place).await,
        ("list", "") => list(&allowed, &place).await,
        ("watch", "") => watch(&allowed, &place, request.extensions().get()).await,
        ("deletecollection", "") => delete_collection(&allowed, &place, request, notes).await,
        ("create" | "update" | "patch" | "delete", _) => write(&allowed, &place, request, notes).await,
        _ => Err(Status::method_not_allowed()),
    }?;
    answer::warn(response.headers_mut(), warning.as_slice());
    Ok(response)
}

/// Asks admission about a connection, if the request is for one.
async fn admit_connection(
    allowed: &Allowed,
    place: &Place,
    request: &Request<Incoming>,
    notes: &Arc<Notes>,
) -> Result<(), Status> {
    let asked = connect::options(place, &allowed.query, request.uri().path())?;
    let Some((kind, json)) = asked else {
        return Ok(());
    };
    let call = Call {
        attributes: attributes(allowed, true),
        notes: notes.clone(),
        ..Call::default()
    };
    let what = handler::Body {
        operation: Operation::Connect,
        place: Some(place),
        kind,
        name: &place.name,
        json,
        old: None,
    };
    allowed.server.handler.admit_body(&call, what).await.map(drop)
}

/// Who connects to a pod by a WebSocket, which begins with GET, must be allowed what others do by POST: reading a pod is
/// no right to run commands in it.
async fn may_create(allowed: &Allowed, place: &Place) -> Result<(), Status> {
    let streams = place.row().plural == "pods" && STREAMS.contains(&place.subresource.as_str());
    if !streams || allowed.route.verb == "create" || !allowed.server.gates.enabled(CREATE_GATE) {
        return Ok(());
    }
    let asked = crate::security::Attributes {
        verb: "create".to_owned(),
        ..attributes(allowed, true)
    };
    allowed.server.authorize(&asked).await
}

/// The answer for what is not there: upstream's routes are those of each version that it serves.
fn nothing(allowed: &Allowed) -> Result<Response<Body>, Status> {
    let (gvr, served) = (&allowed.route.gvr, &allowed.server.documents().served);
    let known = |of: &discovery::Served| (of.group, of.version) == (gvr.group.as_ref(), gvr.version.as_ref());
    match served.iter().any(known) {
        true => Err(Status::no_such_path()),
        false => Ok(answer::no_such_path()),
    }
}

/// Names and namespaces are parts of keys: they must not be parts of another path.
fn check_segments(place: &Place) -> Result<(), Status> {
    for (what, part) in [("Name", &place.name), ("Namespace", &place.namespace)] {
        let why = match part.as_str() {
            "." => "may not be '.'",
            ".." => "may not be '..'",
            part if part.contains('/') => "may not contain '/'",
            part if part.contains('%') => "may not contain '%'",
            _ => continue,
        };
        let message = format!("{what} parameter invalid: {part:?}: {why}");
        return Err(Status::bad_request(message));
    }
    Ok(())
}

/// A resource that names its verbs has no others.
fn check_verb(place: &Place, verb: &str) -> Result<(), Status> {
    let verbs = place.row().verbs;
    match place.subresource.is_empty() && !verbs.is_empty() && !verbs.contains(&verb) {
        true => Err(Status::method_not_allowed()),
        false => Ok(()),
    }
}

/// Whether its objects have a protobuf form, not just their metadata.
fn has_protobuf(place: &Place) -> bool {
    let version = crate::cache::api_version(place.row(), place.served());
    schema::has_protobuf(&version, place.row().kind)
}

/// Where it goes in the table; none for what is not served there.
fn place(allowed: &Allowed) -> Option<Place> {
    let route = &allowed.route;
    let places = &allowed.server.handler.places;
    let collection = matches!(route.verb, "list" | "watch" | "deletecollection");
    let name = if collection { "" } else { &route.name };
    let mut place = places
        .find(&route.gvr, &route.namespace, name, &route.subresource)
        .ok()?;
    if place.row().namespaced {
        let everywhere = route.namespace.is_empty() && !(collection || route.verb == "create");
        return (!everywhere).then_some(place);
    }
    let itself = place.row().plural == "namespaces" && route.gvr.group.is_empty();
    if !route.namespace.is_empty() && (!itself || route.namespace != route.name) {
        return None;
    }
    place.namespace = String::new();
    Some(place)
}

fn attributes(allowed: &Allowed, namespaced: bool) -> crate::security::Attributes {
    let route = &allowed.route;
    crate::security::Attributes {
        user: allowed.user.clone(),
        verb: route.verb.to_owned(),
        group: route.gvr.group.to_string(),
        version: route.gvr.version.to_string(),
        resource: route.gvr.resource.to_string(),
        subresource: route.subresource.clone(),
        namespace: if namespaced {
            route.namespace.clone()
        } else {
            String::new()
        },
        name: route.name.clone(),
        path: String::new(),
        is_resource: true,
        selectors: None,
    }
}

fn call(allowed: &Allowed, namespaced: bool, notes: &Arc<Notes>) -> Result<Call, Status> {
    let options = match allowed.route.verb {
        "create" => "CreateOptions",
        "update" => "UpdateOptions",
        "patch" => "PatchOptions",
        _ => "DeleteOptions",
    };
    Ok(Call {
        attributes: attributes(allowed, namespaced),
        dry_run: allowed.query.dry_run(options)?,
        validation: allowed.query.validation(options)?,
        field_manager: allowed.query.field_manager(options)?,
        notes: notes.clone(),
        ..Call::default()
    })
}

async fn object_body(allowed: &Allowed, request: Request<Incoming>) -> Result<bytes::Bytes, Status> {
    let (parts, incoming) = request.into_parts();
    let bytes = body::read(&parts.headers, incoming).await?;
    let object = body::object(&parts.headers, bytes, allowed.speaks_cbor())?;
    tell(allowed, &object, true);
    Ok(object)
}

/// Tells the record what is sent.
fn tell(allowed: &Allowed, json: &[u8], object: bool) {
    if let Some(record) = &allowed.record {
        record.sent(json, object);
    }
}

fn shaper(allowed: &Allowed, place: &Place, shape: Shape) -> Shaper {
    let now = allowed.server.handler.env.clock.wall();
    Shaper::new(place, (shape, allowed.form.text), now)
}

async fn get(allowed: &Allowed, place: &Place) -> Result<Response<Body>, Status> {
    if !place.subresource.is_empty() {
        let object = subresources::get(&allowed.server, place).await?;
        return Ok(answer::json(200, object.to_json().to_vec(), allowed.form));
    }
    let held = allowed.server.handler.find(place).await?;
    let shaper = shaper(allowed, place, allowed.form.shape);
    Ok(allowed.shaped(|| one(&shaper, &held, allowed.form)))
}

/// The answer with one object.
fn one(shaper: &Shaper, held: &Held, form: Form) -> Response<Body> {
    if let Some(encoding) = form.text.encoding()
        && let Ok(body) = shaper.body(held, encoding)
    {
        return answer::packed(200, body, answer::media_type(encoding), form);
    }
    answer::json(200, shaper.one(held), form)
}

async fn component_statuses(allowed: &Allowed, place: &Place) -> Result<Response<Body>, Status> {
    let page = components::page(allowed, place).await?;
    if let Some(one) = page.items.first().filter(|_| !place.name.is_empty()) {
        let shaper = shaper(allowed, place, allowed.form.shape);
        return Ok(self::one(&shaper, one, allowed.form));
    }
    Ok(listed(allowed, place, page, None))
}

async fn list(allowed: &Allowed, place: &Place) -> Result<Response<Body>, Status> {
    let page = allowed
        .server
        .handler
        .list(place, &allowed.query.list(place)?)
        .await?;
    let taken = room::of_list(allowed, &page, place.version).await?;
    Ok(allowed.shaped(|| listed(allowed, place, page, taken)))
}

/// The answer to a list, which has `taken` memory.
fn listed(allowed: &Allowed, place: &Place, page: Page, taken: Option<Taken>) -> Response<Body> {
    let (shaper, form) = (shaper(allowed, place, allowed.form.shape), allowed.form);
    if let Some(encoding) = form.text.encoding()
        && let Ok(list) = shaper.encoded_list(&page, encoding)
    {
        return listing::encoded(list, encoding, taken, form);
    }
    let answer = listing::json(shaper, page, form);
    let answer = answer.unwrap_or_else(|whole| answer::json(200, whole.0.list(&whole.1), form));
    room::hold(taken, answer)
}

async fn watch(allowed: &Allowed, place: &Place, way: Option<&Second>) -> Result<Response<Body>, Status> {
    let (server, query) = (&allowed.server, &allowed.query);
    let send_initial = query.flag("sendInitialEvents");
    let bookmarks = query.flag("allowWatchBookmarks");
    query.check_watch()?;
    let mut selection = query.selection(place)?;
    if !allowed.route.name.is_empty() {
        // Only that one was asked for, and only that one is allowed.
        selection
            .fields
            .0
            .push(("metadata.name".to_owned(), true, allowed.route.name.clone()));
    }
    let watch = WatchQuery {
        selection,
        resource_version: query.watched_version(place)?,
        send_initial,
    };
    let wished = query.timeout_seconds()?.filter(|s| *s > 0);
    let timeout = wished.map_or_else(|| patience::of_watch(server), Duration::from_secs);
    let watcher = server.handler.watch(place, watch).await?;
    let options = stream::Options {
        bookmarks,
        initial: send_initial,
        timeout,
        way: way.map(|Second(way)| way.clone()),
        user: allowed.user.clone(),
    };
    let frames = stream::frames(
        server,
        watcher,
        shaper(allowed, place, allowed.form.shape),
        options,
    );
    let mut response = Response::new(answer::streamed(frames));
    let kind = http::HeaderValue::from_static(match allowed.form.text {
        Text::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        Text::Cbor => negotiate::CBOR_SEQUENCE,
        Text::Json | Text::Yaml => "application/json",
    });
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    let cache = http::HeaderValue::from_static("no-cache, private");
    response.headers_mut().insert(http::header::CACHE_CONTROL, cache);
    Ok(response)
}

async fn write(
    allowed: &Allowed,
    place: &Place,
    request: Request<Incoming>,
    notes: &Arc<Notes>,
) -> Result<Response<Body>, Status> {
    if place.row().namespaced && place.namespace.is_empty() {
        return Err(Status::method_not_allowed());
    }
    let create = allowed.route.verb == "create";
    if place.subresource.is_empty() && create != place.name.is_empty() {
        return Err(Status::method_not_allowed());
    }
    let mut call = call(allowed, true, notes)?;
    let (parts, incoming) = request.into_parts();
    let agent = parts
        .headers
        .get(http::header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    if call.field_manager.is_empty() {
        call.field_manager = query::manager_of(agent.unwrap_or_default());
    }
    let bytes = body::read(&parts.headers, incoming).await?;
    let cbor = allowed.speaks_cbor();
    let mut sent = bytes::Bytes::new();
    let write = match allowed.route.verb {
        "create" => Write::Create(body::object(&parts.headers, bytes, cbor)?),
        "update" => Write::Update(body::object(&parts.headers, bytes, cbor)?),
        "patch" => {
            let (kind, patch) = body::patch(&parts.headers, bytes, cbor)?;
            call.force = allowed.query.force(kind == client::Patch::Apply)?;
            Write::Patch(kind, patch)
        }
        _ => {
            sent = delete_body(&parts.headers, bytes, cbor)?;
            let (options, dry_run) = allowed.query.delete_options(&sent)?;
            call.dry_run = dry_run;
            Write::Delete(options)
        }
    };
    match &write {
        Write::Create(json) | Write::Update(json) => tell(allowed, json, true),
        Write::Patch(_, json) => tell(allowed, json, false),
        Write::Delete(_) => tell(allowed, &sent, false),
    }
    let outcome = subresources::write(&allowed.server, place, &call, write).await?;
    Ok(allowed.shaped(|| written(allowed, Some(place), outcome)))
}

/// The options of a delete may come without a content type, or in one that is not read; then they are JSON.
fn delete_body(headers: &http::HeaderMap, bytes: bytes::Bytes, cbor: bool) -> Result<bytes::Bytes, Status> {
    if bytes.is_empty() {
        Ok(bytes)
    } else {
        body::object(headers, bytes, cbor)
    }
}

async fn delete_collection(
    allowed: &Allowed,
    place: &Place,
    request: Request<Incoming>,
    notes: &Arc<Notes>,
) -> Result<Response<Body>, Status> {
    if place.row().namespaced && place.namespace.is_empty() {
        return Err(Status::method_not_allowed());
    }
    let mut call = call(allowed, true, notes)?;
    let (parts, incoming) = request.into_parts();
    let bytes = body::read(&parts.headers, incoming).await?;
    let cbor = allowed.speaks_cbor();
    let sent = delete_body(&parts.headers, bytes, cbor)?;
    tell(allowed, &sent, false);
    let (options, dry_run) = allowed.query.delete_options(&sent)?;
    call.dry_run = dry_run;
    let query = allowed.query.list(place)?;
    let page = allowed
        .server
        .handler
        .delete_collection(place, &call, &query, &options)
        .await?;
    Ok(allowed.shaped(|| listed(allowed, place, page, None)))
}

/// The answer to a write.
fn written(allowed: &Allowed, place: Option<&Place>, outcome: Outcome) -> Response<Body> {
    let code = if outcome.did == Did::Created { 201 } else { 200 };
    let object = match (place, &outcome.did) {
        (Some(place), Did::Deleted) if allowed.route.verb == "delete" => {
            deleted(place, &outcome).unwrap_or(outcome.object)
        }
        _ => outcome.object,
    };
    let text = match (place, allowed.form.shape) {
        // Other shapes are made from the stored form.
        (Some(place), shape)
            if shape != Shape::Object
                && object.kind() == place.row().kind
                && place.served().from_hub.is_none() =>
        {
            let held = crate::cache::Held::single(object.clone());
            shaper(allowed, place, shape).one(&held)
        }
        _ => object.to_json().to_vec(),
    };
    let mut response = answer::json(code, text, allowed.form);
    answer::warn(response.headers_mut(), &outcome.warnings);
    response
}

/// What upstream says of an object that is gone; an update that ends a deletion shows the object.
fn deleted(place: &Place, outcome: &Outcome) -> Option<Arc<api::Object>> {
    let object = &outcome.object;
    let details = Details {
        name: object.name().to_owned(),
        group: place.group().to_owned(),
        kind: place.row().plural.to_owned(),
        uid: object.uid().to_owned(),
        ..Details::default()
    };
    subresources::success(Some(&details), None).ok()
}
