//! The process of one part: logs, threads, signals, the end.

use super::part::Part;
use anyhow::{Result, bail};
use component::{Env, State, flags::Settings};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::{EnvFilter, fmt};

/// How long a part may take to finish what it is at.
const DRAIN: Duration = Duration::from_secs(10);

/// Runs `part` until SIGTERM or SIGINT, or until it fails.
pub fn run(part: &Part, settings: Settings) -> Result<()> {
    logging(&settings)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = crate::threads::runtime(part.name)?;
    let done = runtime.block_on(serve(part, settings));
    runtime.shutdown_timeout(Duration::from_secs(2));
    done
}

/// Logs on standard error, as text or JSON. `FERROKUBE_LOG` says more than `--v` can.
fn logging(settings: &Settings) -> Result<()> {
    let level = match settings.int("v") {
        ..=3 => "info",
        4 | 5 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("FERROKUBE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    match settings.text("logging-format") {
        "text" => builder.init(),
        "json" => builder.json().init(),
        other => bail!("--logging-format={other} is not supported: it is text or json"),
    }
    Ok(())
}

async fn serve(part: &Part, settings: Settings) -> Result<()> {
    let mut stop = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let env = Env::system();
    // What others of its parts stand on ends after them.
    let base = Env {
        ready: env.ready.clone(),
        ..Env::system()
    };
    let started = tokio::select! {
        started = (part.start)(settings, env.clone(), base.clone()) => started,
        _ = stop.0.recv() => Ok(()),
        _ = stop.1.recv() => Ok(()),
    };
    let done = match started {
        Err(error) => Err(error),
        Ok(()) if env.tasks.is_stopping() => Ok(()),
        Ok(()) => tokio::select! {
            _ = stop.0.recv() => Ok(()),
            _ = stop.1.recv() => Ok(()),
            why = failure(&env) => Err(anyhow::Error::msg(why)),
        },
    };
    tracing::info!(part = part.name, "stopping");
    if !env.tasks.drain(DRAIN).await {
        tracing::warn!(part = part.name, "not everything ended in time");
    }
    base.tasks.drain(DRAIN).await;
    done
}

/// Why the part cannot go on.
async fn failure(env: &Env) -> String {
    let mut board = env.ready.watch();
    let failed = async {
        loop {
            let why = board.borrow_and_update().values().find_map(|state| match state {
                State::Failed(why) => Some(why.clone()),
                _ => None,
            });
            match why {
                Some(why) => return why,
                None if board.changed().await.is_err() => std::future::pending::<()>().await,
                None => {}
            }
        }
    };
    tokio::select! {
        why = failed => why,
        () = env.tasks.stopping() => "a task panicked".to_owned(),
    }
}
