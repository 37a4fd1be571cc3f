//! What other servers have, as they say it themselves: aggregated discovery, or the older list of a version.
//! Upstream: `kube-aggregator/pkg/apiserver/handler_discovery.go`.

use super::{proxy, service::Remote};
use crate::{Server, http::answer, security::User};
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Limited};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// An answer is no larger than this.
const MOST: usize = 16 << 20;
/// Aggregated discovery, in its two versions, which have the same form.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
     application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// What a version has.
#[derive(Clone, Debug)]
pub struct Found {
    /// The `resources` of aggregated discovery.
    pub resources: Box<RawValue>,
    /// The `ETag` of aggregated discovery; empty: the server has none, or is asked in the older way.
    tag: String,
    /// The hash of its OpenAPI v3 document; none: there is none.
    pub openapi: Option<String>,
    /// Its part of the OpenAPI v2 document; none: there is none.
    pub openapi_v2: Option<Arc<OpenApiV2>>,
}

impl PartialEq for Found {
    fn eq(&self, other: &Self) -> bool {
        self.tag == other.tag
            && self.openapi == other.openapi
            && self.openapi_v2 == other.openapi_v2
            && self.resources.get() == other.resources.get()
    }
}

/// What the OpenAPI v2 document of another server says of a version.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenApiV2 {
    /// The `ETag` of the document.
    tag: String,
    /// JSON; empty: nothing.
    pub text: Vec<u8>,
}

/// An answer: code, content type, body.
struct Answer {
    code: u16,
    kind: String,
    tag: String,
    text: Vec<u8>,
}

impl Server {
    /// Asks another server what it has of `group` and `version`.
    pub(super) async fn discover(
        &self,
        remote: &Remote,
        group: &str,
        version: &str,
        before: Option<&Found>,
    ) -> Result<Found, String> {
        let (resources, tag) = self.resources(remote, group, version, before).await?;
        Ok(Found {
            resources,
            tag,
            openapi: self.openapi(remote, path(group, version).trim_matches('/')).await,
            openapi_v2: self
                .openapi_v2(
                    remote,
                    group,
                    version,
                    before.and_then(|before| before.openapi_v2.as_ref()),
                )
                .await,
        })
    }

    /// The resources, and the `ETag` that they are known by.
    async fn resources(
        &self,
        remote: &Remote,
        group: &str,
        version: &str,
        before: Option<&Found>,
    ) -> Result<(Box<RawValue>, String), String> {
        let known = before.filter(|before| !before.tag.is_empty());
        let tag = known.map_or("", |known| &known.tag);
        let all = self.inquire(remote, true, "/apis", AGGREGATED, tag).await?;
        match (all.code, known) {
            (304, Some(known)) => return Ok((known.resources.clone(), known.tag.clone())),
            (200, _) if all.kind.contains("as=APIGroupDiscoveryList") => {
                if let Some(resources) = aggregated(&all.text, group, version) {
                    return Ok((resources, all.tag));
                }
            }
            (503, _) => return Err("service returned non-success response code: 503".to_owned()),
            _ => {}
        }
        let path = path(group, version);
        let list = self.inquire(remote, true, &path, "application/json", "").await?;
        if list.code != 200 {
            return Err(format!("failed to download discovery for {path}: {}", list.code));
        }
        let resources = converted(&list.text, group, version);
        let resources = resources.ok_or_else(|| format!("{path}: no list of resources"))?;
        Ok((resources, String::new()))
    }

    /// The hash of the OpenAPI v3 document under `path`; one that is missing is no error.
    async fn openapi(&self, remote: &Remote, path: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Index {
            paths: BTreeMap<String, Entry>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Entry {
            #[serde(rename = "serverRelativeURL")]
            url: String,
        }
        let index = self
            .inquire(remote, true, "/openapi/v3", "application/json", "")
            .await
            .ok()?;
        let mut index: Index = serde_json::from_slice(&index.text).ok()?;
        let Entry { url } = index.paths.remove(path)?;
        let hash = url.split_once("hash=").map_or("", |(_, hash)| hash);
        Some(hash.split('&').next().unwrap_or_default().to_owned())
    }

    /// Its part of the OpenAPI v2 document, which is only read again if it is another than `before`.
    async fn openapi_v2(
        &self,
        remote: &Remote,
        group: &str,
        version: &str,
        before: Option<&Arc<OpenApiV2>>,
    ) -> Option<Arc<OpenApiV2>> {
        let tag = before.map_or("", |before| &before.tag);
        let answer = self
            .inquire(remote, true, "/openapi/v2", "application/json", tag)
            .await;
        match answer {
            Ok(answer) if answer.code == 200 => Some(Arc::new(OpenApiV2 {
                text: schema::openapi_v2_part(&answer.text, group, version).unwrap_or_default(),
                tag: answer.tag,
            })),
            // What does not answer now may be as it was.
            Ok(Answer { code: 304, .. }) | Err(_) => before.cloned(),
            Ok(_) => None,
        }
    }

    /// Whether it answers for `group` and `version`; if not, why, as upstream says it.
    pub(super) async fn probe(&self, remote: &Remote, group: &str, version: &str) -> Result<(), String> {
        let path = path(group, version);
        let url = format!("https://{}{path}", self.address(remote));
        let failed = |why: String| format!("failing or missing response from {url}: {why}");
        match self.inquire(remote, false, &path, "application/json", "").await {
            Ok(answer) if (200..300).contains(&answer.code) => Ok(()),
            Ok(answer) => Err(failed(format!("bad status from {url}: {}", answer.code))),
            Err(why) => Err(failed(format!("Get {url:?}: {why}"))),
        }
    }

    /// Asks for `path`; `known` is the `ETag` of what need not be told again, or empty.
    async fn inquire(
        &self,
        remote: &Remote,
        verified: bool,
        path: &str,
        accept: &'static str,
        known: &str,
    ) -> Result<Answer, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let asked = async {
            let mut sender = self.connect(remote, verified).await?;
            let mut request = Request::get(path)
                .header(header::HOST, remote.authority())
                .body(answer::full(""))
                .map_err(|error| text(&error))?;
            let headers = request.headers_mut();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            if let (false, Ok(known)) = (known.is_empty(), HeaderValue::from_str(known)) {
                headers.insert(header::IF_NONE_MATCH, known);
            }
            proxy::identify(headers, &User::new("system:kube-aggregator", &["system:masters"]));
            let response = sender.send_request(request).await.map_err(|error| text(&error))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MOST)
                .collect()
                .await
                .map_err(|error| text(&error))?;
            let said = |name| {
                let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
                value.unwrap_or_default().to_owned()
            };
            Ok(Answer {
                code: parts.status.as_u16(),
                kind: said(header::CONTENT_TYPE),
                tag: said(header::ETAG),
                text: body.to_bytes().to_vec(),
            })
        };
        let answered = self.handler.env.clock.timeout(PATIENCE, asked).await;
        answered.unwrap_or_else(|| Err("context deadline exceeded".to_owned()))
    }
}

fn path(group: &str, version: &str) -> String {
    match group {
        "" => format!("/api/{version}"),
        group => format!("/apis/{group}/{version}"),
    }
}

/// The resources of a version in an `APIGroupDiscoveryList`.
fn aggregated(text: &[u8], group: &str, version: &str) -> Option<Box<RawValue>> {
    #[derive(Deserialize)]
    struct List {
        items: Vec<Group>,
    }
    #[derive(Deserialize)]
    struct Group {
        metadata: Metadata,
        versions: Vec<Version>,
    }
    #[derive(Deserialize)]
    struct Metadata {
        name: String,
    }
    #[derive(Deserialize)]
    struct Version {
        version: String,
        resources: Option<Box<RawValue>>,
    }
    let list: List = serde_json::from_slice(text).ok()?;
    let group = list.items.into_iter().find(|of| of.metadata.name == group)?;
    let found = group.versions.into_iter().find(|of| of.version == version)?;
    found
        .resources
        .or_else(|| RawValue::from_string("[]".to_owned()).ok())
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Listed {
    name: String,
    singular_name: String,
    namespaced: bool,
    group: String,
    version: String,
    kind: String,
    verbs: Vec<String>,
    short_names: Vec<String>,
    categories: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    resource: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_kind: Option<Kind>,
    scope: &'static str,
    singular_resource: String,
    verbs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    short_names: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    categories: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subresources: Vec<Part>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    subresource: String,
    response_kind: Kind,
    verbs: Vec<String>,
}

#[derive(Serialize)]
struct Kind {
    group: String,
    version: String,
    kind: String,
}

/// The resources of an `APIResourceList` in the newer form.
fn converted(text: &[u8], group: &str, version: &str) -> Option<Box<RawValue>> {
    #[derive(Deserialize)]
    struct List {
        resources: Vec<Listed>,
    }
    let List { resources } = serde_json::from_slice(text).ok()?;
    let (parts, wholes): (Vec<_>, Vec<_>) = resources.into_iter().partition(|r| r.name.contains('/'));
    let or = |given: String, own: &str| if given.is_empty() { own.to_owned() } else { given };
    let kind = |group_: String, version_: String, kind: String| Kind {
        group: or(group_, group),
        version: or(version_, version),
        kind,
    };
    let whole = |listed: Listed| Whole {
        resource: listed.name,
        response_kind: Some(kind(listed.group, listed.version, listed.kind)),
        scope: if listed.namespaced {
            "Namespaced"
        } else {
            "Cluster"
        },
        singular_resource: listed.singular_name,
        verbs: listed.verbs,
        short_names: listed.short_names,
        categories: listed.categories,
        subresources: Vec::new(),
    };
    let mut wholes: Vec<Whole> = wholes.into_iter().map(whole).collect();
    for part in parts {
        let Some((of, name)) = part.name.split_once('/') else {
            continue;
        };
        let place = wholes.iter().position(|whole| whole.resource == of);
        let place = place.unwrap_or_else(|| {
            let namespaced = part.namespaced;
            let whole = whole(Listed {
                name: of.to_owned(),
                namespaced,
                ..Listed::default()
            });
            wholes.push(Whole {
                response_kind: None,
                ..whole
            });
            wholes.len() - 1
        });
        wholes[place].subresources.push(Part {
            subresource: name.to_owned(),
            response_kind: kind(part.group, part.version, part.kind),
            verbs: part.verbs,
        });
    }
    serde_json::value::to_raw_value(&wholes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_list_is_said_in_the_new_form() {
        let list = br#"{"kind":"APIResourceList","groupVersion":"g.io/v1","resources":[
            {"name":"flunders/status","singularName":"","namespaced":true,"kind":"Flunder","verbs":["get"]},
            {"name":"flunders","singularName":"flunder","namespaced":true,"kind":"Flunder","verbs":["list"],"shortNames":["fl"]}]}"#;
        assert_eq!(
            converted(list, "g.io", "v1").unwrap().get(),
            r#"[{"resource":"flunders","responseKind":{"group":"g.io","version":"v1","kind":"Flunder"},"scope":"Namespaced","singularResource":"flunder","verbs":["list"],"shortNames":["fl"],"subresources":[{"subresource":"status","responseKind":{"group":"g.io","version":"v1","kind":"Flunder"},"verbs":["get"]}]}]"#
        );
        let new = br#"{"items":[{"metadata":{"name":"g.io"},"versions":[{"version":"v1","resources":[{"resource":"a"}]}]}]}"#;
        assert_eq!(
            aggregated(new, "g.io", "v1").unwrap().get(),
            r#"[{"resource":"a"}]"#
        );
        assert!(aggregated(new, "g.io", "v2").is_none());
        let empty = br#"{"items":[{"metadata":{"name":"g.io"},"versions":[{"version":"v1"}]}]}"#;
        assert_eq!(aggregated(empty, "g.io", "v1").unwrap().get(), "[]");
    }
}
