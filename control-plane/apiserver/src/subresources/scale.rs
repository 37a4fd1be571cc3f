//! `/scale`: the numbers that an autoscaler reads and writes, as `autoscaling/v1 Scale`.

use crate::{
    Server,
    admission::Operation,
    handler::{Body, Call, Incoming, Outcome, Place, Stage, apply_patch},
    splice,
};
use api::{Gvk, LabelSelector, Object, Requirement, Status, field, scan};
use bytes::Bytes;
use client::{Patch, Write};
use resources::ScalePaths;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

const OF: (&str, &str, &str) = ("autoscaling", "v1", "Scale");
const TRIES: usize = 32;

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Scale {
    kind: String,
    api_version: String,
    metadata: Meta,
    spec: Replicas,
    status: ScaleStatus,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    resource_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    creation_timestamp: Option<String>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Replicas {
    #[serde(skip_serializing_if = "is_zero")]
    replicas: i64,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct ScaleStatus {
    replicas: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    selector: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &i64) -> bool {
    *n == 0
}

fn paths(place: &Place) -> Result<ScalePaths, Status> {
    let paths = match place.cache.custom() {
        Some(custom) => custom.versions[place.version].scale,
        None => place.row().scale,
    };
    paths.ok_or_else(Status::no_such_path)
}

/// GET.
pub async fn get(server: &Server, place: &Place) -> Result<Arc<Object>, Status> {
    let object = server.handler.get(place).await?;
    shown(&paths(place)?, &object)
}

fn shown(paths: &ScalePaths, object: &Object) -> Result<Arc<Object>, Status> {
    let text = serde_json::to_vec(&scale_of(paths, object)).map_err(Status::internal)?;
    Object::parse_any(text.into(), &[])
        .map(Arc::new)
        .map_err(Status::internal)
}

fn scale_of(paths: &ScalePaths, object: &Object) -> Scale {
    let number = |path| {
        scan::scalar(object.body(), path)
            .ok()
            .and_then(|n| n.parse().ok())
            .unwrap_or(0)
    };
    Scale {
        kind: "Scale".to_owned(),
        api_version: "autoscaling/v1".to_owned(),
        metadata: Meta {
            name: object.name().to_owned(),
            namespace: object.namespace().to_owned(),
            uid: object.uid().to_owned(),
            resource_version: object.resource_version().to_string(),
            creation_timestamp: object
                .creation_timestamp()
                .map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        },
        spec: Replicas {
            replicas: number(paths.spec_replicas),
        },
        status: ScaleStatus {
            replicas: number(paths.status_replicas),
            selector: selector(paths, object),
        },
    }
}

/// The label selector in its query form.
fn selector(paths: &ScalePaths, object: &Object) -> String {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct View {
        match_labels: BTreeMap<String, String>,
        match_expressions: Vec<Expression>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Expression {
        key: String,
        operator: String,
        values: BTreeSet<String>,
    }
    let Ok(Some(range)) = scan::find(object.body(), paths.selector) else {
        return String::new();
    };
    // That of a custom resource is a text.
    if let Ok(text) = scan::text(object.body(), range.clone()) {
        return text.into_owned();
    }
    // A ReplicationController's selector is a plain map.
    let json = &object.body()[range];
    let view = match serde_json::from_slice(json) {
        Ok(match_labels) => View {
            match_labels,
            ..View::default()
        },
        Err(_) => serde_json::from_slice::<View>(json).unwrap_or_default(),
    };
    let labels = view
        .match_labels
        .into_iter()
        .map(|(key, value)| Requirement::In(key, BTreeSet::from([value])));
    let expressions = view
        .match_expressions
        .into_iter()
        .filter_map(|e| match e.operator.as_str() {
            "In" => Some(Requirement::In(e.key, e.values)),
            "NotIn" => Some(Requirement::NotIn(e.key, e.values)),
            "Exists" => Some(Requirement::Exists(e.key)),
            "DoesNotExist" => Some(Requirement::Absent(e.key)),
            _ => None,
        });
    LabelSelector::new(labels.chain(expressions).collect()).to_string()
}

/// PUT and PATCH: sets the wished replicas of the object itself.
pub async fn write(server: &Server, place: &Place, call: &Call, write: Write) -> Result<Outcome, Status> {
    let paths = paths(place)?;
    let whole = Place {
        subresource: String::new(),
        ..place.clone()
    };
    if let Write::Patch(Patch::Apply, patch) = &write {
        let config = applied(&whole, &paths, patch)?;
        let merge = Write::Patch(Patch::Merge, patch.clone());
        admitted(server, (place, &whole, &paths), call, merge).await?;
        let call = Call {
            admitted: true,
            ..call.clone()
        };
        let outcome = server.handler.apply(&whole, &call, &config).await?;
        return Ok(Outcome {
            object: shown(&paths, &outcome.object)?,
            ..outcome
        });
    }
    let write = admitted(server, (place, &whole, &paths), call, write).await?;
    let call = &Call {
        admitted: true,
        ..call.clone()
    };
    let outcome = server.handler.transact(&whole, call, TRIES, |held| {
        let old = held.version(place.version);
        let (text, patched) = match &write {
            Write::Update(body) => (body.to_vec(), false),
            Write::Patch(kind, patch) => (
                apply_patch(
                    *kind,
                    OF,
                    &shown(&paths, old)?.at(old.resource_version()).to_json(),
                    patch,
                )?,
                true,
            ),
            _ => return Err(Status::method_not_allowed()),
        };
        // A custom resource is written in the version of the request.
        let base = if place.cache.custom().is_some() {
            old
        } else {
            held.hub()
        };
        wanted(place, &paths, base, old, &text, patched)
    });
    let outcome = outcome.await?;
    Ok(Outcome {
        object: shown(&paths, &outcome.object)?,
        ..outcome
    })
}

/// Asks admission about the scale that is wanted; the write of what it makes of it.
async fn admitted(
    server: &Server,
    (place, whole, paths): (&Place, &Place, &ScalePaths),
    call: &Call,
    write: Write,
) -> Result<Write, Status> {
    let now = server.handler.get(whole).await?;
    let old = Arc::new(shown(paths, &now)?.at(now.resource_version()));
    let json = match &write {
        Write::Update(body) => body.clone(),
        Write::Patch(kind, patch) => apply_patch(*kind, OF, &old.to_json(), patch)?.into(),
        _ => return Err(Status::method_not_allowed()),
    };
    let what = Body {
        operation: Operation::Update,
        place: Some(place),
        kind: Gvk::new(OF.0, OF.1, OF.2),
        name: &place.name,
        json: json.clone(),
        old: Some(old),
    };
    let wished = |text: &[u8]| {
        let scale: Result<Scale, _> = serde_json::from_slice(text);
        scale.map(|scale| scale.spec.replicas).ok()
    };
    let made = server.handler.admit_body(call, what).await?;
    match wished(&made) {
        Some(replicas) if Some(replicas) != wished(&json) => Ok(Write::Update(made)),
        _ => Ok(write),
    }
}

/// The applied configuration of a scale as one of the object itself.
fn applied(place: &Place, paths: &ScalePaths, patch: &[u8]) -> Result<Vec<u8>, Status> {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Config {
        kind: String,
        api_version: String,
        metadata: Meta,
        spec: Wish,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Wish {
        replicas: Option<i64>,
    }
    let config: Config = serde_json::from_slice(patch)
        .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
    if (config.api_version.as_str(), config.kind.as_str()) != ("autoscaling/v1", "Scale") {
        let (group, version) = config
            .api_version
            .rsplit_once('/')
            .unwrap_or(("", &config.api_version));
        let message = format!("invalid object type: {group}/{version}, Kind={}", config.kind);
        return Err(Status::bad_request(message));
    }
    let name = String::from_utf8_lossy(&splice::quoted(&config.metadata.name)).into_owned();
    let version = match config.metadata.resource_version.parse::<u64>() {
        Ok(version) => format!(r#","resourceVersion":"{version}""#),
        Err(_) => String::new(),
    };
    let mut body = format!(
        r#"{{"apiVersion":"{}","kind":"{}","metadata":{{"name":{name}{version}}}"#,
        place.api_version(),
        place.row().kind
    );
    if let Some(replicas) = config.spec.replicas {
        let nested = |inner: String, field: &str| format!(r#"{{"{field}":{inner}}}"#);
        let spec = paths.spec_replicas.rsplit('.').fold(replicas.to_string(), nested);
        body.push(',');
        body.push_str(&spec[1..]);
    } else {
        body.push('}');
    }
    Ok(body.into_bytes())
}

fn wanted(
    place: &Place,
    paths: &ScalePaths,
    hub: &Object,
    old: &Object,
    text: &[u8],
    patched: bool,
) -> Result<Incoming, Status> {
    let unusable = |error| {
        Status::bad_request(format!(
            "Scale in version \"v1\" cannot be handled as a Scale: {error}"
        ))
    };
    let scale: Scale = serde_json::from_slice(text).map_err(unusable)?;
    if scale.spec.replicas < 0 {
        let error = field::Error::invalid(
            "spec.replicas",
            scale.spec.replicas,
            "must be greater than or equal to 0",
        );
        return Err(Status::invalid("autoscaling", "Scale", &place.name, vec![error]));
    }
    let given = scale.metadata.resource_version.parse().unwrap_or(0);
    let precondition = if patched && given == old.resource_version() {
        0
    } else {
        given
    };
    let replicas = scale.spec.replicas.to_string();
    let body =
        splice::set(hub.body(), paths.spec_replicas, Some(replicas.as_bytes())).map_err(Status::internal)?;
    let object =
        Object::parse(Bytes::from(body), precondition, place.row().fields).map_err(Status::internal)?;
    Ok(Incoming {
        object,
        warnings: Vec::new(),
        stage: Stage::Sent,
    })
}
