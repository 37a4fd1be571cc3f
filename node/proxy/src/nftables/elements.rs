//! Sets and maps: which there are, what of the rules is in them, and how two states differ.

use super::{TABLE, chains::Spread};
use crate::{Action, Destination, Rules};
use nft::{
    Batch, Data, Element, Family, Set, SetFlags, Verdict,
    keys::{IPV4, IPV6, Key, MARK, PORT, PROTOCOL, VERDICT},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

/// The sets, once for each address family (`-4`, `-6` after the name).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SetName {
    /// address . protocol . port : goto a chain by number of endpoints
    Services,
    /// address . protocol . port . index : endpoint address . port
    Endpoints,
    /// address . protocol . port : reject or drop
    NoEndpoints,
    /// address . protocol . port, whose clients from outside the cluster are masqueraded
    Masquerade,
    /// endpoint . endpoint: a client that is balanced to itself
    Hairpin,
    /// address . protocol . port . endpoint address . port: where a sticky client may stay
    Live,
    /// client . address . protocol . port : endpoint address . port, written by rules
    Sticky,
}

impl SetName {
    const ALL: [SetName; 7] = [
        SetName::Services,
        SetName::Endpoints,
        SetName::NoEndpoints,
        SetName::Masquerade,
        SetName::Hairpin,
        SetName::Live,
        SetName::Sticky,
    ];

    pub fn text(self, v4: bool) -> String {
        let name = match self {
            SetName::Services => "services",
            SetName::Endpoints => "endpoints",
            SetName::NoEndpoints => "no-endpoints",
            SetName::Masquerade => "masquerade",
            SetName::Hairpin => "hairpin",
            SetName::Live => "live",
            SetName::Sticky => "sticky",
        };
        format!("{name}-{}", if v4 { 4 } else { 6 })
    }

    fn types(self, address: Key) -> (Vec<Key>, Vec<Key>) {
        let destination = [address, PROTOCOL, PORT];
        match self {
            SetName::Services | SetName::NoEndpoints => (destination.to_vec(), vec![VERDICT]),
            SetName::Endpoints => (vec![address, PROTOCOL, PORT, MARK], vec![address, PORT]),
            SetName::Masquerade => (destination.to_vec(), vec![]),
            SetName::Hairpin => (vec![address, address], vec![]),
            SetName::Live => (vec![address, PROTOCOL, PORT, address, PORT], vec![]),
            SetName::Sticky => (vec![address, address, PROTOCOL, PORT], vec![address, PORT]),
        }
    }
}

/// Makes all sets.
pub(super) fn add_sets(batch: &mut Batch) {
    for v4 in [true, false] {
        for name in SetName::ALL {
            let (key, data) = name.types(if v4 { IPV4 } else { IPV6 });
            let flags = SetFlags {
                dynamic: name == SetName::Sticky,
            };
            batch.add_set(&Set {
                name: &name.text(v4),
                key: &key,
                data: &data,
                flags,
            });
        }
    }
}

/// All elements and chains that follow from rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    chains: BTreeSet<Spread>,
    elements: BTreeMap<(SetName, bool), BTreeMap<Vec<u8>, Option<Data>>>,
}

impl State {
    pub fn of(rules: &Rules) -> Self {
        let mut state = Self::default();
        for (destination, action) in &rules.0 {
            state.add(destination, action);
        }
        state
    }

    fn add(&mut self, destination: &Destination, action: &Action) {
        let v4 = destination.address.is_ipv4();
        let key = key(destination);
        let refuse = |verdict| (SetName::NoEndpoints, key.clone(), Some(Data::Verdict(verdict)));
        match action {
            Action::Reject => self.put(v4, refuse(Verdict::Goto("reject".to_owned()))),
            Action::Drop => self.put(v4, refuse(Verdict::Drop)),
            Action::Balance {
                endpoints,
                sticky,
                masquerade,
            } => {
                let node_port = destination.is_node_port();
                let spread = Spread {
                    v4,
                    node_port,
                    count: endpoints.len() as u32,
                    sticky: *sticky,
                };
                let verdict = Verdict::Goto(spread.name());
                self.chains.insert(spread);
                self.put(v4, (SetName::Services, key.clone(), Some(Data::Verdict(verdict))));
                if *masquerade {
                    self.put(v4, (SetName::Masquerade, key.clone(), None));
                }
                for (index, endpoint) in endpoints.iter().enumerate() {
                    self.add_endpoint(&key, index as u32, endpoint, sticky.is_some());
                }
            }
        }
    }

    fn add_endpoint(&mut self, key: &[u8], index: u32, endpoint: &SocketAddr, sticky: bool) {
        let v4 = endpoint.is_ipv4();
        let address = bytes(&endpoint.ip());
        let target = [address.as_slice(), &port(endpoint.port())].concat();
        let indexed = [key, &index.to_ne_bytes()].concat();
        self.put(
            v4,
            (SetName::Endpoints, indexed, Some(Data::Value(target.clone()))),
        );
        self.put(
            v4,
            (SetName::Hairpin, [address.as_slice(), &address].concat(), None),
        );
        if sticky {
            self.put(v4, (SetName::Live, [key, &target].concat(), None));
        }
    }

    fn put(&mut self, v4: bool, (set, key, data): (SetName, Vec<u8>, Option<Data>)) {
        self.elements.entry((set, v4)).or_default().insert(key, data);
    }

    /// The transaction that turns this state into `wanted`.
    pub fn difference(&self, wanted: &State) -> Batch {
        let mut batch = Batch::new(Family::Inet, TABLE);
        self.difference_into(wanted, &mut batch);
        batch
    }

    pub fn difference_into(&self, wanted: &State, batch: &mut Batch) {
        for spread in wanted.chains.difference(&self.chains) {
            spread.add(batch);
        }
        let sets: BTreeSet<_> = self.elements.keys().chain(wanted.elements.keys()).collect();
        let none = BTreeMap::new();
        for set in sets {
            let (have, want) = (
                self.elements.get(set).unwrap_or(&none),
                wanted.elements.get(set).unwrap_or(&none),
            );
            let name = set.0.text(set.1);
            batch.delete_elements(&name, &only_in(have, want));
            batch.add_elements(&name, &only_in(want, have));
        }
        for spread in self.chains.difference(&wanted.chains) {
            batch.flush_chain(&spread.name()).delete_chain(&spread.name());
        }
    }
}

type Elements = BTreeMap<Vec<u8>, Option<Data>>;

fn only_in(one: &Elements, other: &Elements) -> Vec<Element> {
    let differs = |(key, data): &(&Vec<u8>, &Option<Data>)| other.get(*key) != Some(*data);
    one.iter()
        .filter(differs)
        .map(|(key, data)| Element {
            key: key.clone(),
            data: data.clone(),
        })
        .collect()
}

fn key(destination: &Destination) -> Vec<u8> {
    let mut key = bytes(&destination.address);
    key.extend([destination.protocol.number(), 0, 0, 0]);
    key.extend(port(destination.port));
    key
}

fn bytes(address: &IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn port(number: u16) -> [u8; 4] {
    let [high, low] = number.to_be_bytes();
    [high, low, 0, 0]
}
