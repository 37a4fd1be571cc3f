//! A run: members, network, clients and mishaps.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;
use raft::{Body, Change, ChangeKind, Members, Message, Role, SnapshotMeta, Status};

use crate::client::Clients;
use crate::disk::Disk;
use crate::member::{Member, encode};
use crate::network::{Network, Parcel};
use crate::profile::Profile;
use crate::random::Random;
use crate::truth::Truth;

const DISTURBED: u64 = 2000;
const CALM: u64 = 20_000;

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub leaders: usize,
    pub writes: u64,
    pub reads: u64,
    pub crashes: u64,
    pub cuts: u64,
    pub snapshots: u64,
    pub changes: u64,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.leaders += other.leaders;
        self.writes += other.writes;
        self.reads += other.reads;
        self.crashes += other.crashes;
        self.cuts += other.cuts;
        self.snapshots += other.snapshots;
        self.changes += other.changes;
    }
}

/// Everything.
pub struct World {
    now: u64,
    random: Random,
    profile: Profile,
    members: BTreeMap<u64, Member>,
    network: Network,
    clients: Clients,
    truth: Truth,
    tally: Tally,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let profile = Profile::draw(&mut random);
        let voters = Members::voting(1..=profile.voters);
        let mut members = BTreeMap::new();
        for id in 1..=profile.voters {
            let mut member = Member::new(id, Disk::first(&voters));
            member.start(0, &mut random, &profile);
            members.insert(id, member);
        }
        Self {
            now: 0,
            random,
            profile,
            members,
            network: Network::default(),
            clients: Clients::default(),
            truth: Truth::default(),
            tally: Tally::default(),
        }
    }

    pub fn now(&self) -> u64 {
        self.now
    }

    pub fn tally(&self) -> Tally {
        Tally {
            leaders: self.truth.leaders(),
            writes: self.clients.writes,
            reads: self.clients.reads,
            ..self.tally
        }
    }

    pub fn run(&mut self) {
        while self.now < DISTURBED {
            self.pass();
            self.mishap();
            self.ask();
        }
        self.calm_down();
    }

    /// With all members up and a good network, what is written reaches all.
    fn calm_down(&mut self) {
        self.network.heal();
        self.profile.loss = 0;
        self.profile.delay = self.profile.delay.min(self.profile.tick);
        self.profile.repeat = 0;
        self.profile.sync = 1;
        for id in self.ids() {
            self.start(id);
        }
        let mut goal = None;
        while self.now < DISTURBED + CALM {
            self.pass();
            let Some(leader) = self.leader() else {
                continue;
            };
            if self.now.is_multiple_of(200) && goal.is_none_or(|goal| self.last_of(leader) < goal) {
                self.write_at(leader);
                goal = Some(self.last_of(leader));
            }
            if goal.is_some_and(|goal| self.all_reached(leader, goal)) {
                return;
            }
        }
        panic!("no progress in calm water: {:#?}", self.statuses());
    }

    fn statuses(&self) -> Vec<Status> {
        let processes = self.members.values().filter_map(|member| member.process.as_ref());
        processes.map(|process| process.raft.status()).collect()
    }

    fn ids(&self) -> Vec<u64> {
        self.members.keys().copied().collect()
    }

    fn leader(&self) -> Option<u64> {
        let leads = |member: &&Member| {
            let process = member.process.as_ref();
            process.is_some_and(|process| process.raft.soft().role == Role::Leader)
        };
        let term = |member: &&Member| member.process.as_ref().map(|process| process.raft.soft().term);
        let leader = self.members.values().filter(leads).max_by_key(term);
        leader.map(|member| member.id)
    }

    fn last_of(&self, id: u64) -> u64 {
        let process = self.members[&id].process.as_ref();
        process.map_or(0, |process| process.raft.log().last_index())
    }

    fn all_reached(&self, leader: u64, goal: u64) -> bool {
        let image = |id: u64| self.members[&id].process.as_ref().map(|process| &process.image);
        let Some(most) = image(leader).filter(|image| image.applied >= goal) else {
            return false;
        };
        most.members
            .iter()
            .all(|id| image(id).is_some_and(|image| image == most))
    }

    /// One unit of time.
    fn pass(&mut self) {
        self.now += 1;
        while let Some(parcel) = self.network.arrived(self.now) {
            self.deliver(parcel);
        }
        for id in self.ids() {
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            let messages = member.sync(self.now);
            if let Some(process) = &mut member.process
                && process.tick_is_due(self.now)
            {
                process.raft.tick();
            }
            self.send(id, messages);
            self.settle(id);
        }
        self.clients.give_up(None, self.now);
    }

    fn deliver(&mut self, parcel: Parcel) {
        let at = match &parcel {
            Parcel::Message(message, _) => message.to,
            Parcel::SnapshotReport { at, .. } | Parcel::Unreachable { at, .. } => *at,
        };
        let Some(process) = self
            .members
            .get_mut(&at)
            .and_then(|member| member.process.as_mut())
        else {
            return;
        };
        match parcel {
            Parcel::Message(message, image) => {
                if let (Body::InstallSnapshot(meta), Some(image)) = (&message.body, image) {
                    process.arrived.insert(meta.index, image);
                }
                process.raft.step(message);
            }
            Parcel::SnapshotReport { about, ok, .. } => process.raft.report_snapshot(about, ok),
            Parcel::Unreachable { about, .. } => process.raft.report_unreachable(about),
        }
        self.settle(at);
    }

    /// Looks at a member and does what it wants done.
    fn settle(&mut self, id: u64) {
        loop {
            let due = self.now + self.random.below(self.profile.sync);
            let late = self.random.chance(3000);
            let Some(process) = self
                .members
                .get_mut(&id)
                .and_then(|member| member.process.as_mut())
            else {
                return;
            };
            self.truth.look(id, &process.raft);
            // Now and then a Ready waits, and what comes meanwhile shares it.
            if !process.raft.has_ready() || late {
                return;
            }
            let mut ready = process.raft.ready();
            assert_ne!(
                ready,
                raft::Ready {
                    number: ready.number,
                    ..raft::Ready::default()
                },
                "an empty Ready"
            );
            if let Some(first) = ready.append.first() {
                let before = process.raft.log().term(first.index - 1).unwrap();
                self.truth.appended(&ready.append, before);
            }
            let needs_write = ready.must_sync || ready.hard_state.is_some() || !ready.after_sync.is_empty();
            self.tally.snapshots += u64::from(ready.snapshot.is_some());
            if needs_write {
                process.queue(&mut ready, due);
            }
            for (context, index) in std::mem::take(&mut ready.reads) {
                self.clients.readable(context, id, index);
            }
            let first = self.random.chance(5000);
            let messages = std::mem::take(&mut ready.messages);
            if first {
                self.send(id, messages.clone());
            }
            self.apply(id, &ready.committed);
            if !first {
                self.send(id, messages);
            }
        }
    }

    fn apply(&mut self, id: u64, committed: &[raft::Entry]) {
        let Some(process) = self
            .members
            .get_mut(&id)
            .and_then(|member| member.process.as_mut())
        else {
            return;
        };
        for entry in committed {
            self.truth.applied(id, entry);
            if let Some(number) = process.apply(entry) {
                self.clients.answered(number, id, entry.index);
            }
        }
        self.clients.read(id, process.image.applied);
    }

    fn send(&mut self, from: u64, messages: Vec<Message>) {
        for mut message in messages {
            self.truth.sent(&message);
            let mut image = None;
            if let Body::InstallSnapshot(meta) = &mut message.body
                && let Some(process) = &self.members[&from].process
            {
                // The newest state is sent, whatever was meant.
                let newest = process.image.clone();
                assert!(newest.applied >= meta.index);
                let (index, term, members) = (newest.applied, newest.term, newest.members.clone());
                *meta = SnapshotMeta { index, term, members };
                image = Some(newest);
            }
            self.network
                .send(message, image, self.now, &mut self.random, &self.profile);
        }
    }

    fn start(&mut self, id: u64) {
        if let Some(member) = self
            .members
            .get_mut(&id)
            .filter(|member| member.process.is_none())
        {
            member.start(self.now, &mut self.random, &self.profile);
            self.truth.forget(id);
        }
    }

    /// What may go wrong goes wrong now and then.
    fn mishap(&mut self) {
        let ids = self.ids();
        let Some(id) = self.random.pick(&ids) else {
            return;
        };
        if self.random.chance(self.profile.crash) {
            self.crash(id);
        }
        if self.random.chance(self.profile.restart) {
            self.start(id);
        }
        if self.random.chance(self.profile.cut) {
            self.tally.cuts += 1;
            self.network.cut(&ids, &mut self.random);
        }
        if self.random.chance(50) {
            self.network.heal();
        }
        if self.random.chance(self.profile.compact)
            && let Some(member) = self.members.get_mut(&id)
        {
            member.compact();
        }
        if self.random.chance(self.profile.transfer) {
            self.disturb_leadership(id);
        }
        if self.random.chance(self.profile.change) {
            for _ in 0..=self.random.below(3) {
                let leader = self.leader().unwrap_or(id);
                self.change_members(leader);
            }
        }
        self.settle(id);
    }

    /// Half of the time it is the member with the most to lose.
    fn crash(&mut self, id: u64) {
        let unsynced = |member: &&Member| member.process.as_ref().map(|process| process.writes.len());
        let worst = self.members.values().max_by_key(unsynced);
        let worst = worst.map_or(id, |member| member.id);
        let id = if self.random.chance(5000) { worst } else { id };
        self.tally.crashes += 1;
        self.clients.give_up(Some(id), self.now);
        if let Some(member) = self.members.get_mut(&id) {
            member.crash(&mut self.random);
        }
    }

    fn disturb_leadership(&mut self, id: u64) {
        let leader = self.leader().unwrap_or(id);
        let campaign = self.random.chance(5000);
        let at = if campaign { id } else { leader };
        let Some(process) = self
            .members
            .get_mut(&at)
            .and_then(|member| member.process.as_mut())
        else {
            return;
        };
        if campaign {
            process.raft.campaign();
        } else {
            process.raft.transfer(id);
        }
        self.settle(at);
    }

    fn change_members(&mut self, at: u64) {
        let next = self.members.len() as u64 + 1;
        let Some(process) = self
            .members
            .get_mut(&at)
            .and_then(|member| member.process.as_mut())
        else {
            return;
        };
        let Members { voters, learners } = process.raft.status().members;
        let voters: Vec<u64> = voters.into_iter().collect();
        let learners: Vec<u64> = learners.into_iter().collect();
        let all = [voters.clone(), learners.clone()].concat();
        let (kind, id) = match self.random.below(6) {
            0 if next < 10 => (ChangeKind::AddLearner, Some(next)),
            1 if next < 10 => (ChangeKind::Add, Some(next)),
            2 | 3 => (ChangeKind::Promote, self.random.pick(&learners)),
            4 if voters.len() > 2 => (ChangeKind::Remove, self.random.pick(&all)),
            _ => return,
        };
        let Some(id) = id else { return };
        let context = if self.random.chance(500) { "refuse" } else { "" };
        let context = Bytes::from(context);
        if process.raft.propose_change(Change { kind, id, context }).is_ok() {
            self.tally.changes += 1;
            if let Entry::Vacant(place) = self.members.entry(id) {
                place.insert(Member::new(id, Disk::default()));
                self.start(id);
            }
        }
        self.settle(at);
    }

    fn ask(&mut self) {
        let ids = self.ids();
        let Some(id) = self.random.pick(&ids) else {
            return;
        };
        if self.random.chance(800) {
            self.write_at(id);
        }
        if self.random.chance(800) {
            self.read_at(id);
        }
        self.settle(id);
    }

    fn write_at(&mut self, id: u64) {
        let (number, register) = (self.clients.number(), self.random.below(4));
        if let Some(process) = self
            .members
            .get_mut(&id)
            .and_then(|member| member.process.as_mut())
            && process.raft.propose(encode(number, register)).is_ok()
        {
            self.clients.asked(number, id, true, self.now);
        }
    }

    fn read_at(&mut self, id: u64) {
        let number = self.clients.number();
        if let Some(process) = self
            .members
            .get_mut(&id)
            .and_then(|member| member.process.as_mut())
            && process.raft.read_index(number).is_ok()
        {
            self.clients.asked(number, id, false, self.now);
        }
    }
}
