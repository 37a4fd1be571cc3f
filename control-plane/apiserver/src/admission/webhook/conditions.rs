//! `matchConditions`: which requests a webhook is asked about, by expressions.
#![expect(clippy::disallowed_types, reason = "expressions read JSON values")]

use super::{configuration::ConditionView, review};
use crate::{
    admission::{Attributes, matching::Target, policy::authorizer::Asker},
    security::Authorizer,
};
use api::{Gvr, Object, Status};
use cel::{
    Authorization, Bindings, Budget, EvalError, Issue, MATCH_CONDITIONS_BUDGET, Program, Value,
    admission::{Extras, REQUEST, environment},
};
use serde_json::Value as Json;
use std::sync::Arc;

/// The conditions of one webhook.
pub struct Conditions {
    of: Vec<Condition>,
    /// What fails lets the request go by.
    ignore: bool,
}

struct Condition {
    source: String,
    program: Result<Program, String>,
}

/// What the conditions say.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is asked.
    Matches,
    /// It is not.
    Excluded,
    /// Some failed, and the webhook is one that must be asked.
    Failed(String),
}

impl Conditions {
    /// Compiles them. What does not compile fails when it is asked.
    pub fn new(of: &[ConditionView], ignore: bool) -> Self {
        let environment = environment(Extras {
            authorizer: true,
            ..Extras::default()
        });
        let compile = |of: &ConditionView| Condition {
            source: of.expression.clone(),
            program: Program::compile(&of.expression, &environment).map_err(|issues| Issue::join(&issues)),
        };
        Self {
            of: of.iter().map(compile).collect(),
            ignore,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// What they say of a request, whose objects are in the version of `target`; and how many could not say.
    ///
    /// # Errors
    /// An object cannot be read.
    pub async fn judge(
        &self,
        request: &Attributes<'_>,
        target: &Target,
        objects: [Option<&Arc<Object>>; 2],
        authorizer: &dyn Authorizer,
    ) -> Result<(Verdict, usize), Status> {
        let [object, old] = [read(objects[0])?, read(objects[1])?];
        let asked: Gvr = request.gvr();
        let texts = review::Texts::default();
        let described = review::request(request, target, &asked, "", &texts)?;
        let described = serde_json::to_value(&described).map_err(Status::internal)?;
        let asker = Asker::new(authorizer, request);
        let resource = Asker::resource(request);
        let evaluate = || {
            let bindings = Bindings::new()
                .with("object", Value::json(&object, None))
                .with("oldObject", Value::json(&old, None))
                .with("request", Value::json(&described, Some(&REQUEST)))
                .with("namespaceObject", Value::Null)
                .with("authorizer", Value::Authorization(Authorization::new(&asker)))
                .with(
                    "authorizer.requestResource",
                    Value::Authorization(Authorization::of_resource(&asker, resource.clone())),
                );
            self.evaluate(&bindings)
        };
        Ok(asker.settle(evaluate).await)
    }

    fn evaluate<'a>(&'a self, bindings: &Bindings<'a>) -> (Verdict, usize) {
        let mut budget = Budget::new(MATCH_CONDITIONS_BUDGET);
        let mut failed = Vec::new();
        for condition in &self.of {
            let value = match &condition.program {
                Err(why) => Err(format!("compilation error: compilation failed: {why}")),
                Ok(program) => program.evaluate(bindings, &mut budget).map_err(|error| match error {
                    EvalError::BudgetExhausted => {
                        "validation failed due to running out of cost budget, no further validation rules will be run"
                            .to_owned()
                    }
                    error => format!("expression '{}' resulted in error: {error}", condition.source),
                }),
            };
            match value {
                Ok(value) if value.as_bool() == Some(false) => return (Verdict::Excluded, failed.len()),
                Ok(_) => {}
                Err(why) => failed.push(why),
            }
        }
        let count = failed.len();
        let verdict = match failed.as_slice() {
            [] => Verdict::Matches,
            _ if self.ignore => Verdict::Excluded,
            [only] => Verdict::Failed(only.clone()),
            many => Verdict::Failed(format!("[{}]", many.join(", "))),
        };
        (verdict, count)
    }
}

fn read(object: Option<&Arc<Object>>) -> Result<Json, Status> {
    object.map_or(Ok(Json::Null), |object| {
        serde_json::from_slice(&object.to_json()).map_err(Status::internal)
    })
}
