//! A transaction: begin, messages, end, in one send.

use crate::{
    Error, Expr,
    attr::Attrs,
    socket::{self, ACK, Answer},
};

/// Address family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet = 1,
    /// IPv4.
    Ip = 2,
    /// IPv6.
    Ip6 = 10,
}

/// What a rule or a verdict map decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Drops the packet.
    Drop,
    /// Takes it.
    Accept,
    /// Goes to a chain and comes back.
    Jump(String),
    /// Goes to a chain for good.
    Goto(String),
    /// Leaves the chain.
    Return,
}

impl Verdict {
    fn encode(&self, a: &mut Attrs<'_>) {
        let (code, chain) = match self {
            Verdict::Drop => (0, None),
            Verdict::Accept => (1, None),
            Verdict::Jump(chain) => (-3, Some(chain)),
            Verdict::Goto(chain) => (-4, Some(chain)),
            Verdict::Return => (-5, None),
        };
        a.bytes(1, &i32::to_be_bytes(code));
        if let Some(chain) = chain {
            a.text(2, chain);
        }
    }
}

/// The value of an element or a constant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Data {
    /// Bytes.
    Value(Vec<u8>),
    /// A verdict.
    Verdict(Verdict),
}

impl Data {
    pub(crate) fn encode(&self, kind: u16, a: &mut Attrs<'_>) {
        a.nested(kind, |data| match self {
            Data::Value(bytes) => {
                data.bytes(1, bytes);
            }
            Data::Verdict(verdict) => {
                data.nested(2, |v| verdict.encode(v));
            }
        });
    }
}

/// Element types of sets, as `nft` numbers them, with their length; concatenated keys pad each to four bytes.
pub mod keys {
    /// Type number and length in bytes.
    pub type Key = (u32, u32);
    /// IPv4 address.
    pub const IPV4: Key = (7, 4);
    /// IPv6 address.
    pub const IPV6: Key = (8, 16);
    /// Transport protocol.
    pub const PROTOCOL: Key = (12, 1);
    /// Port.
    pub const PORT: Key = (13, 2);
    /// A number in host byte order.
    pub const MARK: Key = (19, 4);
    /// A verdict, as the data of a map.
    pub const VERDICT: Key = (0xffff_ff00, 0);

    /// The concatenated type of `parts`.
    pub(crate) fn concat(parts: &[Key]) -> Key {
        match parts {
            [one] => *one,
            _ => parts.iter().fold((0, 0), |(kind, length), part| {
                ((kind << 6) | part.0, length + part.1.next_multiple_of(4))
            }),
        }
    }
}

/// A chain's place among the kernel's hooks.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// `filter` or `nat`.
    pub kind: &'static str,
    /// Where.
    pub hook: HookKind,
    /// Order at the hook; lower first.
    pub priority: i32,
}

/// The kernel's hooks.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum HookKind {
    /// Packets that came in, before routing.
    Prerouting = 0,
    /// Packets for this host.
    Input = 1,
    /// Packets passing through.
    Forward = 2,
    /// Packets from this host.
    Output = 3,
    /// Packets about to go out.
    Postrouting = 4,
}

/// A chain to make.
#[derive(Clone, Debug)]
pub struct Chain<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its place; `None`: only jumped to.
    pub hook: Option<Hook>,
}

/// Flags of a set.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetFlags {
    /// Rules may change it, and its elements may time out.
    pub dynamic: bool,
}

/// A set, or a map if it has data.
#[derive(Clone, Debug)]
pub struct Set<'a> {
    /// Its name.
    pub name: &'a str,
    /// Parts of the key.
    pub key: &'a [keys::Key],
    /// Parts of the value; empty: a plain set.
    pub data: &'a [keys::Key],
    /// Flags.
    pub flags: SetFlags,
}

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// The key's bytes, each part padded.
    pub key: Vec<u8>,
    /// The value in a map.
    pub data: Option<Data>,
}

const SUBSYSTEM: u16 = 10 << 8;
const BEGIN: u16 = 16;
const END: u16 = 17;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const MAP: u32 = 8;
const TIMEOUT: u32 = 16;
const EVAL: u32 = 32;
/// A nested attribute's length is 16 bits: so many bytes of elements fit in one message with room to spare.
const ELEMENTS_MAX: usize = 48 * 1024;

/// A transaction in the making, on one table.
#[derive(Debug)]
pub struct Batch {
    family: Family,
    table: String,
    bytes: Vec<u8>,
    what: Vec<String>,
    last: usize,
}

impl Batch {
    /// An empty transaction on `table`.
    pub fn new(family: Family, table: &str) -> Self {
        let mut batch = Self {
            family,
            table: table.to_owned(),
            bytes: Vec::new(),
            what: vec!["the transaction".to_owned()],
            last: 0,
        };
        let start = socket::open(&mut batch.bytes, BEGIN, 0, 0, 0, 10);
        socket::close(&mut batch.bytes, start);
        batch
    }

    /// Whether nothing was put into it.
    pub fn is_empty(&self) -> bool {
        self.what.len() == 1
    }

    /// Messages in it.
    pub fn len(&self) -> usize {
        self.what.len() - 1
    }

    fn message(
        &mut self,
        kind: u16,
        flags: u16,
        what: String,
        attributes: impl FnOnce(&str, &mut Attrs<'_>),
    ) -> &mut Self {
        let seq = self.what.len() as u32;
        self.last = socket::open(
            &mut self.bytes,
            SUBSYSTEM | kind,
            flags,
            seq,
            self.family as u8,
            0,
        );
        attributes(&self.table, &mut Attrs(&mut self.bytes));
        socket::close(&mut self.bytes, self.last);
        self.what.push(what);
        self
    }

    /// Makes the table, if it is not there.
    pub fn add_table(&mut self) -> &mut Self {
        self.message(0, CREATE, "the table".to_owned(), |table, a| {
            a.text(1, table).u32(2, 0);
        })
    }

    /// Removes the table with all that is in it; it need not be there.
    pub fn delete_table(&mut self) -> &mut Self {
        self.add_table();
        self.message(2, 0, "the table's removal".to_owned(), |table, a| {
            a.text(1, table);
        })
    }

    /// Makes a chain.
    pub fn add_chain(&mut self, chain: &Chain<'_>) -> &mut Self {
        self.message(3, CREATE, format!("chain {}", chain.name), |table, a| {
            a.text(1, table).text(3, chain.name);
            if let Some(hook) = chain.hook {
                a.nested(4, |h| {
                    h.u32(1, hook.hook as u32).bytes(2, &hook.priority.to_be_bytes());
                });
                a.u32(5, 1).text(7, hook.kind);
            }
        })
    }

    /// Removes the rules of a chain.
    pub fn flush_chain(&mut self, name: &str) -> &mut Self {
        self.message(8, 0, format!("flush of chain {name}"), |table, a| {
            a.text(1, table).text(2, name);
        })
    }

    /// Removes a chain without rules that nothing leads to.
    pub fn delete_chain(&mut self, name: &str) -> &mut Self {
        self.message(5, 0, format!("removal of chain {name}"), |table, a| {
            a.text(1, table).text(3, name);
        })
    }

    /// Appends a rule to a chain.
    pub fn add_rule(&mut self, chain: &str, expressions: &[Expr]) -> &mut Self {
        self.message(
            6,
            CREATE | APPEND,
            format!("a rule of chain {chain}: {expressions:?}"),
            |table, a| {
                a.text(1, table)
                    .text(2, chain)
                    .nested(4, |list| expressions.iter().for_each(|e| e.encode(list)));
            },
        )
    }

    /// Makes a set or map.
    pub fn add_set(&mut self, set: &Set<'_>) -> &mut Self {
        let id = self.what.len() as u32;
        let (key_type, key_length) = keys::concat(set.key);
        self.message(9, CREATE, format!("set {}", set.name), |table, a| {
            let map = if set.data.is_empty() { 0 } else { MAP };
            let dynamic = if set.flags.dynamic { EVAL | TIMEOUT } else { 0 };
            a.text(1, table)
                .text(2, set.name)
                .u32(3, map | dynamic)
                .u32(4, key_type)
                .u32(5, key_length);
            if !set.data.is_empty() {
                let (data_type, data_length) = keys::concat(set.data);
                a.u32(6, data_type);
                if data_length > 0 {
                    a.u32(7, data_length);
                }
            }
            a.u32(10, id);
            if set.flags.dynamic {
                a.nested(9, |desc| {
                    desc.u32(1, 65535);
                });
            }
        })
    }

    /// Adds elements to a set; what is there already must be equal.
    pub fn add_elements(&mut self, set: &str, elements: &[Element]) -> &mut Self {
        self.elements(12, CREATE, "elements", set, elements)
    }

    /// Removes elements of a set.
    pub fn delete_elements(&mut self, set: &str, elements: &[Element]) -> &mut Self {
        self.elements(14, 0, "removal of elements", set, elements)
    }

    fn elements(&mut self, kind: u16, flags: u16, what: &str, set: &str, elements: &[Element]) -> &mut Self {
        let mut encoded = Vec::new();
        let mut parts = Vec::new();
        for element in elements {
            if encoded.len() > ELEMENTS_MAX {
                parts.push(std::mem::take(&mut encoded));
            }
            Attrs(&mut encoded).nested(1, |e| {
                Data::Value(element.key.clone()).encode(1, e);
                if let Some(data) = &element.data {
                    data.encode(2, e);
                }
            });
        }
        parts.push(encoded);
        for part in parts.iter().filter(|part| !part.is_empty()) {
            self.message(kind, flags, format!("{what} of set {set}"), |table, a| {
                a.text(1, table)
                    .text(2, set)
                    .nested(3, |list| list.0.extend(part));
            });
        }
        self
    }

    /// Hands the transaction to the kernel, in the network namespace of the calling thread. All of it happens or
    /// nothing.
    pub fn commit(mut self) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        // Only the last message asks for an answer: errors come unasked, and thousands of answers would not fit.
        let flags = u16::from_ne_bytes([self.bytes[self.last + 6], self.bytes[self.last + 7]]) | ACK;
        self.bytes[self.last + 6..self.last + 8].copy_from_slice(&flags.to_ne_bytes());
        let start = socket::open(&mut self.bytes, END, 0, self.what.len() as u32, 0, 10);
        socket::close(&mut self.bytes, start);
        let mut acknowledged = false;
        for answer in socket::exchange(&self.bytes)? {
            if let Answer::Status { seq, errno } = answer {
                if errno != 0 {
                    let what = self.what.get(seq as usize).cloned().unwrap_or_default();
                    return Err(Error::Refused {
                        what,
                        errno: nix::Error::from_raw(errno),
                    });
                }
                acknowledged = true;
            }
        }
        if acknowledged {
            Ok(())
        } else {
            Err(Error::NoAnswer("the transaction was not acknowledged"))
        }
    }
}
