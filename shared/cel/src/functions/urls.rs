//! URLs, as Go reads those of requests: absolute ones, or paths.

use super::Row;
use crate::{
    stop::Stop,
    value::{Key, Map, Text, Value},
};
use std::{collections::BTreeMap, sync::Arc};

/// A URL, in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// As it was written.
    pub text: String,
    scheme: String,
    host: String,
    path: String,
    query: String,
}

impl Url {
    /// Reads an absolute URL or a path.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let fail = |why: &str| format!("parse {text:?}: {why}");
        if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return Err(format!(
                "parse {text:?}: net/url: invalid control character in URL"
            ));
        }
        let colon = text
            .find([':', '/', '?'])
            .filter(|at| text[*at..].starts_with(':'));
        let (scheme, rest) = match colon {
            Some(0) => return Err(fail("missing protocol scheme")),
            Some(at) if is_scheme(&text[..at]) => (text[..at].to_ascii_lowercase(), &text[at + 1..]),
            Some(_) => return Err(fail("first path segment in URL cannot contain colon")),
            None => (String::new(), text),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !rest.starts_with('/') {
            return Err(fail("invalid URI for request"));
        }
        let (host, path) = match rest.strip_prefix("//").filter(|_| !scheme.is_empty()) {
            Some(authority) => authority.split_at(authority.find('/').unwrap_or(authority.len())),
            None => ("", rest),
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let port = host_port(host).1;
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(fail(&format!("invalid port {:?} after host", format!(":{port}"))));
        }
        if host.contains([' ', '<', '>', '"']) {
            return Err(fail("invalid character in host name"));
        }
        decode(path, false).ok_or_else(|| fail("invalid URL escape"))?;
        Ok(Self {
            text: text.to_owned(),
            scheme,
            host: host.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
        })
    }

    /// The path with what must be escaped escaped.
    fn escaped_path(&self) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!'()*[]".contains(&byte);
        let mut out = String::with_capacity(self.path.len());
        for byte in self.path.bytes() {
            if plain(byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
        out
    }

    fn query_values<'a>(&self) -> Value<'a> {
        let mut values: BTreeMap<String, Vec<Value<'a>>> = BTreeMap::new();
        for pair in self
            .query
            .split('&')
            .filter(|pair| !pair.is_empty() && !pair.contains(';'))
        {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let (Some(name), Some(value)) = (decode(name, true), decode(value, true)) {
                values.entry(name).or_default().push(Value::text(value));
            }
        }
        let entries = values
            .into_iter()
            .map(|(name, values)| (Key::String(Text::from(name)), Value::list(values)));
        Value::Map(Map::Shared(Arc::new(entries.collect())))
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn host_port(host: &str) -> (&str, &str) {
    if let Some(inner) = host.strip_prefix('[') {
        let (name, rest) = inner.split_once(']').unwrap_or((inner, ""));
        return (name, rest.strip_prefix(':').unwrap_or(rest));
    }
    host.split_once(':').unwrap_or((host, ""))
}

fn decode(text: &str, plus: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let code = digit(bytes.next()?)? * 16 + digit(bytes.next()?)?;
                out.push(u8::try_from(code).ok()?);
            }
            b'+' if plus => out.push(b' '),
            byte => out.push(byte),
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

pub(super) const ROWS: &[Row] = &[
    Row(
        "url",
        "string_to_url",
        "string->kubernetes.URL",
        |args, _| match args {
            [Value::String(text)] => match Url::parse(text) {
                Ok(url) => Ok(Value::Url(Arc::new(url))),
                Err(error) => Err(format!("URL parse error during conversion from string: {error}").into()),
            },
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row("isURL", "is_url_string", "string->bool", |args, _| match args {
        [Value::String(text)] => Ok(Value::Bool(Url::parse(text).is_ok())),
        _ => Err(Stop::OVERLOAD),
    }),
    Row(
        ".getScheme",
        "url_get_scheme",
        "kubernetes.URL->string",
        |args, _| part(args, |url| url.scheme.clone()),
    ),
    Row(".getHost", "url_get_host", "kubernetes.URL->string", |args, _| {
        part(args, |url| url.host.clone())
    }),
    Row(
        ".getHostname",
        "url_get_hostname",
        "kubernetes.URL->string",
        |args, _| part(args, |url| host_port(&url.host).0.to_owned()),
    ),
    Row(".getPort", "url_get_port", "kubernetes.URL->string", |args, _| {
        part(args, |url| host_port(&url.host).1.to_owned())
    }),
    Row(
        ".getEscapedPath",
        "url_get_escaped_path",
        "kubernetes.URL->string",
        |args, _| part(args, Url::escaped_path),
    ),
    Row(
        ".getQuery",
        "url_get_query",
        "kubernetes.URL->map(string,list(string))",
        |args, _| match args {
            [Value::Url(url)] => Ok(url.query_values()),
            _ => Err(Stop::OVERLOAD),
        },
    ),
];

fn part<'a>(args: &[Value<'a>], of: fn(&Url) -> String) -> Result<Value<'a>, Stop> {
    match args {
        [Value::Url(url)] => Ok(Value::text(of(url))),
        _ => Err(Stop::OVERLOAD),
    }
}
