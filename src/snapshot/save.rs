//! `snapshot save`.

use super::{
    args::{SaveArgs, ServerArgs, SnapshotArgs},
    places, tell,
};
use crate::place::Place as Cluster;
use anyhow::{Context, Result, bail};
use backup::{Chunks, Place, Snapshot, Taken, fetch, socket};
use component::{
    Env,
    pki::{Leaf, client_config},
};
use etcd::{Engine, replica};
use rustls::ClientConfig;
use std::{fs, io, path::Path, sync::Arc};

/// Takes it, keeps it, and verifies what was kept.
pub async fn run(args: &SnapshotArgs, save: &SaveArgs, env: &Env) -> Result<String> {
    let (chunks, engine) = match save.server.endpoints.as_slice() {
        [] => of_cluster(&args.place.data_dir, env).await?,
        endpoints => (of_server(endpoints, &save.server).await?, None),
    };
    let kept = keep(args, save.to.as_deref(), chunks, env).await;
    if let Some(engine) = engine {
        engine.close().await;
    }
    let (place, name, snapshot) = kept?;
    tell::kept(&place, &name, snapshot.facts(), args.output)
}

async fn keep(
    args: &SnapshotArgs,
    to: Option<&str>,
    chunks: Chunks,
    env: &Env,
) -> Result<(Place, String, Snapshot)> {
    let (place, name) = match to {
        None => (places::usual(args), None),
        Some(to) if to.ends_with('/') || Path::new(to).is_dir() => (places::folder(to, args, env)?, None),
        Some(to) => {
            let (place, name) = places::file(to, args, env)?;
            (place, Some(name))
        }
    };
    let (name, snapshot) = place.put(name.as_deref(), chunks, env).await?;
    Ok((place, name, snapshot))
}

/// Of the first server that answers.
async fn of_server(endpoints: &[String], server: &ServerArgs) -> Result<Chunks> {
    let tls = tls(
        server.cacert.as_deref(),
        server.cert.as_deref(),
        server.key.as_deref(),
    )?;
    let mut last = None;
    for endpoint in endpoints {
        match fetch(endpoint, tls.as_ref()).await {
            Ok(chunks) => return Ok(chunks),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| anyhow::anyhow!("--endpoints is empty"), Into::into))
}

/// TLS of the files that were given.
pub fn tls(
    ca: Option<&Path>,
    certificate: Option<&Path>,
    key: Option<&Path>,
) -> Result<Option<ClientConfig>> {
    let read = |path: &Path| fs::read_to_string(path).with_context(|| path.display().to_string());
    let leaf = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Leaf {
            certificate: read(certificate)?,
            key: read(key)?,
        }),
        _ => None,
    };
    match (ca, leaf) {
        (Some(ca), leaf) => Ok(Some(client_config(&read(ca)?, leaf.as_ref())?)),
        (None, Some(_)) => bail!("--cacert is needed: the server is always verified"),
        (None, None) => Ok(None),
    }
}

/// Of the cluster that runs on a data directory, or of its store, which is to be closed then, if it does not run.
async fn of_cluster(dir: &Path, env: &Env) -> Result<(Chunks, Option<Arc<Engine>>)> {
    if let Some(running) = Cluster::running(dir) {
        let path = running.run_dir.join(socket::NAME);
        match socket::ask(&path).await {
            Err(backup::Error::Io { source, .. }) if is_down(&source) => {}
            asked => return Ok((asked?.chunks, None)),
        }
    }
    let store = dir.join("store");
    if !store.join("version").exists() {
        bail!("there is no store in {}", dir.display());
    }
    let options = replica::Settings::new(dir).store;
    let engine = Engine::open(&store, options, env.child())?;
    match engine.snapshot().await {
        Ok(snapshot) => Ok((Taken::from(snapshot).chunks, Some(engine))),
        Err(error) => {
            engine.close().await;
            Err(error.into())
        }
    }
}

/// Whether nobody listens.
fn is_down(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}
