//! The headers of a request that is made as another.

use crate::{
    Server,
    audit::Record,
    security::{Attributes, User, authentication, impersonation},
};
use api::Status;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::Arc;

const PREFIX: &str = "impersonate-";
const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const GATE: &str = "ConstrainedImpersonation";

/// Whether a request is, perhaps, made as another.
pub fn is_asked(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with(PREFIX))
}

/// The user that the headers say the user of `asked` wants to be; that user when they say nothing. Afterwards the headers
/// say nothing more about it.
pub async fn user(
    server: &Server,
    asked: &Attributes,
    headers: &mut HeaderMap,
    record: Option<&Arc<Record>>,
) -> Result<Arc<User>, Status> {
    let names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with(PREFIX))
        .cloned()
        .collect();
    let constrained = server.gates.enabled(GATE);
    let (wanted, more) = wanted(headers)?;
    for name in names {
        headers.remove(name);
    }
    if wanted.name.is_empty() {
        return match more {
            true => Err(impersonation::nobody(&wanted, constrained)),
            false => Ok(asked.user.clone()),
        };
    }
    let authorizer = server.handler.security.authz.as_ref();
    let acting = server
        .impersonation
        .of(authorizer, constrained, &wanted, asked)
        .await?;
    let user = Arc::new(acting.user);
    if let Some(record) = record {
        record.impersonates(&user, acting.constraint);
    }
    Ok(user)
}

/// The user that is asked for, as far as the headers say, and whether they say more than the name.
fn wanted(headers: &HeaderMap) -> Result<(User, bool), Status> {
    let first = |name| {
        headers
            .get(name)
            .map_or(Ok(String::new()), |value| text(name, value))
    };
    let groups = headers.get_all(GROUP).iter();
    let mut user = User {
        name: first(USER)?,
        uid: first(UID)?,
        groups: groups.map(|value| text(GROUP, value)).collect::<Result<_, _>>()?,
        ..User::default()
    };
    let mut more = !user.uid.is_empty() || !user.groups.is_empty();
    for (name, value) in headers {
        if let Some(key) = name.as_str().strip_prefix(EXTRA) {
            more = true;
            let values = user.extra.entry(authentication::unescaped(key)).or_default();
            values.push(text(name.as_str(), value)?);
        }
    }
    Ok((user, more))
}

fn text(name: &str, value: &HeaderValue) -> Result<String, Status> {
    authentication::text(name, value).map_err(Status::bad_request)
}
