//! Simulated nodes: a machine that keeps nothing and a runtime whose containers run at once. The kubelet over them is
//! the same code.

mod machine;
mod runtime;

pub use machine::Paper;
pub use runtime::Simulated;
#[cfg(test)]
mod tests;
