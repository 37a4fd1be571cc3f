//! The CRI log format: `TIME STREAM TAGS CONTENT`, a line at most; tag `P` says that the line goes on in the next.

use jiff::Timestamp;

/// A line of a log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// When, as it is written.
    pub time: &'a str,
    /// `stdout` or `stderr`.
    pub stream: &'a str,
    /// The line goes on in the next.
    pub partial: bool,
    /// What was said, with its newline unless partial.
    pub content: &'a [u8],
}

impl Line<'_> {
    /// When.
    pub fn at(&self) -> Option<Timestamp> {
        self.time.parse().ok()
    }
}

/// Reads a line, with or without its newline; `None` when it is none.
pub fn parse_line(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |b| *b == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let stream = std::str::from_utf8(parts.next()?)
        .ok()
        .filter(|s| matches!(*s, "stdout" | "stderr"))?;
    let partial = parts.next()?.split(|b| *b == b':').next()? == b"P";
    let content = parts.next()?;
    let content = if partial {
        content.strip_suffix(b"\n").unwrap_or(content)
    } else {
        content
    };
    Some(Line {
        time,
        stream,
        partial,
        content,
    })
}

/// The last lines of a log as text: at most so many, and at most so many bytes.
pub fn last_lines(log: &[u8], lines: usize, bytes: usize) -> String {
    let parsed: Vec<&[u8]> = log
        .split_inclusive(|b| *b == b'\n')
        .filter_map(parse_line)
        .map(|l| l.content)
        .collect();
    let from = parsed.len().saturating_sub(lines);
    let text = parsed[from..].concat();
    let cut = text.len().saturating_sub(bytes);
    String::from_utf8_lossy(&text[cut..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line = parse_line(b"2030-01-01T00:00:00.5Z stdout F hello world\n").unwrap();
        assert_eq!(
            (line.stream, line.partial, line.content),
            ("stdout", false, &b"hello world\n"[..])
        );
        assert_eq!(line.at().unwrap().subsec_millisecond(), 500);
        let partial = parse_line(b"2030-01-01T00:00:00Z stderr P he\n").unwrap();
        assert_eq!(
            (partial.stream, partial.partial, partial.content),
            ("stderr", true, &b"he"[..])
        );
        assert_eq!(
            parse_line(b"2030-01-01T00:00:00Z stdout F \n").unwrap().content,
            b"\n"
        );
        assert!(parse_line(b"nonsense").is_none());
    }

    #[test]
    fn the_last_lines() {
        let log = b"T stdout F a\nT stdout P b\nT stdout F c\nT stdout F d\n";
        assert_eq!(last_lines(log, 2, 100), "c\nd\n");
        assert_eq!(last_lines(log, 9, 4), "c\nd\n");
    }
}
