//! `snapshot save`.

use super::{
    args::{SaveArgs, ServerArgs, SnapshotArgs},
    places, tell,
};
use crate::place::Place as Cluster;
use anyhow::{Context, Result, bail};
use backup::{Name, Snapshot, fetch, socket};
use bytes::Bytes;
use component::{
    Env,
    pki::{Leaf, client_config},
};
use etcd::{Engine, replica};
use rustls::ClientConfig;
use std::{fs, io, path::Path};

/// Takes it, keeps it, and verifies what was kept.
pub async fn run(args: &SnapshotArgs, save: &SaveArgs, env: &Env) -> Result<String> {
    let file = match save.server.endpoints.as_slice() {
        [] => of_cluster(&args.place.data_dir, env).await?,
        endpoints => of_server(endpoints, &save.server).await?,
    };
    let taken = Snapshot::parse(file, false)?;
    let named = || -> Result<String> {
        let name = Name {
            taken: env.clock.wall(),
            revision: taken.facts()?.revision,
        };
        Ok(name.to_string())
    };
    let (place, name) = match save.to.as_deref() {
        None => (places::usual(args), named()?),
        Some(to) if to.ends_with('/') || Path::new(to).is_dir() => {
            (places::folder(to, &args.s3, env)?, named()?)
        }
        Some(to) => places::file(to, &args.s3, env)?,
    };
    let kept = place.put(&name, taken.file().clone(), env).await?;
    tell::kept(&place, &name, kept.facts()?, args.output)
}

/// Of the first server that answers.
async fn of_server(endpoints: &[String], server: &ServerArgs) -> Result<Bytes> {
    let tls = tls(
        server.cacert.as_deref(),
        server.cert.as_deref(),
        server.key.as_deref(),
    )?;
    let mut last = None;
    for endpoint in endpoints {
        match fetch(endpoint, tls.as_ref()).await {
            Ok(file) => return Ok(file),
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

/// Of the cluster that runs on a data directory, or of its store if it does not run.
async fn of_cluster(dir: &Path, env: &Env) -> Result<Bytes> {
    if let Some(running) = Cluster::running(dir) {
        let path = running.run_dir.join(socket::NAME);
        match socket::ask(&path).await {
            Err(backup::Error::Io { source, .. }) if is_down(&source) => {}
            asked => return Ok(asked?),
        }
    }
    let store = dir.join("store");
    if !store.join("version").exists() {
        bail!("there is no store in {}", dir.display());
    }
    let options = replica::Settings::new(dir).store;
    let engine = Engine::open(&store, options, env.child())?;
    let file = etcd::server::snapshot_file(&engine).await;
    engine.close().await;
    Ok(file?)
}

/// Whether nobody listens.
fn is_down(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}
