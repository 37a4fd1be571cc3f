//! Discovery: which groups, versions and resources there are, in upstream's two forms.

use super::decisions;
use crate::{
    aggregate::{Found, Known},
    handler::Index,
};
use resources::{Custom, Row, Subresource};
use schema::ResourceInfo;
use serde::Serialize;
use serde_json::value::RawValue;
use std::{cmp::Reverse, collections::HashMap, sync::Arc};

/// The verbs of a resource whose row names none.
const USUAL: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// The same in the order that upstream has for custom resources.
const CUSTOM: &[&str] = &[
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];

/// A resource or subresource, as it is listed.
#[derive(Clone, Debug)]
pub struct Listed {
    /// `pods`, `pods/status`.
    pub name: String,
    /// Singular name.
    pub singular: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Group, version and kind of its bodies.
    pub kind: (&'static str, &'static str, &'static str),
    /// Verbs.
    pub verbs: &'static [&'static str],
    /// Short names.
    pub short_names: &'static [&'static str],
    /// Categories.
    pub categories: &'static [&'static str],
    /// The definition of a custom resource, and which of its versions this is.
    pub custom: Option<(Arc<Custom>, usize)>,
}

impl Listed {
    /// As documents name it.
    pub fn info(&self) -> ResourceInfo<'_> {
        let (group, version, kind) = self.kind;
        ResourceInfo {
            name: &self.name,
            namespaced: self.namespaced,
            group,
            version,
            kind,
            verbs: self.verbs,
            custom: self
                .custom
                .as_ref()
                .map(|(custom, version)| &custom.versions[*version].published)
                .or_else(|| (group == decisions::GROUP).then(decisions::published)),
        }
    }
}

/// A version of a group.
#[derive(Clone, Debug)]
pub struct Served {
    /// Group; empty for the core group.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// What it has.
    pub resources: Vec<Listed>,
}

impl Served {
    /// `group/version`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// All groups and versions, each group's preferred version first: built-in groups in the table's order, then custom
/// ones by name.
pub fn served(index: &Index) -> Vec<Served> {
    let mut all: Vec<Served> = Vec::new();
    let mut customs: Vec<Arc<Custom>> = Vec::new();
    for cache in &index.caches {
        if let Some(custom) = cache.custom() {
            customs.push(custom);
            continue;
        }
        let row = cache.row;
        for version in row.versions {
            let group = version.group.unwrap_or(row.group);
            entry(&mut all, group, version.name).extend(listed(row, group, version.name, None));
        }
    }
    for of in &index.virtual_resources {
        entry(&mut all, of.group, of.version).push(Listed {
            name: of.plural.to_owned(),
            singular: of.singular,
            namespaced: of.namespaced,
            kind: (of.group, of.version, of.kind),
            verbs: of.verbs,
            short_names: &[],
            categories: &[],
            custom: None,
        });
    }
    let (group, version) = (decisions::GROUP, decisions::VERSION);
    entry(&mut all, group, version).push(Listed {
        name: decisions::PLURAL.to_owned(),
        singular: "decision",
        namespaced: true,
        kind: (group, version, "Decision"),
        verbs: &["list"],
        short_names: &[],
        categories: &[],
        custom: None,
    });
    add_customs(&mut all, &mut customs);
    for served in &mut all {
        served.resources.sort_by(|a, b| a.name.cmp(&b.name));
    }
    all
}

/// Adds custom resources. The versions of a group stand in the order of their stability, whoever has them.
fn add_customs(all: &mut Vec<Served>, customs: &mut [Arc<Custom>]) {
    customs.sort_by_key(|custom| (custom.row.group, custom.row.plural));
    for same in customs.chunk_by(|a, b| a.row.group == b.row.group) {
        let versions = same.iter().flat_map(|custom| custom.row.versions);
        let mut versions: Vec<&'static str> = versions.map(|version| version.name).collect();
        versions.sort_by(|a, b| resources::by_priority(a, b));
        versions.dedup();
        for version in versions {
            for custom in same {
                let row = custom.row;
                if let Some(index) = row.versions.iter().position(|v| v.name == version) {
                    let custom = Some((custom.clone(), index));
                    entry(all, row.group, version).extend(listed(row, row.group, version, custom));
                }
            }
        }
    }
}

fn entry<'a>(all: &'a mut Vec<Served>, group: &'static str, version: &'static str) -> &'a mut Vec<Listed> {
    let index = match all.iter().position(|s| s.group == group && s.version == version) {
        Some(index) => index,
        None => {
            // Versions of one group stand together.
            let after = all
                .iter()
                .rposition(|s| s.group == group)
                .map_or(all.len(), |last| last + 1);
            all.insert(
                after,
                Served {
                    group,
                    version,
                    resources: Vec::new(),
                },
            );
            after
        }
    };
    &mut all[index].resources
}

fn listed(
    row: &'static Row,
    group: &'static str,
    version: &'static str,
    custom: Option<(Arc<Custom>, usize)>,
) -> Vec<Listed> {
    let own = (group, version, row.kind);
    let of = custom.as_ref().map(|(custom, index)| &custom.versions[*index]);
    let has = |sub: &Subresource| match of {
        Some(version) if sub.name == "status" => version.status,
        Some(version) => version.scale.is_some(),
        None => true,
    };
    let parts = row.subresources.iter().filter(|sub| has(sub)).map(|sub| Listed {
        name: format!("{}/{}", row.plural, sub.name),
        singular: "",
        namespaced: row.namespaced,
        kind: if sub.kind.2.is_empty() { own } else { sub.kind },
        verbs: sub.verbs,
        short_names: &[],
        categories: &[],
        custom: custom.clone(),
    });
    let parts: Vec<Listed> = parts.collect();
    let whole = Listed {
        name: row.plural.to_owned(),
        singular: row.singular,
        namespaced: row.namespaced,
        kind: own,
        verbs: match row.verbs {
            [] if custom.is_some() => CUSTOM,
            [] => USUAL,
            verbs => verbs,
        },
        short_names: row.short_names,
        categories: row.categories,
        custom,
    };
    std::iter::once(whole).chain(parts).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiResource<'a> {
    name: &'a str,
    singular_name: &'a str,
    namespaced: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    kind: &'a str,
    verbs: &'a [&'a str],
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    short_names: &'a [&'a str],
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    categories: &'a [&'a str],
}

/// `/api/v1`, `/apis/GROUP/VERSION`: an `APIResourceList`.
pub fn resource_list(served: &Served) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct List<'a> {
        kind: &'a str,
        api_version: &'a str,
        group_version: String,
        resources: Vec<ApiResource<'a>>,
    }
    let one = |r: &'_ Listed| {
        let foreign = (r.kind.0, r.kind.1) != (served.group, served.version);
        let (group, version) = if foreign { (r.kind.0, r.kind.1) } else { ("", "") };
        (group, version)
    };
    let resources = served.resources.iter().map(|r| {
        let (group, version) = one(r);
        ApiResource {
            name: &r.name,
            singular_name: r.singular,
            namespaced: r.namespaced,
            group,
            version,
            kind: r.kind.2,
            verbs: r.verbs,
            short_names: r.short_names,
            categories: r.categories,
        }
    });
    let list = List {
        kind: "APIResourceList",
        api_version: "v1",
        group_version: served.api_version(),
        resources: resources.collect(),
    };
    serde_json::to_vec(&list).unwrap_or_default()
}

/// A version of a group, whoever answers for it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Group; empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Who.
    of: Of,
}

#[derive(Clone, Debug)]
enum Of {
    /// This server: the place in the list of what it serves.
    Here(usize),
    /// Another, with what it has as far as is known, and whether it answers.
    There(Option<Arc<Found>>, bool),
}

/// All groups and versions in the order of their priorities, each group's preferred version first.
pub fn shown(served: &[Served], known: &Known) -> Vec<Shown> {
    let here = served.iter().enumerate().map(|(place, served)| Shown {
        group: served.group.to_owned(),
        version: served.version.to_owned(),
        of: Of::Here(place),
    });
    let mut all: Vec<Shown> = here
        .filter(|shown| !known.is_elsewhere(&shown.group, &shown.version))
        .collect();
    all.extend(known.elsewhere().map(|there| Shown {
        group: there.group.to_owned(),
        version: there.version.to_owned(),
        of: Of::There(there.found.cloned(), there.available),
    }));
    let mut groups: HashMap<&str, i32> = HashMap::new();
    for shown in &all {
        // What registers others is always first.
        let priority = match shown.group.as_str() {
            "apiregistration.k8s.io" => i32::MAX,
            group => known.priority(group, &shown.version).group,
        };
        let highest = groups.entry(&shown.group).or_insert(priority);
        *highest = priority.max(*highest);
    }
    let keys = all.iter().map(|shown| {
        let version = known.priority(&shown.group, &shown.version).version;
        (Reverse(groups[shown.group.as_str()]), Reverse(version))
    });
    let mut keyed: Vec<_> = keys.collect::<Vec<_>>().into_iter().zip(all).collect();
    keyed.sort_by(|((a_group, a_version), a), ((b_group, b_version), b)| {
        (a_group, &a.group, a_version)
            .cmp(&(b_group, &b.group, b_version))
            .then_with(|| resources::by_priority(&a.version, &b.version))
    });
    keyed.into_iter().map(|(_, shown)| shown).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupVersion<'a> {
    group_version: String,
    version: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<&'static str>,
    name: &'a str,
    versions: Vec<GroupVersion<'a>>,
    preferred_version: GroupVersion<'a>,
}

fn group<'a>(all: &'a [Shown], name: &'a str) -> Option<Group<'a>> {
    let version = |s: &'a Shown| GroupVersion {
        group_version: format!("{}/{}", s.group, s.version),
        version: &s.version,
    };
    let versions: Vec<GroupVersion<'_>> = all.iter().filter(|s| s.group == name).map(version).collect();
    let preferred_version = all.iter().find(|s| s.group == name).map(version)?;
    Some(Group {
        kind: None,
        api_version: None,
        name,
        versions,
        preferred_version,
    })
}

fn groups(all: &[Shown]) -> Vec<&str> {
    let groups = all.iter().map(|s| s.group.as_str());
    let mut names: Vec<&str> = groups.filter(|g| !g.is_empty()).collect();
    names.dedup();
    names
}

/// `/apis`: an `APIGroupList`.
pub fn group_list(all: &[Shown]) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct List<'a> {
        kind: &'static str,
        api_version: &'static str,
        groups: Vec<Group<'a>>,
    }
    let groups = groups(all)
        .into_iter()
        .filter_map(|name| group(all, name))
        .collect();
    serde_json::to_vec(&List {
        kind: "APIGroupList",
        api_version: "v1",
        groups,
    })
    .unwrap_or_default()
}

/// `/apis/GROUP`: an `APIGroup`.
pub fn one_group(all: &[Shown], name: &str) -> Option<Vec<u8>> {
    if name.is_empty() {
        return None;
    }
    let group = Group {
        kind: Some("APIGroup"),
        api_version: Some("v1"),
        ..group(all, name)?
    };
    serde_json::to_vec(&group).ok()
}

/// `/api`: `APIVersions`. `address` is where clients find this server.
pub fn core_versions(address: &str) -> Vec<u8> {
    let head = r#"{"kind":"APIVersions","versions":["v1"],"serverAddressByClientCIDRs":"#;
    format!(r#"{head}[{{"clientCIDR":"0.0.0.0/0","serverAddress":"{address}"}}]}}"#).into_bytes()
}

#[derive(Serialize)]
struct Kind {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AggregatedResource<'a> {
    resource: &'a str,
    response_kind: Kind,
    scope: &'static str,
    singular_resource: &'a str,
    verbs: &'a [&'a str],
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    short_names: &'a [&'a str],
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    categories: &'a [&'a str],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subresources: Vec<AggregatedSub<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AggregatedSub<'a> {
    subresource: &'a str,
    response_kind: Kind,
    verbs: &'a [&'a str],
}

#[derive(Serialize)]
struct AggregatedVersion<'a> {
    version: &'a str,
    #[serde(skip_serializing_if = "Resources::is_none")]
    resources: Resources<'a>,
    freshness: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Resources<'a> {
    Here(Vec<AggregatedResource<'a>>),
    There(&'a RawValue),
    None,
}

impl Resources<'_> {
    fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

#[derive(Serialize)]
struct Named<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
}

#[derive(Serialize)]
struct AggregatedGroup<'a> {
    metadata: Named<'a>,
    versions: Vec<AggregatedVersion<'a>>,
}

/// `/api` (`core`) or `/apis` as an `APIGroupDiscoveryList`.
pub fn aggregated(served: &[Served], all: &[Shown], core: bool) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct List<'a> {
        kind: &'static str,
        api_version: &'static str,
        metadata: Named<'a>,
        items: Vec<AggregatedGroup<'a>>,
    }
    let names = if core { vec![""] } else { groups(all) };
    let group = |name| AggregatedGroup {
        metadata: Named { name },
        versions: all
            .iter()
            .filter(|s| s.group == name)
            .map(|s| shown_version(served, s))
            .collect(),
    };
    let list = List {
        kind: "APIGroupDiscoveryList",
        api_version: "apidiscovery.k8s.io/v2",
        metadata: Named { name: "" },
        items: names.into_iter().map(group).collect(),
    };
    serde_json::to_vec(&list).unwrap_or_default()
}

fn shown_version<'a>(served: &'a [Served], shown: &'a Shown) -> AggregatedVersion<'a> {
    match &shown.of {
        Of::Here(place) => aggregated_version(&served[*place]),
        Of::There(found, available) => AggregatedVersion {
            version: &shown.version,
            resources: found
                .as_ref()
                .map_or(Resources::None, |found| Resources::There(&found.resources)),
            freshness: if *available && found.is_some() {
                "Current"
            } else {
                "Stale"
            },
        },
    }
}

fn aggregated_version(served: &Served) -> AggregatedVersion<'_> {
    let kind = |r: &Listed| Kind {
        group: r.kind.0,
        version: r.kind.1,
        kind: r.kind.2,
    };
    let whole = served.resources.iter().filter(|r| !r.name.contains('/'));
    let resources = whole.map(|r| {
        let subs = served
            .resources
            .iter()
            .filter_map(|s| match s.name.split_once('/') {
                Some((of, name)) if of == r.name => Some(AggregatedSub {
                    subresource: name,
                    response_kind: kind(s),
                    verbs: s.verbs,
                }),
                _ => None,
            });
        AggregatedResource {
            resource: &r.name,
            response_kind: kind(r),
            scope: if r.namespaced { "Namespaced" } else { "Cluster" },
            singular_resource: r.singular,
            verbs: r.verbs,
            short_names: r.short_names,
            categories: r.categories,
            subresources: subs.collect(),
        }
    });
    AggregatedVersion {
        version: served.version,
        resources: Resources::Here(resources.collect()),
        freshness: "Current",
    }
}
