//! ClusterTrustBundleAttest: who writes a bundle in the name of a signer may attest for it (upstream
//! `plugin/pkg/admission/certificates/ctbattest`).

use super::{Attributes, Operation, Parts, Remote};
use crate::security::{self, Authorizer};
use api::{Status, scan};
use futures::{FutureExt, future::BoxFuture};
use std::sync::Arc;

const GROUP: &str = "certificates.k8s.io";

/// The plugin.
pub struct TrustBundleAttest {
    authorizer: Arc<dyn Authorizer>,
}

impl TrustBundleAttest {
    /// The plugin.
    pub fn new(parts: &Parts) -> Self {
        Self {
            authorizer: parts.authorizer.clone(),
        }
    }
}

impl Remote for TrustBundleAttest {
    fn validates(&self, request: &Attributes<'_>) -> bool {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        request.is(GROUP, "clustertrustbundles") && writes
    }

    fn validate<'a>(&'a self, request: &'a Attributes<'_>) -> BoxFuture<'a, Result<(), Status>> {
        self.check(request).boxed()
    }
}

impl TrustBundleAttest {
    async fn check(&self, request: &Attributes<'_>) -> Result<(), Status> {
        let text = |object: &Option<Arc<api::Object>>, path: &str| {
            let body = object
                .as_ref()
                .map(|object| object.body().clone())
                .unwrap_or_default();
            let found = scan::find(&body, path).ok().flatten();
            found.map(|range| String::from_utf8_lossy(&body[range]).into_owned())
        };
        let body = request
            .object
            .as_ref()
            .map(|object| object.body().clone())
            .unwrap_or_default();
        let signer = scan::scalar(&body, "spec.signerName").map_err(Status::internal)?;
        let same = request.old.is_some() && text(&request.old, "spec") == text(&request.object, "spec");
        if signer.is_empty() || same {
            return Ok(());
        }
        let domain = signer.split_once('/').map_or(&*signer, |(domain, _)| domain);
        let may = async |name: &str| {
            let asked = security::Attributes {
                user: request.user().clone(),
                verb: "attest".to_owned(),
                group: GROUP.to_owned(),
                version: "*".to_owned(),
                resource: "signers".to_owned(),
                name: name.to_owned(),
                is_resource: true,
                ..security::Attributes::default()
            };
            self.authorizer.authorize(&asked).get().await.allowed()
        };
        if may(&signer).await || may(&format!("{domain}/*")).await {
            return Ok(());
        }
        Err(request.forbidden(&format!("user not permitted to attest for signerName {signer:?}")))
    }
}
