//! `/proxy` of nodes, pods and services: HTTP handed to what they serve, upgrades included.
//! Upstream: `apimachinery/pkg/util/proxy/upgradeaware.go`.

mod links;
#[cfg(test)]
mod stories;
mod target;

use super::{
    Caller,
    answer::{self, Body},
    flow::Allowed,
    way,
};
use crate::handler::Place;
use api::Status;
use futures::TryStreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, BodyStream, Limited};
use hyper::body::Incoming;
use links::Links;
use target::Target;

/// Headers that are between two ends of a connection only.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Answers as the target does.
pub async fn answer(
    allowed: &Allowed,
    place: &Place,
    request: Request<Incoming>,
) -> Result<Response<Body>, Status> {
    let target = Target::find(&allowed.server, place)?;
    let (prefix, path) = cut(request.uri().path(), place);
    let upgrade = wants_upgrade(request.headers());
    let query = request.uri().query().map(|q| format!("?{q}")).unwrap_or_default();
    if path.is_empty() && !upgrade {
        return redirect(&format!("{prefix}/{query}"));
    }
    let links = Links {
        prefix: prefix.to_owned(),
        target: target.host.clone(),
        asked: asked(&request),
    };
    let mut onward = Request::builder()
        .method(request.method())
        .uri(format!("{}{query}", if path.is_empty() { "/" } else { path }));
    if let Some(headers) = onward.headers_mut() {
        *headers = onward_headers(request.headers(), upgrade);
        if let Ok(host) = HeaderValue::from_str(&links.asked) {
            headers.insert(header::HOST, host);
        }
        if let Ok(uri) = HeaderValue::from_str(&links.path(path)) {
            headers.insert("x-forwarded-uri", uri);
        }
        forwarded_for(headers, request.extensions().get().copied());
    }
    let mut sender = way::open(&allowed.server, &target.peer, target.secure)
        .await
        .map_err(|error| unreachable(&target, &error))?;
    if upgrade {
        let onward = onward.body(answer::full("")).map_err(Status::internal)?;
        let response = sender.send_request(onward).await;
        let response = response.map_err(|e| unreachable(&target, &way::said(&e)))?;
        return upgraded(allowed, request, response, sender, &links).await;
    }
    let body = request.into_body().map_err(std::io::Error::other).boxed_unsync();
    let onward = onward.body(body).map_err(Status::internal)?;
    let response = sender.send_request(onward).await;
    let response = response.map_err(|e| unreachable(&target, &way::said(&e)))?;
    passed_on(response, sender, &links).await
}

/// The path up to `proxy`, and what is behind it.
pub fn cut<'a>(path: &'a str, place: &Place) -> (&'a str, &'a str) {
    let own = if place.group().is_empty() { 2 } else { 3 };
    let mut segments = own + 3 + if place.row().namespaced { 2 } else { 0 };
    let mut inside = false;
    for (at, byte) in path.bytes().enumerate() {
        match (byte, inside) {
            (b'/', true) if segments == 0 => return path.split_at(at),
            (b'/', _) => inside = false,
            (_, false) => {
                inside = true;
                segments -= 1;
            }
            _ => {}
        }
    }
    (path, "")
}

/// Whether a request is to become a connection of another protocol.
pub fn wants_upgrade(headers: &HeaderMap) -> bool {
    let mut connection = headers.get_all(header::CONNECTION).iter();
    connection.any(|v| {
        v.to_str()
            .is_ok_and(|v| v.to_ascii_lowercase().contains("upgrade"))
    })
}

fn asked(request: &Request<Incoming>) -> String {
    let header = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let authority = request.uri().authority().map(|authority| authority.as_str());
    header.or(authority).unwrap_or_default().to_owned()
}

/// What is passed on of a request: not who asks, and nothing that is about this connection, but for an upgrade.
pub fn onward_headers(headers: &HeaderMap, upgrade: bool) -> HeaderMap {
    let mut onward = headers.clone();
    if upgrade {
        onward.remove(header::CONTENT_LENGTH);
    } else {
        drop_hop_by_hop(&mut onward);
    }
    let credential = |name: &HeaderName| {
        *name == header::AUTHORIZATION
            || name.as_str().starts_with("impersonate-")
            || name.as_str().starts_with("x-remote-")
    };
    let credentials: Vec<HeaderName> = onward.keys().filter(|name| credential(name)).cloned().collect();
    for name in credentials {
        onward.remove(name);
    }
    onward
}

/// Says who calls, behind those that passed the request on before.
fn forwarded_for(headers: &mut HeaderMap, caller: Option<Caller>) {
    let Some(Caller(address)) = caller else { return };
    let before = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut all: Vec<String> = before.map(str::to_owned).collect();
    all.push(address.to_string());
    if let Ok(all) = HeaderValue::from_str(&all.join(", ")) {
        headers.insert(FORWARDED_FOR, all);
    }
}

/// Takes away what is between two ends of a connection only.
pub fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn redirect(to: &str) -> Result<Response<Body>, Status> {
    let mut response = Response::new(answer::full(""));
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let to = HeaderValue::from_str(to).map_err(Status::internal)?;
    response.headers_mut().insert(header::LOCATION, to);
    Ok(response)
}

fn unreachable(target: &Target, error: &dyn std::fmt::Display) -> Status {
    Status::unavailable(format!(
        "error trying to reach service: dial tcp {}: {error}",
        target.host
    ))
}

/// The answer to an upgrade: the connection, or why there is none.
async fn upgraded(
    allowed: &Allowed,
    request: Request<Incoming>,
    response: Response<Incoming>,
    sender: way::Sender,
    links: &Links,
) -> Result<Response<Body>, Status> {
    let code = response.status();
    if code != StatusCode::SWITCHING_PROTOCOLS {
        if code.as_u16() < 400 {
            let why = format!("invalid upgrade response: status code {}", code.as_u16());
            return Err(Status::internal(why));
        }
        return passed_on(response, sender, links).await;
    }
    Ok(way::splice(&allowed.server, request, response))
}

/// The target's answer as the client sees it.
async fn passed_on(
    response: Response<Incoming>,
    sender: way::Sender,
    links: &Links,
) -> Result<Response<Body>, Status> {
    let (mut parts, incoming) = response.into_parts();
    drop_hop_by_hop(&mut parts.headers);
    let cors = |name: &&HeaderName| name.as_str().starts_with("access-control-");
    let cors: Vec<HeaderName> = parts.headers.keys().filter(cors).cloned().collect();
    for name in cors {
        parts.headers.remove(name);
    }
    let text = |name| {
        parts
            .headers
            .get(name)
            .and_then(|v: &HeaderValue| v.to_str().ok())
    };
    let location = text(header::LOCATION).map(|location| links.url(location));
    let kind = text(header::CONTENT_TYPE)
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default();
    let encoding = text(header::CONTENT_ENCODING).unwrap_or_default().to_owned();
    let readable = matches!(encoding.as_str(), "" | "gzip" | "deflate");
    if let Some(location) = location {
        let location = HeaderValue::from_str(&location).map_err(Status::internal)?;
        parts.headers.insert(header::LOCATION, location);
    } else if kind.trim() == "text/html" && readable {
        let page = Limited::new(incoming, links::PAGE).collect().await;
        let page = page.map_err(|e| Status::internal(format!("reading the page: {e}")))?;
        let page = links
            .page(&page.to_bytes(), &encoding)
            .map_err(Status::internal)?;
        parts.headers.remove(header::CONTENT_LENGTH);
        return Ok(Response::from_parts(
            parts,
            answer::full(page.unwrap_or_default()),
        ));
    }
    let frames = TryStreamExt::map_err(BodyStream::new(incoming), std::io::Error::other);
    // The sender is kept until the body ends: dropping it would end the connection.
    let pieces = frames.try_filter_map(move |frame| {
        let _keep = &sender;
        std::future::ready(Ok(frame.into_data().ok()))
    });
    Ok(Response::from_parts(parts, answer::streamed(pieces)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_told_in_the_order_of_their_way() {
        let mut headers = HeaderMap::new();
        forwarded_for(&mut headers, None);
        assert!(headers.is_empty(), "in memory there is no address");
        headers.append(FORWARDED_FOR, HeaderValue::from_static("192.0.2.1, 192.0.2.2"));
        headers.append(FORWARDED_FOR, HeaderValue::from_static("192.0.2.3"));
        forwarded_for(&mut headers, Some(Caller([10, 0, 0, 9].into())));
        let all: Vec<&HeaderValue> = headers.get_all(FORWARDED_FOR).iter().collect();
        assert_eq!(all, ["192.0.2.1, 192.0.2.2, 192.0.2.3, 10.0.0.9"]);
    }
}
