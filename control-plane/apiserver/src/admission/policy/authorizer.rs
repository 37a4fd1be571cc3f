//! `authorizer`: what the user of the request, or a service account, may do.

use crate::{
    admission::Attributes,
    security::{self, Authorizer, User},
};
use cel::{Check, Decision};
use std::sync::Arc;

/// Asks in the name of the user of a request.
pub(in crate::admission) struct Asker<'a> {
    authorizer: &'a dyn Authorizer,
    user: &'a Arc<User>,
}

impl<'a> Asker<'a> {
    pub fn new(authorizer: &'a dyn Authorizer, request: &'a Attributes<'_>) -> Self {
        let user = request.user();
        Self { authorizer, user }
    }

    /// The question that `authorizer.requestResource` begins with.
    pub fn resource(request: &Attributes<'_>) -> Check {
        let of = request.request();
        Check {
            group: of.group.clone(),
            resource: of.resource.clone(),
            subresource: of.subresource.clone(),
            namespace: of.namespace.clone(),
            name: request.name.to_owned(),
            ..Check::default()
        }
    }
}

impl cel::Authorizer for Asker<'_> {
    fn decide(&self, check: &Check) -> Decision {
        let user = match &check.service_account {
            None => self.user.clone(),
            Some((namespace, name)) => {
                let name = format!("system:serviceaccount:{namespace}:{name}");
                let group = format!("system:serviceaccounts:{namespace}");
                Arc::new(User::new(
                    &name,
                    &["system:serviceaccounts", &group, "system:authenticated"],
                ))
            }
        };
        let of = check.clone();
        let decision = self.authorizer.authorize(&security::Attributes {
            user,
            verb: of.verb,
            is_resource: of.path.is_none(),
            // As upstream asks: any version.
            version: if of.path.is_none() { "*" } else { "" }.to_owned(),
            group: of.group,
            resource: of.resource,
            subresource: of.subresource,
            namespace: of.namespace,
            name: of.name,
            path: of.path.unwrap_or_default(),
        });
        let decision = decision
            .now()
            .unwrap_or_else(|| security::Decision::no_opinion("another server must be asked"));
        Decision {
            allowed: decision.allowed(),
            reason: decision.reason,
            error: None,
        }
    }
}
