//! Writing a bbolt file as its elements come: pages of 4 KiB, a tree per bucket, filled from its leaves up. What comes first
//! in the file is known last; so it is laid out once by the lengths of the values alone, and then written.
//!
//! ```text
//! page     0  8  its number        8  2  flags: 1 branch, 2 leaf, 4 meta, 16 free list
//!         10  2  elements         12  4  pages more than this one that it goes on
//! leaf    16 16  each: flags (1: a bucket), offset from here to the key, key length, value length
//! branch  16 16  each: offset from here to the key, key length, page (8)
//! meta    16     magic, version, page size, flags, root page (8), sequence (8), free list (8), pages (8),
//!                transaction (8), FNV-1a of all that (8)
//! ```
//!
//! A bucket is a value of the root: its root page and sequence.

const PAGE: usize = 4096;
const HEAD: usize = 16;
const ELEMENT: usize = 16;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const META: u16 = 4;
const FREE_LIST: u16 = 16;
const BUCKET: u32 = 1;
const MAGIC: u32 = 0xED0C_DAED;
/// Room of a page that is used: the rest is for what comes later.
const FILL: usize = PAGE / 2;

/// The pages that come before the trees: two heads and the free list.
const FIRST: u64 = 3;

/// A value: its bytes, or only how many they are.
pub trait Value {
    /// Whether the bytes are known.
    const KNOWN: bool;
    /// Of bytes.
    fn of(bytes: Vec<u8>) -> Self;
    /// How many bytes there are.
    fn length(&self) -> usize;
    /// The bytes, if they are known.
    fn bytes(&self) -> &[u8];
}

impl Value for usize {
    const KNOWN: bool = false;

    fn of(bytes: Vec<u8>) -> Self {
        bytes.len()
    }

    fn length(&self) -> usize {
        *self
    }

    fn bytes(&self) -> &[u8] {
        &[]
    }
}

impl Value for Vec<u8> {
    const KNOWN: bool = true;

    fn of(bytes: Vec<u8>) -> Self {
        bytes
    }

    fn length(&self) -> usize {
        self.len()
    }

    fn bytes(&self) -> &[u8] {
        self
    }
}

/// What a file is, once all of it was laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    root: u64,
    pages: u64,
}

impl Layout {
    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.pages * PAGE as u64
    }

    /// What comes first in the file.
    pub fn head(&self) -> Vec<u8> {
        let mut bytes = vec![0; FIRST as usize * PAGE];
        for number in 0..2 {
            let page = &mut bytes[number as usize * PAGE..];
            head(page, number, META, 0, 0);
            let meta = self.meta(number);
            page[HEAD..HEAD + meta.len()].copy_from_slice(&meta);
        }
        head(&mut bytes[2 * PAGE..], 2, FREE_LIST, 0, 0);
        bytes
    }

    fn meta(&self, number: u64) -> Vec<u8> {
        let mut meta = Vec::new();
        for part in [MAGIC, 2, PAGE as u32, 0] {
            meta.extend(part.to_le_bytes());
        }
        // Root page and sequence, free list, pages, transaction.
        for part in [self.root, 0, 2, self.pages, number] {
            meta.extend(part.to_le_bytes());
        }
        let sum = meta.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        meta.extend(sum.to_le_bytes());
        meta
    }
}

/// What an element leads to.
enum Below<V> {
    Value(V),
    Page(u64),
}

struct Element<V> {
    key: Vec<u8>,
    below: Below<V>,
}

impl<V: Value> Element<V> {
    fn length(&self) -> usize {
        let value = match &self.below {
            Below::Value(value) => value.length(),
            Below::Page(_) => 0,
        };
        ELEMENT + self.key.len() + value
    }
}

/// A level of a tree: what is in none of its pages yet.
struct Level<V> {
    elements: Vec<Element<V>>,
    /// Bytes of them, or of those behind the cut.
    bytes: usize,
    /// So many of them will be a page, when two more have come.
    cut: Option<usize>,
}

impl<V> Default for Level<V> {
    fn default() -> Self {
        Self {
            elements: Vec::new(),
            bytes: 0,
            cut: None,
        }
    }
}

impl<V: Value> Level<V> {
    /// Takes an element; gives those that are a page now. A page has two elements or more, as far as there are so many.
    fn push(&mut self, element: Element<V>) -> Option<Vec<Element<V>>> {
        self.bytes += element.length();
        self.elements.push(element);
        let page = match self.cut {
            Some(cut) if self.elements.len() >= cut + 2 => {
                let rest = self.elements.split_off(cut);
                self.bytes = rest.iter().map(Element::length).sum();
                self.cut = None;
                Some(std::mem::replace(&mut self.elements, rest))
            }
            _ => None,
        };
        if self.cut.is_none() && self.bytes > FILL && self.elements.len() >= 2 {
            self.cut = Some(self.elements.len());
        }
        page
    }
}

/// Writes a file: buckets in order, their keys in order.
pub struct Writer<V> {
    /// The number of the next page.
    next: u64,
    /// Pages that are done and were not taken.
    out: Vec<u8>,
    levels: Vec<Level<V>>,
    buckets: Vec<(Vec<u8>, u64)>,
}

impl<V: Value> Default for Writer<V> {
    fn default() -> Self {
        Self {
            next: FIRST,
            out: Vec::new(),
            levels: Vec::new(),
            buckets: Vec::new(),
        }
    }
}

impl<V: Value> Writer<V> {
    /// A key of the bucket that is next.
    pub fn pair(&mut self, key: Vec<u8>, value: V) {
        let below = Below::Value(value);
        self.push(0, Element { key, below }, 0);
    }

    /// Ends a bucket.
    pub fn bucket(&mut self, name: &[u8]) {
        let root = self.tree(0);
        self.buckets.push((name.to_vec(), root));
    }

    /// Appends the pages that were made since this was asked before.
    pub fn take_into(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.out);
    }

    /// Ends the file.
    pub fn finish(&mut self) -> Layout {
        for (name, root) in std::mem::take(&mut self.buckets) {
            let mut value = root.to_le_bytes().to_vec();
            value.extend(0u64.to_le_bytes());
            let below = Below::Value(V::of(value));
            self.push(0, Element { key: name, below }, BUCKET);
        }
        let root = self.tree(BUCKET);
        Layout {
            root,
            pages: self.next,
        }
    }

    fn push(&mut self, at: usize, element: Element<V>, flags: u32) {
        if self.levels.len() == at {
            self.levels.push(Level::default());
        }
        if let Some(page) = self.levels[at].push(element) {
            self.page(at, page, flags);
        }
    }

    /// Ends a tree; its root page.
    fn tree(&mut self, flags: u32) -> u64 {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let mut at = 0;
        loop {
            let rest = std::mem::take(&mut self.levels[at].elements);
            let is_top = at + 1 == self.levels.len();
            if let (
                [
                    Element {
                        below: Below::Page(root),
                        ..
                    },
                ],
                true,
            ) = (rest.as_slice(), is_top)
            {
                let root = *root;
                self.levels.clear();
                return root;
            }
            self.page(at, rest, flags);
            at += 1;
        }
    }

    /// Writes a page of a level, and leads to it from the level above.
    fn page(&mut self, at: usize, elements: Vec<Element<V>>, flags: u32) {
        let number = self.next;
        let length = HEAD + elements.iter().map(Element::length).sum::<usize>();
        let size = length.next_multiple_of(PAGE);
        self.next += (size / PAGE) as u64;
        if V::KNOWN {
            let kind = if at == 0 { LEAF } else { BRANCH };
            let start = self.out.len();
            self.out.resize(start + size, 0);
            let page = &mut self.out[start..];
            head(
                page,
                number,
                kind,
                elements.len() as u16,
                (size / PAGE - 1) as u32,
            );
            fill(&mut page[HEAD..length], &elements, flags);
        }
        let key = elements.into_iter().next().map_or(Vec::new(), |first| first.key);
        let below = Below::Page(number);
        self.push(at + 1, Element { key, below }, flags);
    }
}

/// Writes what stands in a page behind its head.
fn fill<V: Value>(page: &mut [u8], elements: &[Element<V>], flags: u32) {
    let mut data = elements.len() * ELEMENT;
    for (at, element) in elements.iter().enumerate() {
        let (offset, key) = ((data - at * ELEMENT) as u32, element.key.len() as u32);
        let mut facts = Vec::with_capacity(ELEMENT);
        let mut put = |number: u32| facts.extend(number.to_le_bytes());
        match &element.below {
            Below::Value(value) => [flags, offset, key, value.length() as u32].map(&mut put),
            Below::Page(page) => [offset, key, *page as u32, (*page >> 32) as u32].map(&mut put),
        };
        page[at * ELEMENT..][..ELEMENT].copy_from_slice(&facts);
        let mut add = |bytes: &[u8]| {
            page[data..][..bytes.len()].copy_from_slice(bytes);
            data += bytes.len();
        };
        add(&element.key);
        if let Below::Value(value) = &element.below {
            add(value.bytes());
        }
    }
}

fn head(page: &mut [u8], number: u64, flags: u16, count: u16, more: u32) {
    page[..8].copy_from_slice(&number.to_le_bytes());
    page[8..10].copy_from_slice(&flags.to_le_bytes());
    page[10..12].copy_from_slice(&count.to_le_bytes());
    page[12..16].copy_from_slice(&more.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written<V: Value>(sizes: impl Iterator<Item = usize>) -> (Layout, Vec<u8>) {
        let mut writer = Writer::<V>::default();
        for (at, size) in sizes.enumerate() {
            writer.pair((at as u32).to_be_bytes().to_vec(), V::of(vec![b'x'; size]));
        }
        writer.bucket(b"key");
        writer.bucket(b"none");
        let (layout, mut out) = (writer.finish(), Vec::new());
        writer.take_into(&mut out);
        (layout, out)
    }

    #[test]
    fn what_is_laid_out_is_what_is_written() {
        for sizes in [
            vec![],
            vec![7],
            vec![4000; 7],
            vec![100; 50_000],
            vec![0, 90_000, 1, 1, 3000],
        ] {
            let (planned, nothing) = written::<usize>(sizes.iter().copied());
            let (layout, trees) = written::<Vec<u8>>(sizes.iter().copied());
            assert_eq!((planned, nothing.len()), (layout, 0));
            let head = layout.head();
            assert_eq!(head.len() + trees.len(), layout.bytes() as usize);
            assert_eq!(layout.bytes() % PAGE as u64, 0);
            for page in 0..2 {
                assert_eq!(head[page * PAGE + HEAD..][..4], MAGIC.to_le_bytes());
            }
        }
    }

    #[test]
    fn pages_have_two_elements_or_more() {
        let mut level = Level::default();
        let mut pages = Vec::new();
        for at in 0..7u8 {
            let below = Below::Value(4000usize);
            let page = level.push(Element { key: vec![at], below });
            pages.extend(page.map(|page| page.len()));
        }
        assert_eq!((pages, level.elements.len()), (vec![2, 2], 3));
    }
}
