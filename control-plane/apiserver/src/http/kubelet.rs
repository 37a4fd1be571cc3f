//! Logs, exec, attach and port-forward: handed to the kubelet of the pod's node, byte for byte where the kubelet speaks what the
//! client speaks; kubelets before 1.36 speak the new subprotocols of WebSocket only as SPDY, to which those are turned.

use super::{
    answer::{self, Body},
    flow::Allowed,
    query::percent_encode,
    way,
};
use crate::{Server, handler::Place};
use api::{Object, Status, scan};
use client::Peer;
use futures::{Stream, TryStreamExt};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, BodyStream};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use streams::{Handshake, Purpose, Tunnel, Wanted, Wire};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pod {
    spec: Spec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: String,
    containers: Vec<Named>,
    init_containers: Vec<Named>,
    ephemeral_containers: Vec<Named>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named {
    name: String,
}

/// A container of a pod on a node.
struct Where {
    node: String,
    container: String,
}

impl Where {
    fn find(object: &Object, wished: &str) -> Result<Self, Status> {
        let Pod { spec } = object.view().map_err(Status::internal)?;
        let name = object.name();
        let names = |list: &[Named]| list.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        let (main, init) = (names(&spec.containers), names(&spec.init_containers));
        let container = match (wished, main.as_slice()) {
            ("", [only]) if init.is_empty() => only.clone(),
            ("", []) => {
                return Err(Status::bad_request(format!(
                    "a container name must be specified for pod {name}"
                )));
            }
            ("", _) => match object.annotation("kubectl.kubernetes.io/default-container") {
                Some(container) if main.contains(&container) => container,
                _ => return Err(must_choose(name, &main, &init)),
            },
            (wished, _) => {
                let ephemeral = names(&spec.ephemeral_containers);
                if ![&main, &init, &ephemeral]
                    .iter()
                    .any(|list| list.iter().any(|c| c == wished))
                {
                    let message = format!("container {wished} is not valid for pod {name}");
                    return Err(Status::bad_request(message));
                }
                wished.to_owned()
            }
        };
        if spec.node_name.is_empty() {
            return Err(Status::bad_request(format!(
                "pod {name} does not have a host assigned"
            )));
        }
        Ok(Self {
            node: spec.node_name,
            container,
        })
    }
}

fn must_choose(pod: &str, main: &[String], init: &[String]) -> Status {
    let mut message = format!(
        "a container name must be specified for pod {pod}, choose one of: [{}]",
        main.join(" ")
    );
    if !init.is_empty() {
        message.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
    }
    Status::bad_request(message)
}

fn with_query(path: String, pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value)))
        .collect();
    if pairs.is_empty() {
        path
    } else {
        format!("{path}?{}", pairs.join("&"))
    }
}

/// GET of `/log`, over HTTP or, for browsers, a WebSocket.
pub async fn log(
    allowed: &Allowed,
    place: &Place,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    let query = &allowed.query;
    let pod = pod(allowed, place).await?;
    let at = Where::find(&pod, query.get("container")).map_err(|status| starting(&pod, status))?;
    let known = [
        "follow",
        "previous",
        "timestamps",
        "sinceSeconds",
        "sinceTime",
        "tailLines",
        "limitBytes",
        "stream",
    ];
    let pairs = query
        .pairs()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let pairs: Vec<(&str, &str)> = pairs.filter(|(name, _)| known.contains(name)).collect();
    check_log(query)?;
    let path = format!(
        "/containerLogs/{}/{}/{}",
        place.namespace, place.name, at.container
    );
    let uri = with_query(path, &pairs);
    let onward = Request::get(uri)
        .header(header::HOST, at.node.as_str())
        .body(answer::full(""));
    let mut sender = connect(&allowed.server, &at.node).await?;
    let onward = onward.map_err(Status::internal)?;
    let response = sender
        .send_request(onward)
        .await
        .map_err(|e| unreachable(&at.node, &e))?;
    let (parts, incoming) = response.into_parts();
    if parts.status != StatusCode::OK {
        return Err(refused(parts.status, incoming).await);
    }
    let frames = TryStreamExt::map_err(BodyStream::new(incoming), std::io::Error::other);
    // The sender is kept until the body ends: dropping it would end the connection.
    let pieces = frames.try_filter_map(move |frame| {
        let _keep = &sender;
        std::future::ready(Ok(frame.into_data().ok()))
    });
    if streams::is_socket(|name| values(&request, name)) {
        return log_socket(&allowed.server, request, pieces);
    }
    let mut response = Response::new(answer::streamed(pieces));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// What browsers read logs by.
fn log_socket(
    server: &Server,
    request: Request<Incoming>,
    pieces: impl Stream<Item = std::io::Result<bytes::Bytes>> + Send + 'static,
) -> Result<Response<Body>, Status> {
    let handshake = match streams::accept(Purpose::Output, |name| values(&request, name)) {
        Ok(handshake) => handshake,
        Err(refusal) => return Ok(answer::plain(refusal.code, refusal.message)),
    };
    let headers = answered(&handshake)?;
    let clock = server.handler.env.clock.clone();
    let tasks = server.handler.env.tasks.child();
    tasks.spawn("log-socket", async move {
        let (Ok(client), Wire::Output(coding)) = (hyper::upgrade::on(request).await, handshake.wire) else {
            return;
        };
        if let Err(error) = streams::output(TokioIo::new(client), coding, pieces, &clock).await {
            tracing::debug!(%error, "log ended");
        }
    });
    Ok(way::switched(headers))
}

fn check_log(query: &super::query::Query) -> Result<(), Status> {
    let mut errors = Vec::new();
    for name in ["tailLines", "sinceSeconds", "limitBytes"] {
        let text = query.get(name);
        let least = if name == "tailLines" { 0 } else { 1 };
        match text.parse::<i64>() {
            _ if text.is_empty() => {}
            Ok(n) if n >= least => {}
            Ok(n) => {
                let detail = if least == 0 {
                    "must be greater than or equal to 0"
                } else {
                    "must be greater than 0"
                };
                errors.push(api::field::Error::invalid(name, n, detail));
            }
            Err(_) => {
                return Err(Status::bad_request(format!(
                    "strconv.ParseInt: parsing {text:?}: invalid syntax"
                )));
            }
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid("", "PodLogOptions", "", errors))
    }
}

/// An unscheduled pod has no logs, and upstream says so by its own words.
fn starting(pod: &Object, status: Status) -> Status {
    let unscheduled = scan::scalar(pod.body(), "spec.nodeName").is_ok_and(|node| node.is_empty());
    if unscheduled && status.message.ends_with("does not have a host assigned") {
        return Status::bad_request(format!("pod {} does not have a host assigned", pod.name()));
    }
    status
}

async fn pod(allowed: &Allowed, place: &Place) -> Result<std::sync::Arc<Object>, Status> {
    let whole = Place {
        subresource: String::new(),
        ..place.clone()
    };
    allowed.server.handler.get(&whole).await
}

/// `exec`, `attach` and `portforward`: after the handshake the server only passes bytes on.
pub async fn stream(
    allowed: &Allowed,
    place: &Place,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    let pod = pod(allowed, place).await?;
    let headers = request.headers();
    if !headers.contains_key(header::UPGRADE) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let (node, uri) = target(allowed, place, &pod)?;
    let mut onward = Request::builder()
        .method(request.method())
        .uri(uri)
        .header(header::HOST, node.as_str());
    for (name, value) in headers {
        let ours = *name == header::HOST
            || *name == header::AUTHORIZATION
            || name.as_str().starts_with("impersonate-");
        if !ours {
            onward = onward.header(name, value);
        }
    }
    let uri = onward.uri_ref().cloned().unwrap_or_default();
    let onward = onward.body(answer::full("")).map_err(Status::internal)?;
    let mut sender = connect(&allowed.server, &node).await?;
    let response = sender
        .send_request(onward)
        .await
        .map_err(|e| unreachable(&node, &e))?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(way::splice(&allowed.server, request, response));
    }
    let purpose = match place.subresource.as_str() {
        "portforward" => Purpose::Forward,
        _ => Purpose::Command,
    };
    match handshake(purpose, &request) {
        Some(handshake) if matches!(response.status().as_u16(), 400 | 403 | 426) => {
            translated(allowed, &node, &uri, handshake, request).await
        }
        _ => {
            let (parts, incoming) = response.into_parts();
            Err(refused(parts.status, incoming).await)
        }
    }
}

/// The upgrade to WebSocket that this server could do itself.
fn handshake(purpose: Purpose, request: &Request<Incoming>) -> Option<Handshake> {
    if !streams::is_socket(|name| values(request, name)) {
        return None;
    }
    let handshake = streams::accept(purpose, |name| values(request, name)).ok()?;
    // Old kubelets know how to forward ports to channels themselves.
    let known = purpose == Purpose::Forward && handshake.wire != Wire::Tunnel;
    (!known).then_some(handshake)
}

/// All values of a header, parted by commas.
fn values(request: &Request<Incoming>, name: &str) -> Option<String> {
    let values = request.headers().get_all(name).iter();
    let values: Vec<&str> = values.filter_map(|v| v.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn answered(handshake: &Handshake) -> Result<http::HeaderMap, Status> {
    let mut headers = http::HeaderMap::new();
    for (name, value) in &handshake.headers {
        let value = http::HeaderValue::from_str(value).map_err(Status::internal)?;
        headers.insert(*name, value);
    }
    Ok(headers)
}

/// WebSocket for the client, SPDY for the kubelet.
async fn translated(
    allowed: &Allowed,
    node: &str,
    uri: &http::Uri,
    handshake: Handshake,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    let version = match handshake.wire {
        Wire::Tunnel => streams::FORWARD,
        _ => streams::COMMAND[0],
    };
    let onward = Request::post(uri.clone())
        .header(header::HOST, node)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, streams::SPDY)
        .header(streams::VERSION, version)
        .body(answer::full(""))
        .map_err(Status::internal)?;
    let mut sender = connect(&allowed.server, node).await?;
    let response = sender
        .send_request(onward)
        .await
        .map_err(|e| unreachable(node, &e))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let (parts, incoming) = response.into_parts();
        return Err(refused(parts.status, incoming).await);
    }
    let headers = answered(&handshake)?;
    let query = &allowed.query;
    let tty = query.flag("tty");
    let wanted = Wanted {
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr") && !tty,
        tty,
    };
    let clock = allowed.server.handler.env.clock.clone();
    let tasks = allowed.server.handler.env.tasks.child();
    tasks.spawn("translation", async move {
        let ends = (hyper::upgrade::on(request), hyper::upgrade::on(response));
        let (Ok(client), Ok(kubelet)) = tokio::join!(ends.0, ends.1) else {
            return;
        };
        let (client, kubelet) = (TokioIo::new(client), TokioIo::new(kubelet));
        if handshake.wire == Wire::Tunnel {
            way::copy(Tunnel::new(client, streams::SocketRole::Server).await, kubelet).await;
            return;
        }
        let run = |ends| async move { streams::relay(kubelet, wanted, ends).await };
        let served = streams::serve(client, handshake.wire, wanted, &clock, run).await;
        if let Err(error) = served {
            tracing::debug!(%error, "session ended");
        }
    });
    Ok(way::switched(headers))
}

/// The node, and the kubelet's URL with the parameters as it names them.
fn target(allowed: &Allowed, place: &Place, pod: &Object) -> Result<(String, String), Status> {
    let query = &allowed.query;
    let pairs = query
        .pairs()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    if place.subresource == "portforward" {
        let node = scan::scalar(pod.body(), "spec.nodeName")
            .map_err(Status::internal)?
            .into_owned();
        if node.is_empty() {
            return Err(Status::bad_request(format!(
                "pod {} does not have a host assigned",
                pod.name()
            )));
        }
        let pairs: Vec<_> = pairs
            .map(|(name, value)| (if name == "ports" { "port" } else { name }, value))
            .collect();
        let path = format!("/portForward/{}/{}", place.namespace, place.name);
        return Ok((node, with_query(path, &pairs)));
    }
    let at = Where::find(pod, query.get("container"))?;
    let mut onward = Vec::new();
    for (name, value) in pairs {
        match name {
            "command" => onward.push(("command", value)),
            "stdin" if query.flag("stdin") => onward.push(("input", "1")),
            "stdout" if query.flag("stdout") => onward.push(("output", "1")),
            "stderr" if query.flag("stderr") => onward.push(("error", "1")),
            "tty" if query.flag("tty") => onward.push(("tty", "1")),
            _ => {}
        }
    }
    if !onward
        .iter()
        .any(|(name, _)| matches!(*name, "input" | "output" | "error"))
    {
        return Err(Status::bad_request(
            "you must specify at least 1 of stdin, stdout, stderr",
        ));
    }
    if place.subresource == "exec" && !onward.iter().any(|(name, _)| *name == "command") {
        let error = api::field::Error::required("command", "");
        return Err(Status::invalid("", "PodExecOptions", "", vec![error]));
    }
    let path = format!(
        "/{}/{}/{}/{}",
        place.subresource, place.namespace, place.name, at.container
    );
    Ok((at.node, with_query(path, &onward)))
}

async fn connect(server: &Server, node: &str) -> Result<way::Sender, Status> {
    let peer = Peer::Node(node.to_owned());
    let sender = way::open(server, &peer, true).await;
    sender.map_err(|error| unreachable(node, &error))
}

fn unreachable(node: &str, error: &dyn std::fmt::Display) -> Status {
    Status::internal(format!("error dialing backend: node {node}: {error}"))
}

/// What the kubelet says instead of what was asked, under its own code.
async fn refused(code: StatusCode, body: Incoming) -> Status {
    let text = body
        .collect()
        .await
        .map(|whole| whole.to_bytes())
        .unwrap_or_default();
    let message = String::from_utf8_lossy(&text).trim().to_owned();
    match code.as_u16() {
        400 => Status::bad_request(message),
        404 => Status {
            code: 404,
            reason: "NotFound".to_owned(),
            message,
            ..Status::default()
        },
        _ => Status::internal(message),
    }
}
