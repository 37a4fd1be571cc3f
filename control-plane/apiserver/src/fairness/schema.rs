//! Which flow a request belongs to.

use super::shard::flow_hash;
use crate::security::{Attributes, User};
use api::Object;
use http::HeaderValue;
use serde::{Deserialize, Serialize};

/// The group of all who have said who they are; clients in this process have, whatever their groups.
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// A FlowSchema.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Its name.
    pub name: String,
    /// Its UID; empty if it is not stored.
    pub uid: HeaderValue,
    /// What it says.
    pub spec: Spec,
}

/// What a FlowSchema says.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The level of its requests.
    pub priority_level_configuration: Named,
    /// The lowest that matches is taken.
    pub matching_precedence: i64,
    /// What tells its flows from each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distinguisher_method: Option<Method>,
    /// Which requests are its.
    pub rules: Vec<Rule>,
}

/// A name.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default)]
pub struct Named {
    /// The name.
    pub name: String,
}

/// `ByUser` or `ByNamespace`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default)]
pub struct Method {
    /// Which.
    pub r#type: String,
}

/// Somebody and what they ask.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct Rule {
    /// Who.
    pub subjects: Vec<Subject>,
    /// Requests about resources.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_rules: Vec<ResourceRule>,
    /// Requests about paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub non_resource_rules: Vec<PathRule>,
}

/// Who asks.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// A user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Named>,
    /// A group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Named>,
    /// A service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<Account>,
}

/// A service account; `*` is all of a namespace.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Requests about resources.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceRule {
    /// Verbs.
    pub verbs: Vec<String>,
    /// Groups.
    pub api_groups: Vec<String>,
    /// Resources, with their subresources.
    pub resources: Vec<String>,
    /// Also what is in no namespace.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cluster_scope: bool,
    /// Namespaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
}

/// Requests about paths.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct PathRule {
    /// Verbs.
    pub verbs: Vec<String>,
    /// Paths.
    #[serde(rename = "nonResourceURLs")]
    pub non_resource_urls: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: Spec,
}

impl Schema {
    /// A stored one; none if it is not read.
    pub fn read(object: &Object) -> Option<Self> {
        Some(Self {
            name: object.name().to_owned(),
            uid: HeaderValue::from_str(object.uid()).ok()?,
            spec: object.view::<View>().ok()?.spec,
        })
    }

    /// Where it stands among others.
    pub fn rank(&self) -> (i64, &str) {
        (self.spec.matching_precedence, &self.name)
    }

    /// Whether a request is one of its.
    pub fn matches(&self, asked: &Attributes) -> bool {
        self.spec.rules.iter().any(|rule| rule.matches(asked))
    }

    /// What tells the flow of a request from others of this schema.
    pub fn distinguisher<'a>(&self, asked: &'a Attributes) -> &'a str {
        match self
            .spec
            .distinguisher_method
            .as_ref()
            .map(|method| method.r#type.as_str())
        {
            Some("ByUser") => &asked.user.name,
            Some("ByNamespace") => &asked.namespace,
            _ => "",
        }
    }

    /// The hash of its flow.
    pub fn hash(&self, asked: &Attributes) -> u64 {
        flow_hash(&self.name, self.distinguisher(asked))
    }
}

impl Rule {
    fn matches(&self, asked: &Attributes) -> bool {
        let what = || match asked.is_resource {
            true => self.resource_rules.iter().any(|rule| rule.matches(asked)),
            false => self.non_resource_rules.iter().any(|rule| rule.matches(asked)),
        };
        self.subjects.iter().any(|subject| subject.is(&asked.user)) && what()
    }
}

impl Subject {
    fn is(&self, user: &User) -> bool {
        let named = |named: &Option<Named>, is: &dyn Fn(&str) -> bool| {
            named
                .as_ref()
                .is_some_and(|named| named.name == "*" || is(&named.name))
        };
        match self.kind.as_str() {
            "User" => named(&self.user, &|name| user.name == name),
            "Group" => named(&self.group, &|name| in_group(user, name)),
            "ServiceAccount" => self
                .service_account
                .as_ref()
                .is_some_and(|account| account.is(user)),
            _ => false,
        }
    }
}

fn in_group(user: &User, name: &str) -> bool {
    let listed = |name: &str| user.groups.iter().any(|group| group == name);
    listed(name) || (name == AUTHENTICATED && !listed(UNAUTHENTICATED))
}

impl Account {
    fn is(&self, user: &User) -> bool {
        let rest = user.name.strip_prefix("system:serviceaccount:");
        let rest = rest.and_then(|rest| rest.strip_prefix(self.namespace.as_str()));
        let name = rest.and_then(|rest| rest.strip_prefix(':'));
        name.is_some_and(|name| self.name == "*" || self.name == name)
    }
}

impl ResourceRule {
    fn matches(&self, asked: &Attributes) -> bool {
        let place = || match asked.namespace.as_str() {
            "" => self.cluster_scope,
            namespace => contains(&self.namespaces, namespace),
        };
        contains(&self.verbs, &asked.verb)
            && self.has_resource(&asked.resource, &asked.subresource)
            && contains(&self.api_groups, &asked.group)
            && place()
    }

    fn has_resource(&self, resource: &str, subresource: &str) -> bool {
        let same = |listed: &String| match subresource {
            "" => listed == resource,
            _ => listed.split_once('/') == Some((resource, subresource)),
        };
        is_all(&self.resources) || self.resources.iter().any(same)
    }
}

impl PathRule {
    fn matches(&self, asked: &Attributes) -> bool {
        contains(&self.verbs, &asked.verb)
            && self.non_resource_urls.iter().any(|url| is_path(url, &asked.path))
    }
}

/// Whether a path is `url` or below it.
fn is_path(url: &str, path: &str) -> bool {
    let below = || {
        let folder = url.trim_end_matches('*').trim_end_matches('/');
        path.strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    url == "*" || url == path || below()
}

fn is_all(list: &[String]) -> bool {
    matches!(list, [all] if all == "*")
}

fn contains(list: &[String], value: &str) -> bool {
    is_all(list) || list.iter().any(|listed| listed == value)
}
