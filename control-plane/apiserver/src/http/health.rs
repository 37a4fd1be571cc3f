//! Health, by checks with upstream's names.

use super::{
    answer::{self, Body},
    query::Query,
};
use crate::Server;
use http::Response;
use std::{borrow::Cow, time::Duration};

/// A check, and what is wrong.
type Check = (Cow<'static, str>, Result<(), String>);

/// The checks of `kind`, which is `healthz`, `livez` or `readyz`, in upstream's order.
async fn checks(server: &Server, kind: &str) -> Vec<Check> {
    let ready = kind == "readyz";
    let limits = &server.limits;
    let (store, readiness) = tokio::join!(store(server, limits.health_timeout), async {
        match ready {
            true => store(server, limits.ready_timeout).await,
            false => Ok(()),
        }
    });
    let mut checks: Vec<Check> = vec![("ping".into(), Ok(())), ("etcd".into(), store)];
    // One for all if they may be others at any time.
    match server.sealing.get() {
        Some((sealed, true)) => checks.push(("kms-providers".into(), sealed.health())),
        Some((sealed, false)) => {
            let each = sealed.checks().into_iter().enumerate();
            checks.extend(each.map(|(at, check)| (format!("kms-provider-{at}").into(), check)));
        }
        None => {}
    }
    if ready {
        let stopping = server.life.is_stopping();
        let shutdown = if stopping {
            Err("process is shutting down".to_owned())
        } else {
            Ok(())
        };
        // A server takes requests when its caches are filled, and not before.
        checks.extend([
            ("etcd-readiness".into(), readiness),
            ("informer-sync".into(), Ok(())),
            ("shutdown".into(), shutdown),
        ]);
    }
    checks
}

/// Whether the store answers in time.
async fn store(server: &Server, patience: Duration) -> Result<(), String> {
    let (store, clock) = (&server.handler.store, &server.handler.env.clock);
    match clock.timeout(patience, store.revision()).await {
        Some(answer) => answer.map(drop).map_err(|error| error.to_string()),
        None => Err("error getting data from etcd: context deadline exceeded".to_owned()),
    }
}

/// `/healthz`, `/livez`, `/readyz`, and one check of them by name.
pub async fn health(server: &Server, path: &str, query: &Query) -> Response<Body> {
    let (kind, only) = match path.trim_matches('/').split_once('/') {
        Some((kind, only)) => (kind, Some(only)),
        None => (path.trim_matches('/'), None),
    };
    let checks = checks(server, kind).await;
    let Some(only) = only else {
        return all(kind, &checks, query);
    };
    match checks.iter().find(|(name, _)| *name == only) {
        Some((_, Ok(()))) => answer::plain(200, "ok"),
        Some((_, Err(why))) => answer::plain(500, format!("internal server error: {why}\n")),
        None => answer::no_such_path(),
    }
}

fn all(kind: &str, checks: &[Check], query: &Query) -> Response<Body> {
    let mut excluded: Vec<&str> = query.all("exclude").collect();
    excluded.sort_unstable();
    excluded.dedup();
    let (mut text, mut failed) = (String::new(), false);
    for (name, outcome) in checks {
        text.push_str(&match outcome {
            _ if excluded.contains(&name.as_ref()) => format!("[+]{name} excluded: ok\n"),
            Ok(()) => format!("[+]{name} ok\n"),
            // Everybody may ask; why is in the log.
            Err(why) => {
                failed = true;
                tracing::warn!(check = %name, %why, "{kind} check failed");
                format!("[-]{name} failed: reason withheld\n")
            }
        });
    }
    excluded.retain(|name| checks.iter().all(|(known, _)| known != name));
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.iter().map(|name| format!("{name:?}")).collect();
        let names = names.join(",");
        text.push_str(&format!(
            "warn: some health checks cannot be excluded: no matches for {names}\n"
        ));
    }
    if failed {
        return answer::plain(500, format!("{text}{kind} check failed\n"));
    }
    if query.pairs().iter().any(|(name, _)| name == "verbose") {
        return answer::plain(200, format!("{text}{kind} check passed\n"));
    }
    answer::plain(200, "ok")
}
