//! `variables`: computed when an expression asks for one, and once.

use super::compiled::Expression;
use cel::{Bindings, Budget, EvalError, Lazy, Value};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The variables of a policy for one request.
#[derive(Clone)]
pub(super) struct Variables<'a>(Arc<Shared<'a>>);

struct Shared<'a> {
    of: &'a [(String, Expression)],
    /// All other variables.
    bindings: Bindings<'a>,
    made: Mutex<BTreeMap<usize, Result<Value<'a>, EvalError>>>,
}

impl<'a> Variables<'a> {
    pub fn new(of: &'a [(String, Expression)], bindings: Bindings<'a>) -> Self {
        Self(Arc::new(Shared {
            of,
            bindings,
            made: Mutex::default(),
        }))
    }

    /// The bindings, with the variables among them.
    pub fn bindings(&self) -> Bindings<'a> {
        let own = Value::Lazy(Arc::new(self.clone()));
        self.0.bindings.clone().with("variables", own)
    }

    fn compute(&self, at: usize, budget: &mut Budget) -> Result<Value<'a>, EvalError> {
        match &self.0.of[at].1.program {
            Ok(program) => program.evaluate_within(&self.bindings(), budget),
            Err(why) => Err(EvalError::Failed(format!(
                "composited variable {:?} fails to compile: {why}",
                self.0.of[at].0
            ))),
        }
    }
}

impl<'a> Lazy<'a> for Variables<'a> {
    fn field(&self, name: &str, budget: &mut Budget) -> Option<Result<Value<'a>, EvalError>> {
        let at = self.0.of.iter().position(|(known, _)| known == name)?;
        let made = || self.0.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made().get(&at) {
            return Some(known.clone());
        }
        let value = self.compute(at, budget);
        made().insert(at, value.clone());
        Some(value)
    }
}
