//! Signature Version 4 of AWS, by which S3-compatible storage knows who asks.

use component::hex;
use jiff::Timestamp;
use ring::{digest, hmac};

/// Who asks.
#[derive(Clone)]
pub struct Credentials {
    /// The public part.
    pub access_key: String,
    /// The secret part.
    pub secret_key: String,
    /// A token that comes with credentials of limited time.
    pub session_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Of the section `default` of a file as `~/.aws/credentials`.
    pub fn parse(text: &str) -> Option<Self> {
        let lines = text.lines().map(str::trim);
        let mut section = lines.skip_while(|line| *line != "[default]").skip(1);
        let pairs: Vec<(&str, &str)> =
            std::iter::from_fn(|| section.next().filter(|line| !line.starts_with('[')))
                .filter_map(|line| line.split_once('='))
                .map(|(name, value)| (name.trim(), value.trim()))
                .collect();
        let value = |wanted| {
            let found = pairs.iter().find(|(name, _)| *name == wanted)?;
            Some(found.1.to_owned())
        };
        Some(Self {
            access_key: value("aws_access_key_id")?,
            secret_key: value("aws_secret_access_key")?,
            session_token: value("aws_session_token"),
        })
    }
}

/// A request, as far as it is signed.
#[derive(Clone, Debug)]
pub struct Signed<'a> {
    /// `GET`, `PUT` …
    pub method: &'a str,
    /// The path, each byte encoded that must be.
    pub path: &'a str,
    /// Names and values of the query, not encoded.
    pub query: &'a [(&'a str, &'a str)],
    /// Names, in lower case, and values of the headers that are signed.
    pub headers: &'a [(&'a str, &'a str)],
    /// The SHA-256 of the body, in hexadecimal digits.
    pub body_hash: &'a str,
}

/// The SHA-256 of bytes in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

/// Encodes all bytes but those that never need it; `/` only with `slash`.
pub fn encode(text: &str, slash: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b'/' if !slash => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The query as it is sent and signed: in order, and encoded.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let encoded = pairs
        .iter()
        .map(|(name, value)| (encode(name, true), encode(value, true)));
    let mut encoded: Vec<(String, String)> = encoded.collect();
    encoded.sort();
    let encoded = encoded.into_iter().map(|(name, value)| format!("{name}={value}"));
    encoded.collect::<Vec<_>>().join("&")
}

/// `20130524T000000Z`.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The value of the header `Authorization`.
pub fn authorization(
    request: &Signed<'_>,
    credentials: &Credentials,
    region: &str,
    service: &str,
    at: Timestamp,
) -> String {
    let mut headers: Vec<(&str, String)> = request
        .headers
        .iter()
        .map(|(name, value)| (*name, value.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    headers.sort();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let canonical = format!(
        "{}\n{}\n{}\n{lines}\n{names}\n{}",
        request.method,
        request.path,
        query(request.query),
        request.body_hash
    );
    let (time, date) = (time(at), at.strftime("%Y%m%d").to_string());
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        sha256(canonical.as_bytes())
    );
    let mut key = format!("AWS4{}", credentials.secret_key).into_bytes();
    for part in [&date, region, service, "aws4_request", &to_sign] {
        let by = hmac::Key::new(hmac::HMAC_SHA256, &key);
        key = hmac::sign(&by, part.as_bytes()).as_ref().to_vec();
    }
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={}",
        credentials.access_key,
        hex::encode(&key)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(secret: &str) -> Credentials {
        Credentials {
            access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: secret.to_owned(),
            session_token: None,
        }
    }

    fn signature(request: &Signed<'_>) -> String {
        let who = credentials("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        let at = "2013-05-24T00:00:00Z".parse().unwrap();
        let told = authorization(request, &who, "us-east-1", "s3", at);
        told.split_once("Signature=").unwrap().1.to_owned()
    }

    #[test]
    fn keys_are_read_as_aws_keeps_them() {
        let text = "[other]\naws_access_key_id=x\n\n[default]\n# mine\naws_access_key_id = one\naws_secret_access_key=a=b\n[more]\naws_session_token=t\n";
        let found = Credentials::parse(text).unwrap();
        assert_eq!(
            (found.access_key.as_str(), found.secret_key.as_str()),
            ("one", "a=b")
        );
        assert!(found.session_token.is_none() && !format!("{found:?}").contains("a=b"));
        assert!(Credentials::parse("[default]\naws_access_key_id = one\n").is_none());
    }

    /// The examples of the documentation of S3.
    #[test]
    fn requests_are_signed_as_aws_publishes_it() {
        let nothing = sha256(b"");
        let host = ("host", "examplebucket.s3.amazonaws.com");
        let (date, hash) = (
            ("x-amz-date", "20130524T000000Z"),
            ("x-amz-content-sha256", nothing.as_str()),
        );
        let plain = Signed {
            method: "GET",
            path: "/",
            query: &[],
            headers: &[host, hash, date],
            body_hash: &nothing,
        };
        let object = Signed {
            path: "/test.txt",
            headers: &[host, ("range", "bytes=0-9"), hash, date],
            ..plain.clone()
        };
        assert_eq!(
            signature(&object),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let body = sha256(b"Welcome to Amazon S3.");
        let put = Signed {
            method: "PUT",
            path: &encode("/test$file.text", false),
            query: &[],
            headers: &[
                ("date", "Fri, 24 May 2013 00:00:00 GMT"),
                host,
                date,
                ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
                ("x-amz-content-sha256", &body),
            ],
            body_hash: &body,
        };
        assert_eq!(
            signature(&put),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
        assert_eq!(
            signature(&Signed {
                query: &[("lifecycle", "")],
                ..plain.clone()
            }),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
        );
        assert_eq!(
            signature(&Signed {
                query: &[("prefix", "J"), ("max-keys", "2")],
                ..plain.clone()
            }),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }
}
