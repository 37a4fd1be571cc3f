//! Chains and their rules. Registers are laid out so that every key is a run of them:
//! client, address, protocol, port, index or endpoint's address, endpoint's port.

use super::elements::SetName;
use crate::Cidr;
use nft::{
    Batch, Chain, Compare, CtKey, DynsetOp, Expr, Family, Hook, HookKind, Meta, Payload, Reg, Reject, Verdict,
};
use std::net::IpAddr;

/// The packet mark of what is to be masqueraded; upstream's default bit.
const MASQUERADE_MARK: u32 = 1 << 14;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const CT_NEW: u32 = 8;
const LOCAL: u32 = 2;
const DSTNAT: i32 = -100;
const SRCNAT: i32 = 100;
const BEFORE_DSTNAT: i32 = DSTNAT - 10;

/// Where things are in the registers, for one address family.
#[derive(Clone, Copy)]
struct Layout {
    v4: bool,
}

impl Layout {
    fn words(self) -> u8 {
        if self.v4 { 1 } else { 4 }
    }

    fn client(self) -> Reg {
        Reg(0)
    }

    fn address(self) -> Reg {
        Reg(self.words())
    }

    fn protocol(self) -> Reg {
        Reg(2 * self.words())
    }

    fn port(self) -> Reg {
        Reg(2 * self.words() + 1)
    }

    /// The index, and then the endpoint that it leads to.
    fn endpoint(self) -> Reg {
        Reg(2 * self.words() + 2)
    }

    fn endpoint_port(self) -> Reg {
        Reg(3 * self.words() + 2)
    }

    fn length(self) -> u32 {
        4 * u32::from(self.words())
    }

    fn family(self) -> Vec<Expr> {
        let number = if self.v4 { NFPROTO_IPV4 } else { NFPROTO_IPV6 };
        vec![
            Expr::Meta(Meta::Family, Reg(0)),
            Expr::Cmp(Reg(0), Compare::Equal, vec![number]),
        ]
    }

    fn load_source(self, to: Reg) -> Expr {
        Expr::Payload {
            base: Payload::Network,
            offset: if self.v4 { 12 } else { 8 },
            length: self.length(),
            to,
        }
    }

    fn load_destination(self, to: Reg) -> Expr {
        Expr::Payload {
            base: Payload::Network,
            offset: if self.v4 { 16 } else { 24 },
            length: self.length(),
            to,
        }
    }

    /// The key of a service address, or with the unspecified address that of a node port.
    fn load_key(self, node_port: bool) -> Vec<Expr> {
        let address = if node_port {
            Expr::Load(self.address(), vec![0; self.length() as usize])
        } else {
            self.load_destination(self.address())
        };
        vec![
            address,
            Expr::Meta(Meta::L4Protocol, self.protocol()),
            Expr::Payload {
                base: Payload::Transport,
                offset: 2,
                length: 2,
                to: self.port(),
            },
        ]
    }

    /// Goes on for packets to this node's own addresses, loopback excepted.
    fn to_this_node(self) -> Vec<Expr> {
        let mut loopback = vec![0; self.length() as usize];
        let mut mask = loopback.clone();
        if self.v4 {
            (loopback[0], mask[0]) = (127, 255);
        } else {
            (loopback[15], mask) = (1, vec![255; 16]);
        }
        let xor = vec![0; mask.len()];
        vec![
            Expr::DestinationType(Reg(0)),
            Expr::Cmp(Reg(0), Compare::Equal, LOCAL.to_ne_bytes().to_vec()),
            self.load_destination(Reg(0)),
            Expr::Bitwise {
                from: Reg(0),
                to: Reg(0),
                mask,
                xor,
            },
            Expr::Cmp(Reg(0), Compare::NotEqual, loopback),
        ]
    }

    /// Goes on for clients outside of `cidr`.
    fn outside_of(self, cidr: &Cidr) -> Vec<Expr> {
        let bytes = match cidr.address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let prefix = usize::from(cidr.prefix);
        let mask: Vec<u8> = (0..bytes.len())
            .map(|i| !(0xffu32 >> prefix.saturating_sub(i * 8).min(8)) as u8)
            .collect();
        let network: Vec<u8> = bytes.iter().zip(&mask).map(|(b, m)| b & m).collect();
        let xor = vec![0; mask.len()];
        vec![
            self.load_source(Reg(0)),
            Expr::Bitwise {
                from: Reg(0),
                to: Reg(0),
                mask,
                xor,
            },
            Expr::Cmp(Reg(0), Compare::NotEqual, network),
        ]
    }
}

/// A chain that balances over a number of endpoints, shared by all service addresses with that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spread {
    pub v4: bool,
    pub node_port: bool,
    pub count: u32,
    pub sticky: Option<u32>,
}

impl Spread {
    pub fn name(&self) -> String {
        let family = if self.v4 { 4 } else { 6 };
        let node = if self.node_port { "-node" } else { "" };
        let sticky = self
            .sticky
            .map(|seconds| format!("-sticky-{seconds}"))
            .unwrap_or_default();
        format!("balance-{family}-{}{node}{sticky}", self.count)
    }

    pub fn add(&self, batch: &mut Batch) {
        let name = self.name();
        batch.add_chain(&Chain {
            name: &name,
            hook: None,
        });
        if let Some(seconds) = self.sticky {
            batch.add_rule(&name, &self.stay(seconds));
        }
        batch.add_rule(&name, &self.choose());
    }

    fn choose(&self) -> Vec<Expr> {
        let layout = Layout { v4: self.v4 };
        let mut rule = Vec::new();
        if self.sticky.is_some() {
            rule.push(layout.load_source(layout.client()));
        }
        rule.extend(layout.load_key(self.node_port));
        rule.push(Expr::Random {
            modulus: self.count,
            to: layout.endpoint(),
        });
        let map = SetName::Endpoints.text(self.v4);
        rule.push(Expr::Map {
            map,
            key: layout.address(),
            to: layout.endpoint(),
        });
        if let Some(seconds) = self.sticky {
            let set = SetName::Sticky.text(self.v4);
            let data = Some(layout.endpoint());
            rule.push(Expr::Dynset {
                set,
                op: DynsetOp::Delete,
                key: layout.client(),
                data,
                timeout: None,
            });
            rule.push(self.remember(seconds));
        }
        rule.push(self.dnat());
        rule
    }

    /// A client that was here before goes where it was, if that is still an endpoint.
    fn stay(&self, seconds: u32) -> Vec<Expr> {
        let layout = Layout { v4: self.v4 };
        let mut rule = vec![layout.load_source(layout.client())];
        rule.extend(layout.load_key(self.node_port));
        rule.push(Expr::Map {
            map: SetName::Sticky.text(self.v4),
            key: layout.client(),
            to: layout.endpoint(),
        });
        rule.push(Expr::Contains {
            set: SetName::Live.text(self.v4),
            key: layout.address(),
            invert: false,
        });
        rule.push(self.remember(seconds));
        rule.push(self.dnat());
        rule
    }

    fn remember(&self, seconds: u32) -> Expr {
        let layout = Layout { v4: self.v4 };
        Expr::Dynset {
            set: SetName::Sticky.text(self.v4),
            op: DynsetOp::Update,
            key: layout.client(),
            data: Some(layout.endpoint()),
            timeout: Some(u64::from(seconds) * 1000),
        }
    }

    fn dnat(&self) -> Expr {
        let layout = Layout { v4: self.v4 };
        let family = if self.v4 { Family::Ip } else { Family::Ip6 };
        Expr::Dnat {
            family,
            address: layout.endpoint(),
            port: layout.endpoint_port(),
        }
    }
}

/// Makes the chains that are always there.
pub(super) fn add_base(batch: &mut Batch, cluster_cidrs: &[Cidr]) {
    for name in ["mark", "reject", "services", "no-endpoints"] {
        batch.add_chain(&Chain { name, hook: None });
    }
    let hooks = [
        ("nat-prerouting", "nat", HookKind::Prerouting, DSTNAT),
        ("nat-output", "nat", HookKind::Output, DSTNAT),
        ("nat-postrouting", "nat", HookKind::Postrouting, SRCNAT),
        ("filter-input", "filter", HookKind::Input, BEFORE_DSTNAT),
        ("filter-forward", "filter", HookKind::Forward, BEFORE_DSTNAT),
        ("filter-output", "filter", HookKind::Output, BEFORE_DSTNAT),
    ];
    for (name, kind, hook, priority) in hooks {
        batch.add_chain(&Chain {
            name,
            hook: Some(Hook { kind, hook, priority }),
        });
    }
    for v4 in [true, false] {
        let cidr = cluster_cidrs.iter().find(|cidr| cidr.address.is_ipv4() == v4);
        add_services(batch, Layout { v4 }, cidr);
    }
    add_marking(batch);
    add_refusal(batch);
    let services = [Expr::Verdict(Verdict::Jump("services".to_owned()))];
    batch
        .add_rule("nat-prerouting", &services)
        .add_rule("nat-output", &services);
}

/// `register 0 = register 0 & mask ^ xor`.
fn bits(mask: u32, xor: u32) -> Expr {
    let (mask, xor) = (mask.to_ne_bytes().to_vec(), xor.to_ne_bytes().to_vec());
    Expr::Bitwise {
        from: Reg(0),
        to: Reg(0),
        mask,
        xor,
    }
}

/// The mark of what is to be masqueraded, and the rule that masquerades it.
fn add_marking(batch: &mut Batch) {
    let mark = bits(!MASQUERADE_MARK, MASQUERADE_MARK);
    batch.add_rule(
        "mark",
        &[
            Expr::Meta(Meta::Mark, Reg(0)),
            mark,
            Expr::SetMeta(Meta::Mark, Reg(0)),
        ],
    );
    let marked = [
        Expr::Meta(Meta::Mark, Reg(0)),
        bits(MASQUERADE_MARK, 0),
        Expr::Cmp(Reg(0), Compare::NotEqual, vec![0; 4]),
        Expr::Meta(Meta::Mark, Reg(0)),
        bits(!MASQUERADE_MARK, 0),
        Expr::SetMeta(Meta::Mark, Reg(0)),
        Expr::Masquerade { random: true },
    ];
    batch.add_rule("nat-postrouting", &marked);
}

/// New connections to service addresses without endpoints are refused where they pass.
fn add_refusal(batch: &mut Batch) {
    let tcp = [
        Expr::Meta(Meta::L4Protocol, Reg(0)),
        Expr::Cmp(Reg(0), Compare::Equal, vec![6]),
    ];
    batch.add_rule(
        "reject",
        &[&tcp[..], &[Expr::Reject(Reject::TcpReset, Family::Inet)]].concat(),
    );
    batch.add_rule("reject", &[Expr::Reject(Reject::PortUnreachable, Family::Inet)]);
    let new = [
        Expr::Ct(CtKey::State, Reg(0)),
        bits(CT_NEW, 0),
        Expr::Cmp(Reg(0), Compare::NotEqual, vec![0; 4]),
        Expr::Verdict(Verdict::Jump("no-endpoints".to_owned())),
    ];
    for chain in ["filter-input", "filter-forward", "filter-output"] {
        batch.add_rule(chain, &new);
    }
}

fn add_services(batch: &mut Batch, layout: Layout, cidr: Option<&Cidr>) {
    let outside = |cidr: Option<&Cidr>| cidr.map(|cidr| layout.outside_of(cidr)).unwrap_or_default();
    let masquerade = [
        Expr::Contains {
            set: SetName::Masquerade.text(layout.v4),
            key: layout.address(),
            invert: false,
        },
        Expr::Verdict(Verdict::Jump("mark".to_owned())),
    ];
    let services = [Expr::VerdictMap {
        map: SetName::Services.text(layout.v4),
        key: layout.address(),
    }];
    let refuse = [Expr::VerdictMap {
        map: SetName::NoEndpoints.text(layout.v4),
        key: layout.address(),
    }];
    let family = layout.family();
    let key = layout.load_key(false);
    let node = [family.clone(), layout.to_this_node()].concat();
    let node_key = layout.load_key(true);
    if cidr.is_some() {
        batch.add_rule(
            "services",
            &[&family, &outside(cidr), &key, &masquerade[..]].concat(),
        );
    }
    batch.add_rule("services", &[&family, &key, &services[..]].concat());
    batch.add_rule(
        "services",
        &[&node, &outside(cidr), &node_key, &masquerade[..]].concat(),
    );
    batch.add_rule("services", &[&node, &node_key, &services[..]].concat());
    batch.add_rule("no-endpoints", &[&family, &key, &refuse[..]].concat());
    batch.add_rule("no-endpoints", &[&node, &node_key, &refuse[..]].concat());
    let hairpin = [
        layout.load_source(Reg(0)),
        layout.load_destination(Reg(layout.words())),
        Expr::Contains {
            set: SetName::Hairpin.text(layout.v4),
            key: Reg(0),
            invert: false,
        },
        Expr::Masquerade { random: true },
    ];
    batch.add_rule("nat-postrouting", &[&family, &hairpin[..]].concat());
}
