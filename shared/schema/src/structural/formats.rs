//! The formats of texts that upstream checks; others say nothing.

use super::pattern::compile;
use api::{valid_dns_label, valid_dns_subdomain};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use regex::Regex;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

/// Whether `text` has the `format`; true for formats that are not checked.
pub(super) fn holds(format: &str, text: &str) -> bool {
    let name = format.replace('-', "");
    CHECKS
        .iter()
        .find(|(known, _)| *known == name)
        .is_none_or(|(_, check)| check(text))
}

/// Whether it is checked.
pub(super) fn known(format: &str) -> bool {
    let name = format.replace('-', "");
    CHECKS.iter().any(|(known, _)| *known == name)
}

type Check = fn(&str) -> bool;

static CHECKS: &[(&str, Check)] = &[
    ("bsonobjectid", |text| {
        text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit())
    }),
    ("byte", |text| !text.is_empty() && STANDARD.decode(text).is_ok()),
    ("cidr", cidr),
    ("creditcard", |text| {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        card(&digits) && luhn(&digits)
    }),
    ("date", date),
    ("datetime", |text| {
        date_time(text) && date(text.get(..10).unwrap_or_default())
    }),
    ("duration", |text| go_duration(text) || scala_duration(text)),
    ("email", email),
    ("hexcolor", hex_color),
    ("hostname", hostname),
    ("ipv4", |text| text.parse::<Ipv4Addr>().is_ok()),
    ("ipv6", |text| text.parse::<Ipv6Addr>().is_ok()),
    ("isbn", |text| isbn10(text) || isbn13(text)),
    ("isbn10", isbn10),
    ("isbn13", isbn13),
    ("k8slongname", valid_dns_subdomain),
    ("k8sshortname", valid_dns_label),
    ("mac", mac),
    ("password", |_| true),
    ("rgbcolor", rgb),
    ("ssn", ssn),
    ("uri", uri),
    ("uuid", |text| uuid(text, None)),
    ("uuid3", |text| uuid(text, Some('3'))),
    ("uuid4", |text| uuid(text, Some('4'))),
    ("uuid5", |text| uuid(text, Some('5'))),
];

macro_rules! expressions {
    ($($name:ident = $pattern:literal;)*) => {
        $(fn $name(text: &str) -> bool {
            static REGEX: LazyLock<Option<Regex>> = LazyLock::new(|| compile($pattern).ok());
            REGEX.as_ref().is_some_and(|regex| regex.is_match(text))
        })*
    };
}

expressions! {
    card = r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$";
    date_time = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt]|\s)([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?$";
    scala_duration = r"^((\d+)\s*([A-Za-zµ]+))$";
    email = r"^[^\s@<>,;:\\()]+@[^\s@<>,;:\\()]+$";
    hex_color = r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$";
    host = r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9\-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$";
    mac = r"^([0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}|[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){7}|[0-9a-fA-F]{4}(\.[0-9a-fA-F]{4}){2,3})$";
    rgb = r"^rgb\(\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*\)$";
    ssn = r"^\d{3}[- ]?\d{2}[- ]?\d{4}$";
    go_duration = r"^[+-]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)$";
}

fn cidr(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        let most = match address.parse() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    })
}

fn date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

fn hostname(text: &str) -> bool {
    text.len() <= 255 && host(text) && text.split('.').all(|part| part.len() <= 63)
}

fn uri(text: &str) -> bool {
    let plain = !text.bytes().any(|b| b <= b' ' || b == 0x7f);
    let scheme = text.split_once(':').is_some_and(|(scheme, rest)| {
        !rest.is_empty()
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    });
    plain && (text.starts_with('/') || scheme)
}

fn uuid(text: &str, version: Option<char>) -> bool {
    let bare: String = text.chars().filter(|c| *c != '-').collect();
    let dashes = text.len() - bare.len();
    let placed = text
        .char_indices()
        .filter(|(_, c)| *c == '-')
        .enumerate()
        .all(|(before, (at, _))| [8, 12, 16, 20].contains(&(at - before)));
    let variant = |bare: &str| "89abAB".contains(bare.chars().nth(16).unwrap_or_default());
    bare.len() == 32
        && dashes <= 4
        && placed
        && bare.bytes().all(|b| b.is_ascii_hexdigit())
        && version
            .is_none_or(|version| bare.chars().nth(12) == Some(version) && (version == '3' || variant(&bare)))
}

fn digits(text: &str) -> Vec<char> {
    text.chars().filter(|c| !"- ".contains(*c)).collect()
}

fn isbn10(text: &str) -> bool {
    let digits = digits(text);
    let value = |(place, c): (usize, &char)| match c {
        'X' if place == 9 => Some(10 * 10),
        c => c.to_digit(10).map(|digit| digit * (place as u32 + 1)),
    };
    let sum: Option<u32> = digits.iter().enumerate().map(value).sum();
    digits.len() == 10 && sum.is_some_and(|sum| sum % 11 == 0)
}

fn isbn13(text: &str) -> bool {
    let digits = digits(text);
    let value = |(place, c): (usize, &char)| c.to_digit(10).map(|d| d * if place % 2 == 0 { 1 } else { 3 });
    let sum: Option<u32> = digits.iter().enumerate().map(value).sum();
    digits.len() == 13 && sum.is_some_and(|sum| sum % 10 == 0)
}

fn luhn(digits: &str) -> bool {
    let value = |(place, c): (usize, char)| {
        let digit = c.to_digit(10).unwrap_or_default();
        match place % 2 {
            0 => digit,
            _ if digit > 4 => digit * 2 - 9,
            _ => digit * 2,
        }
    };
    digits.chars().rev().enumerate().map(value).sum::<u32>() % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::holds;

    #[test]
    fn formats_are_checked_as_upstream_checks_them() {
        for (format, good, bad) in [
            ("date-time", "2014-12-15T19:30:20.000Z", "2014-13-15T19:30:20Z"),
            ("date", "2006-01-02", "2006-1-2"),
            ("duration", "22 ns", "later"),
            ("duration", "1h30m", "1 h 30"),
            ("ipv4", "10.0.0.1", "10.0.0.256"),
            ("ipv6", "fd00::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("mac", "00:00:5e:00:53:01", "00:00:5e:00:53"),
            (
                "uuid4",
                "f47ac10b-58cc-4372-a567-0e02b2c3d479",
                "f47ac10b-58cc-3372-a567-0e02b2c3d479",
            ),
            ("isbn", "978-0321751041", "978-0321751042"),
            ("isbn10", "0321751043", "0321751044"),
            ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
            ("hexcolor", "#FFFFFF", "#FFFFF"),
            ("rgbcolor", "rgb(255,255,255)", "rgb(256,0,0)"),
            ("byte", "aGVsbG8=", "a?"),
            ("uri", "http://example.com/x", "example"),
            ("email", "a@example.com", "a"),
            ("hostname", "example.com", "-x."),
            ("ssn", "123-45-6789", "12-345-6789"),
            ("k8s-short-name", "my-name", "my.name"),
            ("k8s-long-name", "my.name", "My.name"),
            ("bsonobjectid", "507f1f77bcf86cd799439011", "507f"),
        ] {
            assert!(holds(format, good), "{format} {good}");
            assert!(!holds(format, bad), "{format} {bad}");
        }
        assert!(holds("of-our-own", "anything"));
    }
}
