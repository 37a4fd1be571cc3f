//! The upgrade of an HTTP request to a connection of streams, without knowing the HTTP server.

use crate::channel::Protocol;

/// What an upgraded connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// WebSocket with channels.
    Socket(Protocol),
    /// SPDY/3.1, and for exec and attach the version of remote commands, 1 to 4.
    Spdy(u8),
    /// SPDY/3.1 inside of a WebSocket (KEP-4006).
    Tunnel,
    /// WebSocket whose messages are what is written, as it is or in base64, and nothing else.
    Output(Coding),
}

/// What the messages of [`Wire::Output`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// The bytes.
    Binary,
    /// Text: the bytes in base64.
    Base64,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Exec or attach.
    Command,
    /// Port-forward.
    Forward,
    /// What is only read: logs.
    Output,
}

/// The subprotocol of SPDY in a WebSocket.
pub const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// The name of SPDY in `Upgrade`.
pub const SPDY: &str = "SPDY/3.1";
/// The header that names what is spoken over SPDY.
pub const VERSION: &str = "x-stream-protocol-version";
/// What is spoken over SPDY for port-forward.
pub const FORWARD: &str = "portforward.k8s.io";
/// What is spoken over SPDY for exec and attach, best first.
pub const COMMAND: [&str; 4] = [
    "v4.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
];

/// The subprotocols for output.
const OUTPUT: [(&str, Coding); 2] = [
    ("binary.k8s.io", Coding::Binary),
    ("base64.binary.k8s.io", Coding::Base64),
];

impl Purpose {
    /// The subprotocols of WebSocket.
    fn sockets(self) -> Vec<(&'static str, Wire)> {
        let protocols: &[Protocol] = match self {
            Self::Command => &Protocol::ALL,
            Self::Forward => &[Protocol::V4, Protocol::V4Base64],
            Self::Output => return OUTPUT.map(|(name, coding)| (name, Wire::Output(coding))).to_vec(),
        };
        let channels = protocols.iter().map(|p| (p.name(), Wire::Socket(*p)));
        let tunnel = (self == Self::Forward).then_some((TUNNEL, Wire::Tunnel));
        tunnel.into_iter().chain(channels).collect()
    }

    fn spdy(self) -> &'static [&'static str] {
        match self {
            Self::Command => &COMMAND,
            Self::Forward => &[FORWARD],
            Self::Output => &[],
        }
    }

    /// What is spoken with those who name no protocol: the oldest.
    fn unnamed(self) -> Wire {
        match self {
            Self::Command | Self::Forward => Wire::Socket(Protocol::V1),
            Self::Output => Wire::Output(Coding::Binary),
        }
    }
}

/// What a server answers to an upgrade: status 101 with these headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// What both speak.
    pub wire: Wire,
    /// The headers of the answer.
    pub headers: Vec<(&'static str, String)>,
}

/// Why there is no upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code of HTTP.
    pub code: u16,
    /// In words.
    pub message: String,
    /// What could be spoken over SPDY, for the header `X-Accepted-Stream-Protocol-Versions`.
    pub accepted: &'static [&'static str],
}

/// Whether a request asks for a WebSocket.
pub fn is_socket(header: impl Fn(&str) -> Option<String>) -> bool {
    let has = |name, value: &str| header(name).is_some_and(|v| v.to_ascii_lowercase().contains(value));
    has("upgrade", "websocket") && has("connection", "upgrade")
}

/// Looks at a request through `header`, which gives all values of a name, parted by commas.
pub fn accept(purpose: Purpose, header: impl Fn(&str) -> Option<String>) -> Result<Handshake, Refusal> {
    if is_socket(&header) {
        return socket(purpose, header);
    }
    let offered = listed(header(VERSION).unwrap_or_default());
    if offered.is_empty() {
        return Err(refusal(
            400,
            "unable to upgrade: X-Stream-Protocol-Version is required",
        ));
    }
    let ours = purpose.spdy();
    let Some(best) = offered
        .iter()
        .find_map(|offer| ours.iter().position(|name| name == offer))
    else {
        let (theirs, ours) = (offered.join(" "), ours.join(" "));
        let message = format!(
            "unable to upgrade: unable to negotiate protocol: client supports [{theirs}], server accepts [{ours}]"
        );
        return Err(Refusal {
            accepted: purpose.spdy(),
            ..refusal(403, &message)
        });
    };
    let has = |name, value: &str| header(name).is_some_and(|v| v.to_ascii_lowercase().contains(value));
    if !has("connection", "upgrade") || !has("upgrade", "spdy/3.1") {
        return Err(refusal(
            400,
            "unable to upgrade: missing upgrade headers in request",
        ));
    }
    Ok(Handshake {
        wire: Wire::Spdy(u8::try_from(COMMAND.len().saturating_sub(best)).unwrap_or(1)),
        headers: vec![
            ("connection", "Upgrade".to_owned()),
            ("upgrade", SPDY.to_owned()),
            (VERSION, ours[best].to_owned()),
        ],
    })
}

fn socket(purpose: Purpose, header: impl Fn(&str) -> Option<String>) -> Result<Handshake, Refusal> {
    if header("sec-websocket-version").as_deref() != Some("13") {
        return Err(refusal(
            400,
            "unable to upgrade: only version 13 of WebSocket is spoken",
        ));
    }
    let Some(key) = header("sec-websocket-key") else {
        return Err(refusal(400, "unable to upgrade: Sec-WebSocket-Key is required"));
    };
    let offered = listed(header("sec-websocket-protocol").unwrap_or_default());
    let ours = purpose.sockets();
    let found = offered
        .iter()
        .find_map(|offer| ours.iter().find(|(name, _)| name == offer));
    let (name, wire) = match found {
        Some((name, wire)) => (Some(*name), *wire),
        None if offered.is_empty() => (None, purpose.unnamed()),
        None => {
            let ours: Vec<&str> = ours.iter().map(|(name, _)| *name).collect();
            let message = format!(
                "requested protocol(s) are not supported: [{}]; supports [{}]",
                offered.join(" "),
                ours.join(" ")
            );
            return Err(refusal(403, &message));
        }
    };
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let mut headers = vec![
        ("connection", "Upgrade".to_owned()),
        ("upgrade", "websocket".to_owned()),
        ("sec-websocket-accept", accept),
    ];
    headers.extend(name.map(|name| ("sec-websocket-protocol", name.to_owned())));
    Ok(Handshake { wire, headers })
}

fn refusal(code: u16, message: &str) -> Refusal {
    Refusal {
        code,
        message: message.to_owned(),
        accepted: &[],
    }
}

fn listed(values: String) -> Vec<String> {
    let values = values.split(',').map(str::trim).filter(|v| !v.is_empty());
    values.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(purpose: Purpose, headers: &[(&str, &str)]) -> Result<Handshake, Refusal> {
        accept(purpose, |name| {
            let found = headers.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn over_socket(purpose: Purpose, protocols: &str) -> Result<Handshake, Refusal> {
        ask(
            purpose,
            &[
                ("connection", "keep-alive, Upgrade"),
                ("upgrade", "WebSocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("sec-websocket-protocol", protocols),
            ],
        )
    }

    fn over_spdy(purpose: Purpose, versions: &str) -> Result<Handshake, Refusal> {
        ask(
            purpose,
            &[
                ("connection", "Upgrade"),
                ("upgrade", "SPDY/3.1"),
                (VERSION, versions),
            ],
        )
    }

    #[test]
    fn sockets_are_accepted_as_the_rfc_has_it() {
        let answer = over_socket(Purpose::Command, "v5.channel.k8s.io,v4.channel.k8s.io").unwrap();
        assert_eq!(answer.wire, Wire::Socket(Protocol::V5));
        let accept = ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned());
        assert!(answer.headers.contains(&accept));
        let wire = |purpose, protocols| over_socket(purpose, protocols).map(|h| h.wire);
        assert_eq!(wire(Purpose::Forward, TUNNEL), Ok(Wire::Tunnel));
        assert_eq!(wire(Purpose::Command, ""), Ok(Wire::Socket(Protocol::V1)));
        let text = wire(Purpose::Output, "base64.binary.k8s.io,binary.k8s.io");
        assert_eq!(text, Ok(Wire::Output(Coding::Base64)));
        assert_eq!(wire(Purpose::Output, ""), Ok(Wire::Output(Coding::Binary)));
        assert_eq!(wire(Purpose::Output, "channel.k8s.io").unwrap_err().code, 403);
        assert_eq!(wire(Purpose::Command, TUNNEL).unwrap_err().code, 403);
        assert_eq!(wire(Purpose::Forward, "v5.channel.k8s.io").unwrap_err().code, 403);
    }

    #[test]
    fn the_clients_best_is_spoken_over_spdy() {
        let offers = "v4.channel.k8s.io, v3.channel.k8s.io, channel.k8s.io";
        let answer = over_spdy(Purpose::Command, offers).unwrap();
        assert_eq!(answer.wire, Wire::Spdy(4));
        assert!(
            answer
                .headers
                .contains(&(VERSION, "v4.channel.k8s.io".to_owned()))
        );
        assert_eq!(
            over_spdy(Purpose::Command, "channel.k8s.io").unwrap().wire,
            Wire::Spdy(1)
        );
        assert!(matches!(
            over_spdy(Purpose::Forward, FORWARD).unwrap().wire,
            Wire::Spdy(_)
        ));
        let refused = over_spdy(Purpose::Forward, "v9").unwrap_err();
        assert_eq!((refused.code, refused.accepted), (403, &[FORWARD][..]));
        assert_eq!(
            refused.message,
            "unable to upgrade: unable to negotiate protocol: client supports [v9], server accepts [portforward.k8s.io]"
        );
        assert_eq!(ask(Purpose::Command, &[]).unwrap_err().code, 400);
    }
}
