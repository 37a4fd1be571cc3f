//! Named formats, with the messages of Kubernetes' validation.

use super::{Row, urls::Url};
use crate::{
    stop::Stop,
    value::{Value, time},
};
use base64::Engine as _;
use std::fmt;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// A format: its name, what it costs, and what is wrong with a text.
pub struct Format {
    /// Its name.
    pub name: &'static str,
    pub(crate) regex_size: u64,
    check: fn(&str) -> Vec<String>,
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const fn format(name: &'static str, regex_size: u64, check: fn(&str) -> Vec<String>) -> Format {
    Format {
        name,
        regex_size,
        check,
    }
}

static FORMATS: [Format; 13] = [
    format("dns1123Label", 30, |text| dns(text, 63, LABEL, is_label)),
    format("dns1123Subdomain", 60, |text| {
        dns(text, 253, SUBDOMAIN, is_subdomain)
    }),
    format("dns1035Label", 30, |text| dns(text, 63, LABEL_1035, is_1035)),
    format("qualifiedName", 60, qualified),
    format("dns1123LabelPrefix", 30, |text| {
        dns(&unprefixed(text), 63, LABEL, is_label)
    }),
    format("dns1123SubdomainPrefix", 60, |text| {
        dns(&unprefixed(text), 253, SUBDOMAIN, is_subdomain)
    }),
    format("dns1035LabelPrefix", 30, |text| {
        dns(&unprefixed(text), 63, LABEL_1035, is_1035)
    }),
    format("labelValue", 40, |text| {
        dns(text, 63, LABEL_VALUE, |text| text.is_empty() || is_name(text))
    }),
    format("uri", 1_103, |text| Url::parse(text).err().into_iter().collect()),
    format("uuid", 90, |text| {
        complaint(is_uuid(text), "does not match the UUID format")
    }),
    format("byte", 80, |text| {
        let fine = base64::engine::general_purpose::STANDARD.decode(text).is_ok();
        complaint(fine && !text.is_empty(), "invalid base64")
    }),
    format("date", 169, |text| {
        complaint(text.len() == 10 && time::date(text).is_ok(), "invalid date")
    }),
    format("datetime", 169, |text| {
        complaint(time::timestamp(text).is_ok(), "invalid datetime")
    }),
];

pub(super) const ROWS: &[Row] = &[
    Row(
        "format.named",
        "format-named",
        "string->optional(kubernetes.NamedFormat)",
        |args, _| match args {
            [Value::String(name)] => {
                let found = FORMATS.iter().find(|format| format.name == &**name);
                Ok(Value::Optional(found.map(|format| Value::Format(format).into())))
            }
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".validate",
        "format-validate",
        "kubernetes.NamedFormat,string->optional(list(string))",
        |args, _| match args {
            [Value::Format(format), Value::String(text)] => {
                let wrong = (format.check)(text);
                if wrong.is_empty() {
                    return Ok(Value::Optional(None));
                }
                Ok(Value::some(Value::list(
                    wrong.into_iter().map(Value::text).collect(),
                )))
            }
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        "format.dns1123Label",
        "format.dns1123Label",
        "->kubernetes.NamedFormat",
        |_, _| Ok(Value::Format(&FORMATS[0])),
    ),
    Row(
        "format.dns1123Subdomain",
        "format.dns1123Subdomain",
        "->kubernetes.NamedFormat",
        |_, _| Ok(Value::Format(&FORMATS[1])),
    ),
    Row(
        "format.dns1035Label",
        "format.dns1035Label",
        "->kubernetes.NamedFormat",
        |_, _| Ok(Value::Format(&FORMATS[2])),
    ),
    Row(
        "format.qualifiedName",
        "format.qualifiedName",
        "->kubernetes.NamedFormat",
        |_, _| Ok(Value::Format(&FORMATS[3])),
    ),
    Row(
        "format.dns1123LabelPrefix",
        "format.dns1123LabelPrefix",
        "->kubernetes.NamedFormat",
        |_, _| Ok(Value::Format(&FORMATS[4])),
    ),
    Row(
        "format.dns1123SubdomainPrefix",
        "format.dns1123SubdomainPrefix",
        "->kubernetes.NamedFormat",
        |_, _| Ok(Value::Format(&FORMATS[5])),
    ),
    Row(
        "format.dns1035LabelPrefix",
        "format.dns1035LabelPrefix",
        "->kubernetes.NamedFormat",
        |_, _| Ok(Value::Format(&FORMATS[6])),
    ),
    Row(
        "format.labelValue",
        "format.labelValue",
        "->kubernetes.NamedFormat",
        |_, _| Ok(Value::Format(&FORMATS[7])),
    ),
    Row("format.uri", "format.uri", "->kubernetes.NamedFormat", |_, _| {
        Ok(Value::Format(&FORMATS[8]))
    }),
    Row(
        "format.uuid",
        "format.uuid",
        "->kubernetes.NamedFormat",
        |_, _| Ok(Value::Format(&FORMATS[9])),
    ),
    Row(
        "format.byte",
        "format.byte",
        "->kubernetes.NamedFormat",
        |_, _| Ok(Value::Format(&FORMATS[10])),
    ),
    Row(
        "format.date",
        "format.date",
        "->kubernetes.NamedFormat",
        |_, _| Ok(Value::Format(&FORMATS[11])),
    ),
    Row(
        "format.datetime",
        "format.datetime",
        "->kubernetes.NamedFormat",
        |_, _| Ok(Value::Format(&FORMATS[12])),
    ),
];

fn complaint(fine: bool, message: &str) -> Vec<String> {
    if fine {
        Vec::new()
    } else {
        vec![message.to_owned()]
    }
}

fn dns(text: &str, most: usize, message: &str, fine: fn(&str) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    if text.len() > most {
        wrong.push(format!("must be no more than {most} bytes"));
    }
    wrong.extend(complaint(fine(text), message));
    wrong
}

/// A prefix of a name may end in a dash, since more is to come.
fn unprefixed(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => format!("{rest}a"),
        _ => text.to_owned(),
    }
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_1035(text: &str) -> bool {
    is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.bytes().all(inner) && edge(text.bytes().next()) && edge(text.bytes().next_back())
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex(&groups.concat())
        && matches!(
            groups
                .iter()
                .map(|group| group.len())
                .collect::<Vec<_>>()
                .as_slice(),
            [8, 4, 4, 4, 12] | [32]
        )
}

fn qualified(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts.as_slice() {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".to_owned());
            } else {
                let inner = dns(prefix, 253, SUBDOMAIN, is_subdomain);
                wrong.extend(inner.into_iter().map(|message| format!("prefix part {message}")));
            }
            name
        }
        _ => {
            let rest = QUALIFIED.strip_prefix("name part").unwrap_or(QUALIFIED);
            let example = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a qualified name{rest} {example}")];
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        wrong.push("name part must be no more than 63 bytes".to_owned());
    }
    wrong.extend(complaint(is_name(name), QUALIFIED));
    wrong
}
