//! Reads a log file: from where, how much, and on as it grows.

use super::parse_line;
use bytes::Bytes;
use jiff::Timestamp;
use rustix::fs::inotify;
use std::{
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};
use tokio::io::unix::AsyncFd;

/// What of a log is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on as it grows.
    pub follow: bool,
    /// Only the last lines.
    pub tail: Option<usize>,
    /// Only from then on.
    pub since: Option<Timestamp>,
    /// With the time of each line.
    pub timestamps: bool,
    /// At most so many bytes.
    pub limit: Option<usize>,
    /// Only `stdout` or only `stderr`; empty: both.
    pub stream: String,
}

/// A log that is being read.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    file: std::fs::File,
    offset: u64,
    rest: Vec<u8>,
    mid_line: bool,
    options: LogOptions,
    left: usize,
    watch: Option<AsyncFd<std::os::fd::OwnedFd>>,
}

const BLOCK: usize = 64 * 1024;

impl LogReader {
    /// Opens the log at `path`.
    pub fn open(path: &Path, options: LogOptions) -> io::Result<Self> {
        let watch = if options.follow { Some(watch(path)?) } else { None };
        let file = std::fs::File::open(path)?;
        let offset = match options.tail {
            Some(lines) => tail_offset(&file, lines)?,
            None => 0,
        };
        let left = options.limit.unwrap_or(usize::MAX);
        Ok(Self {
            path: path.to_owned(),
            file,
            offset,
            rest: Vec::new(),
            mid_line: false,
            options,
            left,
            watch,
        })
    }

    /// What has been written since the last call; empty: nothing for now.
    pub fn read(&mut self) -> io::Result<Bytes> {
        let mut out = Vec::new();
        let mut block = vec![0u8; BLOCK];
        while out.is_empty() && self.left > 0 {
            let n = self.file.read_at(&mut block, self.offset)?;
            if n == 0 {
                if self.replaced()? {
                    continue;
                }
                break;
            }
            self.offset += n as u64;
            self.rest.extend_from_slice(&block[..n]);
            self.take_lines(&mut out);
        }
        out.truncate(self.left);
        self.left -= out.len();
        Ok(out.into())
    }

    /// Whether as much was read as was wanted.
    pub fn done(&self) -> bool {
        self.left == 0
    }

    fn take_lines(&mut self, out: &mut Vec<u8>) {
        let end = self.rest.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let whole: Vec<u8> = self.rest.drain(..end).collect();
        for line in whole.split_inclusive(|b| *b == b'\n').filter_map(parse_line) {
            let wanted = self.options.stream.is_empty() || self.options.stream == line.stream;
            let late = self
                .options
                .since
                .is_none_or(|since| line.at().is_none_or(|at| at >= since));
            if !wanted || !late {
                continue;
            }
            if self.options.timestamps && !self.mid_line {
                out.extend_from_slice(line.time.as_bytes());
                out.push(b' ');
            }
            out.extend_from_slice(line.content);
            self.mid_line = line.partial;
        }
    }

    /// After a rotation: goes on with the new file.
    fn replaced(&mut self) -> io::Result<bool> {
        let current = match std::fs::metadata(&self.path) {
            Ok(current) => current,
            Err(_) => return Ok(false),
        };
        if current.ino() == self.file.metadata()?.ino() {
            return Ok(false);
        }
        // What was written between the last look and the rotation comes first.
        if self.file.metadata()?.len() > self.offset {
            return Ok(true);
        }
        self.file = std::fs::File::open(&self.path)?;
        self.offset = 0;
        self.rest.clear();
        Ok(true)
    }

    /// Resolves when the log may have grown.
    pub async fn changed(&self) -> io::Result<()> {
        let Some(watch) = &self.watch else { return Ok(()) };
        loop {
            let mut ready = watch.readable().await?;
            let mut buffer = [0u8; 4096];
            match rustix::io::read(watch.get_ref(), &mut buffer) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Watches the log's folder, so that a rotation is seen too.
#[expect(
    deprecated,
    reason = "the new constructor is unsafe; an OwnedFd stays the same descriptor"
)]
fn watch(path: &Path) -> io::Result<AsyncFd<std::os::fd::OwnedFd>> {
    let fd = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
    let folder = path.parent().unwrap_or(path);
    let events = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&fd, folder, events)?;
    AsyncFd::new(fd)
}

/// Where the last `lines` lines begin.
fn tail_offset(file: &std::fs::File, lines: usize) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut seen = 0;
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let mut block = vec![0u8; usize::try_from(end - start).unwrap_or(BLOCK)];
        file.read_exact_at(&mut block, start)?;
        for (i, byte) in block.iter().enumerate().rev() {
            let at = start + i as u64;
            if *byte == b'\n' && at + 1 != length {
                seen += 1;
                if seen == lines {
                    return Ok(at + 1);
                }
            }
        }
        end = start;
    }
    Ok(if lines == 0 { length } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn text(reader: &mut LogReader) -> String {
        String::from_utf8(reader.read().unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn reads_selects_and_follows_over_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(b"2030-01-01T00:00:00Z stdout F one\n2030-01-01T00:00:01Z stderr F two\n2030-01-01T00:00:02Z stdout P th\n2030-01-01T00:00:02Z stdout F ree\n").unwrap();
        let read = |options| text(&mut LogReader::open(&path, options).unwrap());
        assert_eq!(read(LogOptions::default()), "one\ntwo\nthree\n");
        assert_eq!(
            read(LogOptions {
                tail: Some(3),
                ..LogOptions::default()
            }),
            "two\nthree\n"
        );
        assert_eq!(
            read(LogOptions {
                tail: Some(0),
                ..LogOptions::default()
            }),
            ""
        );
        assert_eq!(
            read(LogOptions {
                stream: "stderr".to_owned(),
                ..LogOptions::default()
            }),
            "two\n"
        );
        assert_eq!(
            read(LogOptions {
                limit: Some(5),
                ..LogOptions::default()
            }),
            "one\nt"
        );
        let since = "2030-01-01T00:00:01Z".parse().ok();
        assert_eq!(
            read(LogOptions {
                since,
                timestamps: true,
                ..LogOptions::default()
            }),
            "2030-01-01T00:00:01Z two\n2030-01-01T00:00:02Z three\n"
        );
        let mut follower = LogReader::open(
            &path,
            LogOptions {
                follow: true,
                tail: Some(0),
                ..LogOptions::default()
            },
        )
        .unwrap();
        assert_eq!(text(&mut follower), "");
        file.write_all(b"2030-01-01T00:00:03Z stdout F four\n").unwrap();
        std::fs::rename(&path, dir.path().join("0.log.1")).unwrap();
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(b"2030-01-01T00:00:04Z stdout F five\n").unwrap();
        follower.changed().await.unwrap();
        assert_eq!(text(&mut follower), "four\n");
        assert_eq!(text(&mut follower), "five\n");
    }
}
