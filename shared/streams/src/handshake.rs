//! The upgrade of an HTTP request to a WebSocket, without knowing the HTTP server.

use crate::channel::Protocol;

/// What a server answers to an upgrade: status 101 with these headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The protocol that both speak.
    pub protocol: Protocol,
    /// `Sec-WebSocket-Accept`.
    pub accept: String,
}

impl Handshake {
    /// The headers of the answer.
    pub fn headers(&self) -> [(&'static str, &str); 4] {
        [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", &self.accept),
            ("sec-websocket-protocol", self.protocol.name()),
        ]
    }
}

/// Looks at a request through `header`: `None` when it is no WebSocket upgrade that offers a protocol we speak.
pub fn accept<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Handshake> {
    let upgrade = header("upgrade")?;
    if !upgrade.eq_ignore_ascii_case("websocket") || header("sec-websocket-version")? != "13" {
        return None;
    }
    let protocol = Protocol::negotiate(header("sec-websocket-protocol")?)?;
    let key = header("sec-websocket-key")?;
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    Some(Handshake { protocol, accept })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rfcs_example() {
        let headers = |name: &str| match name {
            "upgrade" => Some("WebSocket"),
            "sec-websocket-version" => Some("13"),
            "sec-websocket-key" => Some("dGhlIHNhbXBsZSBub25jZQ=="),
            "sec-websocket-protocol" => Some("v5.channel.k8s.io,v4.channel.k8s.io"),
            _ => None,
        };
        let answer = accept(headers).unwrap();
        assert_eq!(
            (answer.accept.as_str(), answer.protocol),
            ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", Protocol::V5)
        );
        assert!(accept(|name| headers(name).filter(|_| name != "upgrade")).is_none());
    }
}
