//! Property names as identifiers, by Kubernetes' rules.

use crate::parse::RESERVED;

/// Words that mean something by themselves.
const LITERALS: [&str; 4] = ["true", "false", "null", "in"];
const WORDS: [(&str, &str); 4] = [
    ("__", "__underscores__"),
    (".", "__dot__"),
    ("-", "__dash__"),
    ("/", "__slash__"),
];

/// Whether `name` is a word of the language, which no identifier may be.
pub(crate) fn is_word(name: &str) -> bool {
    LITERALS.contains(&name) || RESERVED.contains(&name)
}

/// The identifier for the property `name`; none for a name that cannot be one.
pub fn escape(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if is_word(name) {
        return Some(format!("__{name}__"));
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(letter) = rest.chars().next() {
        if let Some((plain, word)) = WORDS.iter().find(|(plain, _)| rest.starts_with(plain)) {
            out.push_str(word);
            rest = &rest[plain.len()..];
        } else if letter.is_ascii_alphanumeric() || letter == '_' {
            out.push(letter);
            rest = &rest[1..];
        } else {
            return None;
        }
    }
    Some(out)
}

/// The property that the identifier `name` stands for; none for an escape that there is not.
pub fn unescape(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(start) = rest.find("__") {
        let inner = &rest[start + 2..];
        let length = inner
            .find('_')
            .filter(|length| *length > 0 && inner[*length..].starts_with("__"));
        let Some(length) = length else {
            out.push_str(&rest[..start + 1]);
            rest = &rest[start + 1..];
            continue;
        };
        out.push_str(&rest[..start]);
        let whole = &rest[start..start + length + 4];
        match WORDS.iter().find(|(_, word)| *word == whole) {
            Some((plain, _)) => out.push_str(plain),
            None if is_word(&inner[..length]) && whole.len() == name.len() => {
                out.push_str(&inner[..length]);
            }
            None => return None,
        }
        rest = &rest[start + length + 4..];
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn property_names_are_escaped_as_kubernetes_does() {
        let table = [
            ("spec", Some("spec")),
            ("namespace", Some("__namespace__")),
            ("a.b", Some("a__dot__b")),
            ("x-prop", Some("x__dash__prop")),
            ("a/b", Some("a__slash__b")),
            ("redact__d", Some("redact__underscores__d")),
            ("9lives", None),
            ("a b", None),
            ("", None),
        ];
        for (name, escaped) in table {
            assert_eq!(escape(name).as_deref(), escaped, "{name}");
            if let Some(escaped) = escaped {
                assert_eq!(unescape(escaped).as_deref(), Some(name));
            }
        }
        assert_eq!(unescape("a__unknown__b"), None);
    }
}
