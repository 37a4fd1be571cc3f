//! `snapshot restore`.

use super::{
    args::{RestoreArgs, SnapshotArgs},
    places, save, tell,
};
use crate::{parts::initial_cluster, place::Place as Cluster};
use anyhow::{Context, Result, bail};
use backup::{Bump, Content, fetch, kine, restore};
use component::Env;
use etcd::replica;
use std::path::Path;

/// Makes the store, and says what is in it.
pub async fn run(args: &SnapshotArgs, given: &RestoreArgs, env: &Env) -> Result<String> {
    let dir = std::path::absolute(&args.place.data_dir)?;
    // A cluster that runs has its lock; one that is not there is made.
    let _held = match dir.join("version").exists() {
        true => Some(Cluster::lock(&dir)?),
        false => None,
    };
    let founders = founders(given, &dir)?;
    let bump = Bump {
        revisions: given.bump_revision,
        compacted: given.mark_compacted,
    };
    let content = content(args, given, env).await?;
    let restored = restore(content, &dir, founders.as_ref(), bump, given.replace, env).await?;
    tell::restored(&restored, args.output)
}

/// What is to be restored.
async fn content(args: &SnapshotArgs, given: &RestoreArgs, env: &Env) -> Result<Content> {
    if let Some(path) = &given.from_k3s {
        let path = path.clone();
        let read = env.tasks.blocking(move || kine::read(&path)).await;
        return Ok(read.context("the process is stopping")??);
    }
    let snapshot = match (&given.file, &given.from_etcd) {
        (Some(file), _) => places::read(args, file, given.skip_hash_check, env).await?,
        (None, Some(text)) if text.contains("://") && !text.starts_with("s3://") => {
            let tls = save::tls(
                given.cacert.as_deref(),
                given.cert.as_deref(),
                given.key.as_deref(),
            )?;
            places::receive(args, fetch(text, tls.as_ref()).await?, env).await?
        }
        (None, Some(text)) => places::read(args, text, given.skip_hash_check, env).await?,
        (None, None) => bail!("say what to restore: a snapshot, --from-etcd or --from-k3s"),
    };
    Ok(snapshot.content()?)
}

/// The member that this becomes, if it is to be one of several.
fn founders(given: &RestoreArgs, dir: &Path) -> Result<Option<replica::Settings>> {
    let is_member = given.name.is_some()
        || given.initial_cluster.is_some()
        || given.initial_cluster_token.is_some()
        || !given.initial_advertise_peer_urls.is_empty();
    if !is_member {
        return Ok(None);
    }
    let mut settings = replica::Settings::new(dir);
    if let Some(name) = &given.name {
        settings.name.clone_from(name);
    }
    if !given.initial_advertise_peer_urls.is_empty() {
        settings.peer_urls.clone_from(&given.initial_advertise_peer_urls);
    }
    if let Some(token) = &given.initial_cluster_token {
        settings.token.clone_from(token);
    }
    settings.initial_cluster = match &given.initial_cluster {
        Some(text) => initial_cluster(text)?,
        None => {
            let urls = settings.peer_urls.iter();
            urls.map(|url| (settings.name.clone(), url.clone())).collect()
        }
    };
    Ok(Some(settings))
}
