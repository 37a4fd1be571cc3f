//! The Common Expression Language as Kubernetes speaks it. An expression is compiled against an [`Environment`] (variables
//! with types, most of them from schemas; libraries), which finds its errors, its type and what it may cost; it is evaluated
//! on [`Bindings`] within a [`Budget`]. Pure and deterministic: the same inputs give the same value, error and cost, and no
//! input makes it panic, recurse without bound or run on after its budget is spent. It never does I/O.
#![expect(clippy::disallowed_types, reason = "values come from JSON and become JSON")]

pub mod admission;
mod ast;
mod authorizer;
mod budget;
mod check;
mod cost;
mod environment;
mod escape;
mod eval;
mod functions;
mod issue;
mod macros;
mod parse;
mod pattern;
mod program;
mod runtime_cost;
mod shape;
mod stop;
#[cfg(test)]
mod stories;
mod token;
mod types;
mod value;

pub use authorizer::{Authorization, Authorizer, Check, Decision};
pub use budget::{Budget, MATCH_CONDITIONS_BUDGET, MAX_MESSAGE_BYTES, PER_CALL_LIMIT, RUNTIME_BUDGET};
pub use cost::Estimate;
pub use environment::Environment;
pub use escape::{escape, unescape};
pub use functions::Library;
pub use issue::Issue;
pub use pattern::{Pattern, go_pattern};
pub use program::{Bindings, Program};
pub use shape::{MAX_REQUEST_BYTES, Schema, Shape};
pub use stop::EvalError;
pub use types::Type;
pub use value::{Key, Lazy, List, Map, Object, Text, Value};
