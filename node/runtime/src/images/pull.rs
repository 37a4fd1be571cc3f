//! Pulling: find the manifest, fetch what is missing, check every digest, unpack.

use super::{
    ImageRecord, Images, http, layer_name,
    reference::{Reference, is_digest},
    registries::{Endpoint, HostConfig},
    unpack,
};
use crate::{
    edge::{Auth, Error, Result},
    record,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use component::hex;
use futures::{StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use hyper::{Response, StatusCode, body::Incoming};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};
use tokio::io::AsyncWriteExt;

const MANIFESTS: &str = "application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, */*";

/// Largest manifest or config.
const DOCUMENT_LIMIT: usize = 8 << 20;

/// How often a broken download is taken up again.
const ATTEMPTS: u32 = 5;

const LAYERS_AT_ONCE: usize = 3;

#[derive(Debug, Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Platform {
    architecture: String,
    os: String,
    variant: String,
}

/// A manifest or a list of manifests: which it is shows in what it has.
#[derive(Debug, Deserialize)]
struct Manifest {
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

/// The image's own settings.
#[derive(Clone, Debug, Default, serde::Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ImageConfig {
    pub config: RunConfig,
    rootfs: RootFs,
}

/// What it says of the process to run.
#[derive(Clone, Debug, Default, serde::Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct RunConfig {
    pub user: String,
    pub env: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    pub working_dir: String,
    pub stop_signal: String,
}

#[derive(Clone, Debug, Default, serde::Serialize, Deserialize)]
#[serde(default)]
struct RootFs {
    diff_ids: Vec<String>,
}

/// Why one endpoint did not serve.
enum Trouble {
    /// It says that there is no such thing.
    NotFound,
    /// It does not let us.
    Denied(String),
    /// It does not answer.
    Unreachable(String),
    /// What it sent is not what it should be.
    Bad(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(error.to_string())
    }
}

/// One pull from one endpoint.
struct Source<'a> {
    images: &'a Images,
    endpoint: Endpoint,
    repository: &'a str,
    auth: Option<Auth>,
    config: HostConfig,
    token: Mutex<Option<String>>,
}

impl Images {
    /// Fetches `reference` from the first endpoint that has it.
    pub(super) async fn fetch(&self, reference: &Reference, auth: Option<Auth>) -> Result<ImageRecord> {
        let said = |why: &str| format!("failed to pull and unpack image \"{reference}\": {why}");
        let unresolved = |why: &str| said(&format!("failed to resolve reference \"{reference}\": {why}"));
        let (mut missing, mut worst) = (false, None);
        for endpoint in self.registries.endpoints(&reference.registry) {
            let config = self.registries.config(&endpoint.authority);
            let auth = auth.clone().or_else(|| config.auth());
            let token = Mutex::default();
            let source = Source {
                images: self,
                endpoint,
                repository: &reference.repository,
                auth,
                config,
                token,
            };
            match source.pull(reference).await {
                Ok(record) => return Ok(record),
                Err(Trouble::NotFound) => missing = true,
                Err(Trouble::Bad(why)) => return Err(Error::ImagePull(said(&why))),
                Err(Trouble::Denied(why)) => worst = Some(Error::ImagePull(unresolved(&why))),
                // A mirror that has nothing says more than a registry that cannot be reached behind it.
                Err(Trouble::Unreachable(why)) if !missing && worst.is_none() => {
                    worst = Some(Error::RegistryUnavailable(unresolved(&why)));
                }
                Err(Trouble::Unreachable(_)) => {}
            }
        }
        let not_found = || Error::ImagePull(unresolved(&format!("{reference}: not found")));
        Err(worst.filter(|_| !missing).unwrap_or_else(not_found))
    }
}

impl Source<'_> {
    async fn pull(&self, reference: &Reference) -> Result<ImageRecord, Trouble> {
        let (mut digest, mut bytes) = self.manifest(reference.target()).await?;
        let top = reference.digest.clone().unwrap_or_else(|| digest.clone());
        let mut manifest: Manifest = decode(&bytes)?;
        if manifest.config.is_none() {
            let chosen = choose(&manifest.manifests).ok_or_else(|| {
                Trouble::Bad(format!(
                    "no match for platform in manifest: not found (linux/{})",
                    architecture()
                ))
            })?;
            (digest, bytes) = self.manifest(chosen).await?;
            manifest = decode(&bytes)?;
        }
        let of_config = manifest
            .config
            .ok_or_else(|| Trouble::Bad(format!("manifest {digest} has no config")))?;
        let config_file = self.blob(&of_config.digest).await?;
        let config_bytes = fs::read(&config_file)?;
        let config: ImageConfig = decode(&config_bytes)?;
        let diff_ids = config.rootfs.diff_ids.clone();
        if diff_ids.len() != manifest.layers.len() {
            return Err(Trouble::Bad(
                "mismatched image rootfs and manifest layers".to_owned(),
            ));
        }
        let blobs = manifest.layers.into_iter().map(|layer| layer.digest);
        let pairs: Vec<(String, String)> = diff_ids.iter().cloned().zip(blobs).collect();
        let sizes: Vec<u64> = futures::stream::iter(pairs)
            .map(|(diff_id, digest)| async move { self.layer(&diff_id, &digest).await })
            .buffered(LAYERS_AT_ONCE)
            .try_collect()
            .await?;
        let _ = fs::remove_file(config_file);
        Ok(ImageRecord {
            id: of_config.digest,
            tags: Vec::new(),
            digests: vec![format!("{}@{top}", reference.name())],
            layers: diff_ids,
            size: sizes.iter().sum::<u64>() + config_bytes.len() as u64,
            config,
        })
    }

    async fn manifest(&self, target: &str) -> Result<(String, Vec<u8>), Trouble> {
        let path = format!("{}/manifests/{target}", self.repository);
        let response = self.get(&path, &[("accept", MANIFESTS.to_owned())]).await?;
        let body = http_body_util::Limited::new(response.into_body(), DOCUMENT_LIMIT);
        let bytes = body
            .collect()
            .await
            .map_err(|error| Trouble::Unreachable(error.to_string()))?
            .to_bytes();
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        if is_digest(target) && target != digest {
            return Err(Trouble::Bad(format!("manifest {target} has digest {digest}")));
        }
        Ok((digest, bytes.to_vec()))
    }

    /// Makes the layer be there; its size.
    async fn layer(&self, diff_id: &str, digest: &str) -> Result<u64, Trouble> {
        let turn = self.images.turn(diff_id);
        let _alone = turn.lock().await;
        if let Some(size) = self.images.layer_size(diff_id) {
            return Ok(size);
        }
        let blob = self.blob(digest).await?;
        let (dir, wanted) = (self.images.dir.clone(), diff_id.to_owned());
        let unpacked = self
            .images
            .env
            .tasks
            .blocking(move || unpack_layer(&dir, &blob, &wanted))
            .await;
        unpacked
            .unwrap_or_else(|| Err(io::Error::other("unpacking was stopped")))
            .map_err(|error| Trouble::Bad(format!("failed to extract layer {diff_id}: {error}")))
    }

    /// The file of a blob, fetched and checked. A download that broke goes on where it stopped.
    async fn blob(&self, digest: &str) -> Result<PathBuf, Trouble> {
        if !is_digest(digest) {
            return Err(Trouble::Bad(format!("unsupported digest {digest:?}")));
        }
        let path = self.images.dir.join("ingest").join(&digest["sha256:".len()..]);
        let mut attempt = 1;
        loop {
            match self.download(digest, &path).await {
                Ok(()) => return Ok(path),
                Err(Trouble::Unreachable(_)) if attempt < ATTEMPTS => {
                    self.images
                        .env
                        .clock
                        .sleep(Duration::from_millis(200 << attempt))
                        .await;
                    attempt += 1;
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    async fn download(&self, digest: &str, path: &Path) -> Result<(), Trouble> {
        let (mut hash, mut there) = (Sha256::new(), 0);
        if let Ok(mut file) = fs::File::open(path) {
            there = io::copy(&mut file, &mut hash)?;
        }
        let found = |hash: &Sha256| format!("sha256:{}", hex::encode(hash.clone().finalize()));
        if there > 0 && found(&hash) == digest {
            return Ok(());
        }
        let range = if there > 0 {
            vec![("range", format!("bytes={there}-"))]
        } else {
            Vec::new()
        };
        let response = match self
            .get(&format!("{}/blobs/{digest}", self.repository), &range)
            .await
        {
            Err(Trouble::Bad(_)) if there > 0 => {
                // Most likely the range is what it does not like.
                fs::remove_file(path)?;
                return Err(Trouble::Unreachable(format!(
                    "blob {digest} cannot be taken up again"
                )));
            }
            other => other?,
        };
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT;
        if !goes_on {
            hash = Sha256::new();
        }
        let mut options = tokio::fs::OpenOptions::new();
        let mut file = options
            .create(true)
            .append(goes_on)
            .write(true)
            .truncate(!goes_on)
            .open(path)
            .await?;
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Trouble::Unreachable(error.to_string()))?;
            if let Some(data) = frame.data_ref() {
                hash.update(data);
                file.write_all(data).await?;
            }
        }
        file.flush().await?;
        if found(&hash) == digest {
            return Ok(());
        }
        fs::remove_file(path)?;
        Err(Trouble::Bad(format!(
            "unexpected commit digest {}, expected {digest}: failed precondition",
            found(&hash)
        )))
    }

    /// Gets a path of the endpoint, with a token if it wants one.
    async fn get(&self, path: &str, headers: &[(&str, String)]) -> Result<Response<Incoming>, Trouble> {
        let url = self.endpoint.url(path);
        let response = self.get_with(&url, headers).await?;
        let response = match challenge(&response) {
            Some(challenge) => {
                let token = self.authorize(&challenge).await?;
                *self
                    .token
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(token);
                self.get_with(&url, headers).await?
            }
            None => response,
        };
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::NOT_FOUND => Err(Trouble::NotFound),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Err(Trouble::Denied(format!(
                "pull access denied, repository does not exist or may require authorization: server message: {}",
                status.canonical_reason().unwrap_or_default()
            ))),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => Err(
                Trouble::Unreachable(format!("unexpected status from GET request to {url}: {status}")),
            ),
            status => Err(Trouble::Bad(format!(
                "unexpected status from GET request to {url}: {status}"
            ))),
        }
    }

    async fn get_with(&self, url: &str, headers: &[(&str, String)]) -> Result<Response<Incoming>, Trouble> {
        let mut headers = headers.to_vec();
        let token = self
            .token
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        headers.extend(token.map(|token| ("authorization", token)));
        Ok(http::get(&self.images.env, &self.images.registries, url, &headers).await?)
    }

    /// What to send as authorization, for a challenge.
    async fn authorize(&self, challenge: &str) -> Result<String, Trouble> {
        let basic = self.auth.as_ref().map(|auth| {
            format!(
                "Basic {}",
                BASE64_STANDARD.encode(format!("{}:{}", auth.username, auth.password))
            )
        });
        let denied = || Trouble::Denied("authorization failed: no basic auth credentials".to_owned());
        let (scheme, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return basic.ok_or_else(denied);
        }
        let parameters = parameters(rest);
        let realm = parameters.get("realm").ok_or_else(denied)?;
        let scope = format!("repository:{}:pull", self.repository);
        let scope = parameters.get("scope").unwrap_or(&scope);
        let service = parameters.get("service").map(String::as_str).unwrap_or_default();
        let join = if realm.contains('?') { '&' } else { '?' };
        let url = format!("{realm}{join}service={}&scope={}", escape(service), escape(scope));
        // Our credentials go only where the endpoint itself is reached in the same way, or with TLS.
        let headers: Vec<_> = basic.into_iter().map(|basic| ("authorization", basic)).collect();
        if self.endpoint.secure && !realm.starts_with("https://") && !self.config.tls.insecure_skip_verify {
            return Err(Trouble::Denied(format!(
                "authorization realm {realm:?} is not secure"
            )));
        }
        let response = http::get(&self.images.env, &self.images.registries, &url, &headers).await?;
        if !response.status().is_success() {
            let status = response.status();
            return Err(Trouble::Denied(format!(
                "failed to authorize: failed to fetch token: unexpected status: {status}"
            )));
        }
        let body = http_body_util::Limited::new(response.into_body(), DOCUMENT_LIMIT);
        let bytes = body
            .collect()
            .await
            .map_err(|error| Trouble::Unreachable(error.to_string()))?
            .to_bytes();
        #[derive(Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        let answer: Answer = decode(&bytes)?;
        answer
            .token
            .or(answer.access_token)
            .map(|token| format!("Bearer {token}"))
            .ok_or_else(denied)
    }
}

fn challenge(response: &Response<Incoming>) -> Option<String> {
    let header = response
        .headers()
        .get("www-authenticate")
        .filter(|_| response.status() == StatusCode::UNAUTHORIZED)?;
    header.to_str().ok().map(ToOwned::to_owned)
}

/// `key="value"` pairs of a challenge; a value may have commas.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    let mut rest = text;
    while let Some((key, more)) = rest.split_once('=') {
        let (value, after) = match more.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => more.split_once(',').unwrap_or((more, "")),
        };
        pairs.insert(
            key.trim_matches([',', ' ']).to_ascii_lowercase(),
            value.to_owned(),
        );
        rest = after;
    }
    pairs
}

fn escape(text: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    text.bytes()
        .map(|b| {
            if plain(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Trouble> {
    serde_json::from_slice(bytes).map_err(|error| Trouble::Bad(format!("failed to unmarshal: {error}")))
}

/// This machine's architecture, as registries call it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn choose(manifests: &[Descriptor]) -> Option<&str> {
    let fits = |d: &&Descriptor| {
        let platform = d.platform.as_ref();
        platform.is_some_and(|p| {
            p.os == "linux" && p.architecture == architecture() && matches!(p.variant.as_str(), "" | "v8")
        })
    };
    manifests.iter().find(fits).map(|d| d.digest.as_str())
}

/// Unpacks a blob and, if it is what it should be, makes it the layer `diff_id`. Half a layer is never seen: it stands
/// aside until it is whole and on disk.
fn unpack_layer(images: &Path, blob: &Path, diff_id: &str) -> io::Result<u64> {
    let name = layer_name(diff_id);
    let aside = images.join("ingest").join(format!("{name}.layer"));
    if aside.exists() {
        fs::remove_dir_all(&aside)?;
    }
    fs::create_dir(&aside)?;
    let (found, size) = unpack::layer(blob, &aside)?;
    if found != diff_id {
        fs::remove_dir_all(&aside)?;
        fs::remove_file(blob)?;
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("wrong diff id calculated on extraction {found:?}"),
        ));
    }
    rustix::fs::syncfs(fs::File::open(&aside)?)?;
    let place = images.join("layers").join(&name);
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    fs::rename(&aside, &place)?;
    record::write(
        &images.join("layers").join(format!("{name}.json")),
        &(diff_id, size),
    )?;
    fs::remove_file(blob)?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let found = parameters(r#"realm="https://a/token",service="r",scope="repository:x:pull,push""#);
        assert_eq!(found["realm"], "https://a/token");
        assert_eq!(found["scope"], "repository:x:pull,push");
        assert_eq!(escape("a:b/c"), "a%3Ab%2Fc");
    }
}
