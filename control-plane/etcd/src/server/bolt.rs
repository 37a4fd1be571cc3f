//! Writing a bbolt file, whole: pages of 4 KiB, a tree per bucket, filled from its leaves up.
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

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

struct Writer {
    bytes: Vec<u8>,
}

/// The file of these buckets; buckets and keys in order.
pub fn file(buckets: &[(Vec<u8>, Vec<Pair>)]) -> Vec<u8> {
    let mut writer = Writer {
        // Two meta pages and the free list come first.
        bytes: vec![0; 3 * PAGE],
    };
    let mut roots = Vec::new();
    for (name, pairs) in buckets {
        let root = writer.tree(pairs, 0);
        let mut value = root.to_le_bytes().to_vec();
        value.extend(0u64.to_le_bytes());
        roots.push((name.clone(), value));
    }
    let root = writer.tree(&roots, BUCKET);
    let pages = (writer.bytes.len() / PAGE) as u64;
    for number in 0..2 {
        writer.meta(number, root, pages);
    }
    head(&mut writer.bytes[2 * PAGE..], 2, FREE_LIST, 0, 0);
    writer.bytes
}

impl Writer {
    /// Writes a tree; its root page.
    fn tree(&mut self, pairs: &[Pair], flags: u32) -> u64 {
        let sizes = |pair: &Pair| ELEMENT + pair.0.len() + pair.1.len();
        let mut level: Vec<(Vec<u8>, u64)> = Vec::new();
        for part in parts(pairs, sizes) {
            level.push((
                part.first().map_or(Vec::new(), |pair| pair.0.clone()),
                self.leaf(part, flags),
            ));
        }
        while level.len() > 1 {
            let sizes = |child: &(Vec<u8>, u64)| ELEMENT + child.0.len();
            let mut above = Vec::new();
            for part in parts(&level, sizes) {
                above.push((part[0].0.clone(), self.branch(part)));
            }
            level = above;
        }
        level.first().map_or(0, |root| root.1)
    }

    fn leaf(&mut self, pairs: &[Pair], flags: u32) -> u64 {
        let mut elements = Vec::new();
        let mut data = Vec::new();
        for (at, (key, value)) in pairs.iter().enumerate() {
            let offset = (pairs.len() - at) * ELEMENT + data.len();
            for number in [flags, offset as u32, key.len() as u32, value.len() as u32] {
                elements.extend(number.to_le_bytes());
            }
            data.extend_from_slice(key);
            data.extend_from_slice(value);
        }
        self.page(LEAF, pairs.len(), &elements, &data)
    }

    fn branch(&mut self, children: &[(Vec<u8>, u64)]) -> u64 {
        let mut elements = Vec::new();
        let mut data = Vec::new();
        for (at, (key, page)) in children.iter().enumerate() {
            let offset = (children.len() - at) * ELEMENT + data.len();
            for number in [offset as u32, key.len() as u32] {
                elements.extend(number.to_le_bytes());
            }
            elements.extend(page.to_le_bytes());
            data.extend_from_slice(key);
        }
        self.page(BRANCH, children.len(), &elements, &data)
    }

    fn page(&mut self, flags: u16, count: usize, elements: &[u8], data: &[u8]) -> u64 {
        let start = self.bytes.len();
        let number = (start / PAGE) as u64;
        let size = (HEAD + elements.len() + data.len()).next_multiple_of(PAGE);
        self.bytes.resize(start + size, 0);
        let page = &mut self.bytes[start..];
        head(page, number, flags, count as u16, (size / PAGE - 1) as u32);
        page[HEAD..HEAD + elements.len()].copy_from_slice(elements);
        page[HEAD + elements.len()..][..data.len()].copy_from_slice(data);
        number
    }

    fn meta(&mut self, number: u64, root: u64, pages: u64) {
        let page = &mut self.bytes[number as usize * PAGE..];
        head(page, number, META, 0, 0);
        let mut meta = Vec::new();
        for part in [MAGIC, 2, PAGE as u32, 0] {
            meta.extend(part.to_le_bytes());
        }
        // Root page and sequence, free list, pages, transaction.
        for part in [root, 0, 2, pages, number] {
            meta.extend(part.to_le_bytes());
        }
        let sum = meta.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        meta.extend(sum.to_le_bytes());
        page[HEAD..HEAD + meta.len()].copy_from_slice(&meta);
    }
}

fn head(page: &mut [u8], number: u64, flags: u16, count: u16, more: u32) {
    page[..8].copy_from_slice(&number.to_le_bytes());
    page[8..10].copy_from_slice(&flags.to_le_bytes());
    page[10..12].copy_from_slice(&count.to_le_bytes());
    page[12..16].copy_from_slice(&more.to_le_bytes());
}

/// Parts that fill about a page each, of at least two elements as far as there are so many; one empty part of nothing.
fn parts<T>(all: &[T], size: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut found, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, one) in all.iter().enumerate() {
        bytes += size(one);
        if bytes > FILL && at + 1 - start >= 2 && all.len() - (at + 1) >= 2 {
            found.push(&all[start..=at]);
            (start, bytes) = (at + 1, 0);
        }
    }
    found.push(&all[start..]);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_two_elements_or_more() {
        let all = [4000usize; 7];
        let sizes: Vec<usize> = parts(&all, |size| *size).iter().map(|part| part.len()).collect();
        assert_eq!(sizes, [2, 2, 3]);
        assert_eq!(parts(&[] as &[usize], |size| *size).len(), 1);
    }

    #[test]
    fn a_file_is_whole_pages_with_two_heads() {
        let pairs: Vec<Pair> = (0..500u32)
            .map(|n| (n.to_be_bytes().to_vec(), vec![b'x'; 100]))
            .collect();
        let bytes = file(&[(b"key".to_vec(), pairs)]);
        assert_eq!(bytes.len() % PAGE, 0);
        for page in 0..2 {
            assert_eq!(bytes[page * PAGE + HEAD..][..4], MAGIC.to_le_bytes());
        }
    }
}
