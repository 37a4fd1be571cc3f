//! Decision records: why things are as they are, under the reader's right to get the object.

use super::{query::Query, route::Route};
use crate::{
    Server,
    security::{Attributes, User},
};
use api::{FieldSelector, Status, decision::Record};
use schema::Published;
use serde::Serialize;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

/// Group of the records.
pub const GROUP: &str = "insight.ferrokube.io";
/// Its version.
pub const VERSION: &str = "v1alpha1";
/// The resource.
pub const PLURAL: &str = "decisions";

/// What a record has.
const SCHEMA: &str = r#"{
  "type": "object",
  "description": "Why a part of the system did something to an object, or did not.",
  "required": ["at", "actor", "resource", "namespace", "name", "resourceVersion", "verdict", "reasons"],
  "properties": {
    "at": {"type": "string", "format": "date-time", "description": "When it was decided."},
    "actor": {"type": "string", "description": "Who decided: a controller, the scheduler, a kubelet."},
    "resource": {"type": "string", "description": "The resource of the object, such as pods or deployments.apps."},
    "namespace": {"type": "string", "description": "Namespace of the object; empty for what is in none."},
    "name": {"type": "string", "description": "Name of the object."},
    "resourceVersion": {"type": "integer", "format": "int64", "description": "The version of the object that was looked at."},
    "verdict": {"type": "string", "enum": ["done", "blocked", "deferred", "failed"], "description": "What was decided."},
    "reasons": {"type": "array", "description": "Why.", "items": {
      "type": "object",
      "required": ["code"],
      "properties": {
        "code": {"type": "string", "description": "A stable name, such as InsufficientResource."},
        "params": {"type": "array", "description": "Facts: a name and a value each.",
          "items": {"type": "array", "items": {"type": "string"}}},
        "cause": {"type": "string", "description": "What it came from."}
      }
    }},
    "unblock": {"type": "string", "description": "What would let it go on."}
  }
}"#;

/// The kind, as documents show it.
pub fn published() -> &'static Published {
    static PUBLISHED: OnceLock<Published> = OnceLock::new();
    PUBLISHED.get_or_init(|| Published::new("DecisionList", Some(SCHEMA.as_bytes()), false, Vec::new()))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    items: Vec<Decision<'a>>,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Decision<'a> {
    kind: &'static str,
    #[serde(flatten)]
    record: &'a Record,
}

/// The records that the route asks for, oldest first. Field selectors: `resource`, `namespace`, `name`, `actor`.
pub async fn list(
    server: &Server,
    user: &Arc<User>,
    route: &Route,
    query: &Query,
) -> Result<Vec<u8>, Status> {
    if route.verb != "list" || !route.subresource.is_empty() {
        return Err(Status::method_not_allowed());
    }
    let selector =
        FieldSelector::parse(query.get("fieldSelector")).map_err(|e| Status::bad_request(e.to_string()))?;
    let known = ["resource", "namespace", "name", "actor"];
    if let Some((path, _, _)) = selector
        .0
        .iter()
        .find(|(path, _, _)| !known.contains(&path.as_str()))
    {
        return Err(Status::bad_request(format!("field label not supported: {path}")));
    }
    let records = server
        .records
        .as_ref()
        .map(|records| records())
        .unwrap_or_default();
    let wanted = |record: &&Record| {
        (route.namespace.is_empty() || record.namespace == route.namespace)
            && selector.matches(|path| match path {
                "resource" => record.resource.as_str(),
                "namespace" => record.namespace.as_str(),
                "name" => record.name.as_str(),
                _ => record.actor,
            })
    };
    let mut rights = HashMap::new();
    let mut items = Vec::new();
    for record in records.iter().filter(wanted) {
        let of = (&record.resource, &record.namespace, &record.name);
        let may = match rights.get(&of) {
            Some(may) => *may,
            None => may_get(server, user, record).await,
        };
        rights.insert(of, may);
        if may {
            items.push(Decision {
                kind: "Decision",
                record,
            });
        }
    }
    let list = List {
        kind: "DecisionList",
        api_version: "insight.ferrokube.io/v1alpha1",
        metadata: Empty {},
        items,
    };
    serde_json::to_vec(&list).map_err(Status::internal)
}

async fn may_get(server: &Server, user: &Arc<User>, record: &Record) -> bool {
    let (resource, group) = record.resource.split_once('.').unwrap_or((&record.resource, ""));
    let attributes = Attributes {
        user: user.clone(),
        verb: "get".to_owned(),
        group: group.to_owned(),
        version: "*".to_owned(),
        resource: resource.to_owned(),
        namespace: record.namespace.clone(),
        name: record.name.clone(),
        is_resource: true,
        ..Attributes::default()
    };
    server.authorize(&attributes).await.is_ok()
}
