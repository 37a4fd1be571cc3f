//! The families of a Service's addresses: filled in from what is given and from what the cluster has.

use super::kind;
use crate::{Cluster, meta, names};
use api::{field, field::Error};
use k8s_openapi::api::core::v1::ServiceSpec;

const POLICIES: [&str; 3] = ["PreferDualStack", "RequireDualStack", "SingleStack"];
const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];

/// The families that stand in `ipFamilies`.
pub(super) fn list(spec: &ServiceSpec) -> &[String] {
    spec.ip_families.as_deref().unwrap_or_default()
}

/// The addresses that stand in `clusterIPs`.
pub(super) fn ips(spec: &ServiceSpec) -> &[String] {
    spec.cluster_ips.as_deref().unwrap_or_default()
}

pub(super) fn headless(spec: &ServiceSpec) -> bool {
    ips(spec) == ["None"]
}

fn policy(spec: &ServiceSpec) -> &str {
    spec.ip_family_policy.as_deref().unwrap_or_default()
}

/// The family of an address.
pub(super) fn of(ip: &str) -> &'static str {
    if ip.contains(':') { "IPv6" } else { "IPv4" }
}

fn other(family: &str) -> String {
    if family == "IPv4" { "IPv6" } else { "IPv4" }.to_owned()
}

/// Fills policy and families, or says why they cannot be had on this cluster.
pub(super) fn fill(
    spec: &mut ServiceSpec,
    old: Option<&ServiceSpec>,
    cluster: &dyn Cluster,
) -> Result<(), Vec<Error>> {
    let preferred = |spec: &ServiceSpec| policy(spec) == "PreferDualStack";
    let kept = |old: &ServiceSpec| {
        preferred(spec) && preferred(old) && ips(spec) == ips(old) && list(spec) == list(old)
    };
    if kind(spec) == "ExternalName" || old.is_some_and(kept) {
        return Ok(());
    }
    let bare = headless(spec) && spec.selector.as_ref().is_none_or(|labels| labels.is_empty());
    if spec.ip_family_policy.is_none() {
        let before = old.and_then(|old| old.ip_family_policy.clone());
        let usual = if bare { "RequireDualStack" } else { "SingleStack" };
        spec.ip_family_policy = before.or_else(|| Some(usual.to_owned()));
    }
    let mut errors = Vec::new();
    check(spec, &mut errors);
    refuse(&mut errors)?;
    if let Some(old) = old {
        reduce(spec, old, &mut errors);
    }
    let configured = cluster.families();
    infer(spec, &configured, &mut errors);
    refuse(&mut errors)?;
    let first = configured.first().copied().unwrap_or("IPv4");
    if bare {
        let families = spec.ip_families.get_or_insert_default();
        if families.is_empty() {
            families.push(first.to_owned());
        }
        if families.len() < 2 && spec.ip_family_policy.as_deref() != Some("SingleStack") {
            families.push(other(&families[0]));
        }
        return Ok(());
    }
    if policy(spec) == "RequireDualStack" && configured.len() < 2 {
        let why = "this cluster is not configured for dual-stack services";
        errors.push(Error::invalid("spec.ipFamilyPolicy", policy(spec), why));
    }
    for (i, family) in list(spec).iter().enumerate() {
        if !configured.contains(&family.as_str()) {
            let path = field::index("spec.ipFamilies", i);
            errors.push(Error::invalid(path, family, "not configured on this cluster"));
        }
    }
    refuse(&mut errors)?;
    let dual = policy(spec) != "SingleStack" && configured.len() == 2;
    let families = spec.ip_families.get_or_insert_default();
    if families.is_empty() {
        families.push(first.to_owned());
    }
    if dual && families.len() == 1 {
        families.push(other(&families[0]));
    }
    Ok(())
}

fn refuse(errors: &mut Vec<Error>) -> Result<(), Vec<Error>> {
    match errors.is_empty() {
        true => Ok(()),
        false => Err(std::mem::take(errors)),
    }
}

/// What an update lets go of must be meant.
fn reduce(spec: &mut ServiceSpec, old: &ServiceSpec, errors: &mut Vec<Error>) {
    let fewer = |new: &[String], old: &[String]| !new.is_empty() && new.len() < old.len();
    if policy(spec) == "SingleStack" {
        if ips(spec) == ips(old)
            && let Some(ips) = &mut spec.cluster_ips
        {
            ips.truncate(1);
        }
        if list(spec) == list(old)
            && let Some(families) = &mut spec.ip_families
        {
            families.truncate(1);
        }
        return;
    }
    let released = [
        (
            fewer(ips(spec), ips(old)),
            "must be 'SingleStack' to release the secondary cluster IP",
        ),
        (
            fewer(list(spec), list(old)),
            "must be 'SingleStack' to release the secondary IP family",
        ),
    ];
    for (_, why) in released.into_iter().filter(|(fewer, _)| *fewer) {
        errors.push(Error::invalid("spec.ipFamilyPolicy", policy(spec), why));
    }
}

/// Families follow from the addresses that are given.
fn infer(spec: &mut ServiceSpec, configured: &[&str], errors: &mut Vec<Error>) {
    if policy(spec) == "SingleStack" {
        for (many, what) in [
            (ips(spec).len() == 2, "multiple cluster IPs are specified"),
            (list(spec).len() == 2, "multiple IP families are specified"),
        ] {
            if many {
                let why = format!("must be 'RequireDualStack' or 'PreferDualStack' when {what}");
                errors.push(Error::invalid("spec.ipFamilyPolicy", policy(spec), why));
            }
        }
    }
    for i in list(spec).len()..ips(spec).len() {
        let ip = &ips(spec)[i];
        if ip == "None" {
            break;
        }
        let family = of(ip);
        if configured.contains(&family) {
            spec.ip_families.get_or_insert_default().push(family.to_owned());
        } else {
            let path = field::index("spec.clusterIPs", i);
            let why = format!("{family} is not configured on this cluster");
            errors.push(Error::invalid(path, ips(spec), why));
        }
    }
}

/// Whether addresses, families and policy go together.
pub(super) fn check(spec: &ServiceSpec, errors: &mut Vec<Error>) {
    let (before, at) = (errors.len(), "spec.clusterIPs");
    match (spec.cluster_ip.as_deref().unwrap_or_default(), ips(spec).first()) {
        ("", Some(_)) => {
            let why = "must be empty when `clusterIP` is not specified";
            errors.push(Error::invalid(at, ips(spec), why));
        }
        ("", None) => {}
        (_, None) => errors.push(Error::required(at, "")),
        (ip, Some(first)) if ip != first => {
            errors.push(Error::invalid(
                at,
                ips(spec),
                "first value must match `clusterIP`",
            ));
        }
        _ => {}
    }
    for (i, family) in list(spec).iter().enumerate() {
        let path = field::index("spec.ipFamilies", i);
        if !FAMILIES.contains(&family.as_str()) {
            errors.push(Error::not_supported(&path, family, &FAMILIES));
        }
        if list(spec)[..i].contains(family) {
            errors.push(Error::duplicate(path, family));
        }
    }
    if let Some(policy) = &spec.ip_family_policy
        && !POLICIES.contains(&policy.as_str())
    {
        errors.push(Error::not_supported("spec.ipFamilyPolicy", policy, &POLICIES));
    }
    if !addresses(spec, errors) {
        return;
    }
    if let [first, second] = ips(spec)
        && of(first) == of(second)
    {
        let why = "may specify no more than one IP for each IP family";
        errors.push(Error::invalid(at, ips(spec), why));
    }
    if headless(spec) || errors.len() > before {
        return;
    }
    for (i, (ip, family)) in ips(spec).iter().zip(list(spec)).enumerate() {
        if of(ip) != family {
            let why = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
            errors.push(Error::invalid(field::index(at, i), ip, why));
        }
    }
}

/// Whether each of the addresses is one.
fn addresses(spec: &ServiceSpec, errors: &mut Vec<Error>) -> bool {
    let (at, mut good) = ("spec.clusterIPs", true);
    for (i, ip) in ips(spec).iter().enumerate() {
        if i == 0 && ip == "None" {
            if ips(spec).len() > 1 {
                good = false;
                let why = "'None' must be the first and only value";
                errors.push(Error::invalid(at, ips(spec), why));
            }
            continue;
        }
        let words = names::ip(ip);
        good &= words.is_empty();
        meta::invalid(errors, &field::index(at, i), ip, words);
    }
    if ips(spec).len() > 2 {
        errors.push(Error::invalid(at, ips(spec), "may only hold up to 2 values"));
    }
    good
}

/// Addresses and families stay, but for a second one that comes, or goes on purpose.
pub(super) fn check_change(new: &ServiceSpec, old: &ServiceSpec, errors: &mut Vec<Error>) {
    if kind(new) == "ExternalName" || kind(old) == "ExternalName" || headless(new) && headless(old) {
        return;
    }
    let at = "spec.clusterIPs[0]";
    kept((ips(new), ips(old)), ("spec.clusterIPs", ips(new)), errors);
    if ips(new).is_empty() && !ips(old).is_empty() {
        errors.push(Error::invalid(at, ips(new), "primary clusterIP can not be unset"));
    }
    let released =
        |what| format!("`ipFamilyPolicy` must be set to 'SingleStack' when releasing the secondary {what}");
    let meant = policy(new) == "SingleStack";
    if ips(old).len() > 1 && ips(new).len() == 1 && !meant {
        errors.push(Error::invalid(at, ips(new), released("clusterIP")));
    }
    if headless(new) != headless(old) {
        return;
    }
    kept((list(new), list(old)), ("spec.ipFamilies", list(new)), errors);
    if list(old).len() > 1 && list(new).len() == 1 && !meant {
        errors.push(Error::invalid(at, list(new), released("ipFamily")));
    }
}

/// Of as many, each stays; else the first does.
fn kept((new, old): (&[String], &[String]), (path, value): (&str, &[String]), errors: &mut Vec<Error>) {
    let compared = if new.len() == old.len() { new.len() } else { 1 };
    let pairs = new.iter().zip(old).take(compared).enumerate();
    for (i, _) in pairs.filter(|(_, (new, old))| new != old) {
        errors.push(Error::invalid(
            field::index(path, i),
            value,
            "may not change once set",
        ));
    }
}
