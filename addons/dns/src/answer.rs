//! Answers from the zone; pure.

use crate::{Name, Query, Record, Zone, kind};

/// What became of a question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u16)]
pub enum Rcode {
    /// There is such a name.
    #[default]
    NoError = 0,
    /// The question cannot be read.
    FormatError = 1,
    /// It could not be found out.
    ServerFailure = 2,
    /// There is no such name.
    NoSuchName = 3,
    /// The request is none that is served.
    NotImplemented = 4,
    /// It is not answered to this client.
    Refused = 5,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What became of it.
    pub rcode: Rcode,
    /// It comes from the zone itself.
    pub authoritative: bool,
    /// Records asked for.
    pub answers: Vec<Record>,
    /// The zone's SOA when there are none.
    pub authority: Vec<Record>,
    /// Addresses of names in the answers.
    pub additional: Vec<Record>,
}

/// Where an answer comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// From the zone.
    Answer(Answer),
    /// From the zone, and it ends with an alias of a name outside: its records are to be added.
    Alias(Answer, Name),
    /// From elsewhere.
    Forward,
}

/// At most so many aliases are followed.
const ALIASES: usize = 8;
const ANY: u16 = 255;

/// Answers a question.
pub fn answer(zone: &Zone, query: &Query) -> Verdict {
    if query.class != 1 {
        return Verdict::Answer(Answer {
            rcode: Rcode::Refused,
            ..Answer::default()
        });
    }
    if !query.name.is_within(zone.domain()) {
        // Of reverse names those of the cluster are known, the others may be known elsewhere.
        let found = records(zone, &query.name, query.kind);
        return if found.is_empty() {
            Verdict::Forward
        } else {
            Verdict::Answer(positive(zone, query, found))
        };
    }
    let mut answers = Vec::new();
    let mut name = query.name.clone();
    for _ in 0..ALIASES {
        let found = records(zone, &name, query.kind);
        let alias = match found.as_slice() {
            [one] if one.kind == kind::CNAME && query.kind != kind::CNAME => one.target(),
            _ => None,
        };
        answers.extend(found);
        let Some(target) = alias else { break };
        if !target.is_within(zone.domain()) {
            return Verdict::Alias(positive(zone, query, answers), target);
        }
        name = target;
    }
    if !answers.is_empty() {
        return Verdict::Answer(positive(zone, query, answers));
    }
    let rcode = if zone.exists(&name) {
        Rcode::NoError
    } else {
        Rcode::NoSuchName
    };
    Verdict::Answer(Answer {
        rcode,
        authoritative: true,
        authority: vec![zone.soa()],
        ..Answer::default()
    })
}

/// The records of that type, or the alias that stands in their place.
fn records(zone: &Zone, name: &Name, wanted: u16) -> Vec<Record> {
    let all = zone.records(name);
    let found: Vec<Record> = all
        .iter()
        .filter(|r| r.kind == wanted || wanted == ANY)
        .cloned()
        .collect();
    if found.is_empty() {
        all.into_iter().filter(|r| r.kind == kind::CNAME).collect()
    } else {
        found
    }
}

fn positive(zone: &Zone, query: &Query, answers: Vec<Record>) -> Answer {
    let mut additional: Vec<Record> = Vec::new();
    if query.kind == kind::SRV {
        for target in answers.iter().filter_map(Record::target) {
            for record in zone.records(&target) {
                if (record.kind == kind::A || record.kind == kind::AAAA) && !additional.contains(&record) {
                    additional.push(record);
                }
            }
        }
    }
    Answer {
        authoritative: true,
        answers,
        additional,
        ..Answer::default()
    }
}
