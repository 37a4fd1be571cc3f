//! PodSecurity: the Pod Security Standards, as a namespace's labels want them (upstream
//! `plugin/pkg/admission/security/podsecurity`).

mod checks;
mod pod;
mod policy;
mod rules;
#[cfg(test)]
mod tests;

pub use policy::{Level, Policy, Standard, Version};

use super::{Attributes, Operation, Parts, Plugin};
use crate::Reader;
use api::{Gvr, Object, Status, field};
use checks::{Broken, evaluate, in_full, in_short};
use pod::Pod;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");
const PODS: Gvr = Gvr::new("", "v1", "pods");
/// So many pods of a namespace are looked at when its labels change.
const MOST_PODS: usize = 3000;
/// Subresources of pods that change nothing of what the rules look at.
const HARMLESS: [&str; 8] = [
    "exec",
    "attach",
    "binding",
    "eviction",
    "log",
    "portforward",
    "proxy",
    "status",
];

/// `pod-security.admission.config.k8s.io/v1 PodSecurityConfiguration`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    /// What holds where a namespace has no label.
    pub defaults: Defaults,
    /// Whom nothing of it concerns.
    pub exemptions: Exemptions,
}

/// Levels and versions, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the configuration's own fields")]
pub struct Defaults {
    pub enforce: String,
    pub enforce_version: String,
    pub audit: String,
    pub audit_version: String,
    pub warn: String,
    pub warn_version: String,
}

/// Who is exempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[expect(missing_docs, reason = "the configuration's own fields")]
pub struct Exemptions {
    pub usernames: Vec<String>,
    pub namespaces: Vec<String>,
    pub runtime_classes: Vec<String>,
}

impl Configuration {
    /// Says what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let mut errors = self.policy().1;
        let names = [
            ("namespaces", &self.exemptions.namespaces),
            ("runtimeClasses", &self.exemptions.runtime_classes),
            ("usernames", &self.exemptions.usernames),
        ];
        for (list, names) in names {
            let mut seen = BTreeSet::new();
            for (at, name) in names.iter().enumerate() {
                let path = field::index(&format!("exemptions.{list}"), at);
                let wrong = match list {
                    "usernames" => name.is_empty().then_some("username must not be empty"),
                    "namespaces" => (!api::valid_dns_label(name)).then_some("a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"),
                    _ => (!api::valid_dns_subdomain(name)).then_some("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"),
                };
                match wrong {
                    Some(why) => errors.push(field::Error::invalid(path, name, why)),
                    None if !seen.insert(name) => errors.push(field::Error::duplicate(path, name)),
                    None => {}
                }
            }
        }
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        match texts.as_slice() {
            [] => Ok(()),
            [one] => Err(one.clone()),
            all => Err(format!("[{}]", all.join(", "))),
        }
    }

    fn policy(&self) -> (Policy, Vec<field::Error>) {
        let Defaults {
            enforce,
            enforce_version,
            audit,
            audit_version,
            warn,
            warn_version,
        } = &self.defaults;
        let mut errors = Vec::new();
        let mut standard = |name: &str, level: &str, version: &str| {
            let path = format!("defaults.{name}");
            let mut wrong =
                |path: String, value: &str, why| errors.push(field::Error::invalid(path, value, why));
            let read = if level.is_empty() { "privileged" } else { level };
            let level = Level::parse(read).unwrap_or_else(|why| {
                wrong(path.clone(), level, why);
                Level::Restricted
            });
            let read = if version.is_empty() { "latest" } else { version };
            let version = Version::parse(read).unwrap_or_else(|why| {
                wrong(format!("{path}-version"), version, why);
                Version::Latest
            });
            Standard { level, version }
        };
        let policy = Policy {
            enforce: standard("enforce", enforce, enforce_version),
            warn: standard("warn", warn, warn_version),
            audit: standard("audit", audit, audit_version),
        };
        (policy, errors)
    }
}

/// The plugin.
pub struct PodSecurity {
    reader: Reader,
    default: Policy,
    exemptions: Exemptions,
}

impl PodSecurity {
    /// The plugin.
    pub fn new(parts: &Parts) -> Self {
        let configuration = &parts.configuration.pod_security;
        Self {
            reader: parts.reader.clone(),
            default: configuration.policy().0,
            exemptions: configuration.exemptions.clone(),
        }
    }

    fn policy(&self, namespace: &Object) -> (Policy, Vec<field::Error>) {
        self.default.of(|key| namespace.label(key))
    }

    /// The policy of a namespace that is there.
    fn policy_of(&self, namespace: &str) -> (Policy, Vec<field::Error>) {
        let object = self.reader.get(&NAMESPACES, "", namespace);
        object.map_or((self.default, Vec::new()), |object| self.policy(&object))
    }

    fn is_exempt(&self, namespace: &str) -> bool {
        self.exemptions.namespaces.iter().any(|name| name == namespace)
    }

    fn namespace(&self, request: &Attributes<'_>, new: &Object) -> Result<(), Status> {
        let (policy, errors) = self.policy(new);
        let old = request.old.as_deref().map(|old| self.policy(old));
        let known = old.as_ref().is_some_and(|(_, old)| *old == errors);
        if !errors.is_empty() && !known {
            return Err(Status::invalid("", "Namespace", new.name(), errors));
        }
        if let Some((old, _)) = old {
            let (new, old) = (policy.enforce, old.enforce);
            let relaxed = new.version == old.version && new.level <= old.level;
            if new == old || new.level == Level::Privileged || relaxed {
                return Ok(());
            }
        }
        if self.is_exempt(new.name()) {
            let warning = policy.ignored(new.name(), &self.default, |key| new.label(key));
            warning
                .into_iter()
                .for_each(|warning| request.notes().warn(warning));
        } else if request.operation == Operation::Update {
            for warning in self.existing(new.name(), policy.enforce) {
                request.notes().warn(warning);
            }
        }
        Ok(())
    }

    /// What the pods of a namespace would break, in words: pods of one owner mostly break the same, so that one of each
    /// is looked at first.
    fn existing(&self, namespace: &str, standard: Standard) -> Vec<String> {
        let mut owners = BTreeSet::new();
        let (mut first, mut later) = (Vec::new(), Vec::new());
        for object in self.reader.list(&PODS, namespace) {
            let Ok(pod) = object.view::<Pod>() else { continue };
            if self
                .exemptions
                .runtime_classes
                .contains(&pod.spec.runtime_class_name)
            {
                continue;
            }
            let owner = object.owners().iter().find(|owner| owner.controller);
            let again = owner.is_some_and(|owner| !owners.insert(owner.uid.clone()));
            if again { &mut later } else { &mut first }.push((object, pod));
        }
        first.extend(later);
        let all = first.len();
        first.truncate(MOST_PODS);
        let mut told: BTreeMap<String, (Arc<Object>, usize)> = BTreeMap::new();
        for (object, pod) in first {
            let broken = evaluate(standard, &pod);
            if !broken.is_empty() {
                let (named, count) = told.entry(in_short(&broken)).or_insert((object.clone(), 0));
                *count += 1;
                if object.name() < named.name() {
                    *named = object;
                }
            }
        }
        let mut warnings = Vec::new();
        if all > MOST_PODS {
            warnings.push(format!(
                "new PodSecurity enforce level only checked against the first {MOST_PODS} of {all} existing pods"
            ));
        }
        if !told.is_empty() {
            warnings.push(format!(
                "existing pods in namespace {namespace:?} violate the new PodSecurity enforce level \"{standard}\""
            ));
        }
        let line = |(reasons, (pod, count)): (String, (Arc<Object>, usize))| match count {
            1 => format!("{}: {reasons}", pod.name()),
            2 => format!("{} (and 1 other pod): {reasons}", pod.name()),
            count => format!("{} (and {} other pods): {reasons}", pod.name(), count - 1),
        };
        let mut lines: Vec<String> = told.into_iter().map(line).collect();
        lines.sort();
        warnings.extend(lines);
        warnings
    }

    /// Why nothing concerns a request, if nothing does.
    fn exemption(&self, request: &Attributes<'_>) -> Option<&'static str> {
        if self.is_exempt(&request.request().namespace) {
            return Some("namespace");
        }
        let user = self.exemptions.usernames.contains(&request.user().name);
        user.then_some("user")
    }

    /// A pod, or the template of a workload, which is never refused.
    fn pod(&self, request: &Attributes<'_>, pod: &Pod, enforced: bool) -> Result<(), Status> {
        let note = |key: &str, value: String| {
            request
                .notes()
                .annotate(format!("pod-security.kubernetes.io/{key}"), value);
        };
        let class = &pod.spec.runtime_class_name;
        if self.exemptions.runtime_classes.contains(class) {
            note("exempt", "runtimeClass".to_owned());
            return Ok(());
        }
        let (policy, errors) = self.policy_of(&request.request().namespace);
        if !errors.is_empty() {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            note("error", format!("Failed to parse policy: {}", errors.join(", ")));
        }
        let mut known: BTreeMap<Standard, Vec<Broken>> = BTreeMap::new();
        let mut broken = |standard: Standard| {
            let broken = known.entry(standard).or_insert_with(|| evaluate(standard, pod));
            (!broken.is_empty()).then(|| format!("PodSecurity \"{standard}\": {}", in_full(broken)))
        };
        if enforced {
            note("enforce-policy", policy.enforce.to_string());
        }
        if let Some(what) = broken(policy.audit) {
            note("audit-violations", format!("would violate {what}"));
        }
        if let Some(what) = enforced.then(|| broken(policy.enforce)).flatten() {
            return Err(request.forbidden(&format!("violates {what}")));
        }
        if let Some(what) = broken(policy.warn) {
            request.notes().warn(format!("would violate {what}"));
        }
        Ok(())
    }
}

impl Plugin for PodSecurity {
    fn validates(&self, request: &Attributes<'_>) -> bool {
        if !matches!(request.operation, Operation::Create | Operation::Update) {
            return false;
        }
        let of = request.request();
        match (of.group.as_str(), of.resource.as_str(), of.subresource.as_str()) {
            ("", "namespaces", "") => true,
            ("", "pods", subresource) => !HARMLESS.contains(&subresource),
            (group, plural, "") if pod::is_workload(group, plural) => {
                let (policy, errors) = self.policy_of(&of.namespace);
                let told = [policy.audit, policy.warn]
                    .iter()
                    .any(|s| s.level != Level::Privileged);
                !errors.is_empty() || told || self.exemption(request).is_some()
            }
            _ => false,
        }
    }

    fn validate(&self, request: &Attributes<'_>) -> Result<(), Status> {
        let Some(object) = request.object.as_deref() else {
            return Ok(());
        };
        let of = request.request();
        if of.resource == "namespaces" {
            return self.namespace(request, object);
        }
        let note = |key: &str, value: &str| {
            let key = format!("pod-security.kubernetes.io/{key}");
            request.notes().annotate(key, value);
        };
        if let Some(why) = self.exemption(request) {
            note("exempt", why);
            return Ok(());
        }
        if of.resource != "pods" {
            let template = pod::template(object);
            return template.map_or(Ok(()), |template| self.pod(request, &template, false));
        }
        let (policy, errors) = self.policy_of(&of.namespace);
        if errors.is_empty() && policy.is_privileged() {
            note("enforce-policy", "privileged:latest");
            return Ok(());
        }
        let new: Pod = object.view().map_err(Status::internal)?;
        let old = request.old.as_deref().and_then(|old| old.view::<Pod>().ok());
        match old.is_none_or(|old| new.differs(&old)) {
            true => self.pod(request, &new, true),
            false => Ok(()),
        }
    }
}
