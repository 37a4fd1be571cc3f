//! This binary as a CNI plugin: bridge, host-local, portmap and loopback by the specification's protocol.

use crate::{
    bridge, host_local, hostport,
    namespace::{open, within},
    netlink::Netlink,
    spec::{
        Config, Failure, Interface, IpConfig, NEWEST, Outcome, RawConfig, VERSIONS, ValidAttachment, code,
    },
};
use serde::Serialize;
use std::{collections::BTreeMap, env::split_paths, net::IpAddr, path::PathBuf};

/// The plugins that this binary can be.
pub const PLUGINS: [&str; 4] = ["bridge", "host-local", "loopback", "portmap"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    cni_version: String,
    supported_versions: Vec<&'static str>,
}

/// Runs one command of the protocol: `name` is the plugin, `env` the process's environment, `stdin` the configuration.
/// The exit code and what is to be printed on stdout. Blocking.
pub fn main_plugin(name: &str, env: &BTreeMap<String, String>, stdin: &[u8]) -> (i32, Vec<u8>) {
    let config: Result<Config, Failure> = serde_json::from_slice(stdin)
        .map_err(|e| Failure::new(code::DECODING, format!("error unmarshalling network config: {e}")));
    let version = config
        .as_ref()
        .map(|config| config.cni_version.clone())
        .unwrap_or_default();
    match command(name, env, stdin, config) {
        Ok(output) => (0, output),
        Err(failure) => {
            let cni_version = if version.is_empty() {
                NEWEST.to_owned()
            } else {
                version
            };
            (
                1,
                json(&Failure {
                    cni_version,
                    ..failure
                }),
            )
        }
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // The types that are printed have no map keys but strings: they always serialize.
    serde_json::to_vec_pretty(value).unwrap_or_default()
}

fn command(
    name: &str,
    env: &BTreeMap<String, String>,
    stdin: &[u8],
    config: Result<Config, Failure>,
) -> Result<Vec<u8>, Failure> {
    let variable = |key: &str| env.get(key).map(String::as_str).unwrap_or_default();
    let command = variable("CNI_COMMAND");
    if command == "VERSION" {
        let asked = config.map(|config| config.cni_version).unwrap_or_default();
        let cni_version = if asked.is_empty() {
            NEWEST.to_owned()
        } else {
            asked
        };
        return Ok(json(&Versions {
            cni_version,
            supported_versions: VERSIONS.to_vec(),
        }));
    }
    check_environment(command, &variable)?;
    let config = config?;
    check_config(&config)?;
    if command == "ADD" {
        refuse_unsupported(name, stdin)?;
    }
    let owner = ValidAttachment {
        container_id: variable("CNI_CONTAINERID").to_owned(),
        ifname: variable("CNI_IFNAME").to_owned(),
    };
    let call = bridge::Call {
        owner,
        netns: PathBuf::from(variable("CNI_NETNS")),
        requested: requested(variable("CNI_ARGS"))?,
        path: split_paths(variable("CNI_PATH")).collect(),
        args: variable("CNI_ARGS").to_owned(),
        input: stdin.to_vec(),
    };
    let outcome = run(name, command, &config, &call)?;
    Ok(outcome
        .map(|outcome| json(&outcome.in_version(&config.cni_version)))
        .unwrap_or_default())
}

fn check_environment<'a>(command: &str, variable: &impl Fn(&str) -> &'a str) -> Result<(), Failure> {
    let required: &[&str] = match command {
        "ADD" | "CHECK" => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
        "DEL" => &["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
        "STATUS" | "GC" => &["CNI_PATH"],
        "" => &["CNI_COMMAND"],
        other => {
            return Err(Failure::new(
                code::INVALID_ENVIRONMENT,
                format!("unknown CNI_COMMAND: {other}"),
            ));
        }
    };
    let missing: Vec<&str> = required
        .iter()
        .copied()
        .filter(|key| variable(key).is_empty())
        .collect();
    if !missing.is_empty() {
        let text = format!("required env variables [{}] missing", missing.join(","));
        return Err(Failure::new(code::INVALID_ENVIRONMENT, text));
    }
    let (id, ifname) = (variable("CNI_CONTAINERID"), variable("CNI_IFNAME"));
    if !id.is_empty() && !is_plain_name(id) {
        return Err(Failure::new(
            code::INVALID_ENVIRONMENT,
            format!("invalid characters in CNI_CONTAINERID {id:?}"),
        ));
    }
    // The kernel's own rule for names of interfaces.
    let odd = |c: char| c == '/' || c == ':' || c.is_whitespace();
    if ifname.len() > 15 || ifname == "." || ifname == ".." || ifname.contains(odd) {
        return Err(Failure::new(
            code::INVALID_ENVIRONMENT,
            format!("invalid CNI_IFNAME {ifname:?}"),
        ));
    }
    Ok(())
}

/// Letters, digits, `_`, `.` and `-`, the first a letter or digit: such names are safe as names of files.
fn is_plain_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    name.chars().all(plain) && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn check_config(config: &Config) -> Result<(), Failure> {
    if !VERSIONS.contains(&config.cni_version.as_str()) {
        let text = format!(
            "incompatible CNI versions: config is {:?}, plugin supports {VERSIONS:?}",
            config.cni_version
        );
        return Err(Failure::new(code::INCOMPATIBLE_VERSION, text));
    }
    if config.name.is_empty() {
        return Err(Failure::new(code::INVALID_CONFIG, "missing network name"));
    }
    if !is_plain_name(&config.name) {
        let text = format!("invalid characters found in network name {:?}", config.name);
        return Err(Failure::new(code::INVALID_CONFIG, text));
    }
    Ok(())
}

/// Fields of upstream's plugins that ours cannot honour: better refused than passed over.
const UNSUPPORTED: [(&str, &[&str]); 2] = [
    (
        "bridge",
        &[
            "vlan",
            "vlanTrunk",
            "promiscMode",
            "disableContainerInterface",
            "macspoofchk",
            "portIsolation",
        ],
    ),
    (
        "portmap",
        &["conditionsV4", "conditionsV6", "externalSetMarkChain"],
    ),
];

fn refuse_unsupported(name: &str, stdin: &[u8]) -> Result<(), Failure> {
    let fields: RawConfig = serde_json::from_slice(stdin).unwrap_or_default();
    let set = |field: &&&str| {
        fields
            .get(**field)
            .is_some_and(|v| !["false", "0", "null", "[]", "\"\""].contains(&v.get()))
    };
    let unsupported = UNSUPPORTED
        .iter()
        .find(|(plugin, _)| *plugin == name)
        .map(|(_, fields)| *fields);
    match unsupported.unwrap_or_default().iter().find(set) {
        Some(field) => Err(Failure::new(
            code::UNSUPPORTED_FIELD,
            format!("{name} does not support the field {field:?}"),
        )),
        None => Ok(()),
    }
}

/// The address in `CNI_ARGS`, as `IP=10.0.0.7`.
fn requested(args: &str) -> Result<Option<IpAddr>, Failure> {
    let Some(text) = args.split(';').find_map(|arg| arg.strip_prefix("IP=")) else {
        return Ok(None);
    };
    let address = text.split('/').next().unwrap_or_default().parse();
    address.map(Some).map_err(|_| {
        Failure::new(
            code::INVALID_ENVIRONMENT,
            format!("invalid IP in CNI_ARGS: {text}"),
        )
    })
}

fn run(name: &str, command: &str, config: &Config, call: &bridge::Call) -> Result<Option<Outcome>, Failure> {
    let valid = config.valid_attachments.clone().unwrap_or_default();
    let done = |result: Result<(), Failure>| result.map(|()| None);
    match (name, command) {
        ("bridge", "ADD") => bridge::add(config, call).map(Some),
        ("bridge", "DEL") => done(bridge::del(config, call)),
        ("bridge", "CHECK") => done(bridge::check(config, call)),
        ("bridge", "GC") => {
            if config.ipam.as_ref().is_some_and(|ipam| ipam.kind == "host-local") {
                host_local::collect_garbage(config, &valid)?;
            }
            done(bridge::collect_garbage(config, &valid))
        }
        ("host-local", "ADD") => host_local::add(config, &call.owner, call.requested).map(Some),
        ("host-local", "DEL") => done(host_local::del(config, &call.owner)),
        ("host-local", "CHECK") => done(host_local::check(config, &call.owner)),
        ("host-local", "GC") => done(host_local::collect_garbage(config, &valid)),
        ("loopback", "ADD") => loopback(config, call).map(Some),
        ("portmap", "ADD") => portmap(config, call).map(Some),
        ("portmap", "DEL") => done(hostport::del(config, &call.owner)),
        ("bridge" | "host-local" | "loopback" | "portmap", _) => Ok(None),
        _ => Err(Failure::new(
            code::INVALID_CONFIG,
            format!("{name:?} is not one of {PLUGINS:?}"),
        )),
    }
}

fn portmap(config: &Config, call: &bridge::Call) -> Result<Outcome, Failure> {
    let before = config.prev_result.clone();
    let before =
        before.ok_or_else(|| Failure::new(code::INVALID_CONFIG, "must be called as chained plugin"))?;
    let mappings = config
        .runtime_config
        .as_ref()
        .map(|runtime| runtime.port_mappings.clone())
        .unwrap_or_default();
    hostport::add(config, &call.owner, &before, &mappings)?;
    Ok(before)
}

fn loopback(config: &Config, call: &bridge::Call) -> Result<Outcome, Failure> {
    let inside = || {
        let netlink = Netlink::open().map_err(|e| Failure::internal("opening netlink", e))?;
        let found = netlink
            .link("lo")
            .map_err(|e| Failure::internal("reading lo", e))?;
        let lo = found.ok_or_else(|| Failure::new(code::INTERNAL, "there is no lo"))?;
        netlink
            .up(lo.index)
            .map_err(|e| Failure::internal("taking lo up", e))
    };
    within(&open(&call.netns)?, inside)?;
    if let Some(before) = &config.prev_result {
        return Ok(before.clone());
    }
    let lo = Interface {
        name: "lo".to_owned(),
        mac: "00:00:00:00:00:00".to_owned(),
        sandbox: call.netns.display().to_string(),
    };
    let ip = |address: &str| IpConfig {
        interface: Some(0),
        address: address.to_owned(),
        ..IpConfig::default()
    };
    Ok(Outcome {
        interfaces: vec![lo],
        ips: vec![ip("127.0.0.1/8"), ip("::1/128")],
        ..Outcome::default()
    })
}
