//! OwnerReferencesPermissionEnforcement: who lets others be deleted, or keeps them, by owner references, may do so
//! directly (upstream `plugin/pkg/admission/gc`).

use super::{Attributes, Operation, Parts, Remote};
use crate::{
    Reader,
    security::{self, Authorizer},
};
use api::{Object, Owner, Status};
use futures::{FutureExt, future::BoxFuture};
use std::sync::Arc;

/// The plugin.
pub struct OwnerReferences {
    reader: Reader,
    authorizer: Arc<dyn Authorizer>,
}

impl OwnerReferences {
    /// The plugin.
    pub fn new(parts: &Parts) -> Self {
        Self {
            reader: parts.reader.clone(),
            authorizer: parts.authorizer.clone(),
        }
    }

    /// Why not, if not.
    async fn refusal(&self, asked: &security::Attributes) -> Option<String> {
        let decision = self.authorizer.authorize(asked).get().await;
        // Upstream tells the reason and an error, which is none.
        (!decision.allowed()).then(|| format!("{}, <nil>", decision.reason))
    }

    async fn blocking(&self, request: &Attributes<'_>, owner: &Owner) -> Result<(), Status> {
        let (group, version) = owner
            .api_version
            .split_once('/')
            .unwrap_or(("", &owner.api_version));
        let Some((cache, _)) = self.reader.of_kind(group, version, &owner.kind) else {
            let (version, kind) = (&owner.api_version, &owner.kind);
            return Err(request.forbidden(&format!(
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {version} Kind \
                 {kind}: no matches for kind {kind:?} in version {version:?}"
            )));
        };
        let row = cache.row;
        let namespace = if row.namespaced {
            request.request().namespace.clone()
        } else {
            String::new()
        };
        let asked = security::Attributes {
            user: request.user().clone(),
            verb: "update".to_owned(),
            group: row.group.to_owned(),
            version: row.hub.to_owned(),
            resource: row.plural.to_owned(),
            subresource: "finalizers".to_owned(),
            namespace,
            name: owner.name.clone(),
            is_resource: true,
            ..security::Attributes::default()
        };
        match self.refusal(&asked).await {
            None => Ok(()),
            Some(why) => Err(request.forbidden(&format!(
                "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: {why}"
            ))),
        }
    }
}

impl Remote for OwnerReferences {
    fn validates(&self, request: &Attributes<'_>) -> bool {
        let of = request.request();
        let status = of.group.is_empty() && of.resource == "pods" && of.subresource == "status";
        matches!(request.operation, Operation::Create | Operation::Update) && !status
    }

    fn validate<'a>(&'a self, request: &'a Attributes<'_>) -> BoxFuture<'a, Result<(), Status>> {
        self.check(request).boxed()
    }
}

impl OwnerReferences {
    async fn check(&self, request: &Attributes<'_>) -> Result<(), Status> {
        let owners = |object: Option<&Object>| object.map_or(Vec::new(), |object| object.owners().to_vec());
        let (new, old) = (owners(request.object.as_deref()), owners(request.old.as_deref()));
        if new == old {
            return Ok(());
        }
        if request.operation == Operation::Update {
            let asked = security::Attributes {
                verb: "delete".to_owned(),
                ..request.request().clone()
            };
            if let Some(why) = self.refusal(&asked).await {
                let why = format!("cannot set an ownerRef on a resource you can't delete: {why}");
                return Err(request.forbidden(&why));
            }
        }
        let blocked = |uid: &str| {
            old.iter()
                .any(|owner| owner.uid == uid && owner.block_owner_deletion)
        };
        let blocking = new
            .iter()
            .filter(|owner| owner.block_owner_deletion && !blocked(&owner.uid));
        for owner in blocking {
            self.blocking(request, owner).await?;
        }
        Ok(())
    }
}
