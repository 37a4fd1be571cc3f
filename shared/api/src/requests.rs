//! What a pod asks of its node (upstream: `k8s.io/component-helpers/resource`).

use crate::Quantity;
use std::collections::BTreeMap;

/// Quantities by resource, as a pod has them.
pub type Quantities = BTreeMap<String, Quantity>;

/// Numbers by resource: thousandths of a CPU, of all else whole units.
pub type Amounts = BTreeMap<String, i64>;

/// A quantity in the unit in which `resource` is counted.
pub fn amount(resource: &str, quantity: Quantity) -> i64 {
    if resource == "cpu" {
        quantity.millis()
    } else {
        quantity.value()
    }
}

/// All that asks in a pod.
#[derive(Clone, Debug)]
pub struct Asking<'a> {
    /// Of its containers.
    pub containers: Vec<&'a Quantities>,
    /// Of its init containers, in their order, and whether they stay on beside the containers.
    pub init_containers: Vec<(&'a Quantities, bool)>,
    /// Of the pod as a whole, which counts instead of the containers'.
    pub whole: Option<&'a Quantities>,
    /// What it costs beside its containers.
    pub overhead: &'a Quantities,
}

impl Asking<'_> {
    /// The containers together, or the largest moment of the init containers if that is more; plus the overhead.
    pub fn amounts(&self) -> Amounts {
        let mut total = Amounts::new();
        let (mut peak, mut staying) = (Amounts::new(), Amounts::new());
        for container in &self.containers {
            each(container).for_each(|(resource, n)| *total.entry(resource).or_default() += n);
        }
        for (container, stays) in &self.init_containers {
            for (resource, n) in each(container) {
                let running = staying.entry(resource.clone()).or_default();
                let moment = *running + n;
                if *stays {
                    *running = moment;
                    *total.entry(resource.clone()).or_default() += n;
                }
                let highest = peak.entry(resource).or_default();
                *highest = (*highest).max(moment);
            }
        }
        for (resource, n) in peak {
            let sum = total.entry(resource).or_default();
            *sum = (*sum).max(n);
        }
        total.extend(self.whole.into_iter().flat_map(each));
        each(self.overhead).for_each(|(resource, n)| *total.entry(resource).or_default() += n);
        total
    }
}

fn each(quantities: &Quantities) -> impl Iterator<Item = (String, i64)> {
    quantities
        .iter()
        .map(|(resource, quantity)| (resource.clone(), amount(resource, *quantity)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(quantity: &str) -> Quantities {
        [("cpu".to_owned(), quantity.parse().unwrap())].into()
    }

    #[test]
    fn a_pod_asks_for_its_largest_moment() {
        let [one, two, ten] = ["1", "2", "10"].map(cpu);
        let none = Quantities::new();
        let asking = |init: &[(&'static str, bool)], whole: Option<&Quantities>| {
            let init: Vec<_> = init
                .iter()
                .map(|(quantity, stays)| (cpu(quantity), *stays))
                .collect();
            let asking = Asking {
                containers: vec![&one, &two],
                init_containers: init
                    .iter()
                    .map(|(quantities, stays)| (quantities, *stays))
                    .collect(),
                whole,
                overhead: &none,
            };
            asking.amounts()["cpu"]
        };
        assert_eq!(asking(&[], None), 3000);
        assert_eq!(asking(&[("2500m", false)], None), 3000);
        assert_eq!(asking(&[("4", false), ("5", false)], None), 5000);
        assert_eq!(asking(&[("1", true)], None), 4000);
        assert_eq!(asking(&[("1", true), ("4", false)], None), 5000);
        assert_eq!(asking(&[("4", false), ("1", true)], None), 4000);
        assert_eq!(asking(&[], Some(&ten)), 10_000);
    }
}
