//! Who asks, and may they: the interfaces between the request flow and its guards.

mod answer;
mod asking;
pub mod authentication;
pub mod authorization;
mod certificates;
mod claim_status;
mod escalation;
pub mod impersonation;
mod node;
mod node_restriction;
pub mod rbac;
mod resize;
mod selectors;
mod standard;
#[cfg(test)]
pub(crate) mod stories;

pub use answer::Answer;
pub use asking::Asking;
pub use authentication::{Authenticators, RequestHeader, ServiceAccounts, Trust, discovery as oidc};
pub use certificates::Certificates;
pub use claim_status::ClaimStatus;
pub use escalation::Escalation;
pub use node::NodeAuthorizer;
pub use node_restriction::NodeRestriction;
pub use rbac::{Chain, Rbac};
pub use resize::ClaimResize;
pub use selectors::Selectors;
pub use standard::{Settings, standard};

use crate::{Server, admission::Guard, audit::Audit};
use api::Status;
use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use std::{collections::BTreeMap, sync::Arc};

/// The user of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Name, such as `system:serviceaccount:default:builder`.
    pub name: String,
    /// UID; empty when there is none.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// What else the authenticator knows.
    pub extra: BTreeMap<String, Vec<String>>,
    /// What the authenticator has to say to audit.
    pub remarks: Vec<Remark>,
    /// What it has to say to the client.
    pub warnings: Vec<String>,
}

/// What audit is told of how somebody was found out: an annotation.
pub type Remark = (&'static str, String);

/// Why it is not known who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// For the log, and the `error` of a TokenReview.
    pub why: String,
    /// What audit is told.
    pub remarks: Vec<Remark>,
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self {
            why,
            remarks: Vec::new(),
        }
    }
}

impl From<&str> for Refusal {
    fn from(why: &str) -> Self {
        why.to_owned().into()
    }
}

impl User {
    /// A user by name and groups.
    pub fn new(name: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        Self {
            name: name.to_owned(),
            groups,
            ..Self::default()
        }
    }

    /// `system:anonymous`.
    pub fn anonymous() -> Self {
        Self::new("system:anonymous", &["system:unauthenticated"])
    }

    /// What an object may keep of the user.
    pub fn requester(&self) -> resources::Requester<'_> {
        resources::Requester {
            name: &self.name,
            uid: &self.uid,
            groups: &self.groups,
            extra: Some(&self.extra),
        }
    }

    /// Whether the user is in `group`.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}

/// Finds out who asks.
pub trait Authenticator: Send + Sync + 'static {
    /// The user of a request. `Ok(None)`: no credentials that it knows; `Err`: bad ones. `client_cert` is the chain of
    /// the TLS client, the leaf first; empty without one.
    fn authenticate(
        &self,
        parts: &Parts,
        client_cert: &[CertificateDer<'static>],
    ) -> Answer<Result<Option<User>, Refusal>>;

    /// Takes off a request what told who asks, so that nobody behind this server sees it.
    fn forget(&self, headers: &mut HeaderMap) {
        headers.remove(AUTHORIZATION);
    }

    /// The user of a bearer token meant for one of `audiences` (empty: the API server's own), and the audiences that
    /// it is good for. `Err`: why not, for the `error` of a TokenReview.
    fn token(&self, token: &str, audiences: &[String]) -> Answer<Known>;
}

/// Whose token it is and for which audiences it is good; `None`: it is of no kind that is known; `Err`: it is not good.
pub type Known = Result<Option<(User, Vec<String>)>, Refusal>;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Who.
    pub user: Arc<User>,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; the lower-case HTTP method
    /// for paths.
    pub verb: String,
    /// API group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Plural resource name.
    pub resource: String,
    /// Subresource; empty for none.
    pub subresource: String,
    /// Namespace; empty: cluster-scoped or all.
    pub namespace: String,
    /// Name; empty: a collection.
    pub name: String,
    /// The path, when it is not a resource.
    pub path: String,
    /// Whether it is a resource.
    pub is_resource: bool,
    /// What of a collection, if not all of it.
    pub selectors: Option<Arc<Selectors>>,
}

/// What an authorizer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allow,
    /// Does not know; without another's yes it is a no.
    NoOpinion,
    /// No, whatever others say.
    Deny,
}

/// A verdict and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What.
    pub verdict: Verdict,
    /// Why, for a person; may be empty.
    pub reason: String,
    /// What went wrong on the way; may be empty.
    pub error: String,
}

impl Decision {
    /// Yes.
    pub fn allow(reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Allow,
            reason: reason.into(),
            error: String::new(),
        }
    }

    /// Does not know.
    pub fn no_opinion(reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::NoOpinion,
            reason: reason.into(),
            error: String::new(),
        }
    }

    /// No, whatever others say.
    pub fn deny(reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Deny,
            ..Self::no_opinion(reason)
        }
    }

    /// The same, with what went wrong.
    #[must_use]
    pub fn failed(self, error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            ..self
        }
    }

    /// Whether it is a yes.
    pub fn allowed(&self) -> bool {
        self.verdict == Verdict::Allow
    }
}

/// A rule that a user has on resources, as a SelfSubjectRulesReview tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceRule {
    /// Verbs.
    pub verbs: Vec<String>,
    /// API groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// Resources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Names; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
}

/// A rule that a user has on paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PathRule {
    /// Verbs.
    pub verbs: Vec<String>,
    /// Paths; `*` at the end matches any rest.
    #[serde(rename = "nonResourceURLs", skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

/// What a user may do in a namespace, as far as the authorizers can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// On resources.
    pub resources: Vec<ResourceRule>,
    /// On paths.
    pub paths: Vec<PathRule>,
    /// There may be more.
    pub incomplete: bool,
    /// Why it may be more; empty for no reason.
    pub error: String,
}

/// Decides whether a user may do what is asked for.
pub trait Authorizer: Send + Sync + 'static {
    /// Decides.
    fn authorize(&self, attributes: &Attributes) -> Answer<Decision>;

    /// What `user` may do in `namespace`.
    fn rules(&self, _user: &User, _namespace: &str) -> Rules {
        Rules {
            incomplete: true,
            ..Rules::default()
        }
    }
}

/// The object a token is bound to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// `Pod`, `Secret` or `Node`.
    pub kind: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

/// A token that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenAsk {
    /// Namespace of the service account.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
    /// Its UID.
    pub uid: String,
    /// For whom; empty: the API server.
    pub audiences: Vec<String>,
    /// For how long.
    pub seconds: i64,
    /// Bound to an object.
    pub bound: Option<Bound>,
    /// The node of the pod that it is bound to: name and UID.
    pub node: Option<(String, String)>,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The JWT.
    pub token: String,
    /// Until when it is good.
    pub expires: Timestamp,
    /// For whom.
    pub audiences: Vec<String>,
    /// What names it, and is no secret.
    pub id: String,
}

/// Signs service account tokens.
pub trait TokenIssuer: Send + Sync + 'static {
    /// Signs one.
    fn issue(&self, ask: &TokenAsk) -> Result<Token, Status>;

    /// The longest life of a token, in seconds; none: as long as it is asked for.
    fn longest(&self) -> Option<i64> {
        None
    }

    /// Follows what becomes of its tokens, as tasks of `server`.
    fn follow(&self, _server: &Arc<Server>) {}
}

/// The guards of a server.
#[derive(Clone)]
pub struct Security {
    /// Who asks.
    pub authn: Arc<dyn Authenticator>,
    /// May they.
    pub authz: Arc<dyn Authorizer>,
    /// Who signs tokens; none: no TokenRequest.
    pub issuer: Option<Arc<dyn TokenIssuer>>,
    /// What of admission belongs to who may do what, and is always on.
    pub admission: Vec<Guard>,
    /// Who did what; none: it is not told.
    pub audit: Option<Arc<Audit>>,
}
