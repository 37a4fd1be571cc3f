//! A policy, ready to be asked.

use super::view::{ParamKind, PolicySpec};
use crate::admission::matching::Matching;
use cel::{
    Bindings, Budget, EvalError, Program, Value,
    admission::{Compiler, Extras, Wanted},
};

/// An expression, or why it is none.
#[derive(Debug)]
pub(super) struct Expression {
    pub source: String,
    pub program: Result<Program, String>,
}

/// A policy.
#[derive(Debug)]
pub(super) struct Policy {
    pub name: String,
    pub matching: Matching,
    /// What fails refuses the request.
    pub fail: bool,
    pub params: Option<ParamKind>,
    pub conditions: Vec<Expression>,
    /// Each may name those before it.
    pub variables: Vec<(String, Expression)>,
    pub validations: Vec<Validation>,
    pub annotations: Vec<(String, Expression)>,
    pub mutations: Vec<Mutation>,
    /// It may be asked again, if others changed the object after it.
    pub again: bool,
}

#[derive(Debug)]
pub(super) struct Validation {
    pub rule: Expression,
    pub message: String,
    pub says: Option<Expression>,
    pub reason: String,
}

#[derive(Debug)]
pub(super) struct Mutation {
    pub apply: bool,
    pub patch: Expression,
}

impl Policy {
    /// Compiles a policy. What does not compile is told when it is asked.
    ///
    /// # Errors
    /// A selector that is none.
    pub fn compile(name: &str, spec: PolicySpec) -> Result<Self, String> {
        let mut compiler = Compiler::new(Extras {
            params: spec.param_kind.is_some(),
            authorizer: true,
            mutation: !spec.mutations.is_empty(),
        });
        let variables = spec.variables.into_iter().map(|of| {
            let program = compiler.variable(&of.name, &of.expression);
            (of.name, Expression::new(of.expression, program))
        });
        let variables = variables.collect();
        let made = |source: String, wanted| {
            let program = compiler.compile(&source, wanted);
            Expression::new(source, program)
        };
        let said = |source: String| {
            let program = compiler.message(&source);
            Expression::new(source, program)
        };
        let conditions = spec.match_conditions.into_iter();
        let annotations = spec.audit_annotations.into_iter();
        Ok(Self {
            name: name.to_owned(),
            fail: spec.failure_policy != "Ignore",
            conditions: conditions.map(|of| made(of.expression, Wanted::Bool)).collect(),
            validations: spec
                .validations
                .into_iter()
                .map(|of| Validation {
                    rule: made(of.expression, Wanted::Bool),
                    says: (!of.message_expression.trim().is_empty()).then(|| said(of.message_expression)),
                    message: of.message.trim().to_owned(),
                    reason: of.reason,
                })
                .collect(),
            annotations: annotations
                .map(|of| (of.key, made(of.value_expression, Wanted::TextOrNull)))
                .collect(),
            mutations: spec
                .mutations
                .into_iter()
                .map(|of| match of.patch_type.as_str() {
                    "JSONPatch" => Mutation {
                        apply: false,
                        patch: made(of.json_patch.expression, Wanted::Patch),
                    },
                    _ => Mutation {
                        apply: true,
                        patch: made(of.apply_configuration.expression, Wanted::Object),
                    },
                })
                .collect(),
            again: spec.reinvocation_policy == "IfNeeded",
            params: spec.param_kind,
            matching: Matching::new(spec.match_constraints)?,
            variables,
        })
    }
}

/// Why an expression has no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// This one failed.
    Failed(String),
    /// There is nothing left to spend, so all others fail too.
    Over,
}

impl Failure {
    pub const OVER: &str =
        "validation failed due to running out of cost budget, no further validation rules will be run";

    pub fn message(self) -> String {
        match self {
            Self::Failed(why) => why,
            Self::Over => Self::OVER.to_owned(),
        }
    }
}

impl Expression {
    fn new(source: String, program: Result<Program, String>) -> Self {
        Self { source, program }
    }

    pub fn evaluate<'a>(
        &'a self,
        bindings: &Bindings<'a>,
        budget: &mut Budget,
    ) -> Result<Value<'a>, Failure> {
        let program = self
            .program
            .as_ref()
            .map_err(|why| Failure::Failed(format!("compilation error: {why}")))?;
        program.evaluate(bindings, budget).map_err(|error| match error {
            EvalError::BudgetExhausted => Failure::Over,
            error => Failure::Failed(format!("expression '{}' resulted in error: {error}", self.source)),
        })
    }
}
