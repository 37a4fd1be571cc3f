//! THE table, one row a resource, and what is special about each kind.

mod row;

pub use row::*;
