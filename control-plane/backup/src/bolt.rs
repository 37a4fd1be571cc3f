//! Reading a bbolt file, in which etcd keeps its keys: a page at a time, and trusting no number in it.

use crate::Error;
use std::{fs::File, os::unix::fs::FileExt};

const HEAD: usize = 16;
const ELEMENT: usize = 16;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const META: u16 = 4;
const BUCKET: u32 = 1;
const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// Bytes of a head with its numbers.
const META_BYTES: usize = 80;
/// How deep a tree may be; one of four levels holds more than any file.
const DEPTH: usize = 32;

/// A file that was opened.
pub struct Bolt<'a> {
    file: &'a File,
    page: usize,
    root: u64,
    pages: u64,
}

/// A bucket.
pub struct Bucket {
    /// Its name.
    pub name: Vec<u8>,
    root: Root,
}

/// Where the keys of a bucket are.
enum Root {
    Page(u64),
    /// In a page that stands where others have a value: its bytes, and where they are.
    Inline(Vec<u8>, u64),
}

/// A key and its value.
pub struct Pair<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// Where the value is in the file.
    pub at: u64,
    flags: u32,
}

type Visit<'a> = dyn FnMut(Pair<'_>) -> Result<(), Error> + 'a;

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

fn read(file: &File, at: u64, length: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; length];
    let filled = file.read_exact_at(&mut bytes, at);
    filled.map_err(|error| damaged(&format!("it cannot be read: {error}")))?;
    Ok(bytes)
}

/// Page size, root page, pages and transaction of a head, if it is whole.
fn meta(file: &File, at: usize) -> Option<(usize, u64, u64, u64)> {
    let page = read(file, at as u64, META_BYTES).ok()?;
    let is_meta = u16_at(&page, 8)? & META != 0;
    let body = page.get(HEAD..)?;
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
    /// Opens a file, of which so many bytes are pages, as its newest whole transaction left it.
    pub fn open(file: &'a File, bytes: u64) -> Result<Self, Error> {
        // The second head is at the page size, which the first says; if that is damaged, a usual one is tried.
        let first = meta(file, 0);
        let usual = [4096, 8192, 16384, 65536];
        let second = match first {
            Some((size, ..)) => meta(file, size),
            None => usual
                .into_iter()
                .find_map(|size| meta(file, size).filter(|found| found.0 == size)),
        };
        let newest = first.into_iter().chain(second).max_by_key(|found| found.3);
        let (page, root, pages, _) = newest.ok_or_else(|| damaged("it is no bbolt file"))?;
        let needed = pages.checked_mul(page as u64);
        if needed.is_none_or(|needed| needed > bytes) {
            return Err(damaged("it is cut off"));
        }
        Ok(Self {
            file,
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
    pub fn buckets(&self) -> Result<Vec<Bucket>, Error> {
        let mut buckets = Vec::new();
        self.tree(self.root, 0, &mut self.unseen(), &mut |pair| {
            if pair.flags & BUCKET == 0 {
                return Err(damaged("there is a key outside the buckets"));
            }
            let root = u64_at(pair.value, 0).ok_or_else(|| damaged("a bucket is cut off"))?;
            let root = match root {
                0 => {
                    let page = pair.value.get(HEAD..).unwrap_or_default();
                    Root::Inline(page.to_vec(), pair.at + HEAD as u64)
                }
                root => Root::Page(root),
            };
            buckets.push(Bucket {
                name: pair.key.to_vec(),
                root,
            });
            Ok(())
        })?;
        Ok(buckets)
    }

    /// Shows the keys of a bucket, in order.
    pub fn pairs(&self, bucket: &Bucket, visit: &mut Visit<'_>) -> Result<(), Error> {
        let mut last: Option<Vec<u8>> = None;
        let mut ordered = |pair: Pair<'_>| {
            if pair.flags & BUCKET != 0 {
                return Err(damaged("there is a bucket in a bucket"));
            }
            if last.as_ref().is_some_and(|last| last.as_slice() >= pair.key) {
                return Err(damaged("its keys are not in order"));
            }
            let last = last.get_or_insert_default();
            last.clear();
            last.extend_from_slice(pair.key);
            visit(pair)
        };
        match &bucket.root {
            Root::Inline(page, at) => elements(page, *at, &mut ordered),
            Root::Page(root) => self.tree(*root, 0, &mut self.unseen(), &mut ordered),
        }
    }

    /// A bit a page.
    fn unseen(&self) -> Vec<u64> {
        vec![0; usize::try_from(self.pages / 64 + 1).unwrap_or_default()]
    }

    /// A page, with those that it goes on in, and where it is.
    fn page(&self, id: u64) -> Result<(Vec<u8>, u64), Error> {
        let start = (id < self.pages)
            .then(|| id.checked_mul(self.page as u64))
            .flatten();
        let start = start.ok_or_else(|| damaged("a page is missing"))?;
        let head = read(self.file, start, HEAD)?;
        if u64_at(&head, 0) != Some(id) {
            return Err(damaged(&format!("page {id} is another one")));
        }
        let more = u64::from(u32_at(&head, 12).unwrap_or_default());
        if id + more >= self.pages {
            return Err(damaged(&format!("page {id} is cut off")));
        }
        let length = usize::try_from((more + 1) * self.page as u64).unwrap_or(usize::MAX);
        Ok((read(self.file, start, length)?, start))
    }

    fn tree(&self, id: u64, depth: usize, seen: &mut [u64], visit: &mut Visit<'_>) -> Result<(), Error> {
        let place = usize::try_from(id / 64).ok().and_then(|at| seen.get_mut(at));
        let place = place.ok_or_else(|| damaged("a page is missing"))?;
        if depth > DEPTH || *place & (1 << (id % 64)) != 0 {
            return Err(damaged(&format!("page {id} is in it twice")));
        }
        *place |= 1 << (id % 64);
        let (page, start) = self.page(id)?;
        let flags = u16_at(&page, 8).unwrap_or_default();
        if flags & LEAF != 0 {
            return elements(&page, start, visit);
        }
        if flags & BRANCH == 0 {
            return Err(damaged(&format!("page {id} is of no tree")));
        }
        for at in 0..usize::from(u16_at(&page, 10).unwrap_or_default()) {
            let child = u64_at(&page, HEAD + at * ELEMENT + 8);
            let child = child.ok_or_else(|| damaged(&format!("page {id} is cut off")))?;
            self.tree(child, depth + 1, seen, visit)?;
        }
        Ok(())
    }
}

/// Shows what is in a leaf page that begins at `start`.
fn elements(page: &[u8], start: u64, visit: &mut Visit<'_>) -> Result<(), Error> {
    let count = u16_at(page, 10).ok_or_else(|| damaged("a leaf is cut off"))?;
    for at in 0..usize::from(count) {
        let element = one(page, HEAD + at * ELEMENT, start);
        visit(element.ok_or_else(|| damaged("a leaf is cut off"))?)?;
    }
    Ok(())
}

fn one(page: &[u8], at: usize, start: u64) -> Option<Pair<'_>> {
    let numbers = [0, 4, 8, 12].map(|offset| u32_at(page, at + offset));
    let [Some(flags), Some(offset), Some(key), Some(value)] = numbers else {
        return None;
    };
    let first = at.checked_add(offset as usize)?;
    let middle = first.checked_add(key as usize)?;
    let end = middle.checked_add(value as usize)?;
    Some(Pair {
        key: page.get(first..middle)?,
        value: page.get(middle..end)?,
        at: start + middle as u64,
        flags,
    })
}
