//! The test images: what public manifests name, built from Debian packages, kept in the cache, and served by a real registry.

mod http;
mod layout;
mod push;
mod recipes;
mod rootfs;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::registry::Registry;
use e2e::{artifacts, wait};

use crate::tools;
use layout::{Image, Layout};
use recipes::RECIPES;

/// Raised whenever the recipe below changes, so that caches are filled again.
const RECIPE: &str = "7";

/// `cargo xtask images`.
pub fn run(to: Option<&str>, rebuild: bool) -> Result<bool> {
    if rebuild {
        fs::remove_dir_all(artifacts::images()).or_else(gone)?;
    }
    tools::ensure()?;
    ensure()?;
    if let Some(url) = to {
        push::all(&Layout::open(&artifacts::images().join("layout"))?, url)?;
    }
    println!("images in {}", artifacts::images().display());
    Ok(true)
}

/// Builds the images and fills the storage of a registry with them, unless the cache has both.
pub fn ensure() -> Result<()> {
    let folder = artifacts::images();
    let stamp = folder.join("recipe");
    if fs::read_to_string(&stamp).is_ok_and(|recipe| recipe == RECIPE) {
        return Ok(());
    }
    // What is there serves until the new is whole.
    let new = folder.with_extension("new");
    fs::remove_dir_all(&new).or_else(gone)?;
    fs::create_dir_all(&new)?;
    let layout = build(&new.join("layout"))?;
    fill(&layout, &new.join("storage"))?;
    fs::write(new.join("recipe"), RECIPE).context("write the stamp of the images")?;
    fs::remove_dir_all(&folder).or_else(gone)?;
    fs::rename(&new, &folder).context("put the new images in place")
}

fn gone(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

/// Every image under every name that it has.
fn build(folder: &Path) -> Result<Layout> {
    println!("building images from Debian packages");
    let scratch = tools::Scratch::new("images")?;
    let roots = rootfs::build(&scratch.0)?;
    let mut layout = Layout::create(folder)?;
    let mut packed = BTreeMap::new();
    for recipe in RECIPES {
        let mut layers = Vec::new();
        for name in rootfs::stack(recipe.layer)? {
            if !packed.contains_key(name) {
                packed.insert(name, layout.layer(&roots.join(name))?);
            }
            layers.push(packed[name].clone());
        }
        let image = Image { recipe, layers };
        for (repository, tags) in recipe.names {
            layout.image(repository, tags, &image)?;
        }
    }
    layout.close()?;
    Ok(layout)
}

/// Pushes all images into a registry over `storage`, on a free port of loopback.
fn fill(layout: &Layout, storage: &Path) -> Result<()> {
    tools::registry()?;
    let scratch = tools::Scratch::new("fill")?;
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let registry = Registry::start(address, storage, &scratch.0, &[])?;
    let url = registry.url();
    wait::until("docker-registry to answer", Duration::from_secs(20), || {
        http::request("GET", &format!("{url}/v2/"), None, &[])
            .map(|answer| (answer.status == 200).then_some(()))
    })?;
    push::all(layout, &url)
}
