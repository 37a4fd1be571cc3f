//! An OCI image layout on disk: blobs by digest, and an index that names each image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use e2e::process;
use serde::{Deserialize, Serialize};

use super::recipes::Recipe;

/// The annotation of a layout's index that holds an image's name.
const NAME: &str = "org.opencontainers.image.ref.name";

/// Which of the two families of media types an image has: registries serve both.
#[derive(Clone, Copy)]
pub enum Media {
    Docker,
    Oci,
}

impl Media {
    fn manifest(self) -> &'static str {
        match self {
            Media::Docker => "application/vnd.docker.distribution.manifest.v2+json",
            Media::Oci => "application/vnd.oci.image.manifest.v1+json",
        }
    }

    fn config(self) -> &'static str {
        match self {
            Media::Docker => "application/vnd.docker.container.image.v1+json",
            Media::Oci => "application/vnd.oci.image.config.v1+json",
        }
    }

    fn layer(self) -> &'static str {
        match self {
            Media::Docker => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            Media::Oci => "application/vnd.oci.image.layer.v1.tar+gzip",
        }
    }
}

/// A layer in the layout.
#[derive(Clone)]
pub struct Layer {
    diff_id: String,
    digest: String,
    size: u64,
}

/// An image to be written.
pub struct Image<'a> {
    pub recipe: &'a Recipe,
    pub layers: Vec<Layer>,
}

/// A blob, as manifests and indexes refer to it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    annotations: Annotations,
}

type Annotations = std::collections::BTreeMap<String, String>;

impl Descriptor {
    /// Of an image in the index: repository and tag.
    pub fn name(&self) -> Option<(&str, &str)> {
        self.annotations.get(NAME)?.rsplit_once(':')
    }
}

/// A manifest or an index: all that is needed of either.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    schema_version: u32,
    media_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<Descriptor>,
}

/// A layout.
pub struct Layout {
    folder: PathBuf,
    images: Vec<Descriptor>,
}

impl Layout {
    /// Makes an empty layout.
    pub fn create(folder: &Path) -> Result<Layout> {
        fs::create_dir_all(folder.join("blobs/sha256"))?;
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Layout {
            folder: folder.to_path_buf(),
            images: Vec::new(),
        })
    }

    /// Reads a layout.
    pub fn open(folder: &Path) -> Result<Layout> {
        let index: Manifest = serde_json::from_slice(&fs::read(folder.join("index.json"))?)?;
        Ok(Layout {
            folder: folder.to_path_buf(),
            images: index.manifests,
        })
    }

    /// The images.
    pub fn images(&self) -> &[Descriptor] {
        &self.images
    }

    /// A blob's bytes.
    pub fn blob(&self, digest: &str) -> Result<Vec<u8>> {
        fs::read(self.path(digest)).with_context(|| format!("read blob {digest}"))
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join("blobs").join(digest.replace(':', "/"))
    }

    /// Packs a folder as a layer; equal content makes an equal digest.
    pub fn layer(&mut self, root: &Path) -> Result<Layer> {
        let archive = root.with_extension("tar");
        let mut tar = Command::new("tar");
        tar.args([
            "--create",
            "--sort=name",
            "--mtime=@0",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--file",
        ]);
        tar.arg(&archive).arg("--directory").arg(root);
        let mut top: Vec<_> = fs::read_dir(root)?
            .filter_map(|entry| entry.ok().map(|e| e.file_name()))
            .collect();
        top.sort();
        process::output(tar.args(top))?;
        let diff_id = digest(&archive)?;
        process::output(
            Command::new("gzip")
                .args(["--no-name", "--force", "-5"])
                .arg(&archive),
        )?;
        let (digest, size) = self.take(&archive.with_extension("tar.gz"))?;
        Ok(Layer {
            diff_id,
            digest,
            size,
        })
    }

    /// Adds an image under the tags of its repository.
    pub fn image(&mut self, repository: &str, tags: &[&str], image: &Image<'_>) -> Result<()> {
        let descriptor = |media_type: &str, (digest, size): (String, u64)| Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            annotations: Annotations::new(),
        };
        let config = self.write(config_text(image)?.as_bytes())?;
        let layers = image.layers.iter();
        let layers =
            layers.map(|layer| descriptor(image.recipe.media.layer(), (layer.digest.clone(), layer.size)));
        let manifest = Manifest {
            schema_version: 2,
            media_type: image.recipe.media.manifest().to_owned(),
            config: Some(descriptor(image.recipe.media.config(), config)),
            layers: layers.collect(),
            manifests: Vec::new(),
        };
        let written = self.write(&serde_json::to_vec(&manifest)?)?;
        for tag in tags {
            let mut named = descriptor(image.recipe.media.manifest(), written.clone());
            named
                .annotations
                .insert(NAME.to_owned(), format!("{repository}:{tag}"));
            self.images.push(named);
        }
        Ok(())
    }

    /// Writes the index.
    pub fn close(&self) -> Result<()> {
        let index = Manifest {
            schema_version: 2,
            media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
            config: None,
            layers: Vec::new(),
            manifests: self.images.clone(),
        };
        fs::write(self.folder.join("index.json"), serde_json::to_vec_pretty(&index)?)
            .context("write the index")
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(String, u64)> {
        let file = self.folder.join("blob");
        fs::write(&file, bytes)?;
        self.take(&file)
    }

    /// Moves a file to the place of its digest.
    fn take(&mut self, file: &Path) -> Result<(String, u64)> {
        let digest = digest(file)?;
        let size = file.metadata()?.len();
        fs::rename(file, self.path(&digest)).with_context(|| format!("store {}", file.display()))?;
        Ok((digest, size))
    }
}

fn digest(file: &Path) -> Result<String> {
    let said = process::output(Command::new("sha256sum").arg(file))?;
    let sum = said.split_whitespace().next().context("sha256sum said nothing")?;
    Ok(format!("sha256:{sum}"))
}

/// The image configuration of the OCI image specification.
fn config_text(image: &Image<'_>) -> Result<String> {
    #[derive(Serialize)]
    struct Text {
        architecture: &'static str,
        os: &'static str,
        created: &'static str,
        config: Process,
        rootfs: Rootfs,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Process {
        env: Vec<String>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        entrypoint: Vec<&'static str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        cmd: Vec<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        exposed_ports: Option<std::collections::BTreeMap<String, Empty>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        stop_signal: Option<&'static str>,
        #[serde(skip_serializing_if = "str::is_empty")]
        working_dir: &'static str,
    }
    #[derive(Serialize)]
    struct Empty {}
    #[derive(Serialize)]
    struct Rootfs {
        r#type: &'static str,
        diff_ids: Vec<String>,
    }
    let path = String::from("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let recipe = image.recipe;
    let ports = recipe
        .ports
        .iter()
        .map(|port| ((*port).to_owned(), Empty {}))
        .collect();
    let text = Text {
        architecture: if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "amd64"
        },
        os: "linux",
        created: "1970-01-01T00:00:00Z",
        config: Process {
            env: std::iter::once(path)
                .chain(recipe.env.iter().map(|pair| (*pair).to_owned()))
                .collect(),
            entrypoint: recipe.entrypoint.to_vec(),
            cmd: recipe.cmd.to_vec(),
            exposed_ports: (!recipe.ports.is_empty()).then_some(ports),
            stop_signal: recipe.stop_signal,
            working_dir: recipe.directory,
        },
        rootfs: Rootfs {
            r#type: "layers",
            diff_ids: image.layers.iter().map(|l| l.diff_id.clone()).collect(),
        },
    };
    Ok(serde_json::to_string(&text)?)
}
