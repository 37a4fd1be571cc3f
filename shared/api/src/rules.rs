//! What names may look like, in upstream's words (apimachinery `util/validation`). Each function answers what is wrong;
//! nothing: the name is good.

use crate::valid_dns_subdomain;

const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const SUBDOMAIN: &str = r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// That a name is too long.
pub fn too_long(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

/// What is wrong with a name that is `good` or not and may have so many bytes.
pub fn check(name: &str, max: usize, good: bool, words: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.len() > max {
        wrong.push(too_long(max));
    }
    // What is only too long is not also malformed.
    if !good {
        wrong.push(words.to_owned());
    }
    wrong
}

/// The longest leading part of `name` that can be judged by a rule with a limit of its own.
pub fn within(name: &str, max: usize) -> &str {
    let end = (0..=max.min(name.len()))
        .rev()
        .find(|&i| name.is_char_boundary(i))
        .unwrap_or(0);
    name[..end].trim_end_matches(['-', '.'])
}

/// An RFC 1123 subdomain.
pub fn dns_subdomain(name: &str) -> Vec<String> {
    let judged = if name.len() > 253 { within(name, 253) } else { name };
    check(name, 253, valid_dns_subdomain(judged), SUBDOMAIN)
}

/// A name with an optional prefix, such as a label key.
pub fn qualified_name(key: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = match key.split_once('/') {
        Some((_, name)) if name.contains('/') => {
            return vec![format!(
                "a qualified name {QUALIFIED} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
        Some(("", name)) => {
            wrong.push("prefix part must be non-empty".to_owned());
            name
        }
        Some((prefix, name)) => {
            wrong.extend(
                dns_subdomain(prefix)
                    .into_iter()
                    .map(|words| format!("prefix part {words}")),
            );
            name
        }
        None => key,
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        wrong.push(format!("name part {}", too_long(63)));
    }
    if !name_characters(name) {
        wrong.push(format!("name part {QUALIFIED}"));
    }
    wrong
}

/// A label value.
pub fn label_value(value: &str) -> Vec<String> {
    check(value, 63, value.is_empty() || name_characters(value), LABEL_VALUE)
}

fn name_characters(name: &str) -> bool {
    let end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    end(bytes.first())
        && end(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}
