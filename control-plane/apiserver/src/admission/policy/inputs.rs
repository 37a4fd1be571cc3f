//! What expressions see of a request.

use super::{authorizer::Asker, compiled::Policy, variables::Variables};
use crate::{
    Reader,
    admission::{Attributes, Operation, matching::Target},
    cache::Held,
};
use api::{Gvk, Gvr, Object, Status};
use cel::{
    Authorization, Bindings, Value,
    admission::{NAMESPACE, REQUEST},
};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");

/// A request as a policy that matched it as `target` sees it.
pub(super) struct Inputs {
    pub object: Json,
    old: Json,
    request: Json,
    namespace: Json,
}

impl Inputs {
    /// Reads what `request` is about.
    ///
    /// # Errors
    /// The namespace is not there, or an object cannot be read.
    pub fn new(request: &Attributes<'_>, target: &Target, reader: &Reader) -> Result<Self, Status> {
        Ok(Self {
            object: document(request, request.object.as_ref(), target)?,
            old: document(request, request.old.as_ref(), target)?,
            request: described(request, target),
            namespace: namespace(request, reader)?,
        })
    }

    /// The variables for one set of parameters. An authorizer is not for those who say why.
    pub fn bindings<'a>(
        &'a self,
        policy: &'a Policy,
        params: Option<&'a Json>,
        request: &Attributes<'_>,
        asker: &'a Asker<'a>,
    ) -> Bindings<'a> {
        let mut bindings = Bindings::new()
            .with("object", Value::json(&self.object, None))
            .with("oldObject", Value::json(&self.old, None))
            .with("request", Value::json(&self.request, Some(&REQUEST)))
            .with("namespaceObject", Value::json(&self.namespace, Some(&NAMESPACE)))
            .with("authorizer", Value::Authorization(Authorization::new(asker)));
        let resource = Authorization::of_resource(asker, Asker::resource(request));
        bindings.set("authorizer.requestResource", Value::Authorization(resource));
        let params = params.map_or(Value::Null, |params| Value::json(params, None));
        bindings.set("params", params);
        Variables::new(&policy.variables, bindings).bindings()
    }
}

/// An object in the version of `target`.
fn document(request: &Attributes<'_>, object: Option<&Arc<Object>>, target: &Target) -> Result<Json, Status> {
    let Some(object) = object else {
        return Ok(Json::Null);
    };
    let shown = in_version(request, object, target)?;
    serde_json::from_slice(&shown.to_json()).map_err(Status::internal)
}

/// `object` in the version of `target`, if it is of the resource's own kind.
pub(super) fn in_version(
    request: &Attributes<'_>,
    object: &Arc<Object>,
    target: &Target,
) -> Result<Arc<Object>, Status> {
    let (Some(place), Some(version)) = (request.place, target.version) else {
        return Ok(object.clone());
    };
    let wanted = api_version(&target.kind);
    if object.kind() != place.row().kind || object.api_version() == wanted {
        return Ok(object.clone());
    }
    let row = place.row();
    let parse = |body: Vec<u8>| {
        let made = Object::parse_any(body.into(), row.fields).map_err(Status::internal)?;
        Ok(Arc::new(made.at(object.resource_version())))
    };
    match place.cache.custom() {
        // What only a webhook can convert is shown as it is stored.
        Some(custom) if custom.webhook.is_some() => Ok(object.clone()),
        Some(custom) => parse(custom.renamed(version, object.body()).map_err(Status::internal)?),
        None => {
            let revision = object.resource_version();
            let held = Held::parse(row, object.body().clone(), revision).map_err(Status::internal)?;
            Ok(held.version(version).clone())
        }
    }
}

fn api_version(kind: &Gvk) -> String {
    match &*kind.group {
        "" => kind.version.to_string(),
        group => format!("{group}/{}", kind.version),
    }
}

/// The namespace of the request; null for what is in none.
fn namespace(request: &Attributes<'_>, reader: &Reader) -> Result<Json, Status> {
    let name = request.request().namespace.as_str();
    if name.is_empty() || (request.kind.kind == "Namespace" && request.kind.group.is_empty()) {
        return Ok(Json::Null);
    }
    let namespace = reader.get(&NAMESPACES, "", name);
    let namespace = namespace.ok_or_else(|| Status::not_found(&NAMESPACES, name))?;
    serde_json::from_slice(&namespace.to_json()).map_err(Status::internal)
}

/// `request`.
fn described(request: &Attributes<'_>, target: &Target) -> Json {
    let (of, user) = (request.request(), request.user());
    let kind = |kind: &Gvk| json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    let resource = |of: &Gvr| json!({"group": of.group, "version": of.version, "resource": of.resource});
    let mut user_info = Map::new();
    let mut put = |name: &str, there: bool, value: Json| {
        if there {
            user_info.insert(name.to_owned(), value);
        }
    };
    put("username", !user.name.is_empty(), json!(user.name));
    put("uid", !user.uid.is_empty(), json!(user.uid));
    put("groups", !user.groups.is_empty(), json!(user.groups));
    put("extra", !user.extra.is_empty(), json!(user.extra));
    let mut made = json!({
        "kind": kind(&target.kind),
        "resource": resource(&target.resource),
        "requestKind": kind(&request.kind),
        "requestResource": resource(&request.gvr()),
        "operation": request.operation.name(),
        "userInfo": user_info,
        "dryRun": request.call.dry_run,
        "options": options(request),
    });
    for (name, value) in [
        ("subResource", of.subresource.as_str()),
        ("requestSubResource", &of.subresource),
        ("name", request.name),
        ("namespace", &of.namespace),
    ] {
        if !value.is_empty() {
            made[name] = value.into();
        }
    }
    made
}

/// The options of the request, as its operation has them.
fn options(request: &Attributes<'_>) -> Json {
    let call = request.call;
    let kind = match (request.operation, call.attributes.verb.as_str()) {
        (Operation::Create, "patch") | (Operation::Update, "patch") => "PatchOptions",
        (Operation::Create, _) => "CreateOptions",
        (Operation::Update, _) => "UpdateOptions",
        (Operation::Delete, _) => "DeleteOptions",
        (Operation::Connect, _) => return Json::Null,
    };
    let mut made = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    if call.dry_run {
        made["dryRun"] = json!(["All"]);
    }
    if let Some(delete) = request.delete {
        if let Some(seconds) = delete.grace_period_seconds {
            made["gracePeriodSeconds"] = seconds.into();
        }
        if let Some(policy) = delete.propagation_policy {
            made["propagationPolicy"] = policy.into();
        }
    } else if !call.field_manager.is_empty() {
        made["fieldManager"] = call.field_manager.as_str().into();
    }
    made
}
