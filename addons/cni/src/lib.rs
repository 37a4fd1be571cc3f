//! CNI: the trait that the runtime calls, plugins as executables, and our bridge and host-local.

mod edge;

pub use edge::{Assigned, Attachment, Cni, Error, PortMapping};
