//! The pages of a database: of its file, or newer ones of its write-ahead log.

use super::damaged;
use crate::Error;
use std::{collections::BTreeMap, ffi::OsString, fs, io, path::Path};

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// What text is in that is not in UTF-16.
const UTF8: u32 = 1;
const LOG_HEAD: usize = 32;
const FRAME_HEAD: usize = 24;
/// A log of numbers of which the lowest byte comes first, else the highest.
const LOG_LITTLE: u32 = 0x377f_0682;
const LOG_BIG: u32 = 0x377f_0683;

/// All pages.
#[derive(Debug)]
pub struct Pages {
    file: Vec<u8>,
    log: Vec<u8>,
    size: usize,
    reserved: usize,
    count: u32,
    /// Where the newest committed form of a page is in the log.
    newer: BTreeMap<u32, usize>,
}

fn beside(path: &Path, more: &str) -> Result<Vec<u8>, Error> {
    let mut name = OsString::from(path);
    name.push(more);
    let path = Path::new(&name);
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(Error::io(path)),
    }
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    let number = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    number.map_or(0, u32::from_be_bytes)
}

impl Pages {
    /// Reads them all.
    pub fn open(path: &Path) -> Result<Self, Error> {
        // The log first: what is moved into the file meanwhile is in both.
        let log = beside(path, "-wal")?;
        if beside(path, "-journal")?.iter().any(|byte| *byte != 0) {
            let why = "it has a journal of a transaction that was not finished: let SQLite open it once";
            return Err(Error::Refused(format!("{}: {why}", path.display())));
        }
        let file = fs::read(path).map_err(Error::io(path))?;
        let log_size = be32(&log, 8) as usize;
        let only_in_log = file.is_empty() && log_size > 0;
        if !file.starts_with(MAGIC) && !only_in_log {
            return Err(Error::Damaged(format!(
                "{} is no SQLite database",
                path.display()
            )));
        }
        let mut pages = Self {
            size: log_size,
            reserved: 0,
            count: 0,
            newer: BTreeMap::new(),
            file,
            log,
        };
        if !pages.file.is_empty() {
            let size = u16::from_be_bytes([pages.file[16], *pages.file.get(17).unwrap_or(&0)]);
            pages.size = if size == 1 { 65536 } else { usize::from(size) };
            pages.check_size()?;
            pages.count =
                u32::try_from(pages.file.len() / pages.size).map_err(|_| damaged("it is too large"))?;
        }
        pages.check_size()?;
        pages.follow_log();
        let first = pages.page(1)?;
        let (reserved, encoding) = (usize::from(first[20]), be32(first, 56));
        if encoding != UTF8 {
            return Err(damaged("its text is not in UTF-8"));
        }
        // How many pages there are, if those who wrote it last knew that they have to say so.
        let (said, is_known) = (be32(first, 28), be32(first, 24) == be32(first, 92));
        if is_known && said > pages.count {
            return Err(damaged("it is cut off"));
        }
        pages.reserved = reserved;
        if pages.usable() < 480 {
            return Err(damaged("its pages have no room"));
        }
        Ok(pages)
    }

    fn check_size(&self) -> Result<(), Error> {
        match self.size.is_power_of_two() && (512..=65536).contains(&self.size) {
            true => Ok(()),
            false => Err(damaged(format!("its pages cannot have {} bytes", self.size))),
        }
    }

    /// Finds the frames of the log that belong to finished transactions.
    fn follow_log(&mut self) {
        let magic = be32(&self.log, 0);
        let is_log = [LOG_LITTLE, LOG_BIG].contains(&magic) && be32(&self.log, 8) as usize == self.size;
        let mut sum = Sum {
            big: magic == LOG_BIG,
            pair: (0, 0),
        };
        if !is_log || self.log.len() < LOG_HEAD {
            return;
        }
        sum.add(&self.log[..24]);
        if sum.pair != (be32(&self.log, 24), be32(&self.log, 28)) {
            return;
        }
        let salt = &self.log[16..24];
        let mut open = BTreeMap::new();
        for (at, frame) in self.log[LOG_HEAD..]
            .chunks_exact(FRAME_HEAD + self.size)
            .enumerate()
        {
            sum.add(&frame[..8]);
            sum.add(&frame[FRAME_HEAD..]);
            let whole = sum.pair == (be32(frame, 16), be32(frame, 20));
            if &frame[8..16] != salt || !whole {
                break;
            }
            let start = LOG_HEAD + at * (FRAME_HEAD + self.size) + FRAME_HEAD;
            open.insert(be32(frame, 0), start);
            let pages = be32(frame, 4);
            if pages != 0 {
                self.newer.append(&mut open);
                self.count = pages;
            }
        }
    }

    /// A page; the first has the number 1.
    pub fn page(&self, id: u32) -> Result<&[u8], Error> {
        let missing = || damaged(format!("page {id} is missing"));
        if id == 0 || id > self.count {
            return Err(missing());
        }
        let (bytes, start) = match self.newer.get(&id) {
            Some(start) => (&self.log, *start),
            None => (&self.file, (id as usize - 1) * self.size),
        };
        bytes.get(start..start + self.size).ok_or_else(missing)
    }

    /// Bytes of a page that SQLite uses.
    pub fn usable(&self) -> usize {
        self.size - self.reserved
    }

    /// Bytes of all pages.
    pub fn bytes(&self) -> usize {
        self.count as usize * self.size
    }
}

/// The checksum of the log.
struct Sum {
    big: bool,
    pair: (u32, u32),
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        for two in bytes.chunks_exact(8) {
            let number = |at: usize| {
                let four = [two[at], two[at + 1], two[at + 2], two[at + 3]];
                if self.big {
                    u32::from_be_bytes(four)
                } else {
                    u32::from_le_bytes(four)
                }
            };
            let (first, second) = (number(0), number(4));
            self.pair.0 = self.pair.0.wrapping_add(first).wrapping_add(self.pair.1);
            self.pair.1 = self.pair.1.wrapping_add(second).wrapping_add(self.pair.0);
        }
    }
}
