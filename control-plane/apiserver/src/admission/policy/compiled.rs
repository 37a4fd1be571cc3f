//! A policy, ready to be asked.

use super::view::{self, ParamKind, PolicySpec};
use crate::admission::matching::Matching;
use cel::{
    Bindings, Budget, EvalError, Issue, Program, Type, Value,
    admission::{Extras, environment, with_variables},
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

/// What an expression must give.
#[derive(Clone, Copy)]
enum Wanted {
    Any,
    Bool,
    Text,
    TextOrNull,
    Object,
    Patch,
}

impl Wanted {
    /// Why `ty` is not wanted.
    fn refuse(self, ty: &Type) -> Option<String> {
        let only = |wanted: &str| {
            let found = ty.to_string();
            (found != wanted).then(|| format!("must evaluate to {wanted} but got {found}"))
        };
        match self {
            Self::Any => None,
            Self::Bool => only("bool"),
            Self::Text => only("string"),
            Self::Object => only("Object"),
            Self::Patch => only("list(JSONPatch)"),
            Self::TextOrNull if matches!(ty, Type::String | Type::Null) => None,
            Self::TextOrNull => Some(format!("must evaluate to one of [string null_type] but got {ty}")),
        }
    }
}

/// Compiles the expressions of one policy.
struct Compiler {
    extras: Extras,
    variables: Vec<(String, Type)>,
}

impl Compiler {
    fn compile(&self, source: &str, wanted: Wanted, authorizer: bool) -> Expression {
        let extras = Extras {
            authorizer,
            ..self.extras
        };
        let environment = with_variables(environment(extras), &self.variables);
        let program = Program::compile(source, &environment)
            .map_err(|issues| format!("compilation failed: {}", Issue::join(&issues)));
        let program = program.and_then(|program| match wanted.refuse(program.result_type()) {
            Some(why) => Err(why),
            None => Ok(program),
        });
        Expression {
            source: source.to_owned(),
            program,
        }
    }

    fn variable(&mut self, of: &view::Condition) -> (String, Expression) {
        let made = self.compile(&of.expression, Wanted::Any, true);
        let ty = made
            .program
            .as_ref()
            .map_or(Type::Dyn, |program| program.result_type().clone());
        self.variables.push((of.name.clone(), ty));
        (of.name.clone(), made)
    }
}

impl Policy {
    /// Compiles a policy. What does not compile is told when it is asked.
    ///
    /// # Errors
    /// A selector that is none.
    pub fn compile(name: &str, spec: PolicySpec) -> Result<Self, String> {
        let mut compiler = Compiler {
            extras: Extras {
                params: spec.param_kind.is_some(),
                authorizer: true,
                mutation: !spec.mutations.is_empty(),
            },
            variables: Vec::new(),
        };
        let variables: Vec<_> = spec.variables.iter().map(|of| compiler.variable(of)).collect();
        let plain = |source: &str, wanted| compiler.compile(source, wanted, true);
        let conditions = spec.match_conditions.iter();
        let annotations = spec.audit_annotations.iter();
        Ok(Self {
            name: name.to_owned(),
            fail: spec.failure_policy != "Ignore",
            conditions: conditions.map(|of| plain(&of.expression, Wanted::Bool)).collect(),
            validations: spec
                .validations
                .into_iter()
                .map(|of| Validation {
                    rule: plain(&of.expression, Wanted::Bool),
                    says: (!of.message_expression.trim().is_empty())
                        .then(|| compiler.compile(&of.message_expression, Wanted::Text, false)),
                    message: of.message.trim().to_owned(),
                    reason: of.reason,
                })
                .collect(),
            annotations: annotations
                .map(|of| (of.key.clone(), plain(&of.value_expression, Wanted::TextOrNull)))
                .collect(),
            mutations: spec.mutations.iter().map(|of| mutation(of, &compiler)).collect(),
            again: spec.reinvocation_policy == "IfNeeded",
            params: spec.param_kind,
            matching: Matching::new(spec.match_constraints)?,
            variables,
        })
    }
}

fn mutation(of: &view::Mutation, compiler: &Compiler) -> Mutation {
    let apply = of.patch_type != "JSONPatch";
    let (source, wanted) = if apply {
        (&of.apply_configuration.expression, Wanted::Object)
    } else {
        (&of.json_patch.expression, Wanted::Patch)
    };
    Mutation {
        apply,
        patch: compiler.compile(source, wanted, true),
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
