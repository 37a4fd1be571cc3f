//! Flags of cluster DNS. It has no counterpart of the name upstream, so they are our own.

use component::flags::{
    Flag,
    Kind::{List, Text},
};

/// Its flags.
pub const DNS: &[Flag] = &[
    Flag::new(
        "listen",
        List,
        "",
        "addresses with ports at which it listens by UDP and TCP, each by itself: 10.0.0.1:53",
    ),
    Flag::new("cluster-domain", Text, "cluster.local", "the cluster's domain"),
    Flag::new("cluster-dns", List, "10.96.0.10", "addresses of its Service"),
    Flag::new(
        "resolv-conf",
        Text,
        "/etc/resolv.conf",
        "names the resolvers of all other names",
    ),
];
