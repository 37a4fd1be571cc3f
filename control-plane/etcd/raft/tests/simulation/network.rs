//! The network: messages on their way, and the links that are cut.

use std::collections::{BTreeMap, BTreeSet};

use raft::{Body, Message};

use crate::disk::Image;
use crate::profile::Profile;
use crate::random::Random;

/// What arrives at a member.
#[derive(Clone)]
pub enum Parcel {
    /// A message; with a snapshot its data.
    Message(Message, Option<Image>),
    /// The transport tells the sender what became of a snapshot.
    SnapshotReport { at: u64, about: u64, ok: bool },
    /// The transport tells the sender that a message was lost.
    Unreachable { at: u64, about: u64 },
}

/// Messages by the time at which they arrive.
#[derive(Default)]
pub struct Network {
    on_their_way: BTreeMap<(u64, u64), Parcel>,
    sent: u64,
    cut: BTreeSet<(u64, u64)>,
}

impl Network {
    pub fn send(
        &mut self,
        message: Message,
        image: Option<Image>,
        now: u64,
        random: &mut Random,
        profile: &Profile,
    ) {
        let (at, about) = (message.from, message.to);
        let lost = self.cut.contains(&(at, about)) || random.chance(profile.loss);
        let snapshot = matches!(message.body, Body::InstallSnapshot(_));
        let mut due = now + 1 + random.below(profile.delay);
        if random.chance(profile.delay * 2) {
            // A straggler.
            due += random.below(profile.delay * 20);
        }
        if snapshot {
            self.put(due, Parcel::SnapshotReport { at, about, ok: !lost });
        } else if lost && random.chance(5000) {
            self.put(due, Parcel::Unreachable { at, about });
        }
        if lost {
            return;
        }
        let parcel = Parcel::Message(message, image);
        if random.chance(profile.repeat) {
            self.put(due + random.below(profile.delay * 10), parcel.clone());
        }
        self.put(due, parcel);
    }

    fn put(&mut self, due: u64, parcel: Parcel) {
        self.sent += 1;
        self.on_their_way.insert((due, self.sent), parcel);
    }

    pub fn arrived(&mut self, now: u64) -> Option<Parcel> {
        let first = self.on_their_way.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// Cuts one direction, one member off, or the members in two.
    pub fn cut(&mut self, ids: &[u64], random: &mut Random) {
        self.cut.clear();
        let (Some(one), Some(other)) = (random.pick(ids), random.pick(ids)) else {
            return;
        };
        match random.below(3) {
            0 => {
                self.cut.insert((one, other));
            }
            1 => {
                for id in ids {
                    self.cut.extend([(one, *id), (*id, one)]);
                }
            }
            _ => {
                let side: Vec<bool> = ids.iter().map(|_| random.chance(5000)).collect();
                for (from, left) in ids.iter().zip(&side) {
                    let across = ids.iter().zip(&side).filter(|(_, right)| left != *right);
                    self.cut.extend(across.map(|(to, _)| (*from, *to)));
                }
            }
        }
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }
}
