//! Lists of amounts by resource.

use crate::Quantity;
use std::collections::BTreeMap;

/// How much of each resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// Adds `more` to `to`.
pub fn add(to: &mut Amounts, more: &Amounts) {
    for (name, quantity) in more {
        to.entry(name.clone())
            .and_modify(|sum| *sum = *sum + *quantity)
            .or_insert(*quantity);
    }
}

/// Raises `to` where `other` is greater.
pub(super) fn raise(to: &mut Amounts, other: &Amounts) {
    for (name, quantity) in other {
        to.entry(name.clone())
            .and_modify(|most| *most = (*most).max(*quantity))
            .or_insert(*quantity);
    }
}

/// What is left of `from` without `less`, and never below nothing.
pub fn subtract(from: &Amounts, less: &Amounts) -> Amounts {
    let left = |(name, quantity): (&String, &Quantity)| {
        let rest = less.get(name).map_or(*quantity, |less| *quantity - *less);
        (name.clone(), rest.max(Quantity::from_int(0)))
    };
    from.iter().map(left).collect()
}

/// Those of `amounts` whose name is wanted.
pub fn mask(amounts: &Amounts, wanted: impl Fn(&str) -> bool) -> Amounts {
    let kept = amounts.iter().filter(|(name, _)| wanted(name));
    kept.map(|(name, quantity)| (name.clone(), *quantity)).collect()
}

/// The names of what is more than `hard` allows.
pub fn exceeding(amounts: &Amounts, hard: &Amounts) -> Vec<String> {
    let over = hard
        .iter()
        .filter(|(name, most)| amounts.get(*name).is_some_and(|amount| amount > *most));
    over.map(|(name, _)| name.clone()).collect()
}

/// `cpu=1,memory=1Gi`.
pub fn print(amounts: &Amounts) -> String {
    let parts: Vec<String> = amounts
        .iter()
        .map(|(name, quantity)| format!("{name}={quantity}"))
        .collect();
    parts.join(",")
}
