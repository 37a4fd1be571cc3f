//! Asking who may do what.

use std::{fmt, sync::Arc};

/// What is asked: the attributes of a request that is not made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// For this service account, by namespace and name, instead of the user of the request.
    pub service_account: Option<(String, String)>,
    /// A path that is no resource.
    pub path: Option<String>,
    /// The group of the resource.
    pub group: String,
    /// The resource.
    pub resource: String,
    /// The subresource.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The field selector, if it is part of the question.
    pub field_selector: Option<String>,
    /// The label selector, if it is part of the question.
    pub label_selector: Option<String>,
    /// The verb.
    pub verb: String,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// It may.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// What went wrong.
    pub error: Option<String>,
}

/// Who knows the answers.
pub trait Authorizer: Send + Sync {
    /// Whether `check` would be allowed.
    fn decide(&self, check: &Check) -> Decision;
}

/// How far a question has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Authorizer,
    Path,
    Group,
    Resource,
}

/// An authorizer, a question being built, or an answer.
#[derive(Clone)]
pub struct Authorization<'a>(pub(crate) Part<'a>);

#[derive(Clone)]
pub(crate) enum Part<'a> {
    Question(&'a dyn Authorizer, Stage, Arc<Check>),
    Answer(Arc<Decision>),
}

impl<'a> Authorization<'a> {
    /// The value of the variable `authorizer`.
    pub fn new(authorizer: &'a dyn Authorizer) -> Self {
        Self(Part::Question(authorizer, Stage::Authorizer, Arc::default()))
    }

    /// The value of `authorizer.requestResource`.
    pub fn of_resource(authorizer: &'a dyn Authorizer, check: Check) -> Self {
        Self(Part::Question(authorizer, Stage::Resource, Arc::new(check)))
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match &self.0 {
            Part::Answer(_) => "kubernetes.authorization.Decision",
            Part::Question(_, Stage::Authorizer, _) => "kubernetes.authorization.Authorizer",
            Part::Question(_, Stage::Path, _) => "kubernetes.authorization.PathCheck",
            Part::Question(_, Stage::Group, _) => "kubernetes.authorization.GroupCheck",
            Part::Question(_, Stage::Resource, _) => "kubernetes.authorization.ResourceCheck",
        }
    }
}

impl fmt::Debug for Authorization<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())
    }
}
