//! AlwaysAllow and AlwaysDeny.

use crate::security::{Answer, Attributes, Authorizer, Decision, PathRule, ResourceRule, Rules, User};

/// Everybody may do everything.
pub struct AlwaysAllow;

impl Authorizer for AlwaysAllow {
    fn authorize(&self, _: &Attributes) -> Answer<Decision> {
        Decision::allow("").into()
    }

    fn rules(&self, _: &User, _: &str) -> Rules {
        let any = || vec!["*".to_owned()];
        Rules {
            resources: vec![ResourceRule {
                verbs: any(),
                api_groups: any(),
                resources: any(),
                resource_names: Vec::new(),
            }],
            paths: vec![PathRule {
                verbs: any(),
                paths: any(),
            }],
            ..Rules::default()
        }
    }
}

/// Nobody may do anything, unless another says so.
pub struct AlwaysDeny;

impl Authorizer for AlwaysDeny {
    fn authorize(&self, _: &Attributes) -> Answer<Decision> {
        Decision::no_opinion("Everything is forbidden.").into()
    }

    fn rules(&self, _: &User, _: &str) -> Rules {
        Rules::default()
    }
}
