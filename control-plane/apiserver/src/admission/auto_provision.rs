//! NamespaceAutoProvision: what is created in a namespace that is not there makes the namespace (upstream
//! `plugin/pkg/admission/namespace/autoprovision`).

use super::{Attributes, Loopback, Parts, Remote};
use api::{Gvr, Status};
use client::{Target, Write};
use futures::{FutureExt, future::BoxFuture};
use serde::Serialize;

const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");

/// The plugin.
pub struct AutoProvision {
    own: Loopback,
}

#[derive(Serialize)]
struct Namespace<'a> {
    metadata: Meta<'a>,
}

#[derive(Serialize)]
struct Meta<'a> {
    name: &'a str,
}

impl AutoProvision {
    /// The plugin.
    pub fn new(parts: &Parts) -> Self {
        Self {
            own: parts.own.clone(),
        }
    }

    async fn make(&self, name: &str) -> Result<(), Status> {
        let body = Namespace {
            metadata: Meta { name },
        };
        let body = serde_json::to_vec(&body).map_err(Status::internal)?;
        let target = Target::collection(&NAMESPACES, "");
        match self.own.client()?.write(target, Write::Create(body.into())).await {
            Err(status) if !status.is_already_exists() => Err(status),
            _ => Ok(()),
        }
    }
}

impl Remote for AutoProvision {
    fn provide<'a>(&'a self, request: &'a Attributes<'_>) -> BoxFuture<'a, Result<(), Status>> {
        // Nothing comes to be by a dry run.
        if request.call.dry_run {
            return std::future::ready(Ok(())).boxed();
        }
        self.make(&request.request().namespace).boxed()
    }
}
