//! What each service address does, in terms that every back end shares.

use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
};

/// Transport protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Its IP protocol number.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        })
    }
}

/// Where packets are sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// A service's address; the unspecified address stands for each address of the node itself (node ports).
    pub address: IpAddr,
    /// Protocol.
    pub protocol: Protocol,
    /// Port.
    pub port: u16,
}

impl Destination {
    /// Whether it is a node port.
    pub fn is_node_port(&self) -> bool {
        self.address.is_unspecified()
    }
}

/// What happens to new connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Each goes to one of the endpoints.
    Balance {
        /// In order, never empty, each once.
        endpoints: Vec<SocketAddr>,
        /// Seconds that a client stays with its endpoint.
        sticky: Option<u32>,
        /// Clients from outside the cluster appear as this node, so that answers come back through it.
        masquerade: bool,
    },
    /// Refused: there are no endpoints.
    Reject,
    /// Dropped: there are endpoints, and none may be used from this node.
    Drop,
}

/// What each service address does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(pub BTreeMap<Destination, Action>);

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (destination, action) in &self.0 {
            let node_port = destination.is_node_port();
            let address = if node_port {
                "node".to_owned()
            } else {
                destination.address.to_string()
            };
            let family = if node_port && destination.address.is_ipv6() {
                " (IPv6)"
            } else {
                ""
            };
            write!(
                f,
                "{} {address} {}{family}: ",
                destination.protocol, destination.port
            )?;
            match action {
                Action::Reject => writeln!(f, "reject")?,
                Action::Drop => writeln!(f, "drop")?,
                Action::Balance {
                    endpoints,
                    sticky,
                    masquerade,
                } => {
                    let list: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
                    write!(f, "{}", list.join(" "))?;
                    if let Some(seconds) = sticky {
                        write!(f, ", sticky {seconds} s")?;
                    }
                    writeln!(
                        f,
                        "{}",
                        if *masquerade {
                            ""
                        } else {
                            ", keeps the client's address"
                        }
                    )?;
                }
            }
        }
        Ok(())
    }
}
