//! Simulated nodes: a machine that keeps nothing and a runtime whose containers run at once. The kubelet over them is
//! the same code.

#[cfg(test)]
mod api;
#[cfg(test)]
mod given;
mod machine;
mod runtime;
#[cfg(test)]
mod life;
#[cfg(test)]
mod serving;
#[cfg(test)]
mod tests;

pub use machine::Paper;
pub use runtime::Simulated;
