//! Tokens of browsers, which cannot set headers of WebSockets: they stand among the protocols that the client offers
//! (upstream `apiserver/pkg/authentication/request/websocket`).

use base64::{
    Engine,
    engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD},
};
use http::{HeaderMap, HeaderValue, header};

const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// Takes tokens off the protocols that a client offers.
pub(super) fn forget(headers: &mut HeaderMap) {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let offered: Vec<&str> = offered.filter_map(|value| value.to_str().ok()).collect();
    if !offered.iter().any(|value| value.contains(PREFIX)) {
        return;
    }
    let protocols = offered.iter().flat_map(|value| value.split(',')).map(str::trim);
    let others: Vec<&str> = protocols.filter(|name| !name.starts_with(PREFIX)).collect();
    match HeaderValue::from_str(&others.join(",")) {
        Ok(others) if !others.is_empty() => {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, others);
        }
        _ => {
            headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
        }
    }
}

/// The token of a request for a WebSocket.
///
/// # Errors
/// There is one, and it is not as it should be.
pub(super) fn token(headers: &HeaderMap) -> Result<Option<String>, String> {
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    if !upgrade.is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket")) {
        return Ok(None);
    }
    let offered = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let (mut found, mut others) = (None, false);
    for protocol in offered.flat_map(|value| value.split(',')).map(str::trim) {
        let Some(encoded) = protocol.strip_prefix(PREFIX) else {
            others = others || !protocol.is_empty();
            continue;
        };
        if found.is_some() {
            return Err("multiple base64.bearer.authorization tokens specified".to_owned());
        }
        let decoded = URL_SAFE_NO_PAD
            .decode(encoded)
            .or_else(|_| URL_SAFE.decode(encoded));
        let decoded = decoded.map_err(|_| "invalid base64.bearer.authorization token encoding".to_owned())?;
        let text =
            String::from_utf8(decoded).map_err(|_| "invalid base64.bearer.authorization token".to_owned())?;
        found = Some(text);
    }
    match found {
        Some(_) if !others => {
            Err("missing additional subprotocol in Sec-WebSocket-Protocol header".to_owned())
        }
        found => Ok(found.filter(|token| !token.is_empty())),
    }
}
