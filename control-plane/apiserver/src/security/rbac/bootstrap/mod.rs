//! The roles and bindings that every cluster has: written when they are missing, completed when something was taken
//! out of them, unless their annotation `rbac.authorization.kubernetes.io/autoupdate` is not `true`
//! (upstream `pkg/registry/rbac/reconciliation`).

mod bindings;
mod controllers;
mod objects;
mod roles;

use super::Attributes;
use crate::security::Decision;
use api::{Gvr, Key, Object, Status};
use client::{Client, ListParams, Patch, Target, Write};
use futures::future;
use objects::Wanted;
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

/// The annotation that lets the server complete a role or binding.
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// Whether the rules of every node allow it.
pub fn node_rules(attributes: &Attributes) -> Decision {
    static RULES: LazyLock<Vec<super::Rule>> = LazyLock::new(|| objects::rules(roles::NODE));
    if RULES.iter().any(|rule| rule.allows(attributes)) {
        Decision::allow("")
    } else {
        Decision::no_opinion("")
    }
}

/// Makes the roles and bindings what they have to be. Returns how many were written; 0 when nothing was amiss. The
/// namespaces must be there.
pub async fn reconcile(client: &Client) -> Result<usize, Status> {
    let wanted = objects::all();
    let mut held: HashMap<(&Gvr, Key), Arc<Object>> = HashMap::new();
    let lists = objects::COLLECTIONS
        .iter()
        .map(|&gvr| async move { (gvr, client.list(gvr, "", ListParams::default()).await) });
    for (gvr, list) in future::join_all(lists).await {
        held.extend(
            list?
                .items
                .into_iter()
                .map(|object| ((gvr, object.key()), object)),
        );
    }
    // All at once: the store commits them together.
    let writes = wanted.iter().map(|wanted| {
        write(
            client,
            wanted,
            held.get(&(wanted.gvr, wanted.key())).map(|o| &**o),
        )
    });
    let written = future::try_join_all(writes).await?;
    Ok(written.into_iter().filter(|written| *written).count())
}

/// True if something had to be written.
async fn write(client: &Client, wanted: &Wanted, held: Option<&Object>) -> Result<bool, Status> {
    let Some(held) = held else {
        return match client.create(wanted.gvr, wanted.namespace(), wanted).await {
            Err(status) if !status.is_already_exists() => Err(status),
            _ => Ok(true),
        };
    };
    if held.annotation(AUTO_UPDATE).as_deref() != Some("true") {
        return Ok(false);
    }
    let key = wanted.key();
    if wanted.of_other_role(held) {
        // A roleRef cannot be changed in place.
        client
            .delete(wanted.gvr, &key, client::DeleteOptions::default())
            .await?;
        client.create(wanted.gvr, wanted.namespace(), wanted).await?;
        return Ok(true);
    }
    let Some(patch) = wanted.completion(held) else {
        return Ok(false);
    };
    let body = serde_json::to_vec(&patch).map_err(Status::internal)?;
    client
        .write(
            Target::object(wanted.gvr, &key),
            Write::Patch(Patch::Merge, body.into()),
        )
        .await?;
    Ok(true)
}
