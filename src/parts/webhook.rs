//! Guards of parts: the API server says whose a token is and who may do what.

use api::{Gvr, Object, Status};
use client::Client;
use futures::future::BoxFuture;
use kubelet::{Access, Authorize};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

const TOKEN_REVIEWS: Gvr = Gvr::new("authentication.k8s.io", "v1", "tokenreviews");
const ACCESS_REVIEWS: Gvr = Gvr::new("authorization.k8s.io", "v1", "subjectaccessreviews");

/// A user as the API server's reviews write it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    #[serde(rename(serialize = "user"))]
    username: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<T> {
    api_version: &'static str,
    kind: &'static str,
    metadata: BTreeMap<&'static str, &'static str>,
    spec: T,
}

#[derive(Serialize)]
struct Token<'a> {
    token: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_attributes: Option<Attributes<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    non_resource_attributes: Option<Path<'a>>,
    #[serde(flatten)]
    user: &'a User,
}

/// What is asked for at a path.
#[derive(Serialize)]
struct Path<'a> {
    path: &'a str,
    verb: &'a str,
}

#[derive(Serialize)]
struct Attributes<'a> {
    verb: &'a str,
    group: &'a str,
    version: &'a str,
    resource: &'a str,
    subresource: &'a str,
    name: &'a str,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenAnswer {
    status: TokenStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenStatus {
    authenticated: bool,
    user: User,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AccessAnswer {
    status: AccessStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AccessStatus {
    allowed: bool,
    reason: String,
}

/// Asks the API server about each request to a kubelet.
pub fn authorize(client: Client) -> Authorize {
    let client = Arc::new(client);
    Arc::new(move |access: Access| -> BoxFuture<'static, Result<(), Status>> {
        let client = client.clone();
        Box::pin(async move {
            let user = who(&client, access.bearer.as_deref(), access.certificate.as_deref()).await?;
            may(&client, &user.ok_or_else(Status::unauthorized)?, &access).await
        })
    })
}

/// May this user, or anybody, read a path of a part?
pub async fn may_read(client: &Client, user: Option<User>, verb: &str, path: &str) -> Result<(), Status> {
    let user = user.unwrap_or_else(anonymous);
    let question = Question {
        resource_attributes: None,
        non_resource_attributes: Some(Path { path, verb }),
        user: &user,
    };
    decide(client, question).await?.map_err(|reason| {
        let why = format!("User {:?} cannot {verb} path {path:?}", user.username);
        Status::forbidden(&Gvr::default(), "", &because(why, &reason))
    })
}

fn anonymous() -> User {
    User {
        username: "system:anonymous".to_owned(),
        groups: vec!["system:unauthenticated".to_owned()],
        ..User::default()
    }
}

/// Whose the token or certificate is; `None`: who comes with nothing.
pub async fn who(
    client: &Client,
    bearer: Option<&str>,
    certificate: Option<&[u8]>,
) -> Result<Option<User>, Status> {
    // The TLS layer has checked the certificate against the client CA.
    if let Some(user) = certificate.and_then(certificate_user) {
        return Ok(Some(user));
    }
    let Some(token) = bearer else {
        return Ok(None);
    };
    let answer: TokenAnswer = view(
        &*ask(
            client,
            &TOKEN_REVIEWS,
            "authentication.k8s.io/v1",
            "TokenReview",
            Token { token },
        )
        .await?,
    )?;
    if answer.status.authenticated {
        Ok(Some(answer.status.user))
    } else {
        Err(Status::unauthorized())
    }
}

async fn may(client: &Client, user: &User, access: &Access) -> Result<(), Status> {
    let resource_attributes = Attributes {
        verb: access.verb,
        group: "",
        version: "v1",
        resource: "nodes",
        subresource: access.subresource,
        name: &access.node,
    };
    let question = Question {
        resource_attributes: Some(resource_attributes),
        non_resource_attributes: None,
        user,
    };
    decide(client, question).await?.map_err(|reason| {
        let (verb, sub) = (access.verb, access.subresource);
        let why = format!(
            "user={}, verb={verb}, resource=nodes, subresource={sub}",
            user.username
        );
        Status::forbidden(&Gvr::new("", "v1", "nodes"), &access.node, &because(why, &reason))
    })
}

/// The inner error is the reason of a refusal.
async fn decide(client: &Client, question: Question<'_>) -> Result<Result<(), String>, Status> {
    let answer: AccessAnswer = view(
        &*ask(
            client,
            &ACCESS_REVIEWS,
            "authorization.k8s.io/v1",
            "SubjectAccessReview",
            question,
        )
        .await?,
    )?;
    Ok(match answer.status.allowed {
        true => Ok(()),
        false => Err(answer.status.reason),
    })
}

fn because(why: String, reason: &str) -> String {
    if reason.is_empty() {
        why
    } else {
        format!("{why}: {reason}")
    }
}

async fn ask(
    client: &Client,
    gvr: &Gvr,
    api_version: &'static str,
    kind: &'static str,
    spec: impl Serialize,
) -> Result<Arc<Object>, Status> {
    client
        .create(
            gvr,
            "",
            &Review {
                api_version,
                kind,
                metadata: BTreeMap::new(),
                spec,
            },
        )
        .await
}

fn view<T: for<'de> Deserialize<'de>>(object: &Object) -> Result<T, Status> {
    object.view().map_err(Status::internal)
}

/// Common name is the user, organizations are the groups.
fn certificate_user(der: &[u8]) -> Option<User> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let username = certificate
        .subject()
        .iter_common_name()
        .next()?
        .as_str()
        .ok()?
        .to_owned();
    let groups = certificate
        .subject()
        .iter_organization()
        .filter_map(|o| o.as_str().ok());
    let groups = groups
        .map(str::to_owned)
        .chain(["system:authenticated".to_owned()])
        .collect();
    (!username.is_empty()).then(|| User {
        username,
        groups,
        ..User::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use component::pki::{Authority, Purpose};

    #[test]
    fn a_certificate_names_its_user_and_groups() {
        let dir = tempfile::tempdir().unwrap();
        let now = jiff::Timestamp::from_second(1_893_456_000).unwrap();
        let authority = Authority::open(dir.path(), now).unwrap();
        let leaf = authority
            .leaf("anna", &Purpose::client("anna", &["makers"]), now)
            .unwrap();
        let (chain, _) = leaf.der().unwrap();
        let user = certificate_user(&chain[0]).unwrap();
        assert_eq!(user.username, "anna");
        assert_eq!(user.groups, ["makers", "system:authenticated"]);
        assert_eq!(certificate_user(b"nonsense"), None);
    }

    #[test]
    fn a_question_is_written_as_upstream_reads_it() {
        let user = User {
            username: "anna".to_owned(),
            groups: vec!["makers".to_owned()],
            ..User::default()
        };
        let attributes = Attributes {
            verb: "get",
            group: "",
            version: "v1",
            resource: "nodes",
            subresource: "log",
            name: "one",
        };
        let text = serde_json::to_string(&Question {
            resource_attributes: Some(attributes),
            non_resource_attributes: None,
            user: &user,
        })
        .unwrap();
        let wanted = r#"{"resourceAttributes":{"verb":"get","group":"","version":"v1","resource":"nodes","subresource":"log","name":"one"},"user":"anna","uid":"","groups":["makers"],"extra":{}}"#;
        assert_eq!(text, wanted);
    }
}
