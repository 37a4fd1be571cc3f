//! The pages of a database: of its file, or newer ones of its write-ahead log. Each is read when it is asked for; the kernel
//! keeps those that are asked for again.

use super::damaged;
use crate::Error;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Bytes of the head of the file, which begins the first page.
const HEAD: usize = 100;
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
    file: File,
    log: Option<File>,
    size: usize,
    reserved: usize,
    count: u32,
    /// Where the newest committed form of a page is in the log.
    newer: BTreeMap<u32, u64>,
    path: PathBuf,
    /// What was there when reading began.
    begun: Mark,
}

/// By what it shows that somebody wrote to what was read already; what is only added to the log does not show.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    bytes: u64,
    written: Option<SystemTime>,
    log: Vec<u8>,
}

/// The file of that ending, if it is there.
fn beside(path: &Path, more: &str) -> Result<Option<File>, Error> {
    let mut name = OsString::from(path);
    name.push(more);
    let path = Path::new(&name);
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some).map_err(Error::io(path)),
    }
}

/// As many bytes as there are, and at most so many.
fn up_to(file: &File, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let there = file.metadata()?.len().saturating_sub(at);
    let mut bytes = vec![0; length.min(usize::try_from(there).unwrap_or(usize::MAX))];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    let number = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    number.map_or(0, u32::from_be_bytes)
}

/// Whether a transaction is in the journal that was not finished: its head is no zeros then.
fn is_hot(journal: &File) -> io::Result<bool> {
    Ok(up_to(journal, 0, 512)?.iter().any(|byte| *byte != 0))
}

impl Mark {
    fn of(path: &Path, log: Option<&File>) -> Result<Self, Error> {
        let read = || {
            let found = fs::metadata(path)?;
            let log = log.map_or(Ok(Vec::new()), |log| up_to(log, 0, LOG_HEAD))?;
            Ok(Self {
                bytes: found.len(),
                written: found.modified().ok(),
                log,
            })
        };
        read().map_err(Error::io(path))
    }
}

impl Pages {
    /// Finds them all.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let log = beside(path, "-wal")?;
        let begun = Mark::of(path, log.as_ref())?;
        let journal = beside(path, "-journal")?;
        if journal.is_some_and(|journal| is_hot(&journal).unwrap_or(true)) {
            let why = "it has a journal of a transaction that was not finished: let SQLite open it once";
            return Err(Error::Refused(format!("{}: {why}", path.display())));
        }
        let file = File::open(path).map_err(Error::io(path))?;
        let head = up_to(&file, 0, HEAD).map_err(Error::io(path))?;
        let log_size = be32(&begun.log, 8) as usize;
        let only_in_log = head.is_empty() && log_size > 0;
        if !head.starts_with(MAGIC) && !only_in_log {
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
            path: path.to_owned(),
            file,
            log,
            begun,
        };
        if !head.is_empty() {
            let size = u16::from_be_bytes([head[16], *head.get(17).unwrap_or(&0)]);
            pages.size = if size == 1 { 65536 } else { usize::from(size) };
            pages.check_size()?;
            pages.count = u32::try_from(pages.begun.bytes / pages.size as u64)
                .map_err(|_| damaged("it is too large"))?;
        }
        pages.check_size()?;
        pages.follow_log().map_err(Error::io(path))?;
        let first = pages.page(1)?;
        let (reserved, encoding) = (usize::from(first[20]), be32(&first, 56));
        if encoding != UTF8 {
            return Err(damaged("its text is not in UTF-8"));
        }
        // How many pages there are, if those who wrote it last knew that they have to say so.
        let (said, is_known) = (be32(&first, 28), be32(&first, 24) == be32(&first, 92));
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
    fn follow_log(&mut self) -> io::Result<()> {
        let head = &self.begun.log;
        let magic = be32(head, 0);
        let is_log = [LOG_LITTLE, LOG_BIG].contains(&magic) && be32(head, 8) as usize == self.size;
        let mut sum = Sum {
            big: magic == LOG_BIG,
            pair: (0, 0),
        };
        let Some(log) = self.log.as_ref().filter(|_| is_log && head.len() == LOG_HEAD) else {
            return Ok(());
        };
        sum.add(&head[..24]);
        if sum.pair != (be32(head, 24), be32(head, 28)) {
            return Ok(());
        }
        let salt = &head[16..24];
        let mut open = BTreeMap::new();
        let mut frame = vec![0; FRAME_HEAD + self.size];
        let (mut at, end) = (LOG_HEAD as u64, log.metadata()?.len());
        while at + frame.len() as u64 <= end {
            log.read_exact_at(&mut frame, at)?;
            sum.add(&frame[..8]);
            sum.add(&frame[FRAME_HEAD..]);
            let whole = sum.pair == (be32(&frame, 16), be32(&frame, 20));
            if &frame[8..16] != salt || !whole {
                break;
            }
            open.insert(be32(&frame, 0), at + FRAME_HEAD as u64);
            let pages = be32(&frame, 4);
            if pages != 0 {
                self.newer.append(&mut open);
                self.count = pages;
            }
            at += frame.len() as u64;
        }
        Ok(())
    }

    /// A page; the first has the number 1.
    pub fn page(&self, id: u32) -> Result<Vec<u8>, Error> {
        let missing = || damaged(format!("page {id} is missing"));
        if id == 0 || id > self.count {
            return Err(missing());
        }
        let mut page = vec![0; self.size];
        let read = match (self.newer.get(&id), &self.log) {
            (Some(start), Some(log)) => log.read_exact_at(&mut page, *start),
            _ => self
                .file
                .read_exact_at(&mut page, u64::from(id - 1) * self.size as u64),
        };
        match read {
            Ok(()) => Ok(page),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(missing()),
            Err(error) => Err(Error::io(&self.path)(error)),
        }
    }

    /// An error if what was read is no longer what is there.
    pub fn check_unchanged(&self) -> Result<(), Error> {
        if Mark::of(&self.path, self.log.as_ref())? == self.begun {
            return Ok(());
        }
        let why = "it was written to while it was read: stop k3s, or read a copy";
        Err(Error::Refused(format!("{}: {why}", self.path.display())))
    }

    /// Bytes of a page that SQLite uses.
    pub fn usable(&self) -> usize {
        self.size - self.reserved
    }

    /// Bytes of all pages.
    pub fn bytes(&self) -> u64 {
        u64::from(self.count) * self.size as u64
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
