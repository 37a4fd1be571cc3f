//! The query form of label selectors, and what is wrong with one, in upstream's words (apimachinery `labels`).

use super::Requirement;
use crate::rules;
use std::collections::BTreeSet;

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// `in` and `notin` are words too, where an operator may stand.
    Word(&'a str),
    /// One of [`SIGNS`].
    Sign(&'a str),
    End,
}

/// The longer ones first: the longest that fits counts.
const SIGNS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];

const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

impl<'a> Token<'a> {
    const fn text(self) -> &'a str {
        match self {
            Self::Word(text) | Self::Sign(text) => text,
            Self::End => "",
        }
    }
}

/// All that `text` requires.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, String> {
    let mut parser = Parser { rest: text };
    let mut all = Vec::new();
    match parser.peek() {
        Token::End => return Ok(all),
        Token::Word(_) | Token::Sign("!") => {}
        found => {
            let found = found.text();
            return Err(format!(
                "found '{found}', expected: !, identifier, or 'end of string'"
            ));
        }
    }
    loop {
        let requirement = parser.requirement();
        all.push(requirement.map_err(|why| format!("unable to parse requirement: {why}"))?);
        match parser.next() {
            Token::End => return Ok(all),
            Token::Sign(",") => {}
            found => {
                return Err(format!(
                    "found '{}', expected: ',' or 'end of string'",
                    found.text()
                ));
            }
        }
        if !matches!(parser.peek(), Token::Word(_) | Token::Sign("!")) {
            let found = parser.peek().text();
            return Err(format!("found '{found}', expected: identifier after ','"));
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Token<'a> {
        let rest = self.rest.trim_start_matches(SPACE);
        let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
        let length = match sign {
            Some(sign) => sign.len(),
            None => rest
                .find(|c| SPACE.contains(&c) || "=!(),><".contains(c))
                .unwrap_or(rest.len()),
        };
        let (text, rest) = rest.split_at(length);
        self.rest = rest;
        match (sign, text) {
            (Some(_), text) => Token::Sign(text),
            (None, "") => Token::End,
            (None, text) => Token::Word(text),
        }
    }

    fn peek(&self) -> Token<'a> {
        Self { rest: self.rest }.next()
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let mut token = self.next();
        let absent = token == Token::Sign("!");
        if absent {
            token = self.next();
        }
        let Token::Word(key) = token else {
            return Err(format!("found '{}', expected: identifier", token.text()));
        };
        let wrong = rules::qualified_name(key);
        if !wrong.is_empty() {
            return Err(invalid("<nil>", key, &wrong.join("; ")));
        }
        let key = key.to_owned();
        if absent {
            return Ok(Requirement::Absent(key));
        }
        if matches!(self.peek(), Token::End | Token::Sign(",")) {
            return Ok(Requirement::Exists(key));
        }
        let operator = self.next();
        Ok(match operator.text() {
            "in" => Requirement::In(key.clone(), self.values(&key)?),
            "notin" => Requirement::NotIn(key.clone(), self.values(&key)?),
            "=" | "==" => Requirement::In(key.clone(), [self.value(&key)?].into()),
            "!=" => Requirement::NotIn(key.clone(), [self.value(&key)?].into()),
            ">" => Requirement::Greater(key.clone(), self.number(&key)?),
            "<" => Requirement::Less(key.clone(), self.number(&key)?),
            found => return Err(format!("found '{found}', expected: {OPERATORS}")),
        })
    }

    /// The one value of an exact requirement; none is the empty one.
    fn exact(&mut self) -> Result<&'a str, String> {
        if matches!(self.peek(), Token::End | Token::Sign(",")) {
            return Ok("");
        }
        match self.next() {
            Token::Word(value) => Ok(value),
            found => Err(format!("found '{}', expected: identifier", found.text())),
        }
    }

    fn value(&mut self, key: &str) -> Result<String, String> {
        let value = self.exact()?;
        judge(key, 0, value)?;
        Ok(value.to_owned())
    }

    fn number(&mut self, key: &str) -> Result<i64, String> {
        let value = self.exact()?;
        let number = value.parse();
        let why = "for 'Gt', 'Lt' operators, the value must be an integer";
        let number = number.map_err(|_| invalid("values[0]", value, why));
        match (number, judge(key, 0, value)) {
            (Ok(number), Ok(())) => Ok(number),
            (Err(one), Ok(())) | (Ok(_), Err(one)) => Err(one),
            (Err(one), Err(other)) => Err(format!("[{one}, {other}]")),
        }
    }

    /// Values in parentheses; where none stands is the empty one.
    fn values(&mut self, key: &str) -> Result<BTreeSet<String>, String> {
        let opening = self.next();
        if opening != Token::Sign("(") {
            return Err(format!("found '{}' expected: '('", opening.text()));
        }
        let mut values = BTreeSet::new();
        let first = self.peek();
        if !matches!(first, Token::Word(_) | Token::Sign("," | ")")) {
            return Err(format!(
                "found '{}', expected: ',', ')' or identifier",
                first.text()
            ));
        }
        loop {
            match self.peek() {
                Token::Word(value) => {
                    values.insert(value.to_owned());
                    self.next();
                }
                Token::Sign("," | ")") => drop(values.insert(String::new())),
                found => return Err(format!("found '{}', expected: ',', or identifier", found.text())),
            }
            match self.next() {
                Token::Sign(",") => {}
                Token::Sign(")") => break,
                found => return Err(format!("found '{}', expected: ',' or ')'", found.text())),
            }
        }
        let wrong = values.iter().enumerate();
        let wrong: Vec<String> = wrong
            .filter_map(|(at, value)| judge(key, at, value).err())
            .collect();
        match wrong.as_slice() {
            [] => Ok(values),
            [one] => Err(one.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }
}

/// Whether `value` may be the value number `at` of a requirement of `key`.
fn judge(key: &str, at: usize, value: &str) -> Result<(), String> {
    match rules::label_value(value).as_slice() {
        [] => Ok(()),
        wrong => Err(invalid(&format!("values[{at}][{key}]"), value, &wrong.join("; "))),
    }
}

fn invalid(at: &str, value: &str, why: &str) -> String {
    format!("{at}: Invalid value: {value:?}: {why}")
}
