//! Snapshots by schedule, as the flags say.

use super::{flags::SNAPSHOTS, given::Given};
use crate::snapshot::{S3Args, bucket};
use anyhow::{Context, Result};
use api::schedule::Schedule;
use backup::{Error, Place, Plan, Source, Taken};
use component::{Env, flags::Settings};
use etcd::Engine;
use futures::future::BoxFuture;
use jiff::tz::TimeZone;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Takes snapshots when it is time, if the flags say when. What is wrong with them is told now.
pub fn start(settings: &Settings, data_dir: &Path, source: Source, env: &Env) -> Result<()> {
    let text = settings.text("snapshot-schedule");
    if text.is_empty() {
        return Ok(());
    }
    let schedule =
        Schedule::parse(text, TimeZone::UTC).with_context(|| format!("--snapshot-schedule={text}"))?;
    let retention = settings.int("snapshot-retention");
    let plan = Plan {
        schedule,
        retention: usize::try_from(retention)
            .with_context(|| format!("--snapshot-retention={retention}: not a number of snapshots"))?,
        places: places(settings, data_dir, env)?,
    };
    env.tasks.spawn("snapshots", plan.run(source, env.clone()));
    Ok(())
}

/// The same for a cluster in one process, which was given these flags.
pub fn of_cluster(given: &Given, data_dir: &Path, source: Source, env: &Env) -> Result<()> {
    start(&given.settings(SNAPSHOTS)?, data_dir, source, env)
}

fn places(settings: &Settings, data_dir: &Path, env: &Env) -> Result<Vec<Place>> {
    let given = |flag| Some(settings.text(flag)).filter(|text| !text.is_empty());
    let mut places = Vec::new();
    let bucket_name = given("snapshot-s3-bucket");
    match given("snapshot-dir") {
        Some(folder) => places.push(Place::Folder(std::path::absolute(folder)?)),
        None if bucket_name.is_none() => places.push(Place::Folder(data_dir.join("snapshots"))),
        None => {}
    }
    if let Some(name) = bucket_name {
        let style = given("snapshot-s3-path-style").map(str::parse).transpose();
        let args = S3Args {
            s3_endpoint: given("snapshot-s3-endpoint").map(str::to_owned),
            s3_region: settings.text("snapshot-s3-region").to_owned(),
            s3_path_style: style.context("--snapshot-s3-path-style: true or false")?,
            s3_credentials_file: given("snapshot-s3-credentials-file").map(PathBuf::from),
            s3_ca_file: given("snapshot-s3-ca-file").map(PathBuf::from),
        };
        let folder = settings.text("snapshot-s3-folder").trim_matches('/').to_owned();
        places.push(Place::Bucket(
            Arc::new(bucket(name, &args, data_dir, env)?),
            folder,
        ));
    }
    Ok(places)
}

/// Snapshots of an engine in this process.
pub fn of_engine(
    engine: impl Fn() -> BoxFuture<'static, Result<Arc<Engine>, Error>> + Send + Sync + 'static,
) -> Source {
    Arc::new(move || {
        let engine = engine();
        Box::pin(async move { Ok(Taken::from(engine.await?.snapshot().await?)) })
    })
}
