//! NodePorts: host ports that are taken.

use super::Rejection;
use crate::{
    snapshot::{Node, Snapshot},
    views::Pod,
};
use api::decision::Reason;

pub(super) fn filter(pod: &Pod, node: &Node, _: &Snapshot, out: &mut Vec<Rejection>) {
    let any = |ip: &str| ip == "0.0.0.0";
    let taken = |wanted: (&str, &str, u16)| {
        let clash = |held: (&str, &str, u16)| {
            held.1 == wanted.1 && held.2 == wanted.2 && (any(held.0) || any(wanted.0) || held.0 == wanted.0)
        };
        node.pods.values().any(|p| p.host_ports().any(clash))
    };
    if let Some((_, protocol, port)) = pod.host_ports().find(|wanted| taken(*wanted)) {
        out.push(Rejection::new(
            "node(s) didn't have free ports for the requested pod ports",
            Reason::new("HostPortTaken")
                .with("port", port)
                .with("protocol", protocol),
            true,
        ));
    }
}
