//! DNS messages, as much of them as the hot path needs: one question in, prebuilt records out.

use crate::{Answer, Name, Rcode, Record, kind};

const HEADER: usize = 12;
const OPT: u16 = 41;
const RESPONSE: u16 = 0x8000;
const AUTHORITATIVE: u16 = 0x0400;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const RECURSION_AVAILABLE: u16 = 0x0080;
const OPCODE: u16 = 0x7800;
/// What fits a datagram when the client says nothing else.
const PLAIN_LIMIT: usize = 512;
/// What we take and send at most in a datagram: below it nothing is cut into fragments.
const DATAGRAM_LIMIT: u16 = 1232;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Number that the answer repeats.
    pub id: u16,
    /// The client wants it found out.
    pub recursion: bool,
    /// What is asked about.
    pub name: Name,
    /// Type of the records wanted, one of [`kind`].
    pub kind: u16,
    /// Class; 1 is the internet's.
    pub class: u16,
    /// The size of datagrams that the client takes, if it says so (EDNS).
    pub edns: Option<u16>,
    /// The question as it was written, in the client's own case.
    question: Vec<u8>,
}

/// Why a message is not a [`Query`]: what to answer, if anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Not a question: no answer.
    Ignore,
    /// Answer with this message.
    Reply(Vec<u8>),
}

impl Query {
    /// A question as a client without EDNS asks it.
    pub fn new(name: Name, kind: u16) -> Self {
        let question = [name.wire(), &kind.to_be_bytes(), &1u16.to_be_bytes()].concat();
        Self {
            id: 0,
            recursion: true,
            name,
            kind,
            class: 1,
            edns: None,
            question,
        }
    }

    /// Reads a message.
    pub fn parse(message: &[u8]) -> Result<Self, Invalid> {
        let word = |at: usize| message.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
        let (Some(id), Some(flags), true) = (word(0), word(2), message.len() >= HEADER) else {
            return Err(Invalid::Ignore);
        };
        if flags & RESPONSE != 0 {
            return Err(Invalid::Ignore);
        }
        let reply = |rcode: Rcode| {
            let flags = RESPONSE | flags & (OPCODE | RECURSION_DESIRED) | rcode as u16;
            Invalid::Reply(
                [
                    id.to_be_bytes(),
                    flags.to_be_bytes(),
                    [0; 2],
                    [0; 2],
                    [0; 2],
                    [0; 2],
                ]
                .concat(),
            )
        };
        if flags & OPCODE != 0 {
            return Err(reply(Rcode::NotImplemented));
        }
        let malformed = || reply(Rcode::FormatError);
        if word(4) != Some(1) {
            return Err(malformed());
        }
        let (name, length) = Name::read(&message[HEADER..]).ok_or_else(malformed)?;
        let end = HEADER + length + 4;
        let question = message.get(HEADER..end).ok_or_else(malformed)?.to_vec();
        let (Some(kind), Some(class)) = (word(end - 4), word(end - 2)) else {
            return Err(malformed());
        };
        let only_additional = word(6) == Some(0) && word(8) == Some(0) && word(10) > Some(0);
        let edns = if only_additional {
            opt(&message[end..])
        } else {
            None
        };
        Ok(Self {
            id,
            recursion: flags & RECURSION_DESIRED != 0,
            name,
            kind,
            class,
            edns,
            question,
        })
    }

    /// The message that asks it.
    pub fn to_message(&self) -> Vec<u8> {
        let flags = if self.recursion { RECURSION_DESIRED } else { 0 };
        let header = [self.id, flags, 1, 0, 0, 0].map(u16::to_be_bytes).concat();
        [header, self.question.clone()].concat()
    }

    /// How long an answer in a datagram may be.
    pub fn datagram_limit(&self) -> usize {
        self.edns.map_or(PLAIN_LIMIT, |size| {
            usize::from(size.min(DATAGRAM_LIMIT)).max(PLAIN_LIMIT)
        })
    }

    /// The message that answers the question, at most `limit` long: records that do not fit are left out, and the
    /// client is told so. The records begin with the one at `turn`, so that clients that take the first are spread.
    pub fn encode(&self, answer: &Answer, limit: usize, turn: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(PLAIN_LIMIT);
        let mut flags = RESPONSE | RECURSION_AVAILABLE | answer.rcode as u16;
        if answer.authoritative {
            flags |= AUTHORITATIVE;
        }
        if self.recursion {
            flags |= RECURSION_DESIRED;
        }
        out.extend([self.id.to_be_bytes(), flags.to_be_bytes(), 1u16.to_be_bytes()].concat());
        out.extend([0; 6]);
        out.extend(&self.question);
        let limit = limit - if self.edns.is_some() { OPT_RECORD.len() } else { 0 };
        let rotated = rotate(&answer.answers, turn);
        let mut counts = [0u16; 3];
        let sections: [&mut dyn Iterator<Item = &Record>; 3] = [
            &mut rotated.into_iter(),
            &mut answer.authority.iter(),
            &mut answer.additional.iter(),
        ];
        'sections: for (section, records) in sections.into_iter().enumerate() {
            for record in records {
                let start = out.len();
                self.write(record, &mut out);
                if out.len() > limit {
                    out.truncate(start);
                    // More about the answer may be left out without a word; the answer itself may not.
                    if section < 2 {
                        flags |= TRUNCATED;
                    }
                    break 'sections;
                }
                counts[section] += 1;
            }
        }
        if self.edns.is_some() {
            out.extend(OPT_RECORD);
            counts[2] += 1;
        }
        out[2..4].copy_from_slice(&flags.to_be_bytes());
        for (section, count) in counts.iter().enumerate() {
            out[6 + 2 * section..8 + 2 * section].copy_from_slice(&count.to_be_bytes());
        }
        out
    }

    fn write(&self, record: &Record, out: &mut Vec<u8>) {
        if record.name == self.name {
            // The name of the question, which stands right behind the header.
            out.extend([0xc0, HEADER as u8]);
        } else {
            out.extend(record.name.wire());
        }
        out.extend(record.kind.to_be_bytes());
        out.extend(1u16.to_be_bytes());
        out.extend(record.ttl.to_be_bytes());
        out.extend((record.data.len() as u16).to_be_bytes());
        out.extend(&record.data);
    }
}

/// Root name, type OPT, our datagram size, no flags, no options.
const OPT_RECORD: [u8; 11] = {
    let [high, low] = DATAGRAM_LIMIT.to_be_bytes();
    [0, 0, OPT as u8, high, low, 0, 0, 0, 0, 0, 0]
};

/// The datagram size in an OPT record, which comes first if it is there.
fn opt(additional: &[u8]) -> Option<u16> {
    match additional {
        [0, high, low, size_high, size_low, ..] if u16::from_be_bytes([*high, *low]) == OPT => {
            Some(u16::from_be_bytes([*size_high, *size_low]))
        }
        _ => None,
    }
}

/// CNAMEs stay before what they lead to.
fn rotate(records: &[Record], turn: usize) -> Vec<&Record> {
    let (aliases, mut others): (Vec<&Record>, Vec<&Record>) =
        records.iter().partition(|record| record.kind == kind::CNAME);
    if !others.is_empty() {
        let middle = turn % others.len();
        others.rotate_left(middle);
    }
    [aliases, others].concat()
}
