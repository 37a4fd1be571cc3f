//! Ports of pods that are published on the host: maps in our nftables table, and a file a pod that says what of them
//! is the pod's.

use crate::{
    PortMapping,
    cidr::{Cidr, bytes},
    host_local::DATA_DIR,
    masquerade::TABLE,
    spec::{Config, Failure, Outcome, ValidAttachment, code},
};
use nft::{
    Batch, Chain, Compare, Data, Element, Expr, Family, Hook, HookKind, Meta, Payload, Reg, Set, SetFlags,
    Verdict,
    keys::{IPV4, IPV6, PORT, PROTOCOL},
};
use std::{fs, io::ErrorKind, net::IpAddr, path::PathBuf};

const DNAT: i32 = -100;
const SRCNAT: i32 = 100;
const LOCAL: u32 = 2;
const PREFIX: &str = "hostports-";

fn folder(config: &Config) -> PathBuf {
    let data_dir = config
        .ipam
        .as_ref()
        .map(|ipam| ipam.data_dir.as_str())
        .filter(|dir| !dir.is_empty());
    PathBuf::from(data_dir.unwrap_or(DATA_DIR)).join(&config.name)
}

fn file(config: &Config, owner: &ValidAttachment) -> PathBuf {
    folder(config).join(format!("{PREFIX}{}-{}", owner.container_id, owner.ifname))
}

/// Publishes a pod's ports.
pub(crate) fn add(
    config: &Config,
    owner: &ValidAttachment,
    outcome: &Outcome,
    mappings: &[PortMapping],
) -> Result<(), Failure> {
    if mappings.iter().all(|mapping| mapping.host_port == 0) {
        return Ok(());
    }
    let pods: Vec<IpAddr> = outcome
        .ips
        .iter()
        .filter_map(|ip| ip.address.parse::<Cidr>().ok())
        .map(|cidr| cidr.address)
        .collect();
    let record = Record {
        pods,
        mappings: mappings.to_vec(),
    };
    fs::create_dir_all(folder(config)).map_err(|e| Failure::internal("the record of published ports", e))?;
    let text =
        serde_json::to_vec(&record).map_err(|e| Failure::internal("the record of published ports", e))?;
    fs::write(file(config, owner), text)
        .map_err(|e| Failure::internal("the record of published ports", e))?;
    let mut batch = Batch::new(Family::Inet, TABLE);
    prepare(&mut batch);
    for v4 in [true, false] {
        batch.add_elements(&map(v4), &record.elements(v4)?);
        batch.add_elements(&hairpin(v4), &record.hairpins(v4));
    }
    batch.commit().map_err(|e| {
        let _ = fs::remove_file(file(config, owner));
        Failure::internal("publishing ports (is one of them taken?)", e)
    })
}

/// Takes a pod's ports back.
pub(crate) fn del(config: &Config, owner: &ValidAttachment) -> Result<(), Failure> {
    take_back(file(config, owner))
}

/// Takes back the ports of pods that no attachment in `valid` stands for.
pub(crate) fn collect_garbage(config: &Config, valid: &[ValidAttachment]) -> Result<(), Failure> {
    let keep: Vec<PathBuf> = valid.iter().map(|owner| file(config, owner)).collect();
    let Ok(listed) = fs::read_dir(folder(config)) else {
        return Ok(());
    };
    let ours = listed
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    ours.map(|entry| entry.path())
        .filter(|path| !keep.contains(path))
        .try_for_each(take_back)
}

fn take_back(path: PathBuf) -> Result<(), Failure> {
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::internal("the record of published ports", error)),
    };
    let record: Record =
        serde_json::from_slice(&text).map_err(|e| Failure::internal("the record of published ports", e))?;
    let mut batch = Batch::new(Family::Inet, TABLE);
    for v4 in [true, false] {
        batch.delete_elements(&map(v4), &record.elements(v4)?);
        batch.delete_elements(&hairpin(v4), &record.hairpins(v4));
    }
    match batch.commit() {
        // Gone already, with the whole table (the machine was started anew).
        Err(nft::Error::Refused {
            errno: nix::Error::ENOENT,
            ..
        })
        | Ok(()) => {}
        Err(error) => return Err(Failure::internal("taking ports back", error)),
    }
    fs::remove_file(path).map_err(|e| Failure::internal("the record of published ports", e))
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Record {
    pods: Vec<IpAddr>,
    mappings: Vec<PortMapping>,
}

impl Record {
    /// host address . protocol . host port : pod address . pod port
    fn elements(&self, v4: bool) -> Result<Vec<Element>, Failure> {
        let Some(pod) = self.pods.iter().find(|pod| pod.is_ipv4() == v4) else {
            return Ok(Vec::new());
        };
        let any = bytes(if v4 {
            std::net::Ipv4Addr::UNSPECIFIED.into()
        } else {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        });
        let mut elements = Vec::new();
        for mapping in self.mappings.iter().filter(|mapping| mapping.host_port != 0) {
            let mut key = match mapping.host_ip.parse::<IpAddr>() {
                Ok(ip) if ip.is_unspecified() => any.clone(),
                Ok(ip) if ip.is_ipv4() == v4 => bytes(ip),
                Ok(_) => continue,
                Err(_) if mapping.host_ip.is_empty() => any.clone(),
                Err(_) => {
                    return Err(Failure::new(
                        code::INVALID_CONFIG,
                        format!("invalid hostIP {:?}", mapping.host_ip),
                    ));
                }
            };
            let protocol = match mapping.protocol.to_ascii_lowercase().as_str() {
                "tcp" | "" => 6,
                "udp" => 17,
                "sctp" => 132,
                other => {
                    return Err(Failure::new(
                        code::INVALID_CONFIG,
                        format!("invalid protocol {other:?}"),
                    ));
                }
            };
            key.extend([protocol, 0, 0, 0]);
            key.extend(padded(mapping.host_port));
            let value = [bytes(*pod), padded(mapping.container_port).to_vec()].concat();
            elements.push(Element {
                key,
                data: Some(Data::Value(value)),
            });
        }
        Ok(elements)
    }

    fn hairpins(&self, v4: bool) -> Vec<Element> {
        let of_family = self.pods.iter().filter(|pod| pod.is_ipv4() == v4);
        of_family
            .map(|pod| Element {
                key: [bytes(*pod), bytes(*pod)].concat(),
                data: None,
            })
            .collect()
    }
}

fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

fn map(v4: bool) -> String {
    format!("hostports-{}", if v4 { 4 } else { 6 })
}

fn hairpin(v4: bool) -> String {
    format!("hostports-hairpin-{}", if v4 { 4 } else { 6 })
}

/// Makes maps and chains, if they are not there.
fn prepare(batch: &mut Batch) {
    batch.add_table();
    for v4 in [true, false] {
        let address = if v4 { IPV4 } else { IPV6 };
        let (key, data) = ([address, PROTOCOL, PORT], [address, PORT]);
        batch.add_set(&Set {
            name: &map(v4),
            key: &key,
            data: &data,
            flags: SetFlags::default(),
        });
        batch.add_set(&Set {
            name: &hairpin(v4),
            key: &[address, address],
            data: &[],
            flags: SetFlags::default(),
        });
    }
    add_chains(batch);
    for v4 in [true, false] {
        rules(batch, v4);
    }
}

fn add_chains(batch: &mut Batch) {
    batch
        .add_chain(&Chain {
            name: "hostports",
            hook: None,
        })
        .flush_chain("hostports");
    let hooks = [
        ("hostports-prerouting", HookKind::Prerouting),
        ("hostports-output", HookKind::Output),
    ];
    let local = [
        Expr::DestinationType(Reg(0)),
        Expr::Cmp(Reg(0), Compare::Equal, LOCAL.to_ne_bytes().to_vec()),
    ];
    for (name, hook) in hooks {
        batch
            .add_chain(&Chain {
                name,
                hook: Some(Hook {
                    kind: "nat",
                    hook,
                    priority: DNAT,
                }),
            })
            .flush_chain(name);
        batch.add_rule(
            name,
            &[
                &local[..],
                &[Expr::Verdict(Verdict::Jump("hostports".to_owned()))],
            ]
            .concat(),
        );
    }
    let name = "hostports-postrouting";
    let hook = Hook {
        kind: "nat",
        hook: HookKind::Postrouting,
        priority: SRCNAT,
    };
    batch
        .add_chain(&Chain {
            name,
            hook: Some(hook),
        })
        .flush_chain(name);
}

fn rules(batch: &mut Batch, v4: bool) {
    let words: u8 = if v4 { 1 } else { 4 };
    let length = u32::from(words) * 4;
    let load = |source: bool, to| {
        let offset = match (v4, source) {
            (true, true) => 12,
            (true, false) => 16,
            (false, true) => 8,
            (false, false) => 24,
        };
        Expr::Payload {
            base: Payload::Network,
            offset,
            length,
            to,
        }
    };
    let family = [
        Expr::Meta(Meta::Family, Reg(0)),
        Expr::Cmp(Reg(0), Compare::Equal, vec![if v4 { 2 } else { 10 }]),
    ];
    let (protocol, port, target, target_port) =
        (Reg(words), Reg(words + 1), Reg(words + 2), Reg(2 * words + 2));
    for address in [load(false, Reg(0)), Expr::Load(Reg(0), vec![0; length as usize])] {
        let nat = Expr::Dnat {
            family: if v4 { Family::Ip } else { Family::Ip6 },
            address: target,
            port: target_port,
        };
        let rule = [
            address,
            Expr::Meta(Meta::L4Protocol, protocol),
            Expr::Payload {
                base: Payload::Transport,
                offset: 2,
                length: 2,
                to: port,
            },
            Expr::Map {
                map: map(v4),
                key: Reg(0),
                to: target,
            },
            nat,
        ];
        batch.add_rule("hostports", &[&family[..], &rule].concat());
    }
    let itself = [
        load(true, Reg(0)),
        load(false, Reg(words)),
        Expr::Contains {
            set: hairpin(v4),
            key: Reg(0),
            invert: false,
        },
        Expr::Masquerade { random: true },
    ];
    batch.add_rule("hostports-postrouting", &[&family[..], &itself].concat());
}
