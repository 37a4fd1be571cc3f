//! Levels, versions, and what a namespace's labels make of them (upstream `pod-security-admission/api`).

use api::field;
use std::fmt;

/// How strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything is allowed.
    #[default]
    Privileged,
    /// Known ways out are not.
    Baseline,
    /// Nothing that is not needed is.
    Restricted,
}

/// Of which release the rules are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// `v1.N`.
    Minor(u32),
    /// The newest.
    #[default]
    Latest,
}

impl Level {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "privileged" => Ok(Self::Privileged),
            "baseline" => Ok(Self::Baseline),
            "restricted" => Ok(Self::Restricted),
            _ => Err("must be one of privileged, baseline, restricted"),
        }
    }
}

impl Version {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let minor = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
            text.parse().ok().filter(|_| digits)
        };
        match text.strip_prefix("v1.").and_then(minor) {
            Some(minor) => Ok(Self::Minor(minor)),
            None if text == "latest" => Ok(Self::Latest),
            None => Err("must be \"latest\" or \"v1.x\""),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minor(minor) => write!(f, "v1.{minor}"),
            Self::Latest => f.write_str("latest"),
        }
    }
}

/// A set of rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standard {
    /// How strict.
    pub level: Level,
    /// Of when.
    pub version: Version,
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level, self.version)
    }
}

impl Standard {
    fn is_as(&self, other: &Self) -> bool {
        (self.level == Level::Privileged && other.level == Level::Privileged) || self == other
    }
}

/// What is done by which rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What breaks these is refused.
    pub enforce: Standard,
    /// What breaks these is noted.
    pub audit: Standard,
    /// What breaks these is warned of.
    pub warn: Standard,
}

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const AUDIT: &str = "pod-security.kubernetes.io/audit";
const WARN: &str = "pod-security.kubernetes.io/warn";

impl Policy {
    /// Whether nothing is looked at.
    pub fn is_privileged(&self) -> bool {
        let all = [self.enforce, self.audit, self.warn];
        all.iter().all(|standard| standard.level == Level::Privileged)
    }

    /// What labels say beside the defaults, and what is wrong with them. What cannot be read is taken as `restricted` of
    /// the newest version where it refuses, and as nothing where it only tells.
    pub fn of<'a>(self, label: impl Fn(&str) -> Option<&'a str>) -> (Self, Vec<field::Error>) {
        let (mut policy, mut errors) = (self, Vec::new());
        let mut explicit = [false; 3];
        for (at, (key, standard, failed)) in [
            (ENFORCE, &mut policy.enforce, Level::Restricted),
            (AUDIT, &mut policy.audit, Level::Privileged),
            (WARN, &mut policy.warn, Level::Privileged),
        ]
        .into_iter()
        .enumerate()
        {
            let mut wrong = |key: &str, value: &str, why| {
                errors.push(field::Error::invalid(
                    field::key("metadata.labels", key),
                    value,
                    why,
                ));
            };
            if let Some(value) = label(key) {
                let level = Level::parse(value);
                // Of an enforced level that cannot be read nobody is warned on top.
                explicit[at] = level.is_ok() || at == 2;
                standard.level = level.unwrap_or_else(|why| {
                    wrong(key, value, why);
                    failed
                });
            }
            let key = format!("{key}-version");
            if let Some(value) = label(&key) {
                standard.version = Version::parse(value).unwrap_or_else(|why| {
                    wrong(&key, value, why);
                    Version::Latest
                });
            }
        }
        if explicit[0] && !explicit[2] && policy.enforce.level > policy.warn.level {
            policy.warn.level = policy.enforce.level;
            if label(&format!("{WARN}-version")).is_none() {
                policy.warn.version = policy.enforce.version;
            }
        }
        (policy, errors)
    }

    /// A warning for who labels a namespace that is exempt.
    pub fn ignored<'a>(
        &self,
        namespace: &str,
        default: &Self,
        label: impl Fn(&str) -> Option<&'a str>,
    ) -> Option<String> {
        let same = self.enforce.is_as(&default.enforce)
            && self.audit.is_as(&default.audit)
            && self.warn.is_as(&default.warn);
        if self.is_privileged() || same {
            return None;
        }
        let modes = [
            ("enforce", ENFORCE, self.enforce),
            ("audit", AUDIT, self.audit),
            ("warn", WARN, self.warn),
        ];
        let said = |(_, key, standard): &(&str, &str, Standard)| {
            let labelled = label(key).is_some() || label(&format!("{key}-version")).is_some();
            standard.level != Level::Privileged && labelled
        };
        let modes: Vec<String> = modes
            .iter()
            .filter(|mode| said(mode))
            .map(|(name, _, standard)| format!("{name}={standard}"))
            .collect();
        let modes = modes.join(", ");
        Some(format!(
            "namespace {namespace:?} is exempt from Pod Security, and the policy ({modes}) will be ignored"
        ))
    }
}
