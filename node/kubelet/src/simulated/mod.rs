//! Simulated nodes: a machine that keeps nothing and a runtime whose containers run at once. The kubelet over them is
//! the same code.

#[cfg(test)]
pub(crate) mod api;
#[cfg(test)]
mod given;
#[cfg(test)]
mod life;
mod machine;
#[cfg(test)]
mod restarts;
mod runtime;
#[cfg(test)]
mod serving;
#[cfg(test)]
mod tests;

pub use machine::Paper;
pub use runtime::Simulated;
