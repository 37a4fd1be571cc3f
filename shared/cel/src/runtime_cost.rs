//! What a call costs when it runs, by the rules of cel-go and Kubernetes.

use crate::{
    budget::{LIST, REGEX, STRUCT, TRAVERSAL},
    functions::Overload,
    value::Value,
};

/// What one check of an authorizer costs: two fit in an expression.
pub(crate) const CHECK: u64 = 350_000;
/// Functions that cost the same whatever they are given.
pub(crate) const NOMINAL: &[&str] = &[
    "serviceAccount",
    "path",
    "group",
    "resource",
    "subresource",
    "namespace",
    "name",
    "allowed",
    "reason",
    "error",
    "errored",
    "masked",
    "prefixLength",
    "family",
    "isUnspecified",
    "isLoopback",
    "isLinkLocalMulticast",
    "isLinkLocalUnicast",
    "isGlobalUnicast",
    "format.named",
    "sign",
    "asInteger",
    "isInteger",
    "asApproximateFloat",
    "isGreaterThan",
    "isLessThan",
    "compareTo",
    "add",
    "sub",
    "major",
    "minor",
    "patch",
    "getScheme",
    "getHostname",
    "getHost",
    "getPort",
    "getEscapedPath",
    "getQuery",
];

/// `size` times `factor`, rounded up.
pub(crate) fn scaled(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}

pub(crate) fn call_cost(overload: &Overload, args: &[Value<'_>]) -> u64 {
    let size = |at: usize| args.get(at).map_or(1, Value::size);
    let scan = |at: usize| scaled(size(at), TRAVERSAL);
    match overload.name {
        "check" => return CHECK,
        name if NOMINAL.contains(&name) => return 1,
        "fieldSelector" | "labelSelector" => {
            return LIST + scan(1) + scaled(scaled(size(1), 0.5), (LIST + STRUCT) as f64);
        }
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" | "includes" => {
            let mut left = 10_000_000;
            return args.first().map_or(0, |value| traversal(value, &mut left));
        }
        "url"
        | "lowerAscii"
        | "upperAscii"
        | "substring"
        | "trim"
        | "jsonpatch.escapeKey"
        | "cidr"
        | "isIP"
        | "isCIDR"
        | "quantity"
        | "isQuantity"
        | "semver"
        | "isSemver" => return scan(0),
        "ip" if overload.id == "cidr_ip" => return 1,
        "ip" => return scan(0),
        "replace" | "split" | "ip.isCanonical" => return scaled(size(0), 2.0 * TRAVERSAL),
        // By its result.
        "join" => return 0,
        "find" | "findAll" | "matches" => {
            return scaled(size(0) + 1, TRAVERSAL).saturating_mul(scaled(size(1), REGEX));
        }
        "containsIP" | "containsCIDR" => {
            let text = if matches!(args.get(1), Some(Value::String(_))) {
                scan(1)
            } else {
                0
            };
            let network = if overload.name == "containsCIDR" {
                scan(0) + 1
            } else {
                0
            };
            return scaled(size(0) * 2, TRAVERSAL) + network + text;
        }
        "validate" => {
            let regex = match args.first() {
                Some(Value::Format(format)) => format.regex_size,
                _ => 128,
            };
            return scaled(size(1) + 1, TRAVERSAL).saturating_mul(scaled(regex, REGEX));
        }
        "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" => return comparison(overload, args),
        _ => {}
    }
    match overload.id {
        "starts_with_string" | "ends_with_string" | "string_to_bytes" | "bytes_to_string"
        | "strings_quote" | "string_format" => scan(0),
        "in_list" => size(1),
        "add_string" | "add_bytes" => scaled(size(0) + size(1), TRAVERSAL),
        "contains_string" => scan(0).saturating_mul(scan(1)),
        "list_slice" | "list_flatten" | "list_reverse" => LIST + 1 + size(0),
        "list_flatten_int" => {
            let depth = match args.get(1) {
                Some(Value::Int(depth)) => u64::try_from(*depth).unwrap_or(0),
                _ => 1,
            };
            LIST + 1 + size(0).saturating_mul(depth)
        }
        "lists_range" => match args.first() {
            Some(Value::Int(end)) => LIST + 1 + u64::try_from(*end).unwrap_or(0),
            _ => 1,
        },
        "list_sets_equivalent_list" => 1 + size(0).saturating_mul(size(1)).saturating_mul(2),
        "list_sets_contains_list" | "list_sets_intersects_list" => 1 + size(0).saturating_mul(size(1)),
        "list_distinct" => LIST + 1 + self_compare(args.first()),
        id if id.ends_with("_sort") => LIST + 1 + self_compare(args.first()),
        id if id.ends_with("_sortByAssociatedKeys") => LIST + 1 + self_compare(args.get(1)),
        _ => 1,
    }
}

fn comparison(overload: &Overload, args: &[Value<'_>]) -> u64 {
    let [a, b] = args else {
        return 1;
    };
    if overload.name == "_==_"
        && matches!(
            a,
            Value::Quantity(_)
                | Value::Ip(_)
                | Value::Cidr(_)
                | Value::Format(_)
                | Value::Url(_)
                | Value::Semver(_)
                | Value::Authorization(_)
        )
    {
        return 1;
    }
    let by_size = matches!(overload.name, "_==_" | "_!=_")
        || overload.id.ends_with("string")
        || overload.id.ends_with("bytes");
    if by_size {
        scaled(a.size().min(b.size()), TRAVERSAL)
    } else {
        1
    }
}

/// Every element with every other.
fn self_compare(list: Option<&Value<'_>>) -> u64 {
    let Some(Value::List(list)) = list else {
        return 0;
    };
    let text = matches!(list.get(0), Some(Value::String(_) | Value::Bytes(_)));
    let factor = if text { 2.0 + TRAVERSAL } else { 2.0 };
    let size = list.len() as u64;
    (size.saturating_mul(size) as f64 * factor) as u64
}

fn traversal(value: &Value<'_>, left: &mut u64) -> u64 {
    *left = left.saturating_sub(1);
    if *left == 0 {
        return u64::MAX / 2;
    }
    match value {
        Value::String(text) => (text.len() as f64 * TRAVERSAL) as u64,
        Value::Bytes(bytes) => (bytes.len() as f64 * TRAVERSAL) as u64,
        Value::List(list) => list
            .iter()
            .fold(0, |sum, item| u64::saturating_add(sum, traversal(&item, left))),
        Value::Map(map) => map.keys().iter().fold(0, |sum, key| {
            let value = map.get(key).and_then(Result::ok).unwrap_or(Value::Null);
            let cost = traversal(&key.value(), left).saturating_add(traversal(&value, left));
            u64::saturating_add(sum, cost)
        }),
        _ => 1,
    }
}
