//! Health and metrics.

use super::{
    answer::{self, Body},
    query::Query,
};
use crate::Server;
use http::Response;

/// `/healthz`, `/livez`, `/readyz`, and one check of them by name.
pub async fn health(server: &Server, path: &str, query: &Query) -> Response<Body> {
    let mut parts = path.trim_matches('/').split('/');
    let (kind, only) = (parts.next().unwrap_or_default(), parts.next());
    let store = server.handler.store.revision().await.is_ok();
    let checks = [("ping", true), ("etcd", store)];
    let excluded: Vec<&str> = query.all("exclude").collect();
    let chosen = checks
        .iter()
        .filter(|(name, _)| only.is_none_or(|only| only == *name) && !excluded.contains(name));
    let chosen: Vec<_> = chosen.collect();
    if chosen.is_empty() && only.is_some() {
        return answer::no_such_path();
    }
    let mut text = String::new();
    for (name, ok) in &chosen {
        text.push_str(&if *ok {
            format!("[+]{name} ok\n")
        } else {
            format!("[-]{name} failed: reason withheld\n")
        });
    }
    if chosen.iter().any(|(_, ok)| !ok) {
        return answer::plain(500, format!("{text}{kind} check failed\n"));
    }
    if query.flag("verbose") {
        return answer::plain(200, format!("{text}{kind} check passed\n"));
    }
    answer::plain(200, "ok")
}

/// `/metrics`: how many objects there are, and how far the store is.
pub fn metrics(server: &Server) -> Response<Body> {
    let mut text = String::from(
        "# HELP apiserver_storage_objects [STABLE] Number of stored objects at the time of last check split by kind.\n\
         # TYPE apiserver_storage_objects gauge\n",
    );
    for cache in &server.handler.places.index().caches {
        text.push_str(&format!(
            "apiserver_storage_objects{{resource=\"{}\"}} {}\n",
            cache.row.gvr(),
            cache.len()
        ));
    }
    text.push_str(&format!(
        "# HELP ferrokube_store_revision The newest revision that the watch caches hold.\n\
         # TYPE ferrokube_store_revision counter\nferrokube_store_revision {}\n",
        server.revision()
    ));
    answer::plain(200, text)
}
