//! Regular expressions of Go's dialect, which is RE2's.

use regex::Regex;
use std::sync::Arc;

/// A pattern that stands in an expression as a literal: compiled once with it.
#[derive(Debug)]
pub struct Pattern {
    pub(crate) text: Arc<str>,
    pub(crate) regex: Regex,
}

/// The pattern in the dialect of the crate `regex`: Go's classes are of ASCII, and its classes know no sets.
pub fn go_pattern(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    // Inside a class, and whether its first member is still to come.
    let (mut class, mut first) = (false, false);
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('d') => out.push_str(if class { "0-9" } else { "[0-9]" }),
                Some('w') => out.push_str(if class { "0-9A-Za-z_" } else { "[0-9A-Za-z_]" }),
                Some('s') => out.push_str(if class { r"\t\n\f\r " } else { r"[\t\n\f\r ]" }),
                Some('D') => out.push_str("[^0-9]"),
                Some('W') => out.push_str("[^0-9A-Za-z_]"),
                Some('S') => out.push_str(r"[^\t\n\f\r ]"),
                Some('b') if !class => out.push_str(r"(?-u:\b)"),
                Some('Q') if !class => literal(&mut chars, &mut out),
                Some('/') => out.push('/'),
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '[' if !class => {
                (class, first) = (true, true);
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                continue;
            }
            '[' if chars.peek() == Some(&':') => {
                out.push('[');
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            ']' if class && !first => {
                class = false;
                out.push(']');
            }
            '[' | ']' | '&' | '~' if class => out.extend(['\\', c]),
            c => out.push(c),
        }
        first = false;
    }
    out
}

/// `\Q…\E`.
fn literal(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next_if_eq(&'E').is_some() {
            break;
        }
        text.push(c);
    }
    out.push_str(&regex::escape(&text));
}
