//! A bucket of S3-compatible storage.

mod exchange;
mod sign;
mod xml;

use crate::{Error, place::blocking};
use bytes::Bytes;
use component::Env;
use hyper::StatusCode;
use jiff::Timestamp;
use rustls::ClientConfig;
use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use sign::{Credentials, Signed, authorization, encode, query, sha256};

/// Tries of a request that the server could not serve.
const TRIES: u32 = 4;
/// Before the second try; then twice as long each time.
const PAUSE: Duration = Duration::from_millis(500);
/// Parts that an upload may have.
const MOST_PARTS: u64 = 10_000;

/// Which bucket, and how it is reached.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server, as `https://host:port`; `None`: AWS' own of the region.
    pub endpoint: Option<String>,
    /// The region that requests are signed for.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// Whether the bucket stands in the path and not in the host's name.
    pub path_style: bool,
    /// Who asks.
    pub credentials: Credentials,
    /// How to speak TLS; not needed of an endpoint without.
    pub tls: Option<Arc<ClientConfig>>,
    /// What is larger goes up, and comes down, in parts of this size; S3 takes none under 5 MiB.
    pub part_bytes: usize,
    /// The folder for what goes up or came down.
    pub scratch: PathBuf,
}

/// A bucket.
#[derive(Clone)]
pub struct Bucket {
    settings: Settings,
    host: String,
    /// `None`: as plain text.
    tls: Option<Arc<ClientConfig>>,
    env: Env,
}

/// An object of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub key: String,
    /// Its bytes.
    pub size: u64,
    /// When it was written.
    pub modified: Timestamp,
}

/// What is asked of the server.
struct Ask<'a> {
    method: &'a str,
    key: &'a str,
    query: &'a [(&'a str, &'a str)],
    /// From which byte to which, and the tag that it must have.
    range: Option<(u64, u64, Option<&'a str>)>,
    body: Bytes,
}

/// What the server answered.
struct Answer {
    status: StatusCode,
    /// The tag of the object.
    tag: Option<String>,
    /// How many bytes the object has, if this is a range of them.
    total: Option<u64>,
    body: Bytes,
}

impl Bucket {
    /// The bucket of these settings; nothing is asked of it yet.
    pub fn new(settings: Settings, env: Env) -> Result<Self, Error> {
        let bad = |why: &str| Error::Refused(format!("s3://{}: {why}", settings.bucket));
        if settings.bucket.is_empty() {
            return Err(Error::Refused("s3: the name of the bucket is missing".to_owned()));
        }
        let usual = format!("https://s3.{}.amazonaws.com", settings.region);
        let endpoint = settings.endpoint.as_deref().unwrap_or(&usual);
        let (scheme, host) = endpoint.split_once("://").unwrap_or(("https", endpoint));
        let host = host.trim_end_matches('/');
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(bad("the endpoint is https://host or http://host")),
        };
        if host.is_empty() || host.contains('/') {
            return Err(bad(
                "the endpoint is a host, and a port if it is not the usual one",
            ));
        }
        let host = match settings.path_style {
            true => host.to_owned(),
            false => format!("{}.{host}", settings.bucket),
        };
        let tls = match (&settings.tls, secure) {
            (Some(tls), true) => {
                let mut tls = tls.as_ref().clone();
                tls.alpn_protocols = vec![b"http/1.1".to_vec()];
                Some(Arc::new(tls))
            }
            (None, true) => return Err(bad("https needs the CA of the server")),
            (_, false) => None,
        };
        Ok(Self {
            settings,
            host,
            tls,
            env,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.bucket
    }

    /// Where what goes up or came down may be kept meanwhile.
    pub fn scratch(&self) -> &Path {
        &self.settings.scratch
    }

    /// Writes an object, which is there whole or not at all: so many bytes of a file.
    pub async fn put(&self, key: &str, file: &Arc<File>, bytes: u64) -> Result<(), Error> {
        if bytes > self.settings.part_bytes as u64 {
            return self.put_in_parts(key, file, bytes).await;
        }
        let body = self.part(file, 0, bytes).await?;
        self.ask("PUT", key, &[], body).await.map(drop)
    }

    /// Reads an object into a file; how many bytes it has.
    pub async fn get(&self, key: &str, into: &Arc<File>) -> Result<u64, Error> {
        let (mut at, mut tag) = (0, None);
        loop {
            let ask = Ask {
                method: "GET",
                key,
                query: &[],
                range: Some((at, at + self.settings.part_bytes as u64 - 1, tag.as_deref())),
                body: Bytes::new(),
            };
            let answer = self.persist(&ask).await?;
            let (body, file, place) = (answer.body, into.clone(), self.settings.scratch.clone());
            let length = body.len() as u64;
            let write = move || file.write_all_at(&body, at).map_err(Error::io(&place));
            blocking(&self.env, write).await?;
            at += length;
            match answer.total {
                // The server gives no ranges.
                None => return Ok(at),
                Some(total) if at >= total => return Ok(at),
                Some(_) if length == 0 => return Err(self.odd("a part without bytes")),
                Some(_) => tag = answer.tag.or(tag),
            }
        }
    }

    /// Bytes of a file.
    async fn part(&self, file: &Arc<File>, at: u64, bytes: u64) -> Result<Bytes, Error> {
        let (file, place) = (file.clone(), self.settings.scratch.clone());
        let read = move || {
            let mut part = vec![0; usize::try_from(bytes).unwrap_or_default()];
            file.read_exact_at(&mut part, at).map_err(Error::io(&place))?;
            Ok(part.into())
        };
        blocking(&self.env, read).await
    }

    /// Removes an object; it need not be there.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        self.ask("DELETE", key, &[], Bytes::new()).await.map(drop)
    }

    /// All objects whose names begin with `prefix`.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Object>, Error> {
        let mut objects = Vec::new();
        let mut more: Option<String> = None;
        loop {
            let mut query = vec![("list-type", "2"), ("prefix", prefix)];
            if let Some(token) = &more {
                query.push(("continuation-token", token));
            }
            let answer = self.ask("GET", "", &query, Bytes::new()).await?;
            let body = String::from_utf8_lossy(&answer.body);
            for one in xml::all(&body, "Contents") {
                let object = object(one).ok_or_else(|| self.odd("a list that cannot be read"))?;
                objects.push(object);
            }
            more = match xml::text(&body, "IsTruncated").as_deref() {
                Some("true") => xml::text(&body, "NextContinuationToken"),
                _ => None,
            };
            if more.is_none() {
                return Ok(objects);
            }
        }
    }

    async fn put_in_parts(&self, key: &str, file: &Arc<File>, bytes: u64) -> Result<(), Error> {
        let begun = self.ask("POST", key, &[("uploads", "")], Bytes::new()).await?;
        let upload = xml::text(&String::from_utf8_lossy(&begun.body), "UploadId");
        let upload = upload.ok_or_else(|| self.odd("no number of the upload"))?;
        let done = self.parts(key, &upload, file, bytes).await;
        if done.is_err() {
            // Parts that nobody completes cost money for ever.
            let aborted = self
                .ask("DELETE", key, &[("uploadId", &upload)], Bytes::new())
                .await;
            if let Err(error) = aborted {
                tracing::warn!(%error, key, "the parts of an upload that failed are still there");
            }
        }
        done
    }

    async fn parts(&self, key: &str, upload: &str, file: &Arc<File>, bytes: u64) -> Result<(), Error> {
        let size = (self.settings.part_bytes as u64).max(bytes.div_ceil(MOST_PARTS));
        let mut list = "<CompleteMultipartUpload>".to_owned();
        for number in 1..=bytes.div_ceil(size) {
            let start = (number - 1) * size;
            let part = self.part(file, start, size.min(bytes - start)).await?;
            let number = number.to_string();
            let query = [("partNumber", number.as_str()), ("uploadId", upload)];
            let tag = self.ask("PUT", key, &query, part).await?.tag;
            let tag = tag.ok_or_else(|| self.odd("no tag of a part"))?;
            list += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>");
        }
        list += "</CompleteMultipartUpload>";
        let answer = self
            .ask("POST", key, &[("uploadId", upload)], list.into())
            .await?;
        // The server may find out late, when it has said that all is well.
        match xml::text(&String::from_utf8_lossy(&answer.body), "Code") {
            Some(code) => Err(Error::Server(format!("s3://{}/{key}: {code}", self.name()))),
            None => Ok(()),
        }
    }

    fn odd(&self, what: &str) -> Error {
        Error::Server(format!("s3://{}: the server answered with {what}", self.name()))
    }

    async fn ask(
        &self,
        method: &str,
        key: &str,
        query: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, Error> {
        let ask = Ask {
            method,
            key,
            query,
            range: None,
            body,
        };
        self.persist(&ask).await
    }

    /// Asks until the server can answer.
    async fn persist(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let place = format!("s3://{}/{}", self.name(), ask.key);
        let mut pause = PAUSE;
        for attempt in 1.. {
            let why = match self.exchange(ask).await {
                Ok(answer) if answer.status.is_success() => return Ok(answer),
                Ok(Answer { status, body, .. }) => {
                    let why = told(status, &body);
                    let later = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                    if !later {
                        return Err(Error::Server(format!("{place}: {why}")));
                    }
                    why
                }
                Err(error) => error.to_string(),
            };
            if attempt == TRIES {
                return Err(Error::Server(format!("{place}: {why}")));
            }
            self.env.clock.sleep(pause).await;
            pause *= 2;
        }
        Err(Error::Server(place))
    }
}

/// What the server says is wrong.
fn told(status: StatusCode, body: &[u8]) -> String {
    let body = String::from_utf8_lossy(body);
    match (xml::text(&body, "Code"), xml::text(&body, "Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code,
        _ => format!("the server answered {status}"),
    }
}

fn object(text: &str) -> Option<Object> {
    Some(Object {
        key: xml::text(text, "Key")?,
        size: xml::text(text, "Size")?.parse().ok()?,
        modified: xml::text(text, "LastModified")?.parse().ok()?,
    })
}
