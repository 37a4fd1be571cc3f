//! `authorizer`: what the user of the request, or a service account, may do.

use crate::{
    admission::Attributes,
    security::{self, Authorizer, Selectors, User},
};
use cel::{Check, Decision};
use futures::future::{BoxFuture, join_all};
use std::sync::{Arc, Mutex, PoisonError};

/// Asks in the name of the user of a request. An expression is evaluated at once; what another server must be asked
/// first is noted, asked, and the expression evaluated again: see [`Asker::settle`].
pub(in crate::admission) struct Asker<'a> {
    authorizer: &'a dyn Authorizer,
    user: Arc<User>,
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct Answers {
    known: Vec<(Check, Decision)>,
    asked: Vec<(Check, BoxFuture<'static, security::Decision>)>,
}

impl<'a> Asker<'a> {
    pub fn new(authorizer: &'a dyn Authorizer, request: &Attributes<'_>) -> Self {
        let user = request.user().clone();
        Self {
            authorizer,
            user,
            answers: Mutex::default(),
        }
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

    /// What `evaluate` makes when all is known that it asks for. It must change nothing but what it returns. Each
    /// round answers at least one question more, and what an expression may cost bounds its questions.
    pub async fn settle<T>(&self, mut evaluate: impl FnMut() -> T) -> T {
        loop {
            let value = evaluate();
            let asked = self.with(|answers| std::mem::take(&mut answers.asked));
            if asked.is_empty() {
                return value;
            }
            let (checks, waiting): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
            let answered = join_all(waiting).await.into_iter().map(told);
            self.with(|answers| answers.known.extend(checks.into_iter().zip(answered)));
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Answers) -> T) -> T {
        f(&mut self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn attributes(&self, check: &Check) -> security::Attributes {
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
        let selectors = Selectors::parse(
            of.field_selector.as_deref().unwrap_or_default(),
            of.label_selector.as_deref().unwrap_or_default(),
        );
        security::Attributes {
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
            selectors,
        }
    }
}

fn told(decision: security::Decision) -> Decision {
    Decision {
        allowed: decision.allowed(),
        reason: decision.reason,
        error: (!decision.error.is_empty()).then_some(decision.error),
    }
}

impl cel::Authorizer for Asker<'_> {
    fn decide(&self, check: &Check) -> Decision {
        let known = |answers: &mut Answers| {
            let found = answers.known.iter().find(|(known, _)| known == check);
            found.map(|(_, decision)| decision.clone())
        };
        if let Some(decision) = self.with(known) {
            return decision;
        }
        match self.authorizer.authorize(&self.attributes(check)) {
            security::Answer::Now(decision) => told(decision),
            security::Answer::Later(decision) => {
                self.with(|answers| answers.asked.push((check.clone(), decision)));
                Decision::default()
            }
        }
    }
}
