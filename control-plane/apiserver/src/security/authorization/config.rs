//! `AuthorizationConfiguration`, `apiserver.config.k8s.io/v1`: which authorizers decide, in which order.

use super::{conditions::Conditions, review::Version};
use api::{
    field::{self, Error, child},
    valid_dns_subdomain,
};
use component::flags::parse_duration;
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

const VERSIONS: [&str; 3] = [
    "apiserver.config.k8s.io/v1",
    "apiserver.config.k8s.io/v1beta1",
    "apiserver.config.k8s.io/v1alpha1",
];
const KIND: &str = "AuthorizationConfiguration";
/// How long yes and no are kept, unless the file says otherwise.
const AUTHORIZED: Duration = Duration::from_secs(300);
const UNAUTHORIZED: Duration = Duration::from_secs(30);
/// The most that a webhook may take.
const LONGEST: Duration = Duration::from_secs(30);

/// A kind of authorizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Policies in a file.
    Abac,
    /// Everybody may do everything.
    AlwaysAllow,
    /// Nobody may do anything.
    AlwaysDeny,
    /// What kubelets need.
    Node,
    /// Roles and bindings.
    Rbac,
    /// Another server is asked.
    Webhook,
}

impl Mode {
    /// All, by their names.
    pub const ALL: [Self; 6] = [
        Self::Abac,
        Self::AlwaysAllow,
        Self::AlwaysDeny,
        Self::Node,
        Self::Rbac,
        Self::Webhook,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Abac => "ABAC",
            Self::AlwaysAllow => "AlwaysAllow",
            Self::AlwaysDeny => "AlwaysDeny",
            Self::Node => "Node",
            Self::Rbac => "RBAC",
            Self::Webhook => "Webhook",
        }
    }

    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// The authorizers in their order.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// Each.
    pub authorizers: Vec<Configured>,
}

/// An authorizer.
#[derive(Clone, Debug)]
pub struct Configured {
    /// What it is.
    pub mode: Mode,
    /// How it is called.
    pub name: String,
    /// How a webhook is asked.
    pub webhook: Option<WebhookSettings>,
}

impl Configured {
    /// One that needs no settings, called as upstream calls it.
    pub fn plain(mode: Mode) -> Self {
        Self {
            mode,
            name: mode.name().to_lowercase(),
            webhook: None,
        }
    }
}

/// Where a webhook is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// A kubeconfig says it.
    Kubeconfig(PathBuf),
}

/// How a webhook is asked.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// For how long a yes is kept; none: it is not.
    pub authorized_ttl: Duration,
    /// For how long a no is kept.
    pub unauthorized_ttl: Duration,
    /// How long one try may take.
    pub timeout: Duration,
    /// In which version it is asked.
    pub version: Version,
    /// Whether one that fails refuses the request; else it has no opinion.
    pub deny: bool,
    /// Where it is.
    pub connection: Connection,
    /// What it is asked about.
    pub conditions: Arc<Conditions>,
}

impl WebhookSettings {
    /// As the flags of old say: one that fails has no opinion, and it is asked about all requests.
    ///
    /// # Errors
    /// There is no such version.
    pub fn of_flags(
        connection: Connection,
        version: &str,
        authorized_ttl: Duration,
        unauthorized_ttl: Duration,
        timeout: Duration,
    ) -> Result<Self, String> {
        let known = Version::parse(version).ok_or_else(|| {
            format!("unsupported webhook authorizer version {version:?}, supported versions are \"v1\", \"v1beta1\"")
        });
        Ok(Self {
            authorized_ttl,
            unauthorized_ttl,
            timeout,
            version: known?,
            deny: false,
            connection,
            conditions: Arc::default(),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    authorizers: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    #[serde(default, rename = "type")]
    mode: String,
    #[serde(default)]
    name: String,
    webhook: Option<Hook>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Hook {
    #[serde(default, rename = "authorizedTTL")]
    authorized_ttl: Span,
    cache_authorized_requests: Option<bool>,
    #[serde(default, rename = "unauthorizedTTL")]
    unauthorized_ttl: Span,
    cache_unauthorized_requests: Option<bool>,
    #[serde(default)]
    timeout: Span,
    #[serde(default)]
    subject_access_review_version: String,
    #[serde(default)]
    match_condition_subject_access_review_version: String,
    #[serde(default)]
    failure_policy: String,
    #[serde(default)]
    connection_info: Info,
    #[serde(default)]
    match_conditions: Option<Vec<Condition>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Info {
    #[serde(rename = "type")]
    kind: String,
    kube_config_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    #[serde(default)]
    expression: String,
}

/// A duration as Go writes it; it may be less than nothing.
#[derive(Default)]
struct Span {
    text: String,
    value: Duration,
    negative: bool,
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
        let value = parse_duration(rest)
            .ok_or_else(|| serde::de::Error::custom(format!("time: invalid duration {text:?}")))?;
        Ok(Self {
            text,
            value,
            negative,
        })
    }
}

impl Span {
    fn or(self, usual: Duration) -> Self {
        if self.value.is_zero() {
            return Self {
                value: usual,
                ..Self::default()
            };
        }
        self
    }
}

impl Configuration {
    /// Reads the file's text.
    ///
    /// # Errors
    /// It is none, or none that can be worked by, in upstream's words.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let load = |why: String| format!("failed to load AuthorizationConfiguration from file: {why}");
        let json = schema::yaml_to_json(text).map_err(load)?;
        let file: File = serde_json::from_slice(&json).map_err(|error| load(words(&error.to_string())))?;
        if file.kind.is_empty() {
            return Err(load("Object 'Kind' is missing".to_owned()));
        }
        if !VERSIONS.contains(&file.api_version.as_str()) || file.kind != KIND {
            let (version, kind) = (&file.api_version, &file.kind);
            return Err(load(format!(
                "no kind {kind:?} is registered for version {version:?}"
            )));
        }
        let (made, errors) = validated(file.authorizers.unwrap_or_default());
        let mut errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        if errors.is_empty() {
            errors = misnamed(&made);
        }
        match errors.as_slice() {
            [] => Ok(made),
            [only] => Err(only.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }

    /// Whether it has an authorizer of this kind.
    pub fn has(&self, mode: Mode) -> bool {
        self.authorizers.iter().any(|of| of.mode == mode)
    }

    /// What `started`, by which the server was started, has and this has not.
    ///
    /// # Errors
    /// In words.
    pub fn follows(&self, started: &Self) -> Result<(), String> {
        for of in &self.authorizers {
            let made = matches!(of.mode, Mode::Node | Mode::Rbac | Mode::Abac);
            if made && !started.has(of.mode) {
                let name = of.mode.name();
                return Err(format!(
                    "authorizer type {name} is not allowed if it was not enabled at initial server startup"
                ));
            }
        }
        Ok(())
    }
}

/// The words of a strict decoder.
fn words(error: &str) -> String {
    let field = error.strip_prefix("unknown field `");
    match field.and_then(|rest| rest.split_once('`')) {
        Some((field, _)) => format!("strict decoding error: unknown field {field:?}"),
        None => error.to_owned(),
    }
}

fn misnamed(made: &Configuration) -> Vec<String> {
    let others = made.authorizers.iter().filter(|of| of.mode != Mode::Webhook);
    let wrong = others.filter_map(|of| {
        let (mode, name) = (of.mode.name(), of.mode.name().to_lowercase());
        (of.name != name).then(|| {
            format!(
                "expected name {name} for authorizer {mode} instead of {}",
                of.name
            )
        })
    });
    wrong.collect()
}

fn validated(entries: Vec<Entry>) -> (Configuration, Vec<Error>) {
    let (mut made, mut errors) = (Configuration::default(), Vec::new());
    if entries.is_empty() {
        let why = "at least one authorization mode must be defined";
        errors.push(Error::required("authorizers", why));
    }
    let (mut modes, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (at, entry) in entries.into_iter().enumerate() {
        let path = field::index("authorizers", at);
        let at = |name: &str| child(&path, name);
        let Some(mode) = Mode::parse(&entry.mode) else {
            let known = Mode::ALL.map(Mode::name);
            errors.push(match entry.mode.as_str() {
                "" => Error::required(at("type"), ""),
                other => Error::not_supported(at("type"), other, &known),
            });
            continue;
        };
        if !modes.insert(mode) && mode != Mode::Webhook {
            errors.push(Error::duplicate(at("type"), &entry.mode));
            continue;
        }
        if entry.name.is_empty() {
            errors.push(Error::required(at("name"), ""));
        } else if names.contains(&entry.name) {
            errors.push(Error::duplicate(at("name"), &entry.name));
        } else if !valid_dns_subdomain(&entry.name) {
            errors.push(Error::invalid(at("name"), &entry.name, BAD_NAME));
        }
        names.insert(entry.name.clone());
        let webhook = match (mode, entry.webhook) {
            (Mode::Webhook, None) => {
                errors.push(Error::required(at("webhook"), "required when type=Webhook"));
                continue;
            }
            (Mode::Webhook, Some(hook)) => hook.settings(&path, &mut errors),
            (_, Some(_)) => {
                let why = "may only be specified when type=Webhook";
                errors.push(Error::invalid(at("webhook"), "non-null", why));
                None
            }
            (_, None) => None,
        };
        made.authorizers.push(Configured {
            mode,
            name: entry.name,
            webhook,
        });
    }
    (made, errors)
}

const BAD_NAME: &str = "authorizer name is invalid: a lowercase RFC 1123 subdomain must consist of lower case \
     alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', \
     regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

impl Hook {
    /// None if there is an error.
    fn settings(self, path: &str, errors: &mut Vec<Error>) -> Option<WebhookSettings> {
        let before = errors.len();
        let at = |name: &str| child(path, name);
        if self.timeout.value.is_zero() {
            errors.push(Error::required(at("timeout"), ""));
        } else if self.timeout.negative || self.timeout.value > LONGEST {
            let why = "must be > 0s and <= 30s";
            errors.push(Error::invalid(at("timeout"), &self.timeout.text, why));
        }
        let authorized = self.authorized_ttl.or(AUTHORIZED);
        let unauthorized = self.unauthorized_ttl.or(UNAUTHORIZED);
        for (name, span) in [("authorizedTTL", &authorized), ("unauthorizedTTL", &unauthorized)] {
            if span.negative {
                errors.push(Error::invalid(at(name), &span.text, "must be > 0s"));
            }
        }
        let version = Version::parse(&self.subject_access_review_version);
        if version.is_none() {
            let place = at("subjectAccessReviewVersion");
            errors.push(match self.subject_access_review_version.as_str() {
                "" => Error::required(place, ""),
                other => Error::not_supported(place, other, &["v1", "v1beta1"]),
            });
        }
        let conditions: Vec<String> = self
            .match_conditions
            .into_iter()
            .flatten()
            .map(|of| of.expression)
            .collect();
        let place = at("matchConditionSubjectAccessReviewVersion");
        match self.match_condition_subject_access_review_version.as_str() {
            "v1" => {}
            "" if conditions.is_empty() => {}
            "" => errors.push(Error::required(
                place,
                "required if match conditions are specified",
            )),
            other => errors.push(Error::not_supported(place, other, &["v1"])),
        }
        match self.failure_policy.as_str() {
            "NoOpinion" | "Deny" => {}
            "" => errors.push(Error::required(at("failurePolicy"), "")),
            other => {
                errors.push(Error::not_supported(
                    at("failurePolicy"),
                    other,
                    &["NoOpinion", "Deny"],
                ));
            }
        }
        let connection = self.connection_info.connection(&at("connectionInfo"), errors);
        let conditions = Conditions::compile(&conditions, path)
            .map_err(|wrong| errors.extend(wrong))
            .ok();
        let kept = |wished: Option<bool>, span: Span| match wished {
            Some(false) => Duration::ZERO,
            _ => span.value,
        };
        let made = WebhookSettings {
            authorized_ttl: kept(self.cache_authorized_requests, authorized),
            unauthorized_ttl: kept(self.cache_unauthorized_requests, unauthorized),
            timeout: self.timeout.value,
            version: version?,
            deny: self.failure_policy == "Deny",
            connection: connection?,
            conditions: Arc::new(conditions?),
        };
        (errors.len() == before).then_some(made)
    }
}

impl Info {
    fn connection(&self, path: &str, errors: &mut Vec<Error>) -> Option<Connection> {
        let (place, file) = (child(path, "kubeConfigFile"), self.kube_config_file.as_deref());
        let wrong = match (self.kind.as_str(), file) {
            ("", _) => Error::required(child(path, "type"), ""),
            ("InClusterConfig", Some(file)) => {
                Error::invalid(place, file, "can only be set when type=KubeConfigFile")
            }
            ("InClusterConfig", None) => {
                let why = "the API server cannot be its own authorizer";
                Error::invalid(child(path, "type"), "InClusterConfig", why)
            }
            ("KubeConfigFile", None | Some("")) => Error::required(place, ""),
            ("KubeConfigFile", Some(file)) => match usable(Path::new(file)) {
                Ok(()) => return Some(Connection::Kubeconfig(PathBuf::from(file))),
                Err(why) => Error::invalid(place, file, why),
            },
            (other, _) => {
                let known = ["InClusterConfig", "KubeConfigFile"];
                Error::not_supported(child(path, "type"), other, &known)
            }
        };
        errors.push(wrong);
        None
    }
}

fn usable(file: &Path) -> Result<(), String> {
    if !file.is_absolute() {
        return Err("must be an absolute path".to_owned());
    }
    let words = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        _ => error.to_string(),
    };
    let known = std::fs::metadata(file)
        .map_err(|error| format!("error loading file: stat {}: {}", file.display(), words(error)))?;
    match known.is_file() {
        true => Ok(()),
        false => Err("must be a regular file".to_owned()),
    }
}
