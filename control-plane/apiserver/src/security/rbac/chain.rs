//! The authorizers in turn.

use crate::security::{
    Answer, Attributes, Authorizer, Decision, PathRule, ResourceRule, Rules, User, Verdict,
};
use std::sync::Arc;

/// Authorizers in turn: the first that allows or denies decides. `system:masters` may do everything.
pub struct Chain(pub Arc<[Arc<dyn Authorizer>]>);

/// Asks the authorizers from `at` on, which come after others that gave these reasons.
fn ask(
    all: &Arc<[Arc<dyn Authorizer>]>,
    at: usize,
    mut said: Said,
    attributes: &Attributes,
) -> Answer<Decision> {
    for (at, authorizer) in all.iter().enumerate().skip(at) {
        let decision = match authorizer.authorize(attributes) {
            Answer::Now(decision) => decision,
            Answer::Later(decision) => {
                let (all, attributes) = (all.clone(), attributes.clone());
                return Answer::Later(Box::pin(async move {
                    let decision = decision.await;
                    if decision.verdict != Verdict::NoOpinion {
                        return decision;
                    }
                    said.note(decision);
                    ask(&all, at + 1, said, &attributes).get().await
                }));
            }
        };
        if decision.verdict != Verdict::NoOpinion {
            return decision.into();
        }
        said.note(decision);
    }
    said.decision().into()
}

/// What those said who had no opinion.
#[derive(Default)]
struct Said {
    reasons: Vec<String>,
    errors: Vec<String>,
}

impl Said {
    fn note(&mut self, decision: Decision) {
        let parts = [
            (&mut self.reasons, decision.reason),
            (&mut self.errors, decision.error),
        ];
        for (list, text) in parts {
            if !text.is_empty() {
                list.push(text);
            }
        }
    }

    fn decision(self) -> Decision {
        let error = match self.errors.as_slice() {
            [] => String::new(),
            [only] => only.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        Decision::no_opinion(self.reasons.join("\n")).failed(error)
    }
}

impl Authorizer for Chain {
    fn authorize(&self, attributes: &Attributes) -> Answer<Decision> {
        if attributes.user.in_group("system:masters") {
            return Decision::allow("").into();
        }
        ask(&self.0, 0, Said::default(), attributes)
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        let mut all = Rules::default();
        if user.in_group("system:masters") {
            let any = || vec!["*".to_owned()];
            all.resources.push(ResourceRule {
                verbs: any(),
                api_groups: any(),
                resources: any(),
                resource_names: vec![],
            });
            all.paths.push(PathRule {
                verbs: any(),
                paths: any(),
            });
        }
        for authorizer in self.0.iter() {
            let rules = authorizer.rules(user, namespace);
            all.resources.extend(rules.resources);
            all.paths.extend(rules.paths);
            all.incomplete |= rules.incomplete;
            if all.error.is_empty() {
                all.error = rules.error;
            }
        }
        all
    }
}
