//! What is wrong with an expression, in the form in which upstream shows it.

use std::fmt;

/// Longest line that is shown with an error, in characters.
const LONGEST_LINE: usize = 16_384;

/// An error of an expression that does not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// The line, from 1; below 1 when the error has no place.
    pub line: i64,
    /// The character in the line, from 0.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    snippet: Option<String>,
}

impl Issue {
    pub(crate) fn new(source: &str, at: usize, message: impl Into<String>) -> Self {
        let before = source.get(..at).unwrap_or(source);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let text = source.get(start..).unwrap_or_default();
        let text = text.split('\n').next().unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Self {
            line: i64::try_from(line).unwrap_or(i64::MAX),
            column: before.get(start..).unwrap_or_default().chars().count(),
            message: message.into(),
            snippet: (text.len() <= LONGEST_LINE).then(|| text.replace('\t', " ")),
        }
    }

    pub(crate) fn nowhere(message: impl Into<String>) -> Self {
        Self {
            line: -1,
            column: 0,
            message: message.into(),
            snippet: None,
        }
    }

    /// All of `issues`, a line break between.
    pub fn join(issues: &[Issue]) -> String {
        let lines: Vec<String> = issues.iter().map(Issue::to_string).collect();
        lines.join("\n")
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.column + usize::from(self.line > 0);
        write!(f, "ERROR: <input>:{}:{column}: {}", self.line, self.message)?;
        let Some(snippet) = &self.snippet else {
            return Ok(());
        };
        write!(f, "\n | {snippet}\n | ")?;
        let mut letters = snippet.chars();
        for letter in letters.by_ref().take(self.column) {
            f.write_str(if letter.len_utf8() > 1 { "\u{ff0e}" } else { "." })?;
        }
        let wide = letters.next().is_some_and(|letter| letter.len_utf8() > 1);
        f.write_str(if wide { "\u{ff3e}" } else { "^" })
    }
}
