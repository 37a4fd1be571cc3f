//! Address management for our bridge: host-local in this process, any other by its executable.

use crate::{
    bridge::Call,
    host_local,
    process::{self, Environment},
    spec::{Config, Failure, Outcome, code},
};

const HOST_LOCAL: &str = "host-local";

fn kind(config: &Config) -> Result<&str, Failure> {
    let kind = config.ipam.as_ref().map_or("", |ipam| ipam.kind.as_str());
    if kind.is_empty() {
        Err(Failure::new(code::INVALID_CONFIG, "bridge needs an ipam type"))
    } else {
        Ok(kind)
    }
}

pub(crate) fn add(config: &Config, call: &Call) -> Result<Outcome, Failure> {
    if kind(config)? == HOST_LOCAL {
        return host_local::add(config, &call.owner, call.requested);
    }
    let output = other("ADD", config, call)?;
    serde_json::from_slice(&output).map_err(|e| Failure::new(code::DECODING, format!("result of IPAM: {e}")))
}

pub(crate) fn del(config: &Config, call: &Call) -> Result<(), Failure> {
    if kind(config)? == HOST_LOCAL {
        return host_local::del(config, &call.owner);
    }
    other("DEL", config, call).map(|_| ())
}

pub(crate) fn check(config: &Config, call: &Call) -> Result<(), Failure> {
    if kind(config)? == HOST_LOCAL {
        return host_local::check(config, &call.owner);
    }
    other("CHECK", config, call).map(|_| ())
}

/// The executable gets the configuration as it came to us, all its fields included.
fn other(command: &str, config: &Config, call: &Call) -> Result<Vec<u8>, Failure> {
    let environment = Environment {
        command: command.to_owned(),
        container_id: call.owner.container_id.clone(),
        netns: call.netns.clone(),
        ifname: call.owner.ifname.clone(),
        args: call.args.clone(),
        path: call.path.clone(),
    };
    process::run(kind(config)?, &environment, &call.input)
}
