//! Static tokens: a file of lines `token,user,uid,"group1,group2"`
//! (upstream `apiserver/pkg/authentication/token/tokenfile`).

use super::{Tokens, known};
use crate::security::{Answer, Known, User};
use std::{collections::HashMap, fmt};

/// The tokens of a file.
#[derive(Default)]
pub struct TokenFile(HashMap<String, User>);

impl fmt::Debug for TokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenFile({} tokens)", self.0.len())
    }
}

impl TokenFile {
    /// Reads the text of the file at `path`.
    ///
    /// # Errors
    /// A line is none.
    pub fn parse(path: &str, text: &str) -> Result<Self, String> {
        let mut tokens = HashMap::new();
        for (at, record) in records(text)?.into_iter().enumerate() {
            let [token, name, uid, rest @ ..] = record.as_slice() else {
                return Err(format!(
                    "token file '{path}' must have at least 3 columns (token, user name, user uid), found {}",
                    record.len()
                ));
            };
            let at = at + 1;
            if token.is_empty() {
                tracing::warn!(path, record = at, "empty token has been found in token file");
                continue;
            }
            if name.is_empty() {
                return Err(format!(
                    "token file '{path}', record number '{at}': there is no user name"
                ));
            }
            if tokens.insert(token.clone(), user(name, uid, rest)).is_some() {
                tracing::warn!(path, record = at, "duplicate token has been found in token file");
            }
        }
        Ok(Self(tokens))
    }
}

impl Tokens for TokenFile {
    fn token(&self, token: &str, _: &[String]) -> Answer<Known> {
        let user = self.0.get(token).cloned();
        user.map_or(Ok(None), known).into()
    }
}

/// The user that a record names; what follows are the groups, commas between them.
pub(super) fn user(name: &str, uid: &str, rest: &[String]) -> User {
    let groups = rest.first().map(|groups| groups.split(','));
    User {
        name: name.to_owned(),
        uid: uid.to_owned(),
        groups: groups.into_iter().flatten().map(str::to_owned).collect(),
        ..User::default()
    }
}

/// The records of a file of comma-separated values (RFC 4180, as Go reads it): a field in quotes may hold commas, line
/// breaks and doubled quotes.
pub(super) fn records(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut records = Vec::new();
    let mut record = vec![String::new()];
    let (mut quoted, mut line) = (false, 1);
    let mut letters = text.chars().peekable();
    // Whether the field has begun with a quote that has ended.
    let mut closed = false;
    while let Some(letter) = letters.next() {
        line += usize::from(letter == '\n');
        let field = record.last_mut().ok_or("a record without fields")?;
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                field.push('"');
                letters.next();
            }
            '"' if quoted => (quoted, closed) = (false, true),
            letter if quoted => field.push(letter),
            '"' if field.is_empty() && !closed => quoted = true,
            '"' => return Err(format!("record on line {line}: bare \" in non-quoted-field")),
            ',' => {
                record.push(String::new());
                closed = false;
            }
            '\r' if letters.peek() == Some(&'\n') => {}
            '\n' => {
                let done = std::mem::replace(&mut record, vec![String::new()]);
                // An empty line is no record.
                if done.len() > 1 || done.first().is_some_and(|field| !field.is_empty()) || closed {
                    records.push(done);
                }
                closed = false;
            }
            _ if closed => {
                return Err(format!(
                    "record on line {line}: extraneous or missing \" in quoted-field"
                ));
            }
            letter => field.push(letter),
        }
    }
    if quoted {
        return Err(format!(
            "record on line {line}: extraneous or missing \" in quoted-field"
        ));
    }
    if record.len() > 1 || record.first().is_some_and(|field| !field.is_empty()) {
        records.push(record);
    }
    Ok(records)
}
