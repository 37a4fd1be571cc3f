//! Impersonation: to act as another, one must be allowed to.

use crate::{
    Server,
    security::{Attributes, User},
};
use api::Status;
use http::HeaderMap;
use std::{collections::BTreeMap, sync::Arc};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const GROUP_OF_USERS: &str = "authentication.k8s.io";

/// The user that the headers say `user` wants to be; `user` itself when they say nothing.
pub async fn user(server: &Server, user: Arc<User>, headers: &HeaderMap) -> Result<Arc<User>, Status> {
    let all = |name: &str| -> Vec<String> {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .map(str::to_owned)
            .collect()
    };
    let (name, groups, uid) = (all(USER), all(GROUP), all(UID));
    let extra = extra(headers);
    let Some(name) = name.into_iter().next().filter(|name| !name.is_empty()) else {
        return if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            Ok(user)
        } else {
            Err(Status::bad_request(
                "requested [...] without impersonating a user",
            ))
        };
    };
    let account = name
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'));
    let mut asked = vec![match account {
        Some((namespace, account)) => ["", "serviceaccounts", "", namespace, account],
        None => ["", "users", "", "", &name],
    }];
    asked.extend(groups.iter().map(|group| ["", "groups", "", "", group]));
    asked.extend(uid.iter().map(|uid| [GROUP_OF_USERS, "uids", "", "", uid]));
    for (key, values) in &extra {
        asked.extend(
            values
                .iter()
                .map(|value| [GROUP_OF_USERS, "userextras", key, "", value]),
        );
    }
    for [group, resource, subresource, namespace, name] in asked {
        let attributes = Attributes {
            user: user.clone(),
            verb: "impersonate".to_owned(),
            group: group.to_owned(),
            version: "v1".to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            is_resource: true,
            ..Attributes::default()
        };
        server.authorize(&attributes).await?;
    }
    let groups = groups_of(&name, account, groups);
    Ok(Arc::new(User {
        name,
        uid: uid.into_iter().next().unwrap_or_default(),
        groups,
        extra,
    }))
}

fn extra(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        if let (Some(key), Ok(value)) = (name.as_str().strip_prefix(EXTRA), value.to_str()) {
            extra
                .entry(super::query::percent_decode(key))
                .or_default()
                .push(value.to_owned());
        }
    }
    extra
}

/// The groups asked for, with those that a user of that name is always in.
fn groups_of(name: &str, account: Option<(&str, &str)>, mut groups: Vec<String>) -> Vec<String> {
    if let (Some((namespace, _)), true) = (account, groups.is_empty()) {
        groups = vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
        ];
    }
    let always = if name == "system:anonymous" {
        "system:unauthenticated"
    } else {
        "system:authenticated"
    };
    if !groups
        .iter()
        .any(|group| group == "system:authenticated" || group == "system:unauthenticated")
    {
        groups.push(always.to_owned());
    }
    groups
}
