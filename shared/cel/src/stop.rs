//! Why an evaluation has no value.

use std::borrow::Cow;

/// An evaluation without a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The expression failed.
    #[error("{0}")]
    Failed(String),
    /// It cost more than one evaluation may.
    #[error("operation cancelled: actual cost limit exceeded")]
    CostLimit,
    /// It cost more than was left for all evaluations.
    #[error("validation failed due to running out of cost budget, no further validation rules will be run")]
    BudgetExhausted,
}

/// The same inside: `||` and `&&` take in errors, but not costs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stop {
    Error(Cow<'static, str>),
    Cost,
    Budget,
}

impl Stop {
    pub const OVERLOAD: Stop = Stop::Error(Cow::Borrowed("no such overload"));

    pub fn key(name: impl std::fmt::Display) -> Self {
        format!("no such key: {name}").into()
    }
}

impl From<&'static str> for Stop {
    fn from(message: &'static str) -> Self {
        Self::Error(Cow::Borrowed(message))
    }
}

impl From<String> for Stop {
    fn from(message: String) -> Self {
        Self::Error(Cow::Owned(message))
    }
}

impl From<Stop> for EvalError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Error(message) => Self::Failed(message.into_owned()),
            Stop::Cost => Self::CostLimit,
            Stop::Budget => Self::BudgetExhausted,
        }
    }
}
