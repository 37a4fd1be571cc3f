//! `ferrokube snapshot`: takes, lists, verifies, restores and removes snapshots of the store.

mod args;
mod places;
mod restore;
mod save;
mod tell;

use anyhow::Result;
use component::Env;
use std::io::Write;

pub use args::{S3Args, SnapshotArgs, SnapshotVerb};
pub use places::bucket;

/// Does it, and says what became of it.
pub fn run(args: &SnapshotArgs) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let told = runtime.block_on(answer(args, &Env::system()))?;
    Ok(std::io::stdout().lock().write_all(told.as_bytes())?)
}

async fn answer(args: &SnapshotArgs, env: &Env) -> Result<String> {
    match &args.verb {
        SnapshotVerb::Save(save) => save::run(args, save, env).await,
        SnapshotVerb::List(place) => {
            let place = places::place(args, place, env)?;
            tell::stored(&place.list(env).await?, args.output)
        }
        SnapshotVerb::Status(file) => {
            let snapshot = places::read(args, &file.file, file.skip_hash_check, env).await?;
            tell::facts(snapshot.facts(), args.output)
        }
        SnapshotVerb::Restore(restore) => restore::run(args, restore, env).await,
        SnapshotVerb::Prune(prune) => {
            let place = places::place(args, &prune.place, env)?;
            tell::stored(&place.prune(prune.keep, env).await?, args.output)
        }
    }
}
