//! Pushing a layout's images by the registry's HTTP API, version 2.

use anyhow::{Context as _, Result, ensure};

use super::http;
use super::layout::{Descriptor, Layout, Manifest};

/// Pushes every image of a layout to the registry at `url`.
pub fn all(layout: &Layout, url: &str) -> Result<()> {
    let url = url.trim_end_matches('/');
    for image in layout.images() {
        let (repository, tag) = image.name().context("an image without a name")?;
        let text = layout.blob(&image.digest)?;
        let manifest: Manifest = serde_json::from_slice(&text)?;
        for descriptor in manifest.config.iter().chain(&manifest.layers) {
            blob(layout, url, repository, descriptor)?;
        }
        let at = format!("{url}/v2/{repository}/manifests/{tag}");
        let answer = http::request("PUT", &at, Some(&image.media_type), &text)?;
        ensure!(
            answer.status == 201,
            "PUT {at}: {} {}",
            answer.status,
            answer.body
        );
        println!("pushed {repository}:{tag}");
    }
    Ok(())
}

fn blob(layout: &Layout, url: &str, repository: &str, descriptor: &Descriptor) -> Result<()> {
    let digest = &descriptor.digest;
    if http::request(
        "HEAD",
        &format!("{url}/v2/{repository}/blobs/{digest}"),
        None,
        &[],
    )?
    .status
        == 200
    {
        return Ok(());
    }
    let started = http::request(
        "POST",
        &format!("{url}/v2/{repository}/blobs/uploads/"),
        None,
        &[],
    )?;
    let place = started
        .header("location")
        .context("the registry gave no place to upload to")?;
    let place = if place.starts_with('/') {
        format!("{url}{place}")
    } else {
        place.to_owned()
    };
    let joint = if place.contains('?') { '&' } else { '?' };
    let at = format!("{place}{joint}digest={digest}");
    let answer = http::request(
        "PUT",
        &at,
        Some("application/octet-stream"),
        &layout.blob(digest)?,
    )?;
    ensure!(
        answer.status == 201,
        "PUT {at}: {} {}",
        answer.status,
        answer.body
    );
    Ok(())
}
