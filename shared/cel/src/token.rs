//! The words of an expression.

use crate::{ast::Literal, issue::Issue};
use std::{iter::Peekable, str::CharIndices};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Word {
    Literal(Literal),
    Ident,
    /// A name in back quotes.
    Quoted,
    In,
    Op(&'static str),
    End,
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub at: usize,
    pub end: usize,
    pub word: Word,
}

/// Longest first.
const OPS: [&str; 26] = [
    "==", "!=", "<=", ">=", "&&", "||", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":", "+", "*",
    "/", "%", "<", ">", "=", ";",
];

/// Most errors that are shown.
const MOST_ISSUES: usize = 30;

struct Lexer<'s> {
    source: &'s str,
    letters: Peekable<CharIndices<'s>>,
    tokens: Vec<Token>,
    issues: Vec<Issue>,
}

/// Cuts `source`; what is no word is an issue and left out. The last token is the end.
pub(crate) fn cut(source: &str) -> (Vec<Token>, Vec<Issue>) {
    let mut lexer = Lexer {
        source,
        letters: source.char_indices().peekable(),
        tokens: Vec::new(),
        issues: Vec::new(),
    };
    while let Some(&(at, letter)) = lexer.letters.peek() {
        lexer.token(at, letter);
    }
    let at = source.len();
    lexer.tokens.push(Token {
        at,
        end: at,
        word: Word::End,
    });
    (lexer.tokens, lexer.issues)
}

impl Lexer<'_> {
    fn token(&mut self, at: usize, letter: char) {
        let rest = &self.source[at..];
        if letter.is_ascii_whitespace() || letter == '\u{c}' {
            self.letters.next();
        } else if rest.starts_with("//") {
            self.go_to(at + rest.find('\n').unwrap_or(rest.len()));
        } else if let Some((raw, bytes, prefix)) = string_prefix(rest) {
            self.string(at, prefix, raw, bytes);
        } else if letter == '`' {
            self.quoted(at, rest);
        } else if letter.is_ascii_alphabetic() || letter == '_' {
            let length = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            self.push(at, at + length, word(&rest[..length]));
        } else if letter.is_ascii_digit()
            || (letter == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit()) && !self.after_value())
        {
            self.number(at, rest);
        } else if let Some(op) = OPS
            .iter()
            .find(|op| rest.starts_with(**op) && !matches!(**op, "=" | ";"))
        {
            self.push(at, at + op.len(), Word::Op(op));
        } else {
            // A lone `|`, `&` or `=` takes the next letter with it, as the longest thing that begins like an operator.
            let pair = matches!(letter, '|' | '&') && rest.len() > 1;
            let end = if pair {
                let next = rest[1..].chars().next().map_or(0, char::len_utf8);
                at + 1 + next
            } else {
                at + letter.len_utf8()
            };
            self.unknown(at, end);
        }
    }

    /// Whether a `.` here selects a field: then `.5` is no number.
    fn after_value(&self) -> bool {
        self.tokens.last().is_some_and(|token| {
            matches!(token.word, Word::Ident | Word::Op(")" | "]" | "}"))
                || matches!(token.word, Word::Literal(_))
        })
    }

    fn go_to(&mut self, end: usize) {
        while self.letters.next_if(|(at, _)| *at < end).is_some() {}
    }

    fn push(&mut self, at: usize, end: usize, word: Word) {
        self.go_to(end);
        self.tokens.push(Token { at, end, word });
    }

    fn unknown(&mut self, at: usize, end: usize) {
        let text = self.source.get(at..end).unwrap_or_default();
        if self.issues.len() < MOST_ISSUES {
            let message = format!("Syntax error: token recognition error at: '{text}'");
            self.issues.push(Issue::new(self.source, at, message));
        }
        self.go_to(end);
    }

    fn quoted(&mut self, at: usize, rest: &str) {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ' ');
        let length = rest[1..].find(|c| !fine(c)).unwrap_or(rest.len() - 1);
        if length > 0 && rest[1 + length..].starts_with('`') {
            self.push(at, at + length + 2, Word::Quoted);
        } else {
            self.unknown(at, at + 1 + length);
        }
    }

    fn number(&mut self, at: usize, rest: &str) {
        let digits = |from: usize| rest[from..].bytes().take_while(u8::is_ascii_digit).count();
        if let Some(hex) = rest.strip_prefix("0x")
            && hex.starts_with(|c: char| c.is_ascii_hexdigit())
        {
            let length = hex.bytes().take_while(u8::is_ascii_hexdigit).count();
            return self.integer(at, 2 + length, &hex[..length], 16);
        }
        let mut end = digits(0);
        let whole = end;
        if rest[end..].starts_with('.') && digits(end + 1) > 0 {
            end += 1 + digits(end + 1);
        }
        if rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            if digits(end + 1 + sign) > 0 {
                end += 1 + sign + digits(end + 1 + sign);
            }
        }
        if end == whole {
            return self.integer(at, end, &rest[..end], 10);
        }
        match rest[..end].parse::<f64>() {
            Ok(value) if value.is_finite() => self.push(at, at + end, Word::Literal(Literal::Double(value))),
            _ => self.invalid(at, at + end, "double"),
        }
    }

    /// Negative literals are made by the parser, so the number just below the range is kept as an unsigned one in disguise.
    fn integer(&mut self, at: usize, length: usize, digits: &str, radix: u32) {
        let unsigned = self.source[at + length..].starts_with(['u', 'U']);
        let end = at + length + usize::from(unsigned);
        match u64::from_str_radix(digits, radix) {
            Ok(value) if unsigned => self.push(at, end, Word::Literal(Literal::Uint(value))),
            Ok(value) if i64::try_from(value).is_ok() => {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                self.push(at, end, Word::Literal(Literal::Int(value)));
            }
            Ok(value) if value == 1 << 63 && self.after_minus() => {
                self.push(at, end, Word::Literal(Literal::Int(i64::MIN)));
            }
            _ => self.invalid(at, end, if unsigned { "uint" } else { "int" }),
        }
    }

    fn after_minus(&self) -> bool {
        let (last, before) = match self.tokens.as_slice() {
            [.., before, last] => (last, Some(before)),
            [last] => (last, None),
            [] => return false,
        };
        let binary = before.is_some_and(|token| {
            matches!(
                token.word,
                Word::Ident | Word::Literal(_) | Word::Op(")" | "]" | "}")
            )
        });
        last.word == Word::Op("-") && !binary
    }

    fn invalid(&mut self, at: usize, end: usize, kind: &str) {
        if self.issues.len() < MOST_ISSUES {
            let message = format!("invalid {kind} literal");
            self.issues.push(Issue::new(self.source, at, message));
        }
        self.push(at, end, Word::Literal(Literal::Null));
    }

    fn string(&mut self, at: usize, prefix: usize, raw: bool, bytes: bool) {
        let body = &self.source[at + prefix..];
        let quote = &body[..1];
        let triple = quote.repeat(3);
        let quote = if body.starts_with(&triple) {
            triple.as_str()
        } else {
            quote
        };
        let start = at + prefix + quote.len();
        let Some(length) = string_end(&self.source[start..], quote, raw) else {
            let line = self.source[at..].find('\n').map_or(self.source.len(), |n| at + n);
            return self.unknown(at, if quote.len() == 3 { self.source.len() } else { line });
        };
        let text = &self.source[start..start + length];
        let end = start + length + quote.len();
        let value = match (raw, bytes) {
            (true, false) => Some(Literal::String(text.into())),
            (true, true) => Some(Literal::Bytes(text.as_bytes().into())),
            (false, _) => unescape(text, bytes),
        };
        match value {
            Some(value) => self.push(at, end, Word::Literal(value)),
            None => self.unknown(at, end),
        }
    }
}

fn word(text: &str) -> Word {
    match text {
        "true" => Word::Literal(Literal::Bool(true)),
        "false" => Word::Literal(Literal::Bool(false)),
        "null" => Word::Literal(Literal::Null),
        "in" => Word::In,
        _ => Word::Ident,
    }
}

/// Raw, bytes, and the length of what stands before the quotation mark.
fn string_prefix(rest: &str) -> Option<(bool, bool, usize)> {
    let end = rest
        .bytes()
        .take(3)
        .position(|byte| matches!(byte, b'"' | b'\''))?;
    let prefix = rest[..end].to_ascii_lowercase();
    match prefix.as_str() {
        "" => Some((false, false, 0)),
        "r" => Some((true, false, 1)),
        "b" => Some((false, true, 1)),
        "rb" | "br" => Some((true, true, 2)),
        _ => None,
    }
}

/// The length of the string up to its closing `quote`.
fn string_end(text: &str, quote: &str, raw: bool) -> Option<usize> {
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        if text[at..].starts_with(quote) {
            return Some(at);
        }
        match letter {
            '\\' if !raw => {
                letters.next()?;
            }
            '\n' | '\r' if quote.len() == 1 => return None,
            _ => {}
        }
    }
    None
}

fn unescape(text: &str, bytes: bool) -> Option<Literal> {
    let mut out = Vec::with_capacity(text.len());
    let mut letters = text.chars();
    let put = |out: &mut Vec<u8>, letter: char| {
        out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    };
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            put(&mut out, letter);
            continue;
        }
        let (code, is_byte) = match letters.next()? {
            'a' => (7, true),
            'b' => (8, true),
            'f' => (12, true),
            'n' => (10, true),
            'r' => (13, true),
            't' => (9, true),
            'v' => (11, true),
            c @ ('\\' | '\'' | '"' | '`' | '?') => (u32::from(c), true),
            'x' | 'X' => (number(&mut letters, 2, 16)?, true),
            'u' => (number(&mut letters, 4, 16)?, false),
            'U' => (number(&mut letters, 8, 16)?, false),
            c @ '0'..='3' => (u32::from(c) % 8 * 64 + number(&mut letters, 2, 8)?, true),
            _ => return None,
        };
        match (bytes, is_byte) {
            (true, true) => out.push(u8::try_from(code).ok()?),
            (true, false) => return None,
            (false, _) => put(&mut out, char::from_u32(code)?),
        }
    }
    if bytes {
        return Some(Literal::Bytes(out.into()));
    }
    String::from_utf8(out)
        .ok()
        .map(|text| Literal::String(text.into()))
}

fn number(letters: &mut std::str::Chars<'_>, count: usize, radix: u32) -> Option<u32> {
    (0..count).try_fold(0u32, |sum, _| {
        let digit = letters.next()?.to_digit(radix)?;
        sum.checked_mul(radix)?.checked_add(digit)
    })
}
