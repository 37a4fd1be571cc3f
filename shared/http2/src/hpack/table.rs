//! The tables of HPACK: what is known from the beginning, and what a connection adds.

use std::collections::VecDeque;

/// RFC 7541, appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
/// Entries that are known from the beginning.
pub const KNOWN: usize = STATIC.len();
/// Bytes that an entry counts beside its texts.
const ENTRY: usize = 32;
/// Bytes that a table holds unless something else is agreed.
pub const USUAL: usize = 4096;

/// A field that the connection added: its name and its value, one after the other.
struct Entry {
    text: Box<[u8]>,
    name: usize,
}

impl Entry {
    fn size(&self) -> usize {
        self.text.len() + ENTRY
    }
}

/// What one side has told the other.
pub struct Table {
    entries: VecDeque<Entry>,
    size: usize,
    most: usize,
    changes: u64,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            most: USUAL,
            changes: 0,
        }
    }
}

impl Table {
    /// The field of a number.
    pub fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        if let Some((name, value)) = STATIC.get(index.checked_sub(1)?) {
            return Some((name.as_bytes(), value.as_bytes()));
        }
        let entry = self.entries.get(index - 1 - KNOWN)?;
        Some(entry.text.split_at(entry.name))
    }

    /// Adds a field; one that is larger than the table empties it.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        let entry = Entry {
            text: [name, value].concat().into(),
            name: name.len(),
        };
        self.changes += 1;
        self.size += entry.size();
        self.entries.push_front(entry);
        self.evict();
    }

    /// From now on it holds so many bytes.
    pub fn resize(&mut self, most: usize) {
        self.most = most;
        self.changes += 1;
        self.evict();
    }

    /// How often it was changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Bytes that it holds.
    #[cfg(test)]
    pub fn size(&self) -> usize {
        self.size
    }

    fn evict(&mut self) {
        while self.size > self.most
            && let Some(oldest) = self.entries.pop_back()
        {
            self.size -= oldest.size();
        }
    }
}
