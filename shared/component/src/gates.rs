//! The one table of feature gates.

use std::collections::BTreeMap;

/// How mature a feature is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Off unless asked for.
    Alpha,
    /// On unless switched off.
    Beta,
    /// On; it cannot be switched off.
    Stable,
}

/// A feature gate.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// Upstream's name.
    pub name: &'static str,
    /// How mature it is.
    pub stage: Stage,
}

/// The gates whose features are there. A gate of upstream's that is not listed has no feature behind it here yet.
pub const GATES: &[Gate] = &[
    Gate {
        name: "OrderedNamespaceDeletion",
        stage: Stage::Stable,
    },
    Gate {
        name: "WatchBookmark",
        stage: Stage::Stable,
    },
];

/// Which features are on.
#[derive(Clone, Debug, Default)]
pub struct Gates(BTreeMap<&'static str, bool>);

impl Gates {
    /// Reads `--feature-gates`: pairs of name and `true` or `false`; `AllAlpha` and `AllBeta` set a stage.
    pub fn parse(pairs: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut gates: BTreeMap<_, _> = GATES.iter().map(|g| (g.name, g.stage != Stage::Alpha)).collect();
        let value = |name: &str, text: &str| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!(
                "invalid value of {name}={text}, err: must be true or false"
            )),
        };
        for (all, stage) in [("AllAlpha", Stage::Alpha), ("AllBeta", Stage::Beta)] {
            if let Some(text) = pairs.get(all) {
                let on = value(all, text)?;
                gates.extend(GATES.iter().filter(|g| g.stage == stage).map(|g| (g.name, on)));
            }
        }
        for (name, text) in pairs
            .iter()
            .filter(|(name, _)| *name != "AllAlpha" && *name != "AllBeta")
        {
            let gate = GATES
                .iter()
                .find(|g| g.name == name)
                .ok_or(format!("unrecognized feature gate: {name}"))?;
            let on = value(name, text)?;
            if gate.stage == Stage::Stable && !on {
                return Err(format!(
                    "cannot set feature gate {name} to false, feature is locked to true"
                ));
            }
            gates.insert(gate.name, on);
        }
        Ok(Self(gates))
    }

    /// Whether a feature is on.
    pub fn enabled(&self, name: &str) -> bool {
        self.0.get(name).copied().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_checked() {
        let read =
            |name: &str, value: &str| Gates::parse(&BTreeMap::from([(name.to_owned(), value.to_owned())]));
        assert!(read("WatchBookmark", "true").unwrap().enabled("WatchBookmark"));
        assert_eq!(
            read("Nonsense", "true").unwrap_err(),
            "unrecognized feature gate: Nonsense"
        );
        assert_eq!(
            read("WatchBookmark", "false").unwrap_err(),
            "cannot set feature gate WatchBookmark to false, feature is locked to true"
        );
    }
}
