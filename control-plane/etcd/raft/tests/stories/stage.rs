//! The members of a story, their disks and the messages between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use raft::{
    Body, Change, ChangeKind, Config, Entry, HardState, Log, Members, Message, Payload, Raft, Ready, Refused,
    SnapshotMeta,
};

use crate::text;

struct Actor {
    raft: Raft,
    hard: HardState,
    base: SnapshotMeta,
    log: BTreeMap<u64, Entry>,
    /// As of what is applied.
    members: Members,
    applied: u64,
    /// The disk does not answer: Readies wait here.
    held: Option<VecDeque<Ready>>,
}

/// All of a story.
#[derive(Default)]
pub struct Stage {
    actors: BTreeMap<u64, Actor>,
    messages: VecDeque<Message>,
    cut: BTreeSet<u64>,
    told: String,
}

fn config(id: u64, applied: u64) -> Config {
    Config {
        max_uncommitted_bytes: 200,
        ..Config::new(id, 7, applied)
    }
}

impl Stage {
    /// Does what a line says, and tells what came of it.
    pub fn play(&mut self, line: &str) -> String {
        self.told.clear();
        let mut words = line.split(' ');
        let verb = words.next().unwrap();
        let words: Vec<&str> = words.collect();
        let number = |place: usize| words.get(place).map_or(0, |word| word.parse::<u64>().unwrap());
        match verb {
            "start" => self.start(&words),
            "join" => self.enter(number(0), Members::default(), SnapshotMeta::default()),
            "quietly" => {
                self.play(&line["quietly ".len()..]);
                self.told.clear();
            }
            "settle" => self.settle(),
            "tick" => (0..number(1).max(1)).for_each(|_| self.raft(number(0)).tick()),
            "campaign" => self.raft(number(0)).campaign(),
            "propose" => {
                let data = Bytes::from(words[1..].join(" "));
                let answer = self.raft(number(0)).propose(data);
                self.answer(answer);
            }
            "add" | "learn" | "promote" | "remove" => self.change(verb, number(0), number(1)),
            "read" => {
                let answer = self.raft(number(0)).read_index(number(1));
                self.answer(answer);
            }
            "transfer" => self.raft(number(0)).transfer(number(1)),
            "compact" => self.compact(number(0)),
            "arrived" => self.raft(number(0)).report_snapshot(number(1), true),
            "ready" => self.ready(number(0)),
            "deliver" => self.deliver(),
            "lose" => {
                let ids: Vec<u64> = self.actors.keys().copied().collect();
                ids.into_iter().for_each(|id| self.ready(id));
                self.messages.clear();
            }
            "cut" => self.cut.extend((0..words.len()).map(number)),
            "heal" => self.cut.clear(),
            "hold" => self.actor(number(0)).held = Some(VecDeque::new()),
            "sync" => self.sync(number(0)),
            "crash" => self.crash(number(0)),
            "status" => self.told = text::status(&self.raft(number(0)).status()),
            _ => panic!("no such command: {line}"),
        }
        std::mem::take(&mut self.told)
    }

    fn actor(&mut self, id: u64) -> &mut Actor {
        self.actors.get_mut(&id).unwrap()
    }

    fn raft(&mut self, id: u64) -> &mut Raft {
        &mut self.actor(id).raft
    }

    fn answer(&mut self, answer: Result<(), Refused>) {
        if let Err(refused) = answer {
            self.told += &format!("refused: {refused}\n");
        }
    }

    fn start(&mut self, ids: &[&str]) {
        let ids: Vec<u64> = ids.iter().map(|id| id.parse().unwrap()).collect();
        let members = Members::voting(ids.iter().copied());
        for id in ids {
            let base = SnapshotMeta {
                index: 1,
                term: 1,
                members: members.clone(),
            };
            self.enter(id, members.clone(), base);
        }
    }

    fn enter(&mut self, id: u64, members: Members, base: SnapshotMeta) {
        let hard = HardState {
            term: base.term,
            vote: 0,
            commit: base.index,
        };
        let applied = base.index;
        let log = Log::after(base.index, base.term, Vec::new());
        let raft = Raft::new(config(id, applied), hard, members.clone(), log);
        self.actors.insert(
            id,
            Actor {
                raft,
                hard,
                base,
                log: BTreeMap::new(),
                members,
                applied,
                held: None,
            },
        );
    }

    fn change(&mut self, verb: &str, at: u64, id: u64) {
        let kind = match verb {
            "add" => ChangeKind::Add,
            "learn" => ChangeKind::AddLearner,
            "promote" => ChangeKind::Promote,
            _ => ChangeKind::Remove,
        };
        let context = Bytes::new();
        let answer = self.raft(at).propose_change(Change { kind, id, context });
        self.answer(answer);
    }

    fn compact(&mut self, id: u64) {
        let actor = self.actor(id);
        let (index, members) = (actor.applied, actor.members.clone());
        let term = actor.raft.log().term(index).unwrap();
        actor.base = SnapshotMeta { index, term, members };
        actor.log = actor.log.split_off(&(index + 1));
        actor.raft.compact(index);
    }

    /// Until nobody wants anything any more.
    fn settle(&mut self) {
        loop {
            let ids: Vec<u64> = self.actors.keys().copied().collect();
            for id in ids {
                self.ready(id);
            }
            if self.messages.is_empty() {
                return;
            }
            self.deliver();
        }
    }

    fn deliver(&mut self) {
        for message in std::mem::take(&mut self.messages) {
            let lost = self.cut.contains(&message.from) || self.cut.contains(&message.to);
            self.told += &text::message(&message);
            self.told += if lost { " (lost)\n" } else { "\n" };
            if !lost && let Some(actor) = self.actors.get_mut(&message.to) {
                actor.raft.step(message);
            }
        }
    }

    fn ready(&mut self, id: u64) {
        while self.raft(id).has_ready() {
            let ready = self.raft(id).ready();
            self.told += &text::ready(id, &ready);
            self.send(ready.messages.clone());
            self.apply(id, &ready.committed);
            let actor = self.actor(id);
            if let Some(held) = &mut actor.held {
                held.push_back(ready);
            } else {
                self.write(id, ready);
            }
        }
    }

    fn send(&mut self, messages: Vec<Message>) {
        self.messages.extend(messages);
    }

    fn apply(&mut self, id: u64, committed: &[Entry]) {
        let actor = self.actor(id);
        for entry in committed {
            if let Payload::Change(change) = &entry.payload {
                actor.members = actor.raft.apply_change(change);
            }
            actor.applied = entry.index;
            actor.raft.applied(entry.index);
        }
    }

    fn write(&mut self, id: u64, ready: Ready) {
        let actor = self.actor(id);
        if let Some(meta) = ready.snapshot {
            actor.members = meta.members.clone();
            actor.applied = meta.index;
            actor.log.clear();
            actor.base = meta;
        }
        if let Some(first) = ready.append.first() {
            actor.log.split_off(&first.index);
        }
        let entries = ready.append.into_iter();
        actor.log.extend(entries.map(|entry| (entry.index, entry)));
        actor.hard = ready.hard_state.unwrap_or(actor.hard);
        actor.raft.persisted(ready.number);
        self.send(ready.after_sync);
    }

    /// The disk answers again.
    fn sync(&mut self, id: u64) {
        for ready in self.actor(id).held.take().unwrap_or_default() {
            self.write(id, ready);
        }
    }

    /// Ends, with what its disk did not answer lost, and begins anew.
    fn crash(&mut self, id: u64) {
        let actor = self.actor(id);
        actor.held = None;
        let log = actor.log.values().cloned().collect();
        let log = Log::after(actor.base.index, actor.base.term, log);
        actor.raft = Raft::new(config(id, actor.applied), actor.hard, actor.members.clone(), log);
        self.messages
            .retain(|message| !matches!(message.body, Body::Propose { .. }) || message.from != id);
    }
}
