//! An expression that can run.

use crate::{
    budget::Budget,
    check::{Checked, check},
    cost::{Estimate, estimate},
    environment::Environment,
    eval::evaluate,
    issue::Issue,
    parse::parse,
    stop::EvalError,
    types::Type,
    value::Value,
};
use std::collections::BTreeSet;

/// A compiled expression.
#[derive(Debug)]
pub struct Program {
    checked: Checked,
    variables: Vec<String>,
    cost: Estimate,
}

/// The values of variables.
#[derive(Clone, Debug, Default)]
pub struct Bindings<'a> {
    values: Vec<(&'a str, Value<'a>)>,
}

impl<'a> Bindings<'a> {
    /// None.
    pub fn new() -> Self {
        Self { values: Vec::new() }
    }

    /// With the variable `name`.
    #[must_use]
    pub fn with(mut self, name: &'a str, value: Value<'a>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets the variable `name`.
    pub fn set(&mut self, name: &'a str, value: Value<'a>) {
        self.values.retain(|(known, _)| *known != name);
        self.values.push((name, value));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.values
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }
}

impl Program {
    /// Compiles `source`.
    ///
    /// # Errors
    /// What is wrong with it, in the order of the text.
    pub fn compile(source: &str, environment: &Environment) -> Result<Self, Vec<Issue>> {
        let checked = check(source, parse(source)?, environment)?;
        let cost = estimate(&checked, environment);
        let variables = environment
            .variables
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        Ok(Self {
            checked,
            variables,
            cost,
        })
    }

    /// The type of its value.
    pub fn result_type(&self) -> &Type {
        &self.checked.types[self.checked.ast.root]
    }

    /// What it may cost at least and at most, by the sizes that schemas give.
    pub fn cost(&self) -> Estimate {
        self.cost
    }

    /// The variables that it reads, and their fields, dotted.
    pub fn used(&self) -> &BTreeSet<String> {
        &self.checked.used
    }

    /// Runs it. The last evaluation's cost is `budget.spent()`.
    ///
    /// # Errors
    /// It failed, or cost too much.
    pub fn evaluate<'a>(
        &'a self,
        bindings: &Bindings<'a>,
        budget: &mut Budget,
    ) -> Result<Value<'a>, EvalError> {
        budget.start();
        let result = evaluate(&self.checked, &self.variables, bindings, budget);
        budget.finish();
        result.map_err(EvalError::from)
    }

    /// Runs it for another expression that asks for its value, on that one's budget.
    ///
    /// # Errors
    /// It failed, or cost too much.
    pub fn evaluate_within<'a>(
        &'a self,
        bindings: &Bindings<'a>,
        budget: &mut Budget,
    ) -> Result<Value<'a>, EvalError> {
        evaluate(&self.checked, &self.variables, bindings, budget).map_err(EvalError::from)
    }
}
