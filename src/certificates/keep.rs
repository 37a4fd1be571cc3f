//! Certificates are renewed in time, and when the process is told to by SIGUSR1.

use anyhow::Result;
use component::{
    Env,
    pki::{Authority, Rotating, Rotation},
};
use std::{sync::Arc, time::Duration};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often certificates are looked at.
const LOOK: Duration = Duration::from_secs(12 * 3600);

/// A certificate that is shown, and the CA that renews it.
#[derive(Clone)]
pub struct Kept {
    /// Shown.
    pub certificate: Arc<Rotating>,
    /// Renews it.
    pub authority: Arc<Authority>,
}

async fn told(asked: &mut Option<Signal>) {
    match asked {
        Some(asked) => drop(asked.recv().await),
        None => std::future::pending().await,
    }
}

fn asked() -> Option<Signal> {
    let asked = signal(SignalKind::user_defined1());
    asked
        .inspect_err(|error| tracing::warn!(%error, "certificates are renewed in time only"))
        .ok()
}

/// Renews `certificates` when they are due or were taken away, and does what else is to be done then.
pub async fn keep(certificates: Vec<Kept>, also: impl Fn() -> Result<()> + Send + 'static, env: Env) {
    let mut asked = asked();
    loop {
        tokio::select! {
            biased;
            () = told(&mut asked) => {}
            () = env.clock.sleep(LOOK) => {}
        }
        let now = env.clock.wall();
        for Kept {
            certificate,
            authority,
        } in &certificates
        {
            match certificate.renew(authority, now) {
                Ok(true) => tracing::info!(?certificate, "a certificate was renewed"),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, ?certificate, "a certificate cannot be renewed"),
            }
        }
        if let Err(error) = also() {
            tracing::error!(
                error = format!("{error:#}"),
                "what shows certificates cannot be written"
            );
        }
    }
}

/// Resolves when a step of replacing one of the CAs was taken or is due: then everything that trusts or shows their
/// certificates starts again.
pub async fn turn(authorities: Vec<Arc<Authority>>, env: Env) {
    let mut asked = asked();
    let before: Vec<Rotation> = authorities.iter().map(|authority| authority.rotation()).collect();
    loop {
        let after: Vec<Rotation> = authorities.iter().map(|authority| authority.rotation()).collect();
        let now = env.clock.wall();
        let due = |rotation: &Rotation| match rotation {
            Rotation::Steady => None,
            Rotation::Announced(at) | Rotation::Retiring(at) => Some(at.duration_since(now)),
        };
        let next = after.iter().filter_map(due).min();
        if before != after || next.is_some_and(|left| left <= jiff::SignedDuration::ZERO) {
            tracing::info!(?before, ?after, "the cluster's CA is replaced");
            return;
        }
        let left = next.and_then(|left| Duration::try_from(left).ok());
        tokio::select! {
            biased;
            () = told(&mut asked) => {}
            () = env.clock.sleep(left.unwrap_or(LOOK).min(LOOK)) => {}
        }
    }
}
