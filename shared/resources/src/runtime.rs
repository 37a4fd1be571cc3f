//! Which versions and resources are served: `--runtime-config`.

use crate::{Row, Version, VirtualResource, table, virtual_resources};
use std::collections::{BTreeMap, BTreeSet};

/// How mature a version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stability {
    Stable,
    Beta,
    Alpha,
}

/// Names for all versions, and for all of a maturity, in the order in which they are applied.
const ALL: [(&str, Option<Stability>); 4] = [
    ("api/all", None),
    ("api/ga", Some(Stability::Stable)),
    ("api/beta", Some(Stability::Beta)),
    ("api/alpha", Some(Stability::Alpha)),
];

/// What is switched on and off. The default serves what upstream serves by itself: what is stable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runtime {
    all: Vec<(Option<Stability>, bool)>,
    versions: BTreeMap<(String, String), bool>,
    resources: BTreeMap<(String, String, String), bool>,
}

impl Runtime {
    /// Reads pairs `NAME=true`, `NAME=false` or `NAME`, where the name is `api/all`, `api/ga`, `api/beta`, `api/alpha`,
    /// `GROUP/VERSION` (`/v1` for the core group) or `GROUP/VERSION/RESOURCE`.
    ///
    /// # Errors
    /// Upstream's words for a pair that cannot be.
    pub fn parse(pairs: &[String]) -> Result<Self, String> {
        let pairs: BTreeMap<&str, &str> = pairs
            .iter()
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .collect();
        if pairs.len() == 1 && pairs.get("api/all") == Some(&"false") {
            return Err("invalid runtime-config with only api/all=false".to_owned());
        }
        let mut runtime = Self::default();
        for (name, stability) in ALL {
            match pairs.get(name) {
                Some(&"true") => runtime.all.push((stability, true)),
                Some(&"false") => runtime.all.push((stability, false)),
                Some(value) => return Err(format!("invalid value {name}={value}")),
                None => {}
            }
        }
        let mut unknown = BTreeSet::new();
        for (&name, &value) in pairs
            .iter()
            .filter(|(name, _)| ALL.iter().all(|(all, _)| all != *name))
        {
            runtime.one(name, value, &mut unknown)?;
        }
        if unknown.is_empty() {
            return Ok(runtime);
        }
        let unknown: Vec<String> = unknown.into_iter().collect();
        Err(format!("unknown api groups {}", unknown.join(",")))
    }

    fn one(&mut self, name: &str, value: &str, unknown: &mut BTreeSet<String>) -> Result<(), String> {
        let parts: Vec<&str> = name.split('/').collect();
        let (group, version, plural) = match parts.as_slice() {
            [group, version] => (*group, *version, None),
            [group, version, plural] => (*group, *version, Some(*plural)),
            _ => return Err(format!("runtime-config invalid key {name}")),
        };
        let known = known();
        if !known.iter().any(|(of, _)| *of == group) {
            unknown.insert(format!("{group}/{version}"));
            return Ok(());
        }
        if !known.contains(&(group, version)) {
            return Err(format!(
                "group version {group}/{version} that has not been registered"
            ));
        }
        let on = match value {
            "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
            _ => {
                let why = format!("strconv.ParseBool: parsing {value:?}: invalid syntax");
                return Err(format!("invalid value of {name}: {value}, err: {why}"));
            }
        };
        let of = (group.to_owned(), version.to_owned());
        match plural {
            None => drop(self.versions.insert(of, on)),
            Some(plural) if plural.to_lowercase() != plural => {
                return Err(format!(
                    "invalid key {name}: group/version/resource and resource is always lowercase plural, not {plural:?}"
                ));
            }
            Some(plural) => drop(self.resources.insert((of.0, of.1, plural.to_owned()), on)),
        }
        Ok(())
    }

    /// Whether a resource is served in a version of a group.
    pub fn serves(&self, group: &str, version: &str, plural: &str) -> bool {
        let of = (group.to_owned(), version.to_owned());
        let named = self
            .resources
            .get(&(of.0.clone(), of.1.clone(), plural.to_owned()));
        if let Some(on) = named.or_else(|| self.versions.get(&of)) {
            return *on;
        }
        let own = stability(version);
        let mut switched = self.all.iter().filter(|(of, _)| of.is_none_or(|of| of == own));
        switched
            .next_back()
            .map_or(own == Stability::Stable, |(_, on)| *on)
    }

    /// The rows that are served, each with the versions that are.
    pub fn rows(&self) -> Vec<&'static Row> {
        table().iter().filter_map(|row| self.row(row)).collect()
    }

    fn row(&self, row: &'static Row) -> Option<&'static Row> {
        let on = |version: &&Version| {
            let group = version.group.unwrap_or(row.group);
            self.serves(group, version.name, row.plural)
        };
        let all = || row.versions.iter().chain(row.on_demand);
        let served: Vec<Version> = all().filter(on).copied().collect();
        if served.is_empty() {
            return None;
        }
        let same = served.len() == row.versions.len() && row.versions.iter().all(|version| on(&version));
        if same {
            return Some(row);
        }
        // A process reads its settings once: what is leaked is as small as the table.
        Some(Box::leak(Box::new(Row {
            versions: served.leak(),
            ..*row
        })))
    }

    /// The resources without storage that are served.
    pub fn virtual_resources(&self) -> Vec<&'static VirtualResource> {
        let all = virtual_resources().iter();
        all.filter(|of| self.serves(of.group, of.version, of.plural))
            .collect()
    }
}

fn stability(version: &str) -> Stability {
    if version.contains("alpha") {
        Stability::Alpha
    } else if version.contains("beta") {
        Stability::Beta
    } else {
        Stability::Stable
    }
}

/// Groups and versions that this server could serve.
fn known() -> BTreeSet<(&'static str, &'static str)> {
    let stored = table().iter().flat_map(|row| {
        let versions = row.versions.iter().chain(row.on_demand);
        versions.map(|version| (version.group.unwrap_or(row.group), version.name))
    });
    let asked = virtual_resources().iter().map(|of| (of.group, of.version));
    stored.chain(asked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[&str]) -> Result<Runtime, String> {
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        Runtime::parse(&pairs)
    }

    fn versions(runtime: &Runtime, plural: &str) -> Vec<&'static str> {
        let row = runtime.rows().into_iter().find(|row| row.plural == plural);
        row.map_or(Vec::new(), |row| {
            row.versions.iter().map(|version| version.name).collect()
        })
    }

    #[test]
    fn what_is_stable_is_served_and_the_rest_on_demand() {
        let usual = Runtime::default();
        assert_eq!(usual.rows().len(), table().len());
        assert_eq!(versions(&usual, "clustertrustbundles"), ["v1"]);
        let beta = read(&["api/beta=true"]).unwrap();
        assert_eq!(versions(&beta, "clustertrustbundles"), ["v1", "v1beta1"]);
        let one = read(&["certificates.k8s.io/v1beta1/clustertrustbundles=true"]).unwrap();
        assert_eq!(versions(&one, "clustertrustbundles"), ["v1", "v1beta1"]);
        assert_eq!(versions(&one, "podcertificaterequests"), ["v1"]);
    }

    #[test]
    fn the_narrower_name_wins() {
        let runtime = read(&[
            "api/all=false",
            "apps/v1",
            "apps/v1/deployments=false",
            "autoscaling/v1=1",
        ])
        .unwrap();
        assert_eq!(versions(&runtime, "replicasets"), ["v1"]);
        assert_eq!(versions(&runtime, "horizontalpodautoscalers"), ["v1"]);
        assert!(versions(&runtime, "deployments").is_empty() && versions(&runtime, "pods").is_empty());
        assert!(runtime.virtual_resources().is_empty());
        let core = read(&["/v1/secrets=false"]).unwrap();
        assert!(versions(&core, "secrets").is_empty() && !versions(&core, "pods").is_empty());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (pairs, wrong) in [
            (
                &["api/all=false"][..],
                "invalid runtime-config with only api/all=false",
            ),
            (&["api/beta=maybe"], "invalid value api/beta=maybe"),
            (&["v1=true"], "runtime-config invalid key v1"),
            (
                &["nonsense/v1=true", "a/v1=true"],
                "unknown api groups a/v1,nonsense/v1",
            ),
            (
                &["apps/v9=true"],
                "group version apps/v9 that has not been registered",
            ),
            (
                &["apps/v1=maybe"],
                "invalid value of apps/v1: maybe, err: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
            (
                &["apps/v1/Deployments=true"],
                "invalid key apps/v1/Deployments: group/version/resource and resource is always lowercase plural, not \"Deployments\"",
            ),
        ] {
            assert_eq!(read(pairs).unwrap_err(), wrong);
        }
    }
}
