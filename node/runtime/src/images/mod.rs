//! Images: names, registries, pulling, and the store of unpacked layers.
//!
//! `layers/` has a folder a layer, named by the start of its diff id; `metadata/` a file an image; `ingest/` what is not
//! whole yet.

mod http;
mod pull;
mod reference;
mod registries;
mod resolve;
mod unpack;

pub(crate) use pull::ImageConfig;
pub(crate) use reference::Reference;
pub(crate) use registries::Registries;

use crate::{
    edge::{Auth, Error, Image, Result},
    record,
};
use component::Env;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A layer with nothing in it: overlayfs wants at least one.
const EMPTY: &str = "empty";

/// The images that are here.
pub(crate) struct Images {
    dir: PathBuf,
    registries: Registries,
    env: Env,
    records: Mutex<BTreeMap<String, ImageRecord>>,
    /// Held by pulls, whose layers belong to no image yet; a sweep waits for another time.
    pulling: tokio::sync::RwLock<()>,
    /// One pull of a layer at a time.
    turns: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// An image, as on disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    /// Digest of its config.
    pub id: String,
    /// Full names with tags.
    pub tags: Vec<String>,
    /// Full names with digests.
    pub digests: Vec<String>,
    /// Diff ids, the lowest first.
    pub layers: Vec<String>,
    /// Bytes on disk.
    pub size: u64,
    /// Its settings.
    pub config: ImageConfig,
}

impl ImageRecord {
    /// The name with digest under which one finds what `name` names: one of its own repository, if there is one.
    pub(crate) fn name_with_digest(&self, name: &str) -> &str {
        let repository = Reference::parse(name).map(|reference| reference.name());
        let own = |digest: &&String| {
            let of = digest.split_once('@').map(|(of, _)| of);
            of.is_some() && of == repository.as_deref().ok()
        };
        let found = self.digests.iter().find(own).or_else(|| self.digests.first());
        found.unwrap_or(&self.id)
    }
}

impl Images {
    /// Opens the store in `dir`.
    pub(crate) fn open(dir: PathBuf, registries: Registries, env: Env) -> io::Result<Self> {
        for part in ["layers/empty", "metadata", "ingest"] {
            fs::create_dir_all(dir.join(part))?;
        }
        let mut records = BTreeMap::new();
        for entry in fs::read_dir(dir.join("metadata"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json")
                && let Some(record) = record::read::<ImageRecord>(&path)?
            {
                records.insert(record.id.clone(), record);
            }
        }
        Ok(Self {
            dir,
            registries,
            env,
            records: Mutex::new(records),
            pulling: tokio::sync::RwLock::new(()),
            turns: Mutex::default(),
        })
    }

    /// Folder of the layers.
    pub(crate) fn layers_dir(&self) -> PathBuf {
        self.dir.join("layers")
    }

    /// Fetches an image.
    pub(crate) async fn pull(&self, name: &str, auth: Option<Auth>) -> Result<Image> {
        let reference = Reference::parse(name).map_err(Error::Invalid)?;
        let _pulling = self.pulling.read().await;
        let fetched = self.fetch(&reference, auth).await?;
        let mut records = self.records();
        let mut record = fetched.clone();
        if let Some(known) = records.get(&fetched.id) {
            record.tags.clone_from(&known.tags);
            record.digests.extend(
                known
                    .digests
                    .iter()
                    .filter(|d| **d != fetched.digests[0])
                    .cloned(),
            );
        }
        if reference.digest.is_none() {
            let tag = reference.to_string();
            if !record.tags.contains(&tag) {
                record.tags.push(tag.clone());
            }
            // The name may have stood for another image before.
            for other in records
                .values_mut()
                .filter(|other| other.id != record.id && other.tags.contains(&tag))
            {
                other.tags.retain(|name| *name != tag);
                self.store(other)?;
            }
        }
        self.store(&record)?;
        records.insert(record.id.clone(), record.clone());
        Ok(as_image(&record))
    }

    /// The image of a name, a name with digest, or an id.
    pub(crate) fn find(&self, name: &str) -> Option<ImageRecord> {
        let records = self.records();
        if let Some(record) = records
            .get(name)
            .or_else(|| records.get(&format!("sha256:{name}")))
        {
            return Some(record.clone());
        }
        let reference = Reference::parse(name).ok()?;
        let with_digest = reference
            .digest
            .as_ref()
            .map(|digest| format!("{}@{digest}", reference.name()));
        let found = records.values().find(|record| match &with_digest {
            Some(name) => record.digests.contains(name),
            None => record.tags.contains(&reference.to_string()),
        });
        found.cloned()
    }

    /// All images.
    pub(crate) fn all(&self) -> Vec<Image> {
        self.records().values().map(as_image).collect()
    }

    /// Removes an image with all its names; its layers go with the next [`Images::sweep`].
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let Some(record) = self.find(name) else {
            return Ok(());
        };
        match fs::remove_file(self.metadata(&record.id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Internal(format!("remove image {name}: {error}")));
            }
            _ => {}
        }
        self.records().remove(&record.id);
        Ok(())
    }

    /// Removes layers of no image and not in `used`.
    pub(crate) fn sweep(&self, mut used: BTreeSet<String>) -> io::Result<()> {
        let Ok(_nobody_pulls) = self.pulling.try_write() else {
            return Ok(());
        };
        used.extend(
            self.records()
                .values()
                .flat_map(|record| &record.layers)
                .map(|diff_id| layer_name(diff_id)),
        );
        for entry in fs::read_dir(self.layers_dir())? {
            let path = entry?.path();
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if name != EMPTY && !used.contains(&name) && path.is_dir() {
                let _ = fs::remove_file(path.with_extension("json"));
                fs::remove_dir_all(&path)?;
            }
        }
        Ok(())
    }

    /// Names of a record's layer folders.
    pub(crate) fn layer_names(record: &ImageRecord) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in record.layers.iter().map(|diff_id| layer_name(diff_id)) {
            // Overlayfs refuses a folder twice; the upper one hides the lower one anyway.
            names.retain(|known| *known != name);
            names.push(name);
        }
        if names.is_empty() {
            names.push(EMPTY.to_owned());
        }
        names
    }

    fn layer_size(&self, diff_id: &str) -> Option<u64> {
        let path = self.layers_dir().join(layer_name(diff_id));
        let (known, size): (String, u64) = record::read(&path.with_extension("json")).ok()??;
        (known == diff_id && path.is_dir()).then_some(size)
    }

    fn turn(&self, diff_id: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        turns.entry(diff_id.to_owned()).or_default().clone()
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<String, ImageRecord>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, record: &ImageRecord) -> Result<()> {
        let path = self.metadata(&record.id);
        record::write(&path, record).map_err(|error| Error::Internal(format!("{}: {error}", path.display())))
    }

    fn metadata(&self, id: &str) -> PathBuf {
        self.dir
            .join("metadata")
            .join(Path::new(&id.replace(':', "-")))
            .with_extension("json")
    }
}

/// As the kubelet sees it.
pub(crate) fn as_image(record: &ImageRecord) -> Image {
    Image {
        id: record.id.clone(),
        tags: record.tags.clone(),
        digests: record.digests.clone(),
        size: record.size,
        user: record.config.config.user.clone(),
    }
}

/// The folder of a layer: short, because a mount names all of an image's layers in one page.
fn layer_name(diff_id: &str) -> String {
    diff_id
        .trim_start_matches("sha256:")
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(16)
        .collect()
}
