//! Whether a request fits into the quotas of its namespace (upstream `CheckRequest`).

use api::{
    Gvr, Key, Object, Status,
    quota::{self, Amounts, Item, Quota, Term},
};
use jiff::Timestamp;
use serde::Deserialize;
use std::{collections::BTreeSet, sync::Arc};

/// A resource that only those may use who have a quota of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Limited {
    /// API group of what uses it.
    pub api_group: String,
    /// Plural name of what uses it.
    pub resource: String,
    /// Parts of the names that are limited.
    pub match_contains: Vec<String>,
    /// Scopes that are limited.
    pub match_scopes: Vec<Term>,
}

/// A request as quotas see it.
#[derive(Debug)]
pub(super) struct Ask {
    pub gvr: Gvr,
    pub name: String,
    pub item: Item,
    /// What is there now; none for a create.
    pub old: Option<Item>,
    pub of_status: bool,
    pub dry_run: bool,
    pub now: Timestamp,
}

/// What was added to one quota for one request.
#[derive(Clone, Debug)]
pub(super) struct Added {
    pub quota: Key,
    pub uid: String,
    pub amounts: Amounts,
}

/// A quota while requests are added to it.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub object: Arc<Object>,
    pub quota: Quota,
    pub changed: bool,
}

impl Running {
    pub fn new(object: Arc<Object>) -> Option<Self> {
        let quota = Quota::new(&object)?;
        Some(Self {
            object,
            quota,
            changed: false,
        })
    }
}

impl Ask {
    fn refuse(&self, why: &str) -> Status {
        Status::forbidden(&self.gvr, &self.name, why)
    }

    fn tracked<'a>(&self, amounts: &'a Amounts) -> Vec<&'a str> {
        let names = amounts.keys().map(String::as_str);
        names
            .filter(|name| quota::tracks(&self.gvr.group, &self.gvr.resource, name))
            .collect()
    }

    /// The names of what a quota counts of the request; none if it does not fall under it.
    fn matched<'a>(&self, item: &Item, quota: &'a Quota) -> Option<Vec<&'a str>> {
        let names = self.tracked(&quota.status.hard);
        (!names.is_empty() && quota.terms().iter().all(|term| item.is_within(term))).then_some(names)
    }

    /// Adds the request to all quotas that it falls under, or to none.
    pub fn charge(&self, quotas: &mut [Running], limited: &[Limited]) -> Result<Vec<Added>, Status> {
        let usage = self.item.usage(self.now);
        let mut matched = Vec::new();
        let (mut covered, mut scopes) = (BTreeSet::new(), Vec::new());
        for (at, running) in quotas.iter().enumerate() {
            let quota = &running.quota;
            scopes.extend(quota.terms().into_iter().filter(|term| self.item.is_within(term)));
            let Some(names) = self.matched(&self.item, quota) else {
                continue;
            };
            let quota_name = running.object.name();
            if let Some(lack) = self.item.lacks(&names) {
                return Err(self.refuse(&format!("failed quota: {quota_name}: {lack}")));
            }
            if names.iter().any(|name| !quota.status.used.contains_key(*name)) {
                let names = names.join(",");
                return Err(self.refuse(&format!(
                    "status unknown for quota: {quota_name}, resources: {names}"
                )));
            }
            covered.extend(names.iter().map(|name| (*name).to_owned()));
            matched.push(at);
        }
        let negative: Vec<&str> = usage
            .iter()
            .filter(|(_, quantity)| quantity.is_negative())
            .map(|(name, _)| name.as_str())
            .collect();
        if !negative.is_empty() {
            let names = negative.join(",");
            return Err(self.refuse(&format!("quota usage is negative for resource(s): {names}")));
        }
        let more = self
            .old
            .as_ref()
            .map(|old| quota::subtract(&usage, &old.usage(self.now)));
        let mut deltas = Vec::new();
        for at in &matched {
            let before = self
                .old
                .as_ref()
                .and_then(|old| self.matched(old, &quotas[*at].quota));
            let delta = match (&more, before) {
                (Some(more), Some(_)) => more,
                _ => &usage,
            };
            deltas.push((*at, positive(delta)));
        }
        deltas.retain(|(_, delta)| !delta.is_empty());
        let moot = match matched.is_empty() {
            true => positive(more.as_ref().unwrap_or(&usage)).is_empty(),
            false => deltas.is_empty(),
        };
        if moot {
            return Ok(Vec::new());
        }
        self.check_covered(&usage, &covered, &scopes, limited)?;
        let mut sums = Vec::new();
        for (at, delta) in deltas {
            sums.push((at, self.add(&quotas[at], &delta)?));
        }
        let mut added = Vec::new();
        for (at, (amounts, used)) in sums {
            let running = &mut quotas[at];
            running.changed = true;
            running.quota.status.used = used;
            added.push(Added {
                quota: running.object.key(),
                uid: running.object.uid().to_owned(),
                amounts,
            });
        }
        Ok(added)
    }

    /// What the quota counts of `delta`, and what is used with it, if it allows that.
    fn add(&self, running: &Running, delta: &Amounts) -> Result<(Amounts, Amounts), Status> {
        let status = &running.quota.status;
        let requested = quota::mask(delta, |name| status.hard.contains_key(name));
        let mut used = status.used.clone();
        quota::add(&mut used, &requested);
        let new = quota::mask(&used, |name| requested.contains_key(name));
        let over = quota::exceeding(&new, &status.hard);
        if !over.is_empty() && !self.of_status {
            let of = |amounts| quota::print(&quota::mask(amounts, |name| over.iter().any(|o| o == name)));
            return Err(self.refuse(&format!(
                "exceeded quota: {}, requested: {}, used: {}, limited: {}",
                running.object.name(),
                of(&requested),
                of(&status.used),
                of(&status.hard)
            )));
        }
        Ok((requested, used))
    }

    /// What only those may use who have a quota of it must be under one.
    fn check_covered(
        &self,
        usage: &Amounts,
        covered: &BTreeSet<String>,
        scopes: &[Term],
        limited: &[Limited],
    ) -> Result<(), Status> {
        let own =
            |limited: &&Limited| self.gvr.group == limited.api_group && self.gvr.resource == limited.resource;
        let used = positive(usage);
        let contains = |name: &str| {
            let mut parts = limited
                .iter()
                .filter(own)
                .flat_map(|limited| &limited.match_contains);
            parts.any(|part| name.contains(part.as_str()))
        };
        let bare: Vec<&str> = used
            .keys()
            .map(String::as_str)
            .filter(|name| contains(name) && !covered.contains(*name))
            .collect();
        if !bare.is_empty() {
            return Err(self.refuse(&format!("insufficient quota to consume: {}", bare.join(","))));
        }
        let wanted = limited.iter().flat_map(|limited| &limited.match_scopes);
        let bare: Vec<String> = wanted
            .filter(|term| self.item.is_within(term))
            .filter(|term| scopes.iter().all(|scope| scope.scope_name != term.scope_name))
            .map(Term::to_string)
            .collect();
        if bare.is_empty() {
            return Ok(());
        }
        // Upstream's error of this is no status of its own.
        Err(Status {
            message: format!("insufficient quota to match these scopes: [{}]", bare.join(" ")),
            reason: String::new(),
            details: None,
            ..Status::internal("")
        })
    }
}

fn positive(amounts: &Amounts) -> Amounts {
    let more = amounts.iter().filter(|(_, quantity)| !quantity.is_zero());
    more.map(|(name, quantity)| (name.clone(), *quantity)).collect()
}
