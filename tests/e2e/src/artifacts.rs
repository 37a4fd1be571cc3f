//! Where the things lie that `cargo xtask images` and `cargo xtask test` prepare: images, kubectl, helm, a registry.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    std::env::var("CARGO_TARGET_DIR").map_or_else(|_| root().join("target"), PathBuf::from)
}

/// Where prepared things are kept between runs: `$XDG_CACHE_HOME/ferrokube`, else `target/cache`.
pub fn cache() -> PathBuf {
    match std::env::var("XDG_CACHE_HOME") {
        Ok(home) if !home.is_empty() => PathBuf::from(home).join("ferrokube"),
        _ => target().join("cache"),
    }
}

/// The test images: an OCI layout in `layout`, and in `storage` what a registry serves that holds them.
pub fn images() -> PathBuf {
    cache().join("images")
}

/// A program that was prepared for the tests: `kubectl`, `helm` or `docker-registry`.
pub fn tool(name: &str) -> PathBuf {
    cache().join("tools").join(name)
}

/// The kubectl to test with: `$KUBECTL`, else the prepared one.
pub fn kubectl() -> PathBuf {
    std::env::var("KUBECTL").map_or_else(|_| tool("kubectl"), PathBuf::from)
}

/// The binary under test: `$FERROKUBE`, else the newest that cargo built.
pub fn ferrokube() -> Option<PathBuf> {
    if let Ok(path) = std::env::var("FERROKUBE") {
        return Some(PathBuf::from(path));
    }
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let built = ["release", "debug"].map(|profile| target().join(&triple).join(profile).join("ferrokube"));
    let built = built.into_iter().filter(|path| path.is_file());
    built.max_by_key(|path| path.metadata().and_then(|found| found.modified()).ok())
}
