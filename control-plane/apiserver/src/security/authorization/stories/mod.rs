//! Stories of the authorizers beside Node and RBAC.

mod abac;
mod configuration;
mod webhook;

use crate::security::{Attributes, Authorizer, Decision, User};
use std::sync::Arc;

fn asks(user: &str, groups: &[&str], verb: &str, resource: &str, namespace: &str) -> Attributes {
    let (group, resource) = resource.split_once('/').unwrap_or(("", resource));
    Attributes {
        user: Arc::new(User::new(user, groups)),
        verb: verb.to_owned(),
        group: group.to_owned(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        is_resource: true,
        ..Attributes::default()
    }
}

fn path(user: &str, verb: &str, path: &str) -> Attributes {
    Attributes {
        user: Arc::new(User::new(user, &["system:authenticated"])),
        verb: verb.to_owned(),
        path: path.to_owned(),
        ..Attributes::default()
    }
}

fn now(authorizer: &dyn Authorizer, asked: &Attributes) -> Decision {
    authorizer.authorize(asked).now().expect("nobody else is asked")
}
