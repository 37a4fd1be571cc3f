//! The test images: what public manifests name, built from Debian packages, kept in the cache, and served by a real registry.

mod http;
mod layout;
mod push;
mod rootfs;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::registry::Registry;
use e2e::{artifacts, wait};

use crate::tools;
use layout::{Config, Image, Layout, Media};
use rootfs::Layers;

/// Raised whenever the recipe below changes, so that caches are filled again.
const RECIPE: &str = "3";

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
    fs::remove_dir_all(&folder).or_else(gone)?;
    fs::create_dir_all(&folder)?;
    let layout = build(&folder.join("layout"))?;
    fill(&layout, &folder.join("storage"))?;
    fs::write(stamp, RECIPE).context("write the stamp of the images")
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
    let layers = Layers::build(&scratch.0)?;
    let mut layout = Layout::create(folder)?;
    let base = layout.layer(&layers.base)?;
    let nginx = layout.layer(&layers.nginx)?;
    for (version, names) in [("1.14.2", &["1.14.2"][..]), ("1.16.1", &["1.16.1", "latest"])] {
        let site = layout.layer(&rootfs::site(&scratch.0, version)?)?;
        let layers = vec![base.clone(), nginx.clone(), site];
        let image = Image {
            config: nginx_config(version),
            layers,
            media: Media::Docker,
        };
        layout.image("library/nginx", names, &image)?;
    }
    let busybox = layout.layer(&layers.busybox)?;
    let config = Config {
        cmd: vec!["sh".into()],
        ..Config::default()
    };
    layout.image(
        "library/busybox",
        &["1.28", "latest"],
        &Image {
            config,
            layers: vec![busybox],
            media: Media::Oci,
        },
    )?;
    layout.close()?;
    Ok(layout)
}

/// As the public image of nginx has it.
fn nginx_config(version: &str) -> Config {
    Config {
        env: vec![format!("NGINX_VERSION={version}")],
        cmd: ["nginx", "-g", "daemon off;"].map(String::from).to_vec(),
        ports: vec!["80/tcp".into()],
        stop_signal: Some("SIGTERM".into()),
    }
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
