//! The nftables back end: what of [`Rules`] is elements of which set, and differences as one transaction.

mod chains;
mod elements;

use crate::{Cidr, Destination, Error, Protocol, Rules, rules::Action};
use elements::State;
use nft::{Batch, Family, conntrack};
use std::{collections::BTreeSet, net::SocketAddr};

/// The table that is ours; nothing outside it is ever touched.
pub const TABLE: &str = "ferrokube-proxy";

/// The rules in the kernel, of the network namespace of the thread that calls.
#[derive(Debug)]
pub struct Nftables {
    cluster_cidrs: Vec<Cidr>,
    /// What the kernel has; `None`: not known, so that the next transaction replaces the whole table.
    installed: Option<(Rules, State)>,
}

impl Nftables {
    /// Nothing installed yet. Clients outside `cluster_cidrs` are masqueraded.
    pub fn new(cluster_cidrs: Vec<Cidr>) -> Self {
        Self {
            cluster_cidrs,
            installed: None,
        }
    }

    /// Makes the kernel's rules be `rules`: the difference from what is installed, in one transaction. Blocking.
    pub fn apply(&mut self, rules: &Rules) -> Result<(), Error> {
        let wanted = State::of(rules);
        let batch = match &self.installed {
            Some((_, have)) => have.difference(&wanted),
            None => self.whole(&wanted),
        };
        let before = self.installed.take().map(|(rules, _)| rules).unwrap_or_default();
        // When the difference is refused, someone else changed the table: put it up anew.
        let refused = batch.commit().err();
        if refused.is_some() {
            self.whole(&wanted).commit()?;
        }
        if let Err(error) = forget_stale(&before, rules) {
            // The rules are right; what is left is that a UDP client may stay with an endpoint that is gone.
            tracing::warn!(%error, "tracked connections cannot be looked through");
        }
        self.installed = Some((rules.clone(), wanted));
        Ok(())
    }

    /// Removes all that this back end ever made. Blocking.
    pub fn purge() -> Result<(), Error> {
        let mut batch = Batch::new(Family::Inet, TABLE);
        batch.delete_table();
        Ok(batch.commit()?)
    }

    fn whole(&self, wanted: &State) -> Batch {
        let mut batch = Batch::new(Family::Inet, TABLE);
        batch.delete_table().add_table();
        elements::add_sets(&mut batch);
        chains::add_base(&mut batch, &self.cluster_cidrs);
        State::default().difference_into(wanted, &mut batch);
        batch
    }
}

/// UDP has no connections that end: tracked ones to endpoints that are gone would catch a client for ever.
fn forget_stale(before: &Rules, after: &Rules) -> Result<(), nft::Error> {
    let udp = |rules: &Rules| -> BTreeSet<(Destination, Option<SocketAddr>)> {
        let of = |(destination, action): (&Destination, &Action)| -> Vec<(Destination, Option<SocketAddr>)> {
            match action {
                Action::Balance { endpoints, .. } => {
                    endpoints.iter().map(|e| (*destination, Some(*e))).collect()
                }
                Action::Reject | Action::Drop => vec![(*destination, None)],
            }
        };
        rules
            .0
            .iter()
            .filter(|(d, _)| d.protocol == Protocol::Udp)
            .flat_map(of)
            .collect()
    };
    let (old, new) = (udp(before), udp(after));
    if old == new {
        return Ok(());
    }
    let known: BTreeSet<Destination> = old
        .iter()
        .chain(&new)
        .map(|(destination, _)| *destination)
        .collect();
    conntrack::forget(Protocol::Udp.number(), |flow| {
        let responder = SocketAddr::new(flow.responder, flow.responder_port);
        let any = if flow.destination.is_ipv4() {
            std::net::Ipv4Addr::UNSPECIFIED.into()
        } else {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        };
        let at = |address| Destination {
            address,
            protocol: Protocol::Udp,
            port: flow.port,
        };
        let (cluster, node) = (at(flow.destination), at(any));
        let redirected = flow.responder != flow.destination;
        let ours = if known.contains(&cluster) { cluster } else { node };
        known.contains(&ours)
            && (redirected || !ours.is_node_port())
            && !new.contains(&(ours, Some(responder)))
    })?;
    Ok(())
}
