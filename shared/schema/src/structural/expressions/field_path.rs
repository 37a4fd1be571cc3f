//! `fieldPath`: fields and members of maps, as `.spec.size` and `.spec['a.b']`.

use super::Structural;
use api::field;

/// The path as errors write it; none if it is no path, or leads to a field that the schema does not name.
pub(in crate::structural) fn normalized(path: &str, schema: &Structural) -> Option<String> {
    let (mut rest, mut schema, mut out) = (path, schema, String::new());
    while !rest.is_empty() {
        let (name, after) = match token(rest)? {
            (".", after) => {
                let (name, after) = token(after)?;
                (name.to_owned(), after)
            }
            ("[", after) => {
                let (quoted, after) = token(after)?;
                let inner = quoted.strip_prefix('\'')?.strip_suffix('\'')?;
                (unescaped(inner)?, after.strip_prefix(']')?)
            }
            _ => return None,
        };
        if schema.properties.is_empty() {
            schema = schema.additional()?;
            out = field::key(&out, &name);
        } else {
            schema = schema.properties.get(&name)?;
            out = field::child(&out, &name);
        }
        rest = after;
    }
    Some(out)
}

/// The next `.`, `[`, `]`, quoted text or name, and what follows it.
fn token(text: &str) -> Option<(&str, &str)> {
    let quoted = text.starts_with('\'');
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '\'' if quoted && at > 0 && before != '\\' => return Some(text.split_at(at + 1)),
            '.' | '[' | ']' if !quoted => return Some(text.split_at(at.max(1))),
            c => before = c,
        }
    }
    (!text.is_empty()).then_some((text, ""))
}

fn unescaped(text: &str) -> Option<String> {
    let (mut out, mut chars) = (String::with_capacity(text.len()), text.chars());
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next()? {
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            c @ ('\'' | '\\') => c,
            _ => return None,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_path_names_fields_and_members() {
        let text = br#"{"type":"object","properties":{
            "spec":{"type":"object","properties":{"size":{"type":"integer"},"a.b":{"type":"string"}}},
            "labels":{"type":"object","additionalProperties":{"type":"string"}},
            "list":{"type":"array","items":{"type":"string"}}}}"#;
        let schema = Structural::parse(text).unwrap();
        for (path, wanted) in [
            (".spec.size", Some("spec.size")),
            (".spec['a.b']", Some("spec.a.b")),
            (".labels['x']", Some("labels[x]")),
            ("spec.size", None),
            (".spec.gone", None),
            (".list[0]", None),
            (".", None),
            ("..", None),
            (".spec['size'", None),
        ] {
            assert_eq!(normalized(path, &schema).as_deref(), wanted, "{path}");
        }
    }
}
