//! What leaves the pod network appears as the node: an nftables chain a network, in a table of our own.

use crate::{
    cidr::{Cidr, bytes},
    spec::{Config, Failure},
};
use nft::{Batch, Chain, Compare, Expr, Family, Hook, HookKind, Meta, Payload, Reg, Verdict};

/// The table that is ours; nothing outside it is ever touched.
pub(crate) const TABLE: &str = "ferrokube-cni";

const SRCNAT: i32 = 100;

/// Masquerades what comes from the pods of the network and goes elsewhere than to pods.
pub(crate) fn ensure(config: &Config, pods: &Cidr) -> Result<(), Failure> {
    let v4 = pods.address.is_ipv4();
    let inside: Result<Vec<Cidr>, String> = config.no_masquerade.iter().map(|text| text.parse()).collect();
    let mut inside = inside.map_err(|e| Failure::internal("noMasquerade", e))?;
    inside.push(*pods);
    let multicast = if v4 { "224.0.0.0/4" } else { "ff00::/8" };
    inside.extend(multicast.parse::<Cidr>());
    inside.retain(|cidr| cidr.address.is_ipv4() == v4);
    let name = format!("masquerade-{}-{}", config.name, if v4 { 4 } else { 6 });
    let family = [
        Expr::Meta(Meta::Family, Reg(0)),
        Expr::Cmp(Reg(0), Compare::Equal, vec![if v4 { 2 } else { 10 }]),
    ];
    let rule = |rest: &[Expr]| [&family[..], rest].concat();
    let mut batch = Batch::new(Family::Inet, TABLE);
    let hook = Hook {
        kind: "nat",
        hook: HookKind::Postrouting,
        priority: SRCNAT,
    };
    batch
        .add_table()
        .add_chain(&Chain {
            name: &name,
            hook: Some(hook),
        })
        .flush_chain(&name);
    batch.add_rule(
        &name,
        &rule(&[&within(pods, true, false)[..], &[Expr::Verdict(Verdict::Return)]].concat()),
    );
    for cidr in &inside {
        batch.add_rule(
            &name,
            &rule(&[&within(cidr, false, true)[..], &[Expr::Verdict(Verdict::Return)]].concat()),
        );
    }
    batch.add_rule(&name, &rule(&[Expr::Masquerade { random: true }]));
    batch.commit().map_err(|e| Failure::internal("masquerading", e))
}

/// Goes on if the packet's source, or destination, is within the network, or is not.
fn within(cidr: &Cidr, source: bool, is: bool) -> Vec<Expr> {
    let v4 = cidr.address.is_ipv4();
    let offset = match (v4, source) {
        (true, true) => 12,
        (true, false) => 16,
        (false, true) => 8,
        (false, false) => 24,
    };
    let mask = cidr.mask();
    let length = mask.len() as u32;
    let compare = if is { Compare::Equal } else { Compare::NotEqual };
    vec![
        Expr::Payload {
            base: Payload::Network,
            offset,
            length,
            to: Reg(0),
        },
        Expr::Bitwise {
            from: Reg(0),
            to: Reg(0),
            xor: vec![0; mask.len()],
            mask,
        },
        Expr::Cmp(Reg(0), compare, bytes(cidr.network().address)),
    ]
}

/// Removes the table.
pub(crate) fn purge() -> Result<(), Failure> {
    let mut batch = Batch::new(Family::Inet, TABLE);
    batch.delete_table();
    batch
        .commit()
        .map_err(|e| Failure::internal("removing our nftables table", e))
}
