//! The one table of feature gates.

mod table;

pub use table::GATES;

use crate::metrics::{Description, Gauge, Registry};
use std::collections::BTreeMap;

/// How mature a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Off unless asked for.
    Alpha,
    /// On, as a rule.
    Beta,
    /// On for good; most are locked.
    Stable,
    /// Going away.
    Deprecated,
}

impl Stage {
    /// As the metric `kubernetes_feature_enabled` names it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Alpha => "ALPHA",
            Self::Beta => "BETA",
            Self::Stable => "",
            Self::Deprecated => "DEPRECATED",
        }
    }
}

/// A feature gate.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// Upstream's name.
    pub name: &'static str,
    /// How mature it is.
    pub stage: Stage,
    /// Whether it is on when nothing is said.
    pub on: bool,
    /// Whether that cannot be changed.
    pub locked: bool,
    /// Gates without which it cannot be on.
    pub needs: &'static [&'static str],
}

/// Gates that stand for all of a stage.
const ALL: [(&str, Stage); 2] = [("AllAlpha", Stage::Alpha), ("AllBeta", Stage::Beta)];

/// Which features are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gates {
    on: BTreeMap<&'static str, bool>,
    all: [bool; 2],
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            on: GATES.iter().map(|gate| (gate.name, gate.on)).collect(),
            all: [false, false],
        }
    }
}

impl Gates {
    /// Reads `--feature-gates`: pairs of name and `true` or `false`; `AllAlpha` and `AllBeta` set what of a stage is not
    /// named.
    ///
    /// # Errors
    /// Upstream's words for a gate that is not known, locked, or on without one that it needs, and for a value that is
    /// no boolean.
    pub fn parse(pairs: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut gates = Self::default();
        for ((name, stage), all) in ALL.into_iter().zip(&mut gates.all) {
            if let Some(text) = pairs.get(name) {
                *all = boolean(name, text)?;
                let same = GATES.iter().filter(|gate| gate.stage == stage && !gate.locked);
                gates.on.extend(same.map(|gate| (gate.name, *all)));
            }
        }
        let mut wrong = Vec::new();
        for (name, text) in pairs
            .iter()
            .filter(|(name, _)| ALL.iter().all(|(all, _)| all != name))
        {
            let on = boolean(name, text)?;
            let gate = GATES
                .iter()
                .find(|gate| gate.name == name)
                .ok_or(format!("unrecognized feature gate: {name}"))?;
            if gate.locked && on != gate.on {
                wrong.push(format!(
                    "cannot set feature gate {name} to {on}, feature is locked to {}",
                    gate.on
                ));
            }
            gates.on.insert(gate.name, on);
        }
        if wrong.is_empty() {
            wrong = gates.unmet();
        }
        match wrong.as_slice() {
            [] => Ok(gates),
            [one] => Err(one.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }

    /// What is on without what it needs.
    fn unmet(&self) -> Vec<String> {
        let off = |gate: &Gate| -> Vec<&str> {
            let needs = gate.needs.iter().copied();
            needs.filter(|need| !self.enabled(need)).collect()
        };
        let on = GATES.iter().filter(|gate| self.enabled(gate.name));
        on.map(|gate| (gate.name, off(gate)))
            .filter(|(_, off)| !off.is_empty())
            .map(|(name, off)| {
                let off = off.join(" ");
                format!("{name} is enabled, but depends on features that are disabled: [{off}]")
            })
            .collect()
    }

    /// Whether a feature is on. One that the table does not have is off.
    pub fn enabled(&self, name: &str) -> bool {
        self.on.get(name).copied().unwrap_or(false)
    }

    /// Tells every gate as `kubernetes_feature_enabled`.
    pub fn tell(&self, registry: &Registry) {
        let help = "[BETA] This metric records the data about the stage and enablement of a k8s feature.";
        let description = Description::new("kubernetes_feature_enabled", help, &["name", "stage"]);
        let family = registry.family::<Gauge>(description);
        for gate in GATES {
            let labels = [gate.name, gate.stage.label()];
            family.of(&labels).add(i64::from(self.enabled(gate.name)));
        }
        for ((name, stage), on) in ALL.into_iter().zip(self.all) {
            family.of(&[name, stage.label()]).add(i64::from(on));
        }
    }
}

/// A boolean as Go reads it.
fn boolean(name: &str, text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!(
            "invalid value of {name}={text}, err: strconv.ParseBool: parsing {text:?}: invalid syntax"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Gates, String> {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Gates::parse(&pairs.collect())
    }

    #[test]
    fn gates_are_checked() {
        assert!(read(&[("EnvFiles", "false")]).is_ok_and(|gates| !gates.enabled("EnvFiles")));
        assert!(Gates::default().enabled("EnvFiles") && !Gates::default().enabled("Nonsense"));
        for (pairs, wrong) in [
            (&[("Nonsense", "true")][..], "unrecognized feature gate: Nonsense"),
            (
                &[("NodeSwap", "false")],
                "cannot set feature gate NodeSwap to false, feature is locked to true",
            ),
            (
                &[("GitRepoVolumeDriver", "true")],
                "cannot set feature gate GitRepoVolumeDriver to true, feature is locked to false",
            ),
            (
                &[("EnvFiles", "maybe")],
                "invalid value of EnvFiles=maybe, err: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
            (
                &[("WorkloadWithJob", "true")],
                "WorkloadWithJob is enabled, but depends on features that are disabled: [GenericWorkload]",
            ),
        ] {
            assert_eq!(read(pairs).unwrap_err(), wrong);
        }
    }

    #[test]
    fn a_stage_is_switched_at_once_and_a_name_wins() {
        let gates = read(&[
            ("AllAlpha", "true"),
            ("GenericWorkload", "true"),
            ("VolumeBindMountOptions", "false"),
            ("DRAResourcePoolStatus", "true"),
        ])
        .unwrap();
        assert!(gates.enabled("ContainerStopSignals") && !gates.enabled("VolumeBindMountOptions"));
        assert!(gates.enabled("EnvFiles") && gates.enabled("NodeSwap"));
        let gates = read(&[("AllBeta", "false"), ("EnvFiles", "true")]).unwrap();
        assert!(gates.enabled("EnvFiles") && !gates.enabled("WatchList") && gates.enabled("NodeSwap"));
    }

    #[test]
    fn gates_are_told_as_metrics() {
        let registry = Registry::default();
        Gates::default().tell(&registry);
        let mut told = String::new();
        registry.write(&mut told);
        for line in [
            "kubernetes_feature_enabled{name=\"EnvFiles\",stage=\"BETA\"} 1",
            "kubernetes_feature_enabled{name=\"ContainerStopSignals\",stage=\"ALPHA\"} 0",
            "kubernetes_feature_enabled{name=\"NodeSwap\",stage=\"\"} 1",
            "kubernetes_feature_enabled{name=\"AllAlpha\",stage=\"ALPHA\"} 0",
        ] {
            assert!(told.contains(line), "{line}");
        }
    }

    #[test]
    fn the_table_names_each_gate_once_and_needs_what_is_there() {
        assert!(GATES.windows(2).all(|two| two[0].name < two[1].name));
        let known = |name: &&str| GATES.iter().any(|gate| gate.name == *name);
        assert!(GATES.iter().all(|gate| gate.needs.iter().all(&known)));
        assert_eq!(Gates::default().unmet(), Vec::<String>::new());
    }
}
