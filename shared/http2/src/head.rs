//! The head of a request: what its fields must be, and what is kept of it.

use crate::Service;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version,
    header::{CONTENT_LENGTH, COOKIE, HOST},
    request::Parts,
};
use std::sync::Arc;

/// Bytes of all fields together, each counted as HPACK's tables do, at most.
pub const MOST: usize = 16 << 10;
/// Bytes that a field counts beside its texts.
const FIELD: usize = 32;

/// The head of requests.
pub struct Head<K> {
    /// What is told to who answers.
    pub parts: Parts,
    /// What is known of them if they are small calls.
    pub known: Option<K>,
    /// Bytes that are to come, if that is told.
    pub length: Option<u64>,
    /// Bytes of its fields.
    pub size: usize,
}

/// One that several requests have.
pub type Shared<S> = Arc<Head<<S as Service>::Known>>;

/// Fields as they come.
#[derive(Default)]
pub struct Fields {
    method: Option<Method>,
    path: Option<Uri>,
    scheme: bool,
    authority: Option<Box<[u8]>>,
    headers: HeaderMap,
    size: usize,
    /// What is wrong with them.
    wrong: Option<&'static str>,
    regular: bool,
    pseudo: bool,
}

/// What became of a block.
#[derive(Debug)]
pub enum Refused {
    /// It is no head that there can be.
    Malformed(&'static str),
    /// It is too large.
    TooLarge,
}

impl Fields {
    /// Takes the next one.
    pub fn take(&mut self, name: &[u8], value: &[u8]) {
        self.size += name.len() + value.len() + FIELD;
        if self.size > MOST || self.wrong.is_some() {
            return;
        }
        let taken = match name.strip_prefix(b":") {
            Some(name) => self.pseudo(name, value),
            None => self.regular(name, value),
        };
        self.wrong = taken.err();
    }

    fn pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if self.regular {
            return Err("a pseudo-header after the headers");
        }
        self.pseudo = true;
        let twice = match name {
            b"method" => {
                let method = Method::from_bytes(value).map_err(|_| "a method that is none")?;
                self.method.replace(method).is_some()
            }
            b"path" => {
                let path = Uri::try_from(value).map_err(|_| "a path that is none")?;
                self.path.replace(path).is_some()
            }
            b"scheme" => std::mem::replace(&mut self.scheme, true),
            // Some clients send an endpoint as it was given to them, which may be a URL or less: it is not judged.
            b"authority" => self.authority.replace(value.into()).is_some(),
            _ => return Err("an unknown pseudo-header"),
        };
        if twice {
            return Err("a pseudo-header twice");
        }
        Ok(())
    }

    fn regular(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        self.regular = true;
        if name.iter().any(u8::is_ascii_uppercase) {
            return Err("a name in capitals");
        }
        if matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']) {
            return Err("a value with space around it");
        }
        let name = HeaderName::from_bytes(name).map_err(|_| "a name that is none")?;
        let value = HeaderValue::from_bytes(value).map_err(|_| "a value that is none")?;
        match name.as_str() {
            "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" => {
                return Err("a header of a connection");
            }
            "te" if value != "trailers" => return Err("a TE that is not of trailers"),
            // It may be cut into several, and is one to who reads it.
            "cookie" if let Some(before) = self.headers.get(COOKIE) => {
                let joined = [before.as_bytes(), b"; ", value.as_bytes()].concat();
                let joined = HeaderValue::from_bytes(&joined).map_err(|_| "a value that is none")?;
                self.headers.insert(COOKIE, joined);
            }
            _ => {
                self.headers.append(name, value);
            }
        }
        Ok(())
    }

    /// Bytes of all together.
    pub const fn size(&self) -> usize {
        self.size
    }

    fn judged(&self) -> Result<(), Refused> {
        match self.wrong {
            Some(why) => Err(Refused::Malformed(why)),
            None if self.size > MOST => Err(Refused::TooLarge),
            None => Ok(()),
        }
    }

    /// The head of a request, and how long its body is if that is told.
    pub fn request(mut self) -> Result<(Parts, Option<u64>), Refused> {
        self.judged()?;
        let (Some(method), Some(uri), true) = (self.method, self.path, self.scheme) else {
            return Err(Refused::Malformed("a pseudo-header is missing"));
        };
        let length = match self.headers.get(CONTENT_LENGTH) {
            Some(length) => {
                let text = length.to_str().ok().and_then(|text| text.parse().ok());
                Some(text.ok_or(Refused::Malformed("a length that is none"))?)
            }
            None => None,
        };
        if let Some(authority) = self.authority
            && !self.headers.contains_key(HOST)
            && let Ok(host) = HeaderValue::from_bytes(&authority)
        {
            self.headers.insert(HOST, host);
        }
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = self.headers;
        Ok((request.into_parts().0, length))
    }

    /// The end of a request.
    pub fn trailers(self) -> Result<HeaderMap, Refused> {
        self.judged()?;
        match self.pseudo {
            true => Err(Refused::Malformed("a pseudo-header at the end")),
            false => Ok(self.headers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: [(&str, &str); 3] = [(":method", "POST"), (":scheme", "http"), (":path", "/a/B?c=d")];

    fn request(more: &[(&str, &str)]) -> Result<(Parts, Option<u64>), Refused> {
        let mut fields = Fields::default();
        for (name, value) in FINE.iter().chain(more) {
            fields.take(name.as_bytes(), value.as_bytes());
        }
        fields.request()
    }

    #[test]
    fn an_authority_that_is_a_url_is_taken() {
        for sent in [
            "http://127.0.0.1:2379",
            "#initially=[127.0.0.1:2379]",
            "unix:///run/etcd",
            "127.0.0.1:2379",
        ] {
            let (parts, _) = request(&[(":authority", sent)]).unwrap();
            assert_eq!(parts.uri, "/a/B?c=d");
            assert_eq!(parts.headers[HOST], sent);
        }
    }

    #[test]
    fn heads_that_cannot_be_are_refused_by_name() {
        let wrong: &[(&[(&str, &str)], &str)] = &[
            (
                &[("a", "b"), (":authority", "x")],
                "a pseudo-header after the headers",
            ),
            (&[(":path", "/")], "a pseudo-header twice"),
            (&[(":status", "200")], "an unknown pseudo-header"),
            (&[("Big", "b")], "a name in capitals"),
            (&[("a b", "c")], "a name that is none"),
            (&[("a", "b\r\nc")], "a value that is none"),
            (&[("a", " b")], "a value with space around it"),
            (&[("connection", "close")], "a header of a connection"),
            (&[("te", "gzip")], "a TE that is not of trailers"),
            (&[("content-length", "-1")], "a length that is none"),
        ];
        for (more, why) in wrong {
            match request(more) {
                Err(Refused::Malformed(said)) => assert_eq!(said, *why),
                other => panic!("{why}: {:?}", other.map(|(parts, _)| parts)),
            }
        }
        let mut fields = Fields::default();
        fields.take(b":method", b"GET");
        assert!(matches!(
            fields.request(),
            Err(Refused::Malformed("a pseudo-header is missing"))
        ));
        let long = "x".repeat(MOST);
        assert!(matches!(request(&[("a", &long)]), Err(Refused::TooLarge)));
    }

    #[test]
    fn a_cookie_in_parts_is_one() {
        let (parts, length) =
            request(&[("cookie", "a=b"), ("cookie", "c=d"), ("content-length", "7")]).unwrap();
        assert_eq!(
            (&parts.headers[COOKIE], length),
            (&HeaderValue::from_static("a=b; c=d"), Some(7))
        );
    }
}
