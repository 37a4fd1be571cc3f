//! The words of JSON, and Go's words for text that is not JSON (`encoding/json`), which clients see.

use std::ops::Range;

/// The text is not JSON; the message is Go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(pub String);

/// A cursor over JSON text.
#[derive(Debug, Default)]
pub(crate) struct Cursor<'a> {
    pub text: &'a str,
    pub at: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `json`; an error if it is not UTF-8, which upstream would silently replace.
    pub fn new(json: &'a [u8]) -> Result<Self, SyntaxError> {
        match std::str::from_utf8(json) {
            Ok(text) => Ok(Self { text, at: 0 }),
            Err(error) => Err(SyntaxError(format!(
                "invalid UTF-8 at byte {}",
                error.valid_up_to()
            ))),
        }
    }

    /// The next byte, without taking it.
    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not white space, without taking it.
    pub fn next_word(&mut self) -> Option<u8> {
        self.at = api::scan::skip_space(self.text.as_bytes(), self.at);
        self.peek()
    }

    /// Go's complaint about the next byte, or about the end of the text.
    pub fn complain(&self, context: &str) -> SyntaxError {
        match self.peek() {
            None => SyntaxError("unexpected end of JSON input".to_owned()),
            Some(byte) => SyntaxError(format!("invalid character {} {context}", quoted(byte))),
        }
    }

    /// Takes `byte` or complains.
    pub fn expect(&mut self, byte: u8, context: &str) -> Result<(), SyntaxError> {
        if self.next_word() != Some(byte) {
            return Err(self.complain(context));
        }
        self.at += 1;
        Ok(())
    }

    /// Takes the string that starts here, and gives where its inside stands and whether that holds escapes.
    pub fn string(&mut self) -> Result<(Range<usize>, bool), SyntaxError> {
        self.at += 1;
        let (start, mut escaped) = (self.at, false);
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok((start..self.at - 1, escaped));
                }
                Some(b'\\') => {
                    self.at += 1;
                    escaped = true;
                    self.escape()?;
                }
                Some(0..0x20) | None => return Err(self.complain("in string literal")),
                Some(_) => self.skip_plain(),
            }
        }
    }

    /// Skips to the end of the string, the next escape, or a byte that may not stand in a string.
    fn skip_plain(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        let plain = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        self.at += plain.unwrap_or(rest.len());
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let unit = self.hexadecimal()?;
                let pair = self.text.as_bytes().get(self.at..self.at + 2) == Some(b"\\u");
                if (0xd800..0xe000).contains(&unit) {
                    self.at += usize::from(pair);
                    if unit >= 0xdc00 || !pair || !(0xdc00..0xe000).contains(&self.hexadecimal()?) {
                        return Err(SyntaxError("invalid surrogate pair in string literal".to_owned()));
                    }
                }
            }
            _ => return Err(self.complain("in string escape code")),
        }
        Ok(())
    }

    /// Takes the `u` and the four digits after it.
    fn hexadecimal(&mut self) -> Result<u32, SyntaxError> {
        self.at += 1;
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            value = value * 16 + digit.ok_or_else(|| self.complain("in \\u hexadecimal character escape"))?;
            self.at += 1;
        }
        Ok(value)
    }

    /// Takes `true`, `false` or `null`.
    pub fn word(&mut self, word: &str) -> Result<(), SyntaxError> {
        for (i, byte) in word.bytes().enumerate() {
            if self.peek() != Some(byte) {
                let expecting = &word[i..=i];
                return Err(self.complain(&format!("in literal {word} (expecting '{expecting}')")));
            }
            self.at += 1;
        }
        Ok(())
    }

    /// Takes the number that starts here and gives its text.
    pub fn number(&mut self) -> Result<&'a str, SyntaxError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits("in numeric literal")?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self, context: &str) -> Result<(), SyntaxError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            Err(self.complain(context))
        } else {
            Ok(())
        }
    }
}

/// A byte as Go's `encoding/json` quotes it in an error: as a Unicode character of that number.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        byte => {
            let text = quote(&char::from(byte).to_string());
            format!("'{}'", &text[1..text.len() - 1])
        }
    }
}

/// Text in Go's double quotes (`strconv.Quote`).
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0b' => quoted.push_str("\\v"),
            '\x0c' => quoted.push_str("\\f"),
            c if c < ' ' || c == '\x7f' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() || c == '\u{a0}' || c == '\u{ad}' => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
