//! `EncryptionConfiguration`, `apiserver.config.k8s.io/v1`: which values are sealed with which keys.

use super::{
    cipher::{Cipher, Refused, cipher},
    kms::{Envelope, Kms, KmsConfiguration},
    metrics::{FAILED, Meter, OK, Way},
};
use api::field::{self, Error};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use component::{Env, Random};
use serde::{Deserialize, de::IgnoredAny};
use std::{collections::BTreeSet, sync::Arc};
use tokio::time::Instant;

/// What all sealed values start with; their provider and key follow.
pub(crate) const SEALED: &[u8] = b"k8s:enc:";

/// The file is not one that can be worked by.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither YAML nor JSON, or not of this kind.
    #[error("error decoding encryption provider configuration: {0}")]
    Form(String),
    /// Not a sensible one.
    #[error("invalid encryption provider configuration: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Invalid(Vec<Error>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    resources: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    providers: Vec<Provider>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    aesgcm: Option<Keys>,
    aescbc: Option<Keys>,
    secretbox: Option<Keys>,
    identity: Option<IgnoredAny>,
    kms: Option<KmsConfiguration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default)]
    keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    #[serde(default)]
    name: String,
    #[serde(default)]
    secret: String,
}

/// How values are sealed, by resource.
#[derive(Default)]
pub struct Keyring {
    rules: Vec<Rule>,
    meter: Option<Meter>,
}

struct Rule {
    /// Resources as `plural.group`, with `*` for any.
    resources: Vec<(String, String)>,
    /// The first one writes, all read.
    providers: Vec<Sealer>,
}

/// A key of a provider; without a cipher it is `identity`.
struct Sealer {
    prefix: String,
    /// The length of what its provider's keys have in common of it.
    common: usize,
    cipher: Option<Box<dyn Cipher>>,
    /// What the cipher asks for keys.
    kms: Option<Arc<Kms>>,
}

/// A stored value that was opened.
pub(super) struct Opened {
    pub value: Bytes,
    /// The first provider would have written it otherwise.
    pub stale: bool,
}

/// Why a stored value cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("no matching prefix found")]
    NoKey,
    #[error("identity transformer tried to read encrypted data")]
    Encrypted,
    #[error(transparent)]
    Refused(#[from] Refused),
}

impl Keyring {
    /// Reads the file.
    pub fn parse(text: &[u8]) -> Result<Self, ConfigError> {
        let json = schema::yaml_to_json(text).map_err(ConfigError::Form)?;
        let file: File = serde_json::from_slice(&json).map_err(|e| ConfigError::Form(e.to_string()))?;
        if file.api_version != "apiserver.config.k8s.io/v1" || file.kind != "EncryptionConfiguration" {
            let (version, kind) = (&file.api_version, &file.kind);
            return Err(ConfigError::Form(format!(
                "no kind {kind:?} is registered for version {version:?}"
            )));
        }
        let mut errors = Vec::new();
        if file.resources.is_empty() {
            errors.push(at_least_one("resources", "resources"));
        }
        let mut services = BTreeSet::new();
        let rules = (file.resources.iter().enumerate())
            .map(|(index, entry)| {
                rule(
                    entry,
                    &field::index("resources", index),
                    &mut services,
                    &mut errors,
                )
            })
            .collect();
        match errors.is_empty() {
            true => Ok(Self { rules, meter: None }),
            false => Err(ConfigError::Invalid(errors)),
        }
    }

    /// Counts what it and its services do from now on.
    pub(super) fn measure(&mut self, env: &Env) {
        self.meter = Some(Meter::new(env));
        self.services().iter().for_each(|kms| kms.measure(env));
    }

    fn begin(&self) -> Option<Instant> {
        self.meter.as_ref().map(Meter::begin)
    }

    /// Notes what became of a value. Upstream counts a provider with keys for itself and for the key.
    fn note(&self, begun: Option<Instant>, way: Way, of: (&str, &str), prefixes: &[&str], status: &str) {
        if let (Some(meter), Some(begun)) = (&self.meter, begun) {
            for prefix in prefixes {
                meter.end(begun, way, of, prefix, status);
            }
        }
    }

    /// Notes that the service could not be asked that has the key of a stored value.
    pub(super) fn lost(&self, of: (&str, &str), stored: &[u8], code: &str) {
        let mut sealers = self.providers(of.0, of.1).unwrap_or_default().iter();
        if let Some(sealer) = sealers.find(|sealer| stored.starts_with(sealer.prefix.as_bytes())) {
            self.note(self.begin(), Way::FromStorage, of, &sealer.prefixes(), code);
        }
    }

    /// The KMS providers.
    pub(super) fn services(&self) -> Vec<Arc<Kms>> {
        let sealers = self.rules.iter().flat_map(|rule| &rule.providers);
        sealers.filter_map(|sealer| sealer.kms.clone()).collect()
    }

    /// Goes on with the services of `old` that are the same, and with what is known by them.
    pub(super) fn adopt(&mut self, old: &Self) {
        let old = old.services();
        for sealer in self.rules.iter_mut().flat_map(|rule| &mut rule.providers) {
            let Some(kms) = &mut sealer.kms else { continue };
            if let Some(same) = old.iter().find(|old| old.settings() == kms.settings()) {
                *kms = same.clone();
                sealer.cipher = Some(Box::new(Envelope(same.clone())));
            }
        }
    }

    /// The service that has the key of a stored value, and what it wants to see of it.
    pub(super) fn service_of<'a>(
        &'a self,
        (group, plural): (&str, &str),
        stored: &'a [u8],
    ) -> Option<(&'a Arc<Kms>, &'a [u8])> {
        let mut sealers = self.providers(group, plural)?.iter();
        sealers.find_map(|sealer| {
            let rest = stored.strip_prefix(sealer.prefix.as_bytes())?;
            Some((sealer.kms.as_ref()?, rest))
        })
    }

    /// The providers of a resource; none: its values are stored as they are.
    fn providers(&self, group: &str, plural: &str) -> Option<&[Sealer]> {
        let fits = |pattern: &str, name: &str| pattern == "*" || pattern == name;
        let mut rules = self.rules.iter();
        let rule = rules.find(|rule| {
            rule.resources
                .iter()
                .any(|(p, g)| fits(p, plural) && fits(g, group))
        });
        rule.map(|rule| rule.providers.as_slice())
    }

    /// Whether values of the resource are to be looked at.
    pub(super) fn concerns(&self, group: &str, plural: &str) -> bool {
        self.providers(group, plural).is_some()
    }

    /// Whether any resource is named beside those that are given, by a wildcard or as a custom one.
    pub(super) fn beyond(&self, known: &BTreeSet<(&str, &str)>) -> bool {
        let mut named = self.rules.iter().flat_map(|rule| &rule.resources);
        named.any(|(plural, group)| !known.contains(&(group.as_str(), plural.as_str())))
    }

    /// The bytes to store.
    pub(super) fn seal(
        &self,
        of: (&str, &str),
        place: &[u8],
        value: Bytes,
        random: &Random,
    ) -> Result<Bytes, Unreadable> {
        let Some(first) = self.providers(of.0, of.1).and_then(<[_]>::first) else {
            return Ok(value);
        };
        let begun = self.begin();
        let Some(cipher) = &first.cipher else {
            self.note(begun, Way::ToStorage, of, &[""], OK);
            return Ok(value);
        };
        let sealed = cipher.seal(&value, place, random);
        let status = sealed.as_ref().map_or_else(Refused::status, |_| OK);
        self.note(begun, Way::ToStorage, of, &first.prefixes(), status);
        Ok([first.prefix.as_bytes(), &sealed?].concat().into())
    }

    /// What was stored.
    pub(super) fn open(&self, of: (&str, &str), place: &[u8], stored: Bytes) -> Result<Opened, Unreadable> {
        let Some(providers) = self.providers(of.0, of.1) else {
            return match stored.starts_with(SEALED) {
                true => Err(Unreadable::Encrypted),
                false => Ok(Opened {
                    value: stored,
                    stale: false,
                }),
            };
        };
        let (begun, way) = (self.begin(), Way::FromStorage);
        let mut failed = Unreadable::NoKey;
        for (index, sealer) in providers.iter().enumerate() {
            let stale = index > 0;
            match &sealer.cipher {
                None if !stored.starts_with(SEALED) => {
                    self.note(begun, way, of, &["identity"], OK);
                    return Ok(Opened { value: stored, stale });
                }
                None if providers.len() == 1 => failed = Unreadable::Encrypted,
                Some(cipher) if stored.starts_with(sealer.prefix.as_bytes()) => {
                    let sealed = &stored[sealer.prefix.len()..];
                    let opened = cipher.open(sealed, place);
                    let status = opened.as_ref().map_or_else(Refused::status, |_| OK);
                    self.note(begun, way, of, &sealer.prefixes(), status);
                    match opened {
                        Ok(value) => {
                            let (value, stale) = (value.into(), stale || cipher.stale(sealed));
                            return Ok(Opened { value, stale });
                        }
                        Err(why) => failed = why.into(),
                    }
                }
                _ => {}
            }
        }
        if !matches!(failed, Unreadable::Refused(_)) {
            self.note(begun, way, of, &["unknown"], FAILED);
        }
        Err(failed)
    }
}

fn at_least_one(path: &str, what: &str) -> Error {
    Error::required(path, format!("at least one {what} is required"))
}

fn rule(entry: &Entry, path: &str, services: &mut BTreeSet<String>, errors: &mut Vec<Error>) -> Rule {
    let place = field::child(path, "resources");
    if entry.resources.is_empty() {
        errors.push(at_least_one(&place, &place));
    }
    let split = |name: &String| {
        let (plural, group) = name.split_once('.').unwrap_or((name, ""));
        (plural.to_owned(), group.to_owned())
    };
    let resources: Vec<_> = entry.resources.iter().map(split).collect();
    overlap(&entry.resources, &resources, &place, errors);
    for (index, (name, (plural, group))) in entry.resources.iter().zip(&resources).enumerate() {
        if let Some(why) = no_resource(name, plural, group) {
            errors.push(Error::invalid(field::index(&place, index), name, why));
        }
    }
    let place = field::child(path, "providers");
    if entry.providers.is_empty() {
        errors.push(at_least_one(&place, &place));
    }
    let providers = (entry.providers.iter().enumerate())
        .flat_map(|(index, provider)| sealers(provider, &field::index(&place, index), services, errors))
        .collect();
    Rule { resources, providers }
}

fn overlap(names: &[String], resources: &[(String, String)], path: &str, errors: &mut Vec<Error>) {
    let (mut twice, mut masked) = (false, false);
    for (index, a) in resources.iter().enumerate() {
        for b in &resources[index + 1..] {
            let all = |(plural, group): &(String, String)| plural == "*" && group == "*";
            twice |= a == b;
            masked |= a != b && (all(a) || all(b) || (a.1 == b.1 && (a.0 == "*" || b.0 == "*")));
        }
    }
    if twice {
        let why = "the same resource cannot be specified multiple times";
        errors.push(Error::invalid(path, names, why));
    }
    if masked {
        let why = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked";
        errors.push(Error::invalid(path, names, why));
    }
}

/// Why no resource is named like this.
fn no_resource(name: &str, plural: &str, group: &str) -> Option<&'static str> {
    const NOT_SERVED: [&str; 3] = [
        "apiserveripinfo",
        "serviceipallocations",
        "servicenodeportallocations",
    ];
    match (plural, group) {
        _ if name.chars().any(char::is_uppercase) => Some("resource name should not contain capital letters"),
        _ if name == "*" => {
            Some("use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources")
        }
        _ if NOT_SERVED.contains(&name) => Some("resources which do not have REST API/s cannot be encrypted"),
        (_, "events.k8s.io") => Some(
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file",
        ),
        (_, "extensions") => Some("'extensions' group has been removed and cannot be used for encryption"),
        (plural, "*") if plural != "*" => Some("encrypting the same resource across groups is not supported"),
        _ => None,
    }
}

fn sealers(
    provider: &Provider,
    path: &str,
    services: &mut BTreeSet<String>,
    errors: &mut Vec<Error>,
) -> Vec<Sealer> {
    let Provider {
        aesgcm,
        aescbc,
        secretbox,
        identity,
        kms,
    } = provider;
    let keyed = [("aesgcm", aesgcm), ("aescbc", aescbc), ("secretbox", secretbox)];
    let mut given = keyed
        .iter()
        .filter_map(|(name, keys)| Some((*name, keys.as_ref()?)));
    let first = given.next();
    let count = usize::from(first.is_some())
        + given.count()
        + usize::from(identity.is_some())
        + usize::from(kms.is_some());
    let mut wrong = |why: &str| errors.push(Error::invalid(path, "", why));
    match (count, first) {
        (0, _) => wrong(
            "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity",
        ),
        (2.., _) => wrong(
            "more than one provider specified in a single element, should split into different list elements",
        ),
        (_, Some((name, keys))) => return keys.sealers(name, &field::child(path, name), errors),
        _ => match kms {
            Some(kms) => {
                let settings = kms.settings(&field::child(path, "kms"), services, errors);
                return settings.map(Kms::new).map(Sealer::kms).into_iter().collect();
            }
            None => {
                return vec![Sealer {
                    prefix: String::new(),
                    common: 0,
                    cipher: None,
                    kms: None,
                }];
            }
        },
    }
    Vec::new()
}

impl Sealer {
    /// As metrics name it: the provider, then its key, if it has any.
    fn prefixes(&self) -> Vec<&str> {
        let (provider, key) = self.prefix.split_at(self.common);
        [provider, key]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect()
    }

    fn kms(kms: Arc<Kms>) -> Self {
        let prefix = format!("k8s:enc:kms:v2:{}:", kms.settings().name);
        Self {
            common: prefix.len(),
            prefix,
            cipher: Some(Box::new(Envelope(kms.clone()))),
            kms: Some(kms),
        }
    }
}

impl Keys {
    fn sealers(&self, provider: &str, path: &str, errors: &mut Vec<Error>) -> Vec<Sealer> {
        let path = field::child(path, "keys");
        if self.keys.is_empty() {
            errors.push(at_least_one(&path, "keys"));
        }
        let keys = self.keys.iter().enumerate();
        keys.filter_map(|(index, key)| key.sealer(provider, &field::index(&path, index), errors))
            .collect()
    }
}

impl Key {
    fn sealer(&self, provider: &str, path: &str, errors: &mut Vec<Error>) -> Option<Sealer> {
        for (name, value) in [("name", &self.name), ("secret", &self.secret)] {
            if value.is_empty() {
                let why = format!("{name} is a mandatory field for a key");
                errors.push(Error::required(field::child(path, name), why));
            }
        }
        if self.secret.is_empty() {
            return None;
        }
        let mut wrong = |why: String| {
            errors.push(Error::invalid(field::child(path, "secret"), "REDACTED", why));
            None
        };
        let Ok(secret) = BASE64_STANDARD.decode(&self.secret) else {
            return wrong("secrets must be base64 encoded".to_owned());
        };
        let Some(cipher) = cipher(provider, &secret) else {
            let lengths = if provider == "secretbox" {
                "[32]"
            } else {
                "[16 24 32]"
            };
            return wrong(format!(
                "secret is not of the expected length, got {}, expected one of {lengths}",
                secret.len()
            ));
        };
        let common = format!("k8s:enc:{provider}:v1:");
        Some(Sealer {
            prefix: format!("{common}{}:", self.name),
            common: common.len(),
            cipher: Some(cipher),
            kms: None,
        })
    }
}
