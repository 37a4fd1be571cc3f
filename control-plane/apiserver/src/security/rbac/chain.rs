//! The authorizers in turn.

use crate::security::{Attributes, Authorizer, Decision, PathRule, ResourceRule, Rules, User, Verdict};
use std::sync::Arc;

/// Authorizers in turn: the first that allows or denies decides. `system:masters` may do everything.
pub struct Chain(pub Vec<Arc<dyn Authorizer>>);

impl Authorizer for Chain {
    fn authorize(&self, attributes: &Attributes) -> Decision {
        if attributes.user.in_group("system:masters") {
            return Decision::allow("");
        }
        let mut reasons = Vec::new();
        for authorizer in &self.0 {
            let decision = authorizer.authorize(attributes);
            if decision.verdict != Verdict::NoOpinion {
                return decision;
            }
            if !decision.reason.is_empty() {
                reasons.push(decision.reason);
            }
        }
        Decision::no_opinion(reasons.join(", "))
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
        for authorizer in &self.0 {
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
