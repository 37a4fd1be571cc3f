//! CNI: the trait that the runtime calls, plugins as executables, and our bridge and host-local.
//!
//! [`BuiltIn`] is our pod network in this process; [`Exec`] runs any plugins by the specification; [`main_plugin`]
//! makes this binary such a plugin. All work on links, namespaces and rules is blocking and never on an async worker.

mod bridge;
mod builtin;
mod cidr;
mod edge;
mod exec;
mod host_local;
mod hostport;
mod ipam;
mod masquerade;
mod namespace;
mod netlink;
mod plugin;
mod process;
pub mod spec;

pub use builtin::{BuiltIn, BuiltInConfig};
pub use edge::{Assigned, Attachment, Cni, Error, PortMapping};
pub use exec::{Exec, ExecConfig};
pub use plugin::{PLUGINS, main_plugin};

impl Assigned {
    pub(crate) fn of(outcome: &spec::Outcome) -> Self {
        let address = |ip: &spec::IpConfig| ip.address.split('/').next().unwrap_or_default().to_owned();
        Self {
            ips: outcome.ips.iter().map(address).collect(),
        }
    }
}

impl Error {
    pub(crate) fn of(plugin: &str, command: &str, failure: spec::Failure) -> Self {
        let details = if failure.details.is_empty() {
            String::new()
        } else {
            format!("; {}", failure.details)
        };
        let message = format!("{}{details}", failure.msg);
        Self::Plugin {
            plugin: plugin.to_owned(),
            command: command.to_owned(),
            code: failure.code,
            message,
        }
    }
}
