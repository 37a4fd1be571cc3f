//! Label and field selectors: parse, match, and print in upstream's canonical form.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub String);

/// One requirement of a label selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// `key in (a,b)`, `key=a`.
    In(String, BTreeSet<String>),
    /// `key notin (a,b)`, `key!=a`; holds also when the key is absent.
    NotIn(String, BTreeSet<String>),
    /// `key`.
    Exists(String),
    /// `!key`.
    Absent(String),
    /// `key>n`.
    Greater(String, i64),
    /// `key<n`.
    Less(String, i64),
}

/// A label selector. The empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl Requirement {
    fn matches<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        match self {
            Self::In(key, values) => value(key).is_some_and(|v| values.contains(v)),
            Self::NotIn(key, values) => value(key).is_none_or(|v| !values.contains(v)),
            Self::Exists(key) => value(key).is_some(),
            Self::Absent(key) => value(key).is_none(),
            Self::Greater(key, n) => value(key)
                .and_then(|v| v.parse::<i64>().ok())
                .is_some_and(|v| v > *n),
            Self::Less(key, n) => value(key)
                .and_then(|v| v.parse::<i64>().ok())
                .is_some_and(|v| v < *n),
        }
    }
}

impl LabelSelector {
    /// Matches everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Matches nothing (a nil `metav1.LabelSelector`).
    pub fn nothing() -> Self {
        Self {
            requirements: Vec::new(),
            nothing: true,
        }
    }

    /// All of `requirements`.
    pub fn new(requirements: Vec<Requirement>) -> Self {
        Self {
            requirements,
            nothing: false,
        }
    }

    /// `k=v` for each pair.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let one =
            |(key, value): (&str, &str)| Requirement::In(key.to_owned(), BTreeSet::from([value.to_owned()]));
        Self::new(pairs.into_iter().map(one).collect())
    }

    /// Parses the query form: `a=b,c!=d,e in (f,g),h,!i`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser { rest: text.trim() };
        let mut requirements = Vec::new();
        while !parser.rest.is_empty() {
            requirements.push(parser.requirement()?);
            parser.space();
            if !parser.rest.is_empty() && !parser.take(",") {
                return Err(parser.unexpected("',' or end of selector"));
            }
        }
        Ok(Self::new(requirements))
    }

    /// Its requirements.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether it matches everything.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether an object matches, given how to find its label.
    pub fn matches<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(&value))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |values: &BTreeSet<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        for (i, requirement) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match requirement {
                Requirement::In(key, values) if values.len() == 1 => write!(f, "{key}={}", list(values))?,
                Requirement::In(key, values) => write!(f, "{key} in ({})", list(values))?,
                Requirement::NotIn(key, values) if values.len() == 1 => write!(f, "{key}!={}", list(values))?,
                Requirement::NotIn(key, values) => write!(f, "{key} notin ({})", list(values))?,
                Requirement::Exists(key) => f.write_str(key)?,
                Requirement::Absent(key) => write!(f, "!{key}")?,
                Requirement::Greater(key, n) => write!(f, "{key}>{n}")?,
                Requirement::Less(key, n) => write!(f, "{key}<{n}")?,
            }
        }
        Ok(())
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn unexpected(&self, wanted: &str) -> SelectorError {
        let found = self.rest.split([',', ' ']).next().unwrap_or_default();
        SelectorError(format!(
            "unable to parse requirement: found '{found}', expected: {wanted}"
        ))
    }

    fn word(&mut self) -> &'a str {
        self.space();
        let end = self
            .rest
            .find([',', '=', '!', '<', '>', '(', ')', ' ', '\t'])
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn key(&mut self) -> Result<String, SelectorError> {
        let word = self.word();
        if valid_label_key(word) {
            Ok(word.to_owned())
        } else if word.is_empty() {
            Err(self.unexpected("!, identifier, or 'end of string'"))
        } else {
            Err(SelectorError(format!(
                "unable to parse requirement: <nil>: Invalid value: {word:?}: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
            )))
        }
    }

    fn value(&mut self, key: &str) -> Result<String, SelectorError> {
        let word = self.word();
        if valid_label_value(word) {
            Ok(word.to_owned())
        } else {
            Err(SelectorError(format!(
                "unable to parse requirement: values[0][{key}]: Invalid value: {word:?}: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            )))
        }
    }

    fn list(&mut self, key: &str) -> Result<BTreeSet<String>, SelectorError> {
        if !self.take("(") {
            return Err(self.unexpected("'('"));
        }
        let mut values = BTreeSet::new();
        loop {
            values.insert(self.value(key)?);
            if self.take(")") {
                return Ok(values);
            }
            if !self.take(",") {
                return Err(self.unexpected("',', or ')'"));
            }
        }
    }

    fn number(&mut self, key: &str) -> Result<i64, SelectorError> {
        let word = self.word();
        word.parse().map_err(|_| SelectorError(format!("unable to parse requirement: values[0][{key}]: Invalid value: {word:?}: for 'Gt', 'Lt' operators, the value must be an integer")))
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        if self.rest.trim_start().starts_with('!') && !self.rest.trim_start().starts_with("!=") {
            self.take("!");
            return Ok(Requirement::Absent(self.key()?));
        }
        let key = self.key()?;
        self.space();
        if self.take("==") || (!self.rest.starts_with("=>") && self.take("=")) {
            let value = self.value(&key)?;
            return Ok(Requirement::In(key, BTreeSet::from([value])));
        }
        if self.take("!=") {
            let value = self.value(&key)?;
            return Ok(Requirement::NotIn(key, BTreeSet::from([value])));
        }
        if self.take(">") {
            return self.number(&key).map(|n| Requirement::Greater(key, n));
        }
        if self.take("<") {
            return self.number(&key).map(|n| Requirement::Less(key, n));
        }
        if self.rest.is_empty() || self.rest.starts_with(',') {
            return Ok(Requirement::Exists(key));
        }
        match self.word() {
            "in" => Ok(Requirement::In(key.clone(), self.list(&key)?)),
            "notin" => Ok(Requirement::NotIn(key.clone(), self.list(&key)?)),
            word => Err(SelectorError(format!(
                "unable to parse requirement: found '{word}', expected: in, notin, =, ==, !=, gt, lt"
            ))),
        }
    }
}

fn name_part(name: &str) -> bool {
    let alphanumeric = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    bytes.len() <= 63
        && alphanumeric(bytes.first())
        && alphanumeric(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

/// Whether `key` is a qualified name: `[prefix/]name`.
pub fn valid_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => crate::valid_dns_subdomain(prefix) && name_part(name),
        None => name_part(key),
    }
}

/// Whether `value` may be a label's value.
pub fn valid_label_value(value: &str) -> bool {
    value.is_empty() || name_part(value)
}

/// `metav1.LabelSelector`, as it stands in objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MatchSelector {
    /// Labels that must have exactly these values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// More requirements.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<MatchExpression>,
}

/// `metav1.LabelSelectorRequirement`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct MatchExpression {
    /// Label key.
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`.
    pub operator: String,
    /// Values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

impl MatchSelector {
    /// As a selector that can be matched; an unknown operator is an error.
    pub fn selector(&self) -> Result<LabelSelector, SelectorError> {
        let labels = self.match_labels.iter();
        let mut all: Vec<_> = labels
            .map(|(k, v)| Requirement::In(k.clone(), BTreeSet::from([v.clone()])))
            .collect();
        for expression in &self.match_expressions {
            let (key, values) = (
                expression.key.clone(),
                expression.values.iter().cloned().collect(),
            );
            all.push(match expression.operator.as_str() {
                "In" => Requirement::In(key, values),
                "NotIn" => Requirement::NotIn(key, values),
                "Exists" => Requirement::Exists(key),
                "DoesNotExist" => Requirement::Absent(key),
                other => {
                    return Err(SelectorError(format!(
                        "{other:?} is not a valid label selector operator"
                    )));
                }
            });
        }
        Ok(LabelSelector::new(all))
    }
}

/// A field selector: `path=value` and `path!=value`, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector(pub Vec<(String, bool, String)>);

impl FieldSelector {
    /// Parses the query form; a backslash escapes `,`, `=` and itself in values.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut terms = Vec::new();
        for term in split_terms(text) {
            let (path, equal, value) = if let Some((path, value)) = term.split_once("!=") {
                (path, false, value)
            } else if let Some((path, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
                (path, true, value)
            } else {
                return Err(SelectorError(format!(
                    "invalid selector: '{text}'; can't understand '{term}'"
                )));
            };
            terms.push((path.trim().to_owned(), equal, unescape(value)));
        }
        Ok(Self(terms))
    }

    /// Whether it matches everything.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that `path` must equal, if the selector says so.
    pub fn required(&self, path: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(p, equal, _)| p == path && *equal)
            .map(|(_, _, value)| value.as_str())
    }

    /// Whether an object matches, given how to find a field's value.
    pub fn matches<'a>(&self, value: impl Fn(&str) -> &'a str) -> bool {
        self.0
            .iter()
            .all(|(path, equal, wanted)| (value(path) == wanted) == *equal)
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escape = |v: &str| v.replace('\\', r"\\").replace(',', r"\,").replace('=', r"\=");
        let terms: Vec<String> = self
            .0
            .iter()
            .map(|(p, equal, v)| format!("{p}{}{}", if *equal { "=" } else { "!=" }, escape(v)))
            .collect();
        f.write_str(&terms.join(","))
    }
}

fn split_terms(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms.retain(|t| !t.is_empty());
    terms
}

fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
        let find = |key: &str| labels.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
        LabelSelector::parse(selector).unwrap().matches(find)
    }

    #[test]
    fn label_selectors() {
        let labels = [("app", "web"), ("tier", "front"), ("n", "5")];
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier=front", true),
            ("app!=web", false),
            ("missing!=x", true),
            ("app in (web, db)", true),
            ("app notin (web)", false),
            ("tier", true),
            ("!tier", false),
            ("! missing", true),
            ("n>4,n<6", true),
            ("a.b/c=d", false),
        ] {
            assert_eq!(matches(selector, &labels), expected, "{selector}");
        }
        for bad in ["app=we b", "=x", "a in web", "a in (b", "a,,b", "-a=b", "a=b c"] {
            assert!(LabelSelector::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            LabelSelector::parse("a==b, c in (e,d)").unwrap().to_string(),
            "a=b,c in (d,e)"
        );
    }

    #[test]
    fn field_selectors() {
        let selector = FieldSelector::parse(r"metadata.name=web,spec.nodeName!=n1,x=a\,b").unwrap();
        assert_eq!(selector.required("metadata.name"), Some("web"));
        assert_eq!(selector.0[2].2, "a,b");
        assert!(FieldSelector::parse("nonsense").is_err());
        assert_eq!(
            selector.to_string(),
            r"metadata.name=web,spec.nodeName!=n1,x=a\,b"
        );
    }
}
