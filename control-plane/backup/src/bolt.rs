//! Reading a bbolt file, in which etcd keeps its keys: whole, in memory, and trusting no number in it.

use crate::Error;
use std::collections::BTreeSet;

const HEAD: usize = 16;
const ELEMENT: usize = 16;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const META: u16 = 4;
const BUCKET: u32 = 1;
const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// How deep a tree may be; one of four levels holds more than any file.
const DEPTH: usize = 32;

/// A file that was opened.
pub struct Bolt<'a> {
    bytes: &'a [u8],
    page: usize,
    root: u64,
    pages: u64,
}

/// A bucket: its name, and its keys and values in order.
pub type Bucket<'a> = (&'a [u8], Vec<(&'a [u8], &'a [u8])>);

fn damaged(why: &str) -> Error {
    Error::Damaged(format!("the snapshot is damaged: {why}"))
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    number(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    number(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at).map(u64::from_le_bytes)
}

/// Page size, root page, pages and transaction of a meta page, if it is whole.
fn meta(bytes: &[u8], at: usize) -> Option<(usize, u64, u64, u64)> {
    let page = bytes.get(at..)?;
    let is_meta = u16_at(page, 8)? & META != 0;
    let body = page.get(HEAD..HEAD + 64)?;
    let sum = body[..56].iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let whole =
        is_meta && u32_at(body, 0)? == MAGIC && u32_at(body, 4)? == VERSION && u64_at(body, 56)? == sum;
    let size = u32_at(body, 8)? as usize;
    let facts = (size, u64_at(body, 16)?, u64_at(body, 40)?, u64_at(body, 48)?);
    (whole && size.is_power_of_two() && size >= 512).then_some(facts)
}

impl<'a> Bolt<'a> {
    /// Opens a file, as its newest whole transaction left it.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        // The second meta page is at the page size, which the first says; if that is damaged, a usual one is tried.
        let first = meta(bytes, 0);
        let usual = [4096, 8192, 16384, 65536];
        let second = match first {
            Some((size, ..)) => meta(bytes, size),
            None => usual
                .into_iter()
                .find_map(|size| meta(bytes, size).filter(|found| found.0 == size)),
        };
        let newest = first.into_iter().chain(second).max_by_key(|found| found.3);
        let (page, root, pages, _) = newest.ok_or_else(|| damaged("it is no bbolt file"))?;
        let needed = pages.checked_mul(page as u64);
        if needed.is_none_or(|needed| needed > bytes.len() as u64) {
            return Err(damaged("it is cut off"));
        }
        Ok(Self {
            bytes,
            page,
            root,
            pages,
        })
    }

    /// Bytes of all its pages.
    pub fn size(&self) -> u64 {
        self.pages * self.page as u64
    }

    /// All buckets, in order.
    pub fn buckets(&self) -> Result<Vec<Bucket<'a>>, Error> {
        let mut seen = BTreeSet::new();
        let mut roots = Vec::new();
        self.tree(self.root, 0, &mut seen, &mut roots)?;
        let mut buckets = Vec::new();
        for (flags, name, value) in roots {
            if flags & BUCKET == 0 {
                return Err(damaged("there is a key outside the buckets"));
            }
            let root = u64_at(value, 0).ok_or_else(|| damaged("a bucket is cut off"))?;
            let mut found = Vec::new();
            match root {
                0 => elements(value.get(HEAD..).unwrap_or_default(), &mut found)?,
                root => self.tree(root, 0, &mut seen, &mut found)?,
            }
            if found.iter().any(|(flags, ..)| flags & BUCKET != 0) {
                return Err(damaged("there is a bucket in a bucket"));
            }
            if !found.is_sorted_by(|one, next| one.1 < next.1) {
                return Err(damaged("its keys are not in order"));
            }
            buckets.push((
                name,
                found.into_iter().map(|(_, key, value)| (key, value)).collect(),
            ));
        }
        Ok(buckets)
    }

    /// A page, with those that it goes on in.
    fn page(&self, id: u64) -> Result<&'a [u8], Error> {
        let start = usize::try_from(id).ok().and_then(|id| id.checked_mul(self.page));
        let start = start
            .filter(|_| id < self.pages)
            .ok_or_else(|| damaged("a page is missing"))?;
        let page = self.bytes.get(start..).unwrap_or_default();
        if u64_at(page, 0) != Some(id) {
            return Err(damaged(&format!("page {id} is another one")));
        }
        let more = u32_at(page, 12).unwrap_or_default() as usize;
        let length = more.checked_add(1).and_then(|count| count.checked_mul(self.page));
        length
            .and_then(|length| page.get(..length))
            .ok_or_else(|| damaged(&format!("page {id} is cut off")))
    }

    fn tree(
        &self,
        id: u64,
        depth: usize,
        seen: &mut BTreeSet<u64>,
        found: &mut Vec<(u32, &'a [u8], &'a [u8])>,
    ) -> Result<(), Error> {
        if depth > DEPTH || !seen.insert(id) {
            return Err(damaged(&format!("page {id} is in it twice")));
        }
        let page = self.page(id)?;
        let flags = u16_at(page, 8).unwrap_or_default();
        if flags & LEAF != 0 {
            return elements(page, found);
        }
        if flags & BRANCH == 0 {
            return Err(damaged(&format!("page {id} is of no tree")));
        }
        for at in 0..usize::from(u16_at(page, 10).unwrap_or_default()) {
            let child = u64_at(page, HEAD + at * ELEMENT + 8);
            let child = child.ok_or_else(|| damaged(&format!("page {id} is cut off")))?;
            self.tree(child, depth + 1, seen, found)?;
        }
        Ok(())
    }
}

/// The flags, keys and values of a leaf page.
fn elements<'a>(page: &'a [u8], found: &mut Vec<(u32, &'a [u8], &'a [u8])>) -> Result<(), Error> {
    let count = u16_at(page, 10).ok_or_else(|| damaged("a leaf is cut off"))?;
    for at in 0..usize::from(count) {
        let element = one(page, HEAD + at * ELEMENT);
        found.push(element.ok_or_else(|| damaged("a leaf is cut off"))?);
    }
    Ok(())
}

fn one(page: &[u8], at: usize) -> Option<(u32, &[u8], &[u8])> {
    let numbers = [0, 4, 8, 12].map(|offset| u32_at(page, at + offset));
    let [Some(flags), Some(offset), Some(key), Some(value)] = numbers else {
        return None;
    };
    let start = at.checked_add(offset as usize)?;
    let middle = start.checked_add(key as usize)?;
    let end = middle.checked_add(value as usize)?;
    Some((flags, page.get(start..middle)?, page.get(middle..end)?))
}
