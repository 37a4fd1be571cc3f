//! Requests handed to other servers. Upstream: `kube-aggregator/pkg/apiserver/handler_proxy.go`.

use super::service::{ApiService, Remote};
use crate::{
    Server,
    http::{
        answer::{self, Body},
        percent_decode, proxy, way,
    },
    security::User,
};
use futures::TryStreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, BodyStream};
use hyper::body::Incoming;
use std::{fmt::Write, sync::Arc, time::Duration};

/// How long a server may take to say what it has.
const DISCOVERY: Duration = Duration::from_secs(5);

/// The answer of the server behind `service`, which is asked in the name of `user`.
pub async fn answer(
    server: &Arc<Server>,
    user: &User,
    service: &ApiService,
    request: Request<Incoming>,
) -> Response<Body> {
    let Some(remote) = service.remote.as_ref().filter(|_| service.available) else {
        return failed(503, "service unavailable");
    };
    let path = request.uri().path().trim_matches('/');
    let discovery = path.split('/').count() == 3 && !path.starts_with("api/");
    let asked = ask(server, user, remote, request);
    let answered = if discovery {
        let timed = server.handler.env.clock.timeout(DISCOVERY, asked).await;
        timed.unwrap_or_else(|| Err("context deadline exceeded".to_owned()))
    } else {
        asked.await
    };
    answered.unwrap_or_else(|why| failed(503, &why))
}

fn failed(code: u16, why: &str) -> Response<Body> {
    answer::plain(code, format!("{why}\n"))
}

async fn ask(
    server: &Server,
    user: &User,
    remote: &Remote,
    request: Request<Incoming>,
) -> Result<Response<Body>, String> {
    can_be_said(user)?;
    let upgrade = proxy::wants_upgrade(request.headers());
    let query = request.uri().query().map(|query| format!("?{query}"));
    // The path as it was read for authorization.
    let path = encoded(&percent_decode(request.uri().path()));
    let path = format!("{path}{}", query.unwrap_or_default());
    let mut onward = Request::builder().method(request.method()).uri(path);
    if let Some(headers) = onward.headers_mut() {
        *headers = proxy::onward_headers(request.headers(), upgrade);
        identify(headers, user);
        if let Ok(host) = HeaderValue::from_str(&remote.authority()) {
            headers.insert(header::HOST, host);
        }
    }
    let mut sender = server.connect(remote, true).await?;
    let said = |error: hyper::Error| way::said(&error);
    if upgrade {
        let onward = onward.body(answer::full("")).map_err(|error| error.to_string())?;
        let response = sender.send_request(onward).await.map_err(said)?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(way::splice(server, request, response));
        }
        return Ok(passed_on(response, sender));
    }
    let body = request.into_body().map_err(std::io::Error::other).boxed_unsync();
    let onward = onward.body(body).map_err(|error| error.to_string())?;
    let response = sender.send_request(onward).await.map_err(said)?;
    Ok(passed_on(response, sender))
}

/// The answer as it comes, piece by piece.
fn passed_on(response: Response<Incoming>, sender: way::Sender) -> Response<Body> {
    let (mut parts, incoming) = response.into_parts();
    proxy::drop_hop_by_hop(&mut parts.headers);
    parts.extensions.insert(answer::PassedOn);
    let frames = TryStreamExt::map_err(BodyStream::new(incoming), std::io::Error::other);
    // The sender is kept until the body ends: dropping it would end the connection.
    let pieces = frames.try_filter_map(move |frame| {
        let _keep = &sender;
        std::future::ready(Ok(frame.into_data().ok()))
    });
    Response::from_parts(parts, answer::streamed(pieces))
}

/// Whether `user` can be named in headers; else another server would take the request for somebody else's.
///
/// # Errors
/// It cannot: it has characters that end a header.
pub(super) fn can_be_said(user: &User) -> Result<(), String> {
    let names = std::iter::once(("X-Remote-User", &user.name)).chain([("X-Remote-Uid", &user.uid)]);
    let groups = user.groups.iter().map(|group| ("X-Remote-Group", group));
    let extra = user
        .extra
        .values()
        .flatten()
        .map(|value| ("X-Remote-Extra", value));
    for (header, value) in names.chain(groups).chain(extra) {
        if HeaderValue::from_bytes(value.as_bytes()).is_err() {
            return Err(format!("net/http: invalid header field value for {header:?}"));
        }
    }
    Ok(())
}

/// Says who asks.
pub(super) fn identify(headers: &mut HeaderMap, user: &User) {
    let mut say = |name: &str, value: &str| {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            headers.append(name, value);
        }
    };
    say("x-remote-user", &user.name);
    if !user.uid.is_empty() {
        say("x-remote-uid", &user.uid);
    }
    for group in &user.groups {
        say("x-remote-group", group);
    }
    for (key, values) in &user.extra {
        let name = format!("x-remote-extra-{}", escaped(key));
        values.iter().for_each(|value| say(&name, value));
    }
}

/// A path with what must be escaped, as Go escapes it.
fn encoded(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A key as part of a header's name: what may not stand there is percent-encoded.
fn escaped(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_said_in_headers() {
        let mut user = User::new("ann", &["dev", "ops"]);
        user.uid = "7".to_owned();
        user.extra
            .insert("example.com/id%".to_owned(), vec!["a".to_owned(), "b".to_owned()]);
        let mut headers = HeaderMap::new();
        identify(&mut headers, &user);
        let all = |name: &str| -> Vec<&str> {
            headers
                .get_all(name)
                .iter()
                .map(|value| value.to_str().unwrap())
                .collect()
        };
        assert_eq!(all("x-remote-user"), ["ann"]);
        assert_eq!(all("x-remote-uid"), ["7"]);
        assert_eq!(all("x-remote-group"), ["dev", "ops"]);
        assert_eq!(all("x-remote-extra-example.com%2fid%25"), ["a", "b"]);
    }
}
