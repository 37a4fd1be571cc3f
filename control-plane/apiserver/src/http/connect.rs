//! The options of a connection, as admission sees them: PodExecOptions and the like.

use super::{proxy, query::Query};
use crate::handler::Place;
use api::{Gvk, Status};
use bytes::Bytes;
use serde::Serialize;

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Options<'a> {
    kind: &'static str,
    api_version: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stdin: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stdout: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stderr: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tty: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    container: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    command: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<i32>,
    #[serde(skip_serializing_if = "str::is_empty")]
    path: &'a str,
}

/// What the options of a request to `place` are, and their JSON; none if it is no connection.
///
/// # Errors
/// They cannot be written.
pub fn options(place: &Place, query: &Query, path: &str) -> Result<Option<(Gvk, Bytes)>, Status> {
    let streams = |kind| Options {
        kind,
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        tty: query.flag("tty"),
        container: query.get("container"),
        ..Options::default()
    };
    let options = match (place.row().plural, place.subresource.as_str()) {
        ("pods", "exec") => Options {
            command: query.all("command").collect(),
            ..streams("PodExecOptions")
        },
        ("pods", "attach") => streams("PodAttachOptions"),
        ("pods", "portforward") => Options {
            kind: "PodPortForwardOptions",
            ports: query
                .all("ports")
                .flat_map(|ports| ports.split(','))
                .filter_map(|port| port.parse().ok())
                .collect(),
            ..Options::default()
        },
        (plural, "proxy") => Options {
            kind: match plural {
                "nodes" => "NodeProxyOptions",
                "services" => "ServiceProxyOptions",
                _ => "PodProxyOptions",
            },
            path: proxy::cut(path, place).1,
            ..Options::default()
        },
        _ => return Ok(None),
    };
    let options = Options {
        api_version: "v1",
        ..options
    };
    let json = serde_json::to_vec(&options).map_err(Status::internal)?;
    Ok(Some((Gvk::new("", "v1", options.kind), json.into())))
}
