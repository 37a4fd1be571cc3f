//! Requests and answers as they are on the wire.

use crate::{Discovered, List, ListParams, Patch, Target, WatchParams, Write, WriteOptions};
use api::{Object, ObjectError, Status, scan};
use bytes::Bytes;
use http::{Method, Request, header, response};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use std::{fmt::Write as _, sync::Arc};

const JSON: &str = "application/json";

/// A request before it has an origin and credentials.
#[derive(Debug, PartialEq, Eq)]
pub struct Ask {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Of the body; empty: there is none.
    pub content_type: &'static str,
    /// Body.
    pub body: Bytes,
}

impl Ask {
    fn read(target: &Target, query: Query) -> Self {
        Self {
            method: Method::GET,
            path: query.after(&target.path()),
            content_type: "",
            body: Bytes::new(),
        }
    }

    /// To `origin`, such as `https://host:port`; none: with a path alone.
    pub fn request(&self, origin: &str) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(format!("{origin}{}", self.path))
            .header(header::ACCEPT, JSON)
            .header(
                header::USER_AGENT,
                concat!("ferrokube/", env!("CARGO_PKG_VERSION")),
            );
        if !self.content_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, self.content_type);
        }
        request.body(Full::new(self.body.clone()))
    }
}

#[derive(Default)]
struct Query(String);

impl Query {
    /// Adds a parameter unless it is empty.
    fn with(mut self, key: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.0.push(if self.0.is_empty() { '?' } else { '&' });
            let _ = write!(self.0, "{key}=");
            encode(value, b"", &mut self.0);
        }
        self
    }

    fn after(self, path: &str) -> String {
        let mut whole = String::with_capacity(path.len() + self.0.len());
        encode(path, b"/:@!$&'()*+,;=", &mut whole);
        whole + &self.0
    }
}

fn encode(text: &str, keep: &[u8], into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            into.push(char::from(byte));
        } else {
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

pub(super) fn get(target: &Target) -> Ask {
    Ask::read(target, Query::default())
}

pub(super) fn list(target: &Target, params: &ListParams) -> Ask {
    let limit = if params.limit == 0 {
        String::new()
    } else {
        params.limit.to_string()
    };
    let version = params
        .resource_version
        .map(|version| version.to_string())
        .unwrap_or_default();
    let query = Query::default()
        .with("labelSelector", &params.label_selector)
        .with("fieldSelector", &params.field_selector)
        .with("limit", &limit)
        .with("continue", &params.continue_token)
        .with("resourceVersion", &version);
    Ask::read(target, query)
}

pub(super) fn watch(target: &Target, params: &WatchParams) -> Ask {
    let query = Query::default()
        .with("watch", "true")
        .with("labelSelector", &params.label_selector)
        .with("fieldSelector", &params.field_selector)
        .with("resourceVersion", &params.resource_version.to_string())
        .with("allowWatchBookmarks", if params.bookmarks { "true" } else { "" });
    Ask::read(target, query)
}

pub(super) fn discover(group: &str, version: &str) -> Ask {
    let path = match group {
        "" => format!("/api/{version}"),
        group => format!("/apis/{group}/{version}"),
    };
    Ask {
        method: Method::GET,
        path: Query::default().after(&path),
        content_type: "",
        body: Bytes::new(),
    }
}

#[derive(Deserialize)]
struct ResourceList {
    #[serde(default)]
    resources: Vec<Discovered>,
}

/// The resources of an `APIResourceList`, without their parts.
pub(super) fn resources(body: &Bytes) -> Result<Vec<Discovered>, serde_json::Error> {
    let mut resources = serde_json::from_slice::<ResourceList>(body)?.resources;
    resources.retain(|resource| !resource.name.contains('/'));
    Ok(resources)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeleteBody<'a> {
    kind: &'a str,
    api_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_period_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preconditions: Option<Preconditions<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    propagation_policy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<[&'a str; 1]>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Preconditions<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_version: Option<String>,
}

pub(super) fn write(target: &Target, write: Write, options: &WriteOptions) -> Result<Ask, serde_json::Error> {
    let query = || {
        Query::default()
            .with("fieldManager", &options.field_manager)
            .with("dryRun", if options.dry_run { "All" } else { "" })
            .with("force", if options.force { "true" } else { "" })
    };
    let ask = |method, content_type, body| Ask {
        method,
        path: query().after(&target.path()),
        content_type,
        body,
    };
    Ok(match write {
        Write::Create(body) => ask(Method::POST, JSON, body),
        Write::Update(body) => ask(Method::PUT, JSON, body),
        Write::Patch(kind, body) => {
            let content_type = match kind {
                Patch::Json => "application/json-patch+json",
                Patch::Merge => "application/merge-patch+json",
                Patch::Strategic => "application/strategic-merge-patch+json",
                Patch::Apply => "application/apply-patch+yaml",
            };
            ask(Method::PATCH, content_type, body)
        }
        Write::Delete(delete) => {
            let version = delete.resource_version.map(|version| version.to_string());
            let conditional = delete.uid.is_some() || version.is_some();
            let body = DeleteBody {
                kind: "DeleteOptions",
                api_version: "v1",
                grace_period_seconds: delete.grace_period_seconds,
                preconditions: conditional.then_some(Preconditions {
                    uid: delete.uid.as_deref(),
                    resource_version: version,
                }),
                propagation_policy: delete.propagation_policy,
                dry_run: options.dry_run.then_some(["All"]),
            };
            let body = serde_json::to_vec(&body)?.into();
            Ask {
                method: Method::DELETE,
                path: Query::default().after(&target.path()),
                content_type: JSON,
                body,
            }
        }
    })
}

/// The `Status` that an answer is, or that its code stands for.
pub(super) fn status(head: &response::Parts, body: &Bytes) -> Status {
    let told = scan::scalar(body, "kind").is_ok_and(|kind| kind == "Status");
    let mut status: Status = if told {
        serde_json::from_slice(body).unwrap_or_default()
    } else {
        Status::default()
    };
    status.code = head.status.as_u16();
    if status.message.is_empty() {
        let text = String::from_utf8_lossy(&body[..body.len().min(2048)]);
        let name = head.status.canonical_reason().unwrap_or("unknown");
        status.message = if text.trim().is_empty() {
            format!("the server said {name}")
        } else {
            text.trim().to_owned()
        };
    }
    if status.reason.is_empty() {
        status.reason = reason(status.code).to_owned();
    }
    let after = head
        .headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if let Some(seconds) = after {
        status.details.get_or_insert_default().retry_after_seconds = seconds;
    }
    status
}

fn reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        406 => "NotAcceptable",
        409 => "Conflict",
        410 => "Expired",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    }
}

/// A list's items. Those of an upstream server lack what the list says for all of them: it is put back.
pub(super) fn items(body: &Bytes) -> Result<List, ObjectError> {
    let scalar = |path: &str| scan::scalar(body, path);
    let kind = scalar("kind")?;
    let kind = kind.strip_suffix("List").unwrap_or_default();
    let version = scalar("apiVersion")?;
    let missing = format!("{{\"apiVersion\":\"{version}\",\"kind\":\"{kind}\"");
    let mut list = List {
        items: Vec::new(),
        resource_version: scalar("metadata.resourceVersion")?.parse().unwrap_or(0),
        continue_token: scalar("metadata.continue")?.into_owned(),
    };
    let Some(items) = scan::find(body, "items")? else {
        return Ok(list);
    };
    for range in scan::elements(body, items.start)? {
        let item = body.slice(range);
        let item = if scan::find(&item, "kind")?.is_some() {
            item
        } else {
            let rest = &item[scan::skip_space(&item, 1)..];
            let comma: &[u8] = if rest.starts_with(b"}") { b"" } else { b"," };
            [missing.as_bytes(), comma, rest].concat().into()
        };
        list.items.push(Arc::new(Object::parse_any(item, &[])?));
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DeleteOptions;
    use api::{Gvr, Key};

    #[test]
    fn requests() {
        let pods = Gvr::new("", "v1", "pods");
        let one = Target::object(&pods, &Key::new("ns", "a")).sub("status");
        assert_eq!(get(&one).path, "/api/v1/namespaces/ns/pods/a/status");
        let roles = Gvr::new("rbac.authorization.k8s.io", "v1", "clusterroles");
        let odd = Target::object(&roles, &Key::cluster("system:a b%"));
        assert_eq!(
            get(&odd).path,
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%20b%25"
        );
        let params = ListParams {
            label_selector: "a=b,c in (d)".to_owned(),
            limit: 5,
            resource_version: Some(0),
            ..ListParams::default()
        };
        let asked = list(&Target::collection(&pods, ""), &params);
        assert_eq!(
            asked.path,
            "/api/v1/pods?labelSelector=a%3Db%2Cc%20in%20%28d%29&limit=5&resourceVersion=0"
        );
        let params = WatchParams {
            resource_version: 7,
            bookmarks: true,
            ..WatchParams::default()
        };
        let asked = watch(&Target::collection(&pods, "ns"), &params);
        assert_eq!(
            asked.path,
            "/api/v1/namespaces/ns/pods?watch=true&resourceVersion=7&allowWatchBookmarks=true"
        );
        let delete = DeleteOptions {
            uid: Some("u".to_owned()),
            resource_version: Some(3),
            ..DeleteOptions::default()
        };
        let asked = super::write(&one, Write::Delete(delete), &WriteOptions::default()).unwrap();
        let body =
            r#"{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"u","resourceVersion":"3"}}"#;
        assert_eq!((asked.method, asked.body), (Method::DELETE, Bytes::from(body)));
        let options = WriteOptions {
            field_manager: "me".to_owned(),
            dry_run: true,
            force: false,
        };
        let asked = super::write(&one, Write::Patch(Patch::Merge, Bytes::new()), &options).unwrap();
        assert_eq!(asked.content_type, "application/merge-patch+json");
        assert!(asked.path.ends_with("?fieldManager=me&dryRun=All"));
    }

    #[test]
    fn lists_of_upstream_servers() {
        let body = Bytes::from(
            r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9","continue":"x"},"items":[
                { "metadata":{"name":"a","resourceVersion":"4"}},{},{"kind":"Pod","apiVersion":"v1","metadata":{"name":"c"}}]}"#,
        );
        let list = items(&body).unwrap();
        assert_eq!((list.resource_version, list.continue_token.as_str()), (9, "x"));
        let told: Vec<_> = list
            .items
            .iter()
            .map(|o| (o.api_version(), o.kind(), o.name(), o.resource_version()))
            .collect();
        assert_eq!(
            told,
            [("v1", "Pod", "a", 4), ("v1", "Pod", "", 0), ("v1", "Pod", "c", 0)]
        );
    }
}
