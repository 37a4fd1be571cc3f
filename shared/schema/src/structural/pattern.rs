//! Regular expressions as Go reads them.

use regex::Regex;
use serde::{Deserialize, Deserializer};
use std::sync::OnceLock;

/// A pattern; it is compiled when it is first needed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pattern {
    pub text: String,
    compiled: OnceLock<Result<Regex, String>>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(from)?.unwrap_or_default();
        Ok(Self {
            text,
            compiled: OnceLock::new(),
        })
    }
}

impl Pattern {
    /// The expression, or what is wrong with it.
    pub fn regex(&self) -> Result<&Regex, &str> {
        let compile = || compile(&self.text);
        self.compiled
            .get_or_init(compile)
            .as_ref()
            .map_err(String::as_str)
    }
}

/// Compiles an expression of Go's dialect.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    Regex::new(&cel::go_pattern(pattern)).map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        let why = last.trim_start_matches("error: ");
        format!("error parsing regexp: {why}: `{pattern}`")
    })
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn expressions_mean_what_they_mean_in_go() {
        for (pattern, text, matches) in [
            (r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$", "* * * * */5", true),
            (r"^\d$", "٣", false),
            (r"^[\w.-]+$", "a_b.c-d", true),
            (r"^[[:alpha:]]+$", "abc", true),
            (r"^[[]$", "[", true),
            (r"^[]a]+$", "]a", true),
            (r"^[a&&b]+$", "a&b", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"\bword\b", "a word", true),
        ] {
            assert_eq!(
                compile(pattern).unwrap().is_match(text),
                matches,
                "{pattern} {text}"
            );
        }
        assert!(compile("(").unwrap_err().starts_with("error parsing regexp: "));
    }
}
