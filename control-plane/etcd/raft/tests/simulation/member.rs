//! A member: its process and its disk.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use raft::{Config, Entry, Message, Payload, Raft, Ready};

use crate::disk::{Disk, Image, Write};
use crate::profile::Profile;
use crate::random::Random;

/// A running process.
pub struct Process {
    pub raft: Raft,
    pub image: Image,
    pub writes: VecDeque<Write>,
    /// Data of snapshots that came with messages, by index.
    pub arrived: BTreeMap<u64, Image>,
    next_tick: u64,
    tick: u64,
}

/// A member, running or not.
pub struct Member {
    pub id: u64,
    pub disk: Disk,
    pub process: Option<Process>,
}

impl Process {
    fn start(id: u64, disk: &Disk, now: u64, random: &mut Random, profile: &Profile) -> Self {
        let image = disk.image();
        let mut config = Config::new(id, random.next(), image.applied);
        if profile.small_messages {
            (config.max_message_bytes, config.max_inflight) = (100, 3);
        }
        config.max_uncommitted_bytes = 10_000;
        let raft = Raft::new(config, disk.hard, image.members.clone(), disk.log());
        Self {
            raft,
            image,
            writes: VecDeque::new(),
            arrived: BTreeMap::new(),
            next_tick: now + random.below(10),
            tick: profile.tick + random.below(profile.tick / 3 + 1),
        }
    }

    pub fn tick_is_due(&mut self, now: u64) -> bool {
        let due = self.next_tick <= now;
        if due {
            self.next_tick += self.tick;
        }
        due
    }

    /// Puts down what a Ready wants written.
    pub fn queue(&mut self, ready: &mut Ready, due: u64) {
        let snapshot = ready.snapshot.take().map(|meta| {
            let image = self.arrived.remove(&meta.index);
            (meta, image.expect("the data came with the message"))
        });
        self.arrived.clear();
        self.writes.push_back(Write {
            number: ready.number,
            due,
            hard: ready.hard_state,
            snapshot,
            append: std::mem::take(&mut ready.append),
            after_sync: std::mem::take(&mut ready.after_sync),
        });
    }

    /// Applies an entry. Returns the operation that it was, if it was not applied before.
    pub fn apply(&mut self, entry: &Entry) -> Option<u64> {
        assert_eq!(
            entry.index,
            self.image.applied + 1,
            "entries are applied in order"
        );
        self.image.applied = entry.index;
        self.image.term = entry.term;
        let mut done = None;
        match &entry.payload {
            Payload::Empty => {}
            Payload::Data(data) => {
                let (number, register) = decode(data);
                if self.image.done.insert(number) {
                    self.image.registers.insert(register, number);
                    done = Some(number);
                }
            }
            // The application refuses some, as it would one with an address that is taken.
            Payload::Change(change) if change.context.is_empty() => {
                self.image.members = self.raft.apply_change(change);
            }
            Payload::Change(_) => {}
        }
        self.raft.applied(entry.index);
        done
    }
}

impl Member {
    pub fn new(id: u64, disk: Disk) -> Self {
        Self {
            id,
            disk,
            process: None,
        }
    }

    pub fn start(&mut self, now: u64, random: &mut Random, profile: &Profile) {
        if profile.durable_state && self.disk.image.is_none() {
            self.disk.image = Some(self.disk.base_image.clone());
        }
        self.process = Some(Process::start(self.id, &self.disk, now, random, profile));
    }

    /// The process ends at once; of what was not synced, some first part is on the disk.
    pub fn crash(&mut self, random: &mut Random) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        self.keep_image(&process.image);
        let all = process.writes.len() as u64;
        let kept = if random.chance(5000) {
            0
        } else {
            random.below(all + 1)
        };
        for write in process.writes.drain(..usize::try_from(kept).unwrap()) {
            self.disk.write(write);
        }
    }

    fn keep_image(&mut self, image: &Image) {
        if let Some(kept) = &mut self.disk.image {
            kept.clone_from(image);
        }
    }

    /// The oldest writes become durable, if it is time. Returns what may be sent then.
    pub fn sync(&mut self, now: u64) -> Vec<Message> {
        let mut messages = Vec::new();
        let Some(process) = &mut self.process else {
            return messages;
        };
        let mut number = 0;
        while let Some(mut write) = process.writes.pop_front_if(|write| write.due <= now) {
            number = write.number;
            messages.append(&mut write.after_sync);
            if let Some((_, image)) = &write.snapshot {
                process.image = image.clone();
            }
            self.disk.write(write);
        }
        if number > 0 {
            process.raft.persisted(number);
        }
        messages
    }

    /// Takes a snapshot, and forgets the log up to it.
    pub fn compact(&mut self) {
        if let Some(process) = &mut self.process {
            self.disk.compact(&process.image);
            process.raft.compact(process.image.applied);
        }
    }
}

pub fn encode(number: u64, register: u64) -> Bytes {
    [number.to_be_bytes(), register.to_be_bytes()].concat().into()
}

fn decode(data: &[u8]) -> (u64, u64) {
    let (number, register) = data.split_at(8);
    let word = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    (word(number), word(register))
}
