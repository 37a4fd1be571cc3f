//! Sealing what the API server stores, where a file says so.

use anyhow::{Context, Result};
use apiserver::encryption::{Keyring, ReadFile, Sealed};
use component::Env;
use etcd::Store;
use std::{fs, path::Path, sync::Arc};

/// What seals, and whether its configuration may change.
pub type Sealing = (Arc<Sealed>, bool);

/// The store behind an `EncryptionConfiguration`, and that; the store itself if there is none.
pub async fn seal(
    store: Arc<dyn Store>,
    file: Option<&Path>,
    reload: bool,
    env: &Env,
) -> Result<(Arc<dyn Store>, Option<Sealing>)> {
    let Some(file) = file else {
        return Ok((store, None));
    };
    let shown = file.display();
    let text =
        fs::read(file).with_context(|| format!("--encryption-provider-config: cannot read {shown}"))?;
    let keyring = Keyring::parse(&text).with_context(|| format!("--encryption-provider-config {shown}"))?;
    let sealed = Sealed::new(store, keyring, resources::table(), env);
    sealed.prepare().await;
    let file = file.to_owned();
    let read: Option<ReadFile> = reload.then(|| Box::new(move || fs::read(&file)) as ReadFile);
    sealed.clone().keep(read, env);
    Ok((sealed.clone(), Some((sealed, reload))))
}
