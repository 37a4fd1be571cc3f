//! ValidatingAdmissionPolicy.

use super::{
    authorizer::Asker,
    compiled::{Failure, Policy, Validation},
    inputs::Inputs,
    params::collect,
    source::{Binding, Source},
};
use crate::{
    Reader,
    admission::{Attributes, Notes, Remote, matching::Target},
    security::Authorizer,
};
use api::{Cause, Status};
use cel::{Bindings, Budget, MATCH_CONDITIONS_BUDGET, MAX_MESSAGE_BYTES, RUNTIME_BUDGET, Value};
use futures::{FutureExt, future::BoxFuture};
use serde::Serialize;
use serde_json::Value as Json;
use std::{collections::BTreeMap, sync::Arc};

/// Longest value of an annotation, in bytes.
const LONGEST_ANNOTATION: usize = 10 * 1024;
const FAILURE: &str = "validation.policy.admission.k8s.io/validation_failure";

/// What the annotation tells of a validation that does not hold.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ValidationFailure<'a> {
    message: &'a str,
    policy: &'a str,
    binding: &'a str,
    expression_index: usize,
    validation_actions: &'a [String],
}

/// The plugin.
pub struct Validating {
    source: Source,
    authorizer: Arc<dyn Authorizer>,
}

impl Validating {
    /// Over what is stored.
    pub fn new(reader: Reader, authorizer: Arc<dyn Authorizer>) -> Self {
        Self {
            source: Source::new(reader, "validating"),
            authorizer,
        }
    }
}

impl Validating {
    /// Puts a request to all policies. What they have to say is noted when it is certain.
    async fn judge(&self, request: &Attributes<'_>) -> Result<(), Status> {
        let asker = Asker::new(self.authorizer.as_ref(), request);
        let hooks = self.source.hooks();
        let evaluate = || {
            let mut asked = Asked {
                request,
                reader: &self.source.reader,
                asker: &asker,
                inputs: Vec::new(),
                refusals: Vec::new(),
                notes: Notes::default(),
            };
            for hook in hooks.iter() {
                asked.policy(&hook.policy, &hook.bindings)?;
            }
            Ok((asked.refusals, asked.notes))
        };
        let (refusals, notes): (Vec<Refusal>, Notes) = asker.settle(evaluate).await?;
        request.notes().add(&notes);
        match refusals.into_iter().next() {
            Some(refusal) => Err(refusal.status(request)),
            None => Ok(()),
        }
    }
}

impl Remote for Validating {
    fn validates(&self, request: &Attributes<'_>) -> bool {
        self.source.concerns(request)
    }

    fn validate<'a>(&'a self, request: &'a Attributes<'_>) -> BoxFuture<'a, Result<(), Status>> {
        self.judge(request).boxed()
    }
}

/// Why a request is refused.
struct Refusal {
    reason: String,
    message: String,
}

impl Refusal {
    fn of(policy: &Policy, binding: Option<&Binding>, reason: &str, why: &str) -> Self {
        let bound = binding.map_or_else(String::new, |binding| format!(" with binding '{}'", binding.name));
        Self {
            reason: reason.to_owned(),
            message: format!(
                "ValidatingAdmissionPolicy '{}'{bound} denied request: {why}",
                policy.name
            ),
        }
    }

    fn status(self, request: &Attributes<'_>) -> Status {
        let code = match self.reason.as_str() {
            "Forbidden" => 403,
            "Unauthorized" => 401,
            "RequestEntityTooLarge" => 413,
            _ => 422,
        };
        let mut status = request.forbidden(&self.message);
        status.code = code;
        status.reason = match code {
            422 => "Invalid".to_owned(),
            _ => self.reason,
        };
        let details = status.details.get_or_insert_default();
        details.causes.push(Cause {
            message: self.message,
            ..Cause::default()
        });
        status
    }
}

/// A validation that does not hold, or failed.
struct Broken {
    index: usize,
    reason: String,
    message: String,
}

struct Asked<'r> {
    request: &'r Attributes<'r>,
    reader: &'r Reader,
    asker: &'r Asker<'r>,
    /// What expressions see, as each version that was matched.
    inputs: Vec<(Target, Arc<Inputs>)>,
    refusals: Vec<Refusal>,
    notes: Notes,
}

impl<'r> Asked<'r> {
    fn policy(&mut self, policy: &Policy, bindings: &[Binding]) -> Result<(), Status> {
        let matched = match policy.matching.matches(self.request, self.reader) {
            Ok(None) => return Ok(()),
            Ok(Some(target)) => self.inputs(target).map_err(|status| status.message),
            Err(status) => Err(status.message),
        };
        let inputs = match matched {
            Ok(inputs) => inputs,
            Err(why) => {
                self.misconfigured(policy, None, &format!("failed to configure policy: {why}"));
                return Ok(());
            }
        };
        let mut annotations: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for binding in bindings {
            let namespace = &self.request.request().namespace;
            let params = match binding.matching.matches(self.request, self.reader) {
                Ok(None) => continue,
                Ok(Some(_)) => collect(
                    policy.params.as_ref(),
                    binding.param.as_ref(),
                    namespace,
                    self.reader,
                ),
                Err(status) => Err(status.message),
            };
            match params {
                Err(why) => {
                    let why = format!("failed to configure binding: {why}");
                    self.misconfigured(policy, Some(binding), &why);
                }
                Ok(params) => {
                    for params in &params {
                        self.ask(policy, binding, &inputs, params.as_ref(), &mut annotations);
                    }
                }
            }
        }
        for (key, values) in annotations {
            let key = format!("{}/{key}", policy.name);
            self.notes.annotate(key, values.join(", "));
        }
        Ok(())
    }

    fn inputs(&mut self, target: Target) -> Result<Arc<Inputs>, Status> {
        if let Some((_, inputs)) = self.inputs.iter().find(|(known, _)| *known == target) {
            return Ok(inputs.clone());
        }
        let inputs = Arc::new(Inputs::new(self.request, &target, self.reader)?);
        self.inputs.push((target, inputs.clone()));
        Ok(inputs)
    }

    fn misconfigured(&mut self, policy: &Policy, binding: Option<&Binding>, why: &str) {
        if policy.fail {
            self.refusals.push(Refusal::of(policy, binding, "", why));
        }
    }

    /// Puts the request to a policy with one set of parameters.
    fn ask<'p>(
        &mut self,
        policy: &'p Policy,
        binding: &Binding,
        inputs: &Inputs,
        params: Option<&Json>,
        annotations: &mut BTreeMap<&'p str, Vec<String>>,
    ) {
        let bindings = inputs.bindings(policy, params, self.request, self.asker);
        match matches(policy, &bindings) {
            Ok(true) => {}
            Ok(false) => return,
            Err(why) => {
                let broken = Broken {
                    index: 0,
                    reason: String::new(),
                    message: why,
                };
                return self.acts(policy, binding, vec![broken]);
            }
        }
        let mut budget = Budget::new(RUNTIME_BUDGET);
        match validations(policy, &bindings, &mut budget) {
            Ok(broken) => self.acts(policy, binding, broken),
            Err(broken) => return self.acts(policy, binding, broken.into_iter().collect()),
        }
        let mut budget = Budget::new(RUNTIME_BUDGET);
        for (key, expression) in &policy.annotations {
            let value = expression.evaluate(&bindings, &mut budget);
            let text = value.map(|value| value.as_str().unwrap_or_default().trim().to_owned());
            match text {
                Ok(text) if text.is_empty() => {}
                Ok(mut text) => {
                    text.truncate(text.floor_char_boundary(LONGEST_ANNOTATION));
                    let values = annotations.entry(key).or_default();
                    if !values.contains(&text) {
                        values.push(text);
                    }
                }
                Err(failure) => self.misconfigured(policy, Some(binding), &failure.message()),
            }
        }
    }

    /// Does what the binding says is done about what does not hold.
    fn acts(&mut self, policy: &Policy, binding: &Binding, broken: Vec<Broken>) {
        for Broken {
            index,
            reason,
            message,
        } in broken
        {
            for action in &binding.actions {
                match action.as_str() {
                    "Deny" => self
                        .refusals
                        .push(Refusal::of(policy, Some(binding), &reason, &message)),
                    "Warn" => self.notes.warn(format!(
                        "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {message}",
                        policy.name, binding.name
                    )),
                    "Audit" => {
                        let failure = ValidationFailure {
                            message: &message,
                            policy: &policy.name,
                            binding: &binding.name,
                            expression_index: index,
                            validation_actions: &binding.actions,
                        };
                        if let Ok(text) = serde_json::to_string(&[failure]) {
                            self.notes.annotate(FAILURE, text);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Whether the conditions of a policy hold: if one does not, it is not asked; else if one failed, that is why.
pub(super) fn matches<'a>(policy: &'a Policy, bindings: &Bindings<'a>) -> Result<bool, String> {
    let mut budget = Budget::new(MATCH_CONDITIONS_BUDGET);
    let mut failed = Vec::new();
    // Conditions do not see the namespace, as upstream.
    let bindings = bindings.clone().with("namespaceObject", Value::Null);
    for condition in &policy.conditions {
        match condition.evaluate(&bindings, &mut budget) {
            Ok(value) if value.as_bool() == Some(false) => return Ok(false),
            Ok(_) => {}
            Err(Failure::Over) => {
                failed = vec![Failure::OVER.to_owned()];
                break;
            }
            Err(Failure::Failed(why)) => failed.push(why),
        }
    }
    match failed.as_slice() {
        [] => Ok(true),
        _ if !policy.fail => Ok(false),
        [only] => Err(only.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    }
}

/// What does not hold. `Err`: there was nothing left to spend.
fn validations<'a>(
    policy: &'a Policy,
    bindings: &Bindings<'a>,
    budget: &mut Budget,
) -> Result<Vec<Broken>, Option<Broken>> {
    let over = || {
        policy.fail.then(|| Broken {
            index: 0,
            reason: String::new(),
            message: Failure::OVER.to_owned(),
        })
    };
    let mut broken = Vec::new();
    for (index, validation) in policy.validations.iter().enumerate() {
        let reason = validation.reason.clone();
        match validation.rule.evaluate(bindings, budget) {
            Ok(value) if value.as_bool() == Some(true) => {}
            Ok(_) => broken.push((index, reason, None)),
            Err(Failure::Over) => return Err(over()),
            Err(Failure::Failed(why)) if policy.fail => broken.push((index, String::new(), Some(why))),
            Err(Failure::Failed(_)) => {}
        }
    }
    // What to say is asked for when all is known, of what is left.
    let say = |(index, reason, failed): (usize, String, Option<String>)| {
        let said = failed.map_or_else(|| message(&policy.validations[index], bindings, budget), Ok);
        match said {
            Ok(message) => Some(Broken {
                index,
                reason,
                message,
            }),
            Err(why) => policy.fail.then(|| Broken {
                index,
                reason: String::new(),
                message: format!("failed messageExpression: {why}"),
            }),
        }
    };
    Ok(broken.into_iter().filter_map(say).collect())
}

fn message<'a>(
    validation: &'a Validation,
    bindings: &Bindings<'a>,
    budget: &mut Budget,
) -> Result<String, String> {
    if let Some(says) = &validation.says {
        match says.evaluate(bindings, budget) {
            Ok(value) => {
                let text = value.as_str().unwrap_or_default().trim();
                if !text.is_empty() && text.len() <= MAX_MESSAGE_BYTES && !text.contains('\n') {
                    return Ok(text.to_owned());
                }
            }
            Err(Failure::Over) => return Err(Failure::OVER.to_owned()),
            Err(Failure::Failed(why)) => tracing::debug!(why, "messageExpression"),
        }
    }
    Ok(match validation.message.as_str() {
        "" => format!("failed expression: {}", validation.rule.source.trim()),
        message => message.to_owned(),
    })
}
