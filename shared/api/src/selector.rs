//! Label and field selectors: parse, match, and print in upstream's canonical form.

mod parse;

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
        parse::requirements(text).map(Self::new).map_err(SelectorError)
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

/// Whether `key` may be a label's key: `[prefix/]name`.
pub fn valid_label_key(key: &str) -> bool {
    crate::rules::qualified_name(key).is_empty()
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
        for odd in [
            "x in ()",
            "x in (,)",
            "x in (a,,b)",
            "x=",
            "in=in",
            "x in (in,notin)",
            "x notin (,a)",
        ] {
            assert!(LabelSelector::parse(odd).is_ok(), "{odd}");
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
    fn what_is_wrong_with_a_label_selector_is_said_in_upstreams_words() {
        let name = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
        let value = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
        let operators = "expected: in, notin, =, ==, !=, gt, lt";
        for (selector, why) in [
            ("=x", "found '=', expected: !, identifier, or 'end of string'".to_owned()),
            (",a", "found ',', expected: !, identifier, or 'end of string'".to_owned()),
            ("a,", "found '', expected: identifier after ','".to_owned()),
            ("a,,b", "found ',', expected: identifier after ','".to_owned()),
            ("a=b c", "found 'c', expected: ',' or 'end of string'".to_owned()),
            ("a=b=c", "found '=', expected: ',' or 'end of string'".to_owned()),
            ("!", "unable to parse requirement: found '', expected: identifier".to_owned()),
            ("a b", format!("unable to parse requirement: found 'b', {operators}")),
            ("a===b", "unable to parse requirement: found '=', expected: identifier".to_owned()),
            ("!a=b", "found '=', expected: ',' or 'end of string'".to_owned()),
            ("a=>b", "unable to parse requirement: found '>', expected: identifier".to_owned()),
            ("-a=b", format!("unable to parse requirement: <nil>: Invalid value: \"-a\": {name}")),
            (
                "a/=b",
                format!("unable to parse requirement: <nil>: Invalid value: \"a/\": name part must be non-empty; {name}"),
            ),
            ("a=-b", format!("unable to parse requirement: values[0][a]: Invalid value: \"-b\": {value}")),
            (
                "a in (c,-b)",
                format!("unable to parse requirement: values[0][a]: Invalid value: \"-b\": {value}"),
            ),
            (
                "a>b",
                "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', 'Lt' operators, the value must be an integer".to_owned(),
            ),
            ("a in b", "unable to parse requirement: found 'b' expected: '('".to_owned()),
            ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'".to_owned()),
            ("a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier".to_owned()),
            ("a in (b,=)", "unable to parse requirement: found '=', expected: ',', or identifier".to_owned()),
        ] {
            assert_eq!(LabelSelector::parse(selector).unwrap_err().0, why, "{selector}");
        }
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
