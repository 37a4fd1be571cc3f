//! Which requests a webhook or a policy is about: rules, selectors, and other versions of what they name.

use super::{Attributes, Operation};
use crate::Reader;
use api::{Gvk, Gvr, LabelSelector, MatchSelector, Object, Status};
use serde::Deserialize;

const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");
/// Kinds that are answered at once and never stored.
const REVIEWS: [&str; 2] = ["authentication.k8s.io", "authorization.k8s.io"];

/// What is done with which resources. An empty list of names is any name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT`, `*`.
    pub operations: Vec<String>,
    /// Groups, or `*`.
    pub api_groups: Vec<String>,
    /// Versions, or `*`.
    pub api_versions: Vec<String>,
    /// `pods`, `pods/status`, `pods/*`, `*/scale`, `*`, `*/*`.
    pub resources: Vec<String>,
    /// `Cluster`, `Namespaced` or `*`.
    pub scope: String,
    /// Names of objects.
    pub resource_names: Vec<String>,
}

/// The same in the words of an object: `MatchResources` of a policy; a webhook's rules and selectors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MatchResources {
    /// By the labels of the namespace.
    pub namespace_selector: MatchSelector,
    /// By the labels of the object.
    pub object_selector: MatchSelector,
    /// What is matched.
    #[serde(alias = "rules")]
    pub resource_rules: Vec<Rule>,
    /// What is not, whatever else says so.
    pub exclude_resource_rules: Vec<Rule>,
    /// `Equivalent`, or `Exact`: only the versions that are named.
    pub match_policy: String,
}

/// The same, ready.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    namespaces: LabelSelector,
    objects: LabelSelector,
    equivalent: bool,
    /// Without rules it matches everything: a binding, not a webhook or policy.
    open: bool,
}

/// As what a request is matched: the resource, and what its object is, in the version that a rule names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The resource.
    pub resource: Gvr,
    /// The kind.
    pub kind: Gvk,
    /// The version's index in the row; none for what has no row.
    pub version: Option<usize>,
}

impl Rule {
    fn matches(&self, request: &Attributes<'_>, group: &str, version: &str) -> bool {
        let of = request.request();
        let has = |list: &[String], value: &str| list.iter().any(|known| known == "*" || known == value);
        has(&self.operations, request.operation.name())
            && has(&self.api_groups, group)
            && has(&self.api_versions, version)
            && self.resources.iter().any(|wanted| {
                let (resource, subresource) = wanted.split_once('/').unwrap_or((wanted, ""));
                (resource == "*" || resource == of.resource)
                    && (subresource == "*" || subresource == of.subresource)
            })
            && self.in_scope(request)
            && (self.resource_names.is_empty() || self.resource_names.iter().any(|name| name == request.name))
    }

    fn in_scope(&self, request: &Attributes<'_>) -> bool {
        let of = request.request();
        let cluster = of.namespace.is_empty() || is_namespace(request);
        match self.scope.as_str() {
            "Namespaced" => !cluster,
            "Cluster" => cluster,
            _ => true,
        }
    }
}

impl Matching {
    /// Of a webhook or policy: without rules it matches nothing.
    ///
    /// # Errors
    /// A selector that is none.
    pub fn new(of: MatchResources) -> Result<Self, String> {
        Ok(Self {
            namespaces: of
                .namespace_selector
                .selector()
                .map_err(|error| error.to_string())?,
            objects: of.object_selector.selector().map_err(|error| error.to_string())?,
            rules: of.resource_rules,
            excluded: of.exclude_resource_rules,
            equivalent: of.match_policy != "Exact",
            open: false,
        })
    }

    /// Of a binding: without rules it matches every resource.
    ///
    /// # Errors
    /// A selector that is none.
    pub fn open(of: MatchResources) -> Result<Self, String> {
        let made = Self::new(of)?;
        let open = made.rules.is_empty();
        Ok(Self { open, ..made })
    }

    /// Whether a rule is about the resource and what is done with it. Quick: neither objects nor namespaces are looked
    /// at.
    pub fn concerns(&self, request: &Attributes<'_>) -> bool {
        !exempt(request) && self.target(request).is_some()
    }

    /// As what the request matches; none if it does not.
    ///
    /// # Errors
    /// Its namespace is not there.
    pub fn matches(&self, request: &Attributes<'_>, reader: &Reader) -> Result<Option<Target>, Status> {
        let Some(target) = self.target(request).filter(|_| !exempt(request)) else {
            return Ok(None);
        };
        let there = self.selects_object(request) && self.selects_namespace(request, reader)?;
        Ok(there.then_some(target))
    }

    fn target(&self, request: &Attributes<'_>) -> Option<Target> {
        if self
            .excluded
            .iter()
            .any(|rule| self.find(rule, request).is_some())
        {
            return None;
        }
        if self.open {
            let of = request.request();
            return found(request, &of.group, &of.version);
        }
        // A rule that names the version of the request goes before one that names another.
        let exact = |rule: &&Rule| {
            let of = request.request();
            rule.matches(request, &of.group, &of.version)
        };
        match self.rules.iter().find(exact) {
            Some(rule) => self.find(rule, request),
            None => self.rules.iter().find_map(|rule| self.find(rule, request)),
        }
    }

    /// As what a rule matches.
    fn find(&self, rule: &Rule, request: &Attributes<'_>) -> Option<Target> {
        let of = request.request();
        if rule.matches(request, &of.group, &of.version) {
            return found(request, &of.group, &of.version);
        }
        let row = request.place.filter(|_| self.equivalent)?.row();
        let other = row.versions.iter().find_map(|version| {
            let group = version.group.unwrap_or(row.group);
            rule.matches(request, group, version.name)
                .then_some((group, version.name))
        });
        other.and_then(|(group, version)| found(request, group, version))
    }

    fn selects_object(&self, request: &Attributes<'_>) -> bool {
        let selects = |object: &Option<std::sync::Arc<Object>>| {
            object
                .as_ref()
                .is_some_and(|object| self.objects.matches(|key| object.label(key)))
        };
        self.objects.is_everything() || selects(&request.object) || selects(&request.old)
    }

    fn selects_namespace(&self, request: &Attributes<'_>, reader: &Reader) -> Result<bool, Status> {
        let name = request.request().namespace.as_str();
        if self.namespaces.is_everything() {
            return Ok(true);
        }
        let written = matches!(request.operation, Operation::Create | Operation::Update);
        let own = request
            .object
            .as_ref()
            .filter(|_| written && is_namespace(request));
        if name.is_empty() && own.is_none() {
            return Ok(true);
        }
        let namespace = match own {
            Some(own) => Some(own.clone()),
            None => reader.get(&NAMESPACES, "", name),
        };
        let namespace = namespace.ok_or_else(|| Status::not_found(&NAMESPACES, name))?;
        Ok(self.namespaces.matches(|key| namespace.label(key)))
    }
}

fn is_namespace(request: &Attributes<'_>) -> bool {
    let of = request.request();
    of.group.is_empty() && of.resource == "namespaces"
}

/// What webhooks and policies are never asked about: they could not be mended any more.
fn exempt(request: &Attributes<'_>) -> bool {
    const OWN: [&str; 6] = [
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "validatingwebhookconfigurations",
    ];
    let of = request.request();
    REVIEWS.contains(&of.group.as_str())
        || (of.group == "admissionregistration.k8s.io" && OWN.contains(&of.resource.as_str()))
}

fn found(request: &Attributes<'_>, group: &str, version: &str) -> Option<Target> {
    let of = request.request();
    let resource = Gvr {
        group: group.to_owned().into(),
        version: version.to_owned().into(),
        resource: of.resource.clone().into(),
    };
    let row = request.place.map(|place| place.row());
    let place = row.and_then(|row| {
        row.versions
            .iter()
            .position(|known| known.name == version && known.group.unwrap_or(row.group) == group)
    });
    // The kind of a subresource's body does not change with the resource's version.
    let own = row.is_some_and(|row| *row.kind == *request.kind.kind);
    let kind = if own {
        Gvk {
            group: resource.group.clone(),
            version: resource.version.clone(),
            kind: request.kind.kind.clone(),
        }
    } else {
        request.kind.clone()
    };
    Some(Target {
        resource,
        kind,
        version: place,
    })
}
