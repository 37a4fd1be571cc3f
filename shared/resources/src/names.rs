//! What names may look like, in upstream's words (apimachinery `util/validation`). Each function answers what is wrong;
//! nothing: the name is good.

pub(crate) use api::rules::{dns_subdomain, label_value, qualified_name};
use api::{
    field::Error,
    rules::{check, too_long, within},
    valid_dns_label, valid_dns_subdomain,
};
use std::net::IpAddr;

/// A rule for names: what is wrong with a name.
pub(crate) type NameRule = fn(&str) -> Vec<String>;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";

const WILDCARD: &str = r"a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\*\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// An RFC 1123 label.
pub(crate) fn dns_label(name: &str) -> Vec<String> {
    let judged = if name.len() > 63 { within(name, 63) } else { name };
    check(name, 63, valid_dns_label(judged), LABEL)
}

/// An RFC 1035 label.
pub(crate) fn dns_1035_label(name: &str) -> Vec<String> {
    let judged = if name.len() > 63 { within(name, 63) } else { name };
    check(
        name,
        63,
        valid_dns_label(judged) && judged.starts_with(|c: char| c.is_ascii_lowercase()),
        LABEL_1035,
    )
}

/// A segment of a URL path: the rule of RBAC kinds.
pub(crate) fn path_segment(name: &str) -> Vec<String> {
    if name == "." || name == ".." {
        return vec![format!("may not be '{name}'")];
    }
    ['/', '%']
        .iter()
        .filter(|c| name.contains(**c))
        .map(|c| format!("may not contain '{c}'"))
        .collect()
}

/// A key of a ConfigMap or Secret.
pub(crate) fn config_key(key: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if key.len() > 253 {
        wrong.push(too_long(253));
    }
    if key.is_empty()
        || !key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    {
        wrong.push("a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')".to_owned());
    }
    match key {
        "." | ".." => wrong.push(format!("must not be '{key}'")),
        _ if key.starts_with("..") => wrong.push("must not start with '..'".to_owned()),
        _ => {}
    }
    wrong
}

/// The name of an environment variable (the relaxed rule: printable ASCII but `=`).
pub(crate) fn env_name(name: &str) -> Vec<String> {
    let good = !name.is_empty() && name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=');
    if good {
        return Vec::new();
    }
    vec![
        "a valid environment variable name must consist only of printable ASCII characters other than '='"
            .to_owned(),
    ]
}

/// The name of a port, as IANA registers services.
pub(crate) fn port_name(name: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if name.len() > 15 {
        wrong.push("must be no more than 15 characters".to_owned());
    }
    if !name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    {
        wrong.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !name.bytes().any(|b| b.is_ascii_lowercase()) {
        wrong.push("must contain at least one letter (a-z)".to_owned());
    }
    if name.contains("--") {
        wrong.push("must not contain consecutive hyphens".to_owned());
    }
    if name.starts_with('-') || name.ends_with('-') {
        wrong.push("must not begin or end with a hyphen".to_owned());
    }
    wrong
}

/// A port number.
pub(crate) fn port_number(port: i32) -> Vec<String> {
    if (1..=65535).contains(&port) {
        Vec::new()
    } else {
        vec!["must be between 1 and 65535, inclusive".to_owned()]
    }
}

/// What upstream once took as addresses and ranges: an object that has such a value may keep it.
const LENIENT: [&str; 5] = [
    "must not have leading 0s",
    "must not be an IPv4-mapped IPv6 address",
    "must not have leading 0s in IP or prefix length",
    "must not have an IPv4-mapped IPv6 address",
    "must not have bits set beyond the prefix length",
];

/// Takes off `errors` those of addresses and ranges that the object had before, of which `known` are the errors.
pub(crate) fn keep_addresses(errors: &mut Vec<Error>, known: impl FnOnce() -> Vec<Error>) {
    if !errors.iter().any(|error| LENIENT.contains(&&*error.detail)) {
        return;
    }
    let known = known();
    let is = |error: &Error| {
        known
            .iter()
            .any(|k| (&k.value, &k.detail) == (&error.value, &error.detail))
    };
    errors.retain(|error| !(LENIENT.contains(&&*error.detail) && is(error)));
}

/// An IP address, whose numbers may have zeros before them.
fn parse_ip(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| {
        let bare = |part: &str| match part.trim_start_matches('0') {
            "" if !part.is_empty() => "0".to_owned(),
            rest => rest.to_owned(),
        };
        let parts: Vec<String> = text.split('.').map(bare).collect();
        parts.join(".").parse().ok()
    })
}

/// Whether it stands in a range of IPv6, and means an address of IPv4.
fn is_mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

/// An IP address.
pub(crate) fn ip(address: &str) -> Vec<String> {
    let [zeros, mapped, ..] = LENIENT;
    let why = match parse_ip(address) {
        None => "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        Some(_) if address.parse::<IpAddr>().is_err() => zeros,
        Some(ip) if is_mapped(ip) => mapped,
        Some(_) => return Vec::new(),
    };
    vec![why.to_owned()]
}

/// A range of addresses.
pub(crate) fn cidr(range: &str) -> Vec<String> {
    let [.., zeros, mapped, bits] = LENIENT;
    let written = |(ip, bits): (IpAddr, u8)| {
        let (own_ip, own_bits) = range.split_once('/').unwrap_or_default();
        own_ip.parse() == Ok(ip) && own_bits == bits.to_string()
    };
    let why = match parse_cidr(range) {
        None => "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
        Some(parsed) if !written(parsed) => zeros,
        Some((ip, _)) if is_mapped(ip) => mapped,
        Some((ip, length)) if network(ip, length) != ip => bits,
        Some(_) => return Vec::new(),
    };
    vec![why.to_owned()]
}

/// The first address of the range of an address.
fn network(ip: IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

/// An IP address where traffic may be sent to: not one that means the sender itself, or only its own link, where the
/// services of machines are.
pub(crate) fn endpoint_ip(address: &str) -> Vec<String> {
    let mut wrong = ip(address);
    let Some(written) = parse_ip(address) else {
        return wrong;
    };
    let ip = written.to_canonical();
    let (link_local, link_multicast) = match ip {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets().starts_with(&[224, 0, 0])),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
    };
    let rules = [
        (ip.is_unspecified(), format!("may not be unspecified ({address})")),
        (
            ip.is_loopback(),
            "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned(),
        ),
        (
            link_local,
            "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned(),
        ),
        (
            link_multicast,
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned(),
        ),
    ];
    let broken = rules.into_iter().filter(|(broken, _)| *broken);
    wrong.extend(broken.map(|(_, why)| why));
    wrong
}

/// An IP address in the one form that has no other.
pub(crate) fn canonical_ip(address: &str) -> Vec<String> {
    match address.parse::<IpAddr>() {
        Ok(ip) if ip.to_string() == address => Vec::new(),
        Ok(ip) => vec![format!("must be in canonical form ({:?})", ip.to_string())],
        Err(_) => ip(address),
    }
}

/// A domain, a slash and a path, such as `example.com/controller`.
pub(crate) fn domain_prefixed_path(place: &str, path: &str, errors: &mut Vec<Error>) {
    if path.is_empty() {
        errors.push(Error::required(place, ""));
        return;
    }
    let Some((host, rest)) = path
        .split_once('/')
        .filter(|(host, rest)| !host.is_empty() && !rest.is_empty())
    else {
        let why = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        errors.push(Error::invalid(place, path, why));
        return;
    };
    for words in dns_subdomain(host) {
        errors.push(Error::invalid(place, host, words));
    }
    let good = rest
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b));
    if !good {
        let why = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
        errors.push(Error::invalid(place, rest, why));
    }
}

/// A host name whose first label is `*`.
pub(crate) fn wildcard_host(host: &str) -> Vec<String> {
    let good = host.strip_prefix("*.").is_some_and(valid_dns_subdomain);
    check(host, 253, good, WILDCARD)
}

/// A range of addresses: the first one and how many bits are fixed.
pub(crate) fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, bits) = text.split_once('/')?;
    let ip = parse_ip(ip)?;
    let bits: u8 = bits.parse().ok()?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    (bits <= most).then_some((ip, bits))
}

/// The name of a CSI driver.
pub(crate) fn csi_driver(place: &str, name: &str, errors: &mut Vec<Error>) {
    if name.is_empty() {
        errors.push(Error::required(place, ""));
        return;
    }
    if name.len() > 63 {
        errors.push(Error::too_long(place, 63));
    }
    for words in dns_subdomain(&name.to_lowercase()) {
        errors.push(Error::invalid(place, name, words));
    }
}

/// Whether the range holds the address.
pub(crate) fn contains((first, bits): (IpAddr, u8), ip: IpAddr) -> bool {
    first.is_ipv4() == ip.is_ipv4() && network(first, bits) == network(ip, bits)
}
