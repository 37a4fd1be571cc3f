//! The vocabulary of Kubernetes in Rust: objects, headers, statuses, quantities, selectors, field paths and
//! decision records. It never does I/O, never waits, and knows no one kind.

pub mod decision;
mod encodings;
pub mod field;
mod names;
mod node_selector;
mod object;
mod quantity;
pub mod quota;
pub mod requests;
pub mod rules;
pub mod scan;
pub mod schedule;
mod selector;
mod status;
pub mod sysctl;
mod taint;
pub mod volume;

pub use encodings::{Budget, Encoding};
pub use k8s_openapi;
pub use names::{Gvk, Gvr, Key, valid_dns_label, valid_dns_subdomain};
pub use node_selector::{NodeSelector, NodeSelectorTerm};
pub use object::{Header, Object, ObjectError, Owner, Span};
pub use quantity::{Quantity, QuantityError};
pub use selector::{
    FieldSelector, LabelSelector, MatchExpression, MatchSelector, Requirement, SelectorError, valid_label_key,
};
pub use status::{Cause, Details, Status};
pub use taint::{Taint, Toleration};
