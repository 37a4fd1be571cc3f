//! Container logs in the CRI's form: `<time> stdout|stderr F|P <line>`, `P` for a part of a line.

use jiff::Timestamp;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Longest line written in one piece.
const LINE_LIMIT: usize = 16 * 1024;

/// Which stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// A container's log.
pub(super) struct Log {
    path: PathBuf,
    file: Option<File>,
    partial: [Vec<u8>; 2],
}

impl Log {
    /// The log at `path`; an empty path: nothing is kept.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut log = Self {
            path: path.to_owned(),
            file: None,
            partial: [Vec::new(), Vec::new()],
        };
        log.reopen()?;
        Ok(log)
    }

    /// Goes on in a new file, after the old one was moved away.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if self.path.as_os_str().is_empty() {
            return Ok(());
        }
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir)?;
        }
        self.file = Some(
            OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o640)
                .open(&self.path)?,
        );
        Ok(())
    }

    /// Adds output.
    pub(super) fn write(&mut self, stream: Stream, output: &[u8], now: Timestamp) {
        let mut text = Vec::with_capacity(output.len() + 64);
        let partial = &mut self.partial[stream as usize];
        for piece in output.split_inclusive(|byte| *byte == b'\n') {
            partial.extend_from_slice(piece);
            let whole = partial.last() == Some(&b'\n');
            if whole {
                partial.pop();
            }
            while partial.len() > LINE_LIMIT {
                let rest = partial.split_off(LINE_LIMIT);
                line(&mut text, stream, 'P', partial, now);
                *partial = rest;
            }
            if whole {
                line(&mut text, stream, 'F', partial, now);
                partial.clear();
            }
        }
        self.put(&text);
    }

    /// Writes what is left of a line at the end of the streams.
    pub(super) fn finish(&mut self, now: Timestamp) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(&mut self.partial[stream as usize]);
            if !rest.is_empty() {
                let mut text = Vec::new();
                line(&mut text, stream, 'P', &rest, now);
                self.put(&text);
            }
        }
    }

    fn put(&mut self, text: &[u8]) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(text)
        {
            // A full disk must not stop the container; its output is lost until there is room.
            eprintln!("log {}: {error}", self.path.display());
        }
    }
}

fn line(to: &mut Vec<u8>, stream: Stream, tag: char, content: &[u8], now: Timestamp) {
    let name = if stream == Stream::Stdout {
        "stdout"
    } else {
        "stderr"
    };
    let _ = write!(to, "{now:.9} {name} {tag} ");
    to.extend_from_slice(content);
    to.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_parts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/0.log");
        let mut log = Log::open(&path).unwrap();
        let now = Timestamp::constant(1, 500_000_000);
        log.write(Stream::Stdout, b"one\ntw", now);
        log.write(Stream::Stderr, b"err\n", now);
        log.write(Stream::Stdout, b"o\n\nrest", now);
        log.finish(now);
        let text = fs::read_to_string(&path).unwrap();
        let want = "1970-01-01T00:00:01.500000000Z stdout F one\n\
            1970-01-01T00:00:01.500000000Z stderr F err\n\
            1970-01-01T00:00:01.500000000Z stdout F two\n\
            1970-01-01T00:00:01.500000000Z stdout F \n\
            1970-01-01T00:00:01.500000000Z stdout P rest\n";
        assert_eq!(text, want);
    }

    #[test]
    fn a_long_line_comes_in_parts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut log = Log::open(&path).unwrap();
        let mut output = vec![b'x'; LINE_LIMIT + 5];
        output.push(b'\n');
        log.write(Stream::Stdout, &output, Timestamp::UNIX_EPOCH);
        let text = fs::read_to_string(&path).unwrap();
        let tags: Vec<_> = text
            .lines()
            .map(|line| (line.split(' ').nth(2).unwrap(), line.len()))
            .collect();
        assert_eq!(tags[0].0, "P");
        assert_eq!(tags[1], ("F", tags[0].1 - LINE_LIMIT + 5));
    }
}
