//! What calls cost at most.

use super::{Coster, Estimate, Inner, UNKNOWN};
use crate::{
    ast::{Id, Kind, Literal},
    budget::{LIST, REGEX, STRUCT, TRAVERSAL},
    check::Meaning,
    functions::{Overload, REGISTRY},
    runtime_cost::{CHECK, NOMINAL},
    types::Type,
};

impl Coster<'_> {
    pub(super) fn call(&mut self, id: Id, function: &str, target: Option<Id>, args: &[Id]) -> Estimate {
        let costs: Vec<Estimate> = args.iter().map(|arg| self.cost(*arg)).collect();
        if function == "dyn" && args.len() == 1 {
            self.sizes[id] = self.size(args[0]);
            self.inners[id] = self.inner(args[0]);
            return costs[0].plus(Estimate::fixed(1));
        }
        let checked = self.checked;
        let Meaning::Call { overloads, plain } = &checked.meanings[id] else {
            return Estimate::default();
        };
        let mut sum = Estimate::default();
        let mut all = Vec::with_capacity(args.len() + 1);
        if let Some(target) = target.filter(|_| !plain) {
            sum = self.cost(target);
            all.push(target);
        }
        all.extend(args);
        let args_cost = costs.iter().copied().fold(Estimate::default(), Estimate::plus);
        match (function, costs.as_slice()) {
            ("_&&_" | "_||_", [left, right]) => {
                return sum.plus(Estimate {
                    min: left.min,
                    max: left.plus(*right).max,
                });
            }
            ("_?_:_", [test, yes, no]) => {
                let size = self.size_or_unknown(args[1]).or(self.size_or_unknown(args[2]));
                self.sizes[id] = Some(size);
                if let (Some(yes), Some(no)) = (self.inner(args[1]), self.inner(args[2])) {
                    let (key, value) = (yes.key.or(no.key), yes.value.or(no.value));
                    self.inners[id] = Some(Inner {
                        list: yes.list,
                        key,
                        value,
                    });
                }
                return test.plus(yes.or(*no));
            }
            _ => {}
        }
        let mut cost: Option<Estimate> = None;
        let mut size: Option<Estimate> = None;
        for place in overloads {
            let overload = &REGISTRY.overloads[*place];
            let (own, made) = self.overload(overload, &all);
            let own = own.plus(args_cost);
            cost = Some(cost.map_or(own, |cost| cost.or(own)));
            if let Some(made) = made {
                size = Some(size.map_or(made, |size| size.or(made)));
            }
            let step = match overload.id {
                "index_list" => "@items",
                "index_map" => "@values",
                _ => continue,
            };
            size = self.inner(all[0]).map(|inner| inner.value);
            let place = self.place(all[0]);
            self.places[id] = self.below(&place, step);
        }
        if function == "_+_"
            && let [left, right] = all.as_slice()
            && let (Some(left), Some(right)) = (self.inner(*left), self.inner(*right))
        {
            let (key, value) = (left.key.or(right.key), left.value.or(right.value));
            self.inners[id] = Some(Inner {
                list: left.list,
                key,
                value,
            });
        }
        self.sizes[id] = size.or_else(|| self.size(id));
        sum.plus(cost.unwrap_or_default())
    }

    /// What one overload costs beyond its arguments, and the size of what it makes.
    pub(super) fn overload(&mut self, overload: &Overload, args: &[Id]) -> (Estimate, Option<Estimate>) {
        let fixed = Estimate::fixed;
        let sizes: Vec<Estimate> = args.iter().map(|arg| self.size_or_unknown(*arg)).collect();
        let size = |at: usize| sizes.get(at).copied().unwrap_or(UNKNOWN);
        let scan = |at: usize| size(at).by(TRAVERSAL);
        let one = (fixed(1), None);
        match overload.name {
            "check" => (fixed(CHECK), None),
            name if NOMINAL.contains(&name) => one,
            "fieldSelector" | "labelSelector" => {
                let requirements = size(1).by(0.5).by((LIST + STRUCT) as f64);
                (fixed(LIST).plus(scan(1)).plus(requirements), None)
            }
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" | "includes" => {
                (self.traversal(overload.name, args[0], size(0)), None)
            }
            "url" | "jsonpatch.escapeKey" | "lowerAscii" | "upperAscii" | "substring" | "trim" => {
                (scan(0), Some(size(0)))
            }
            "replace" => (
                size(0).by(2.0 * TRAVERSAL),
                Some(replaced(size(0), size(1), size(2))),
            ),
            "split" => {
                let most = self.number(args.get(2)).unwrap_or(size(0).max);
                (size(0).by(2.0 * TRAVERSAL), Some(Estimate { min: 0, max: most }))
            }
            "join" => {
                let made = self.joined(args, size(0), size(1));
                (made.by(TRAVERSAL), Some(made))
            }
            "find" | "findAll" => {
                let cost = size(0).plus(fixed(1)).by(TRAVERSAL).times(size(1).by(REGEX));
                (
                    cost,
                    Some(Estimate {
                        min: 0,
                        max: size(0).max,
                    }),
                )
            }
            "ip" if overload.id == "cidr_ip" => one,
            "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
                (scan(0), None)
            }
            "ip.isCanonical" => (size(0).by(2.0 * TRAVERSAL), None),
            "containsIP" | "containsCIDR" => {
                let address = Estimate { min: 4, max: 16 };
                let mut cost = address.plus(address).by(TRAVERSAL);
                if overload.name == "containsCIDR" {
                    cost = cost.plus(address.by(TRAVERSAL)).plus(fixed(1));
                }
                let text = overload.id.ends_with("string");
                (if text { cost.plus(scan(1)) } else { cost }, None)
            }
            "validate" => (scan(1).by(128.0 * REGEX), None),
            "_==_" if args.iter().all(|arg| matches!(self.ty(*arg), Type::Opaque(_))) => one,
            _ => self.standard(overload, args, &sizes),
        }
    }

    pub(super) fn standard(
        &mut self,
        overload: &Overload,
        args: &[Id],
        sizes: &[Estimate],
    ) -> (Estimate, Option<Estimate>) {
        let fixed = Estimate::fixed;
        let size = |at: usize| sizes.get(at).copied().unwrap_or(UNKNOWN);
        let scan = |at: usize| size(at).by(TRAVERSAL);
        let listed = |factor: f64, size: Estimate| (size.by(factor).plus(fixed(1 + LIST)), Some(size));
        match overload.id {
            "string_format" => (scan(0), None),
            "string_to_bytes" => {
                let max = size(0).max.saturating_mul(4);
                (
                    scan(0),
                    Some(Estimate {
                        min: size(0).min,
                        max,
                    }),
                )
            }
            "bytes_to_string" => (
                scan(0),
                Some(Estimate {
                    min: size(0).min / 4,
                    max: size(0).max,
                }),
            ),
            "strings_quote" => {
                let max = size(0).max.saturating_mul(2).saturating_add(2);
                (
                    scan(0),
                    Some(Estimate {
                        min: size(0).min.saturating_add(2),
                        max,
                    }),
                )
            }
            "starts_with_string" | "ends_with_string" => (scan(1), None),
            "in_list" => (size(1), None),
            "matches_string" => (
                size(0).plus(fixed(1)).by(TRAVERSAL).times(size(1).by(REGEX)),
                None,
            ),
            "contains_string" => (scan(0).times(scan(1)), None),
            "add_string" | "add_bytes" => {
                let made = size(0).plus(size(1));
                (made.by(TRAVERSAL), Some(made))
            }
            "add_list" => (fixed(1), Some(size(0).plus(size(1)))),
            "list_slice" => {
                let start = self.number(args.get(1)).unwrap_or(0);
                let end = self.number(args.get(2)).unwrap_or(size(0).max);
                listed(1.0, fixed(end.saturating_sub(start)))
            }
            "lists_range" => listed(1.0, fixed(self.number(args.first()).unwrap_or(u64::MAX))),
            "list_flatten" | "list_reverse" => listed(1.0, size(0)),
            "list_flatten_int" => listed(self.number(args.get(1)).unwrap_or(u64::MAX) as f64, size(0)),
            "list_distinct" => listed(2.0, size(0).times(size(0))),
            id if id.ends_with("_sort") => listed(sort_factor(id), size(0).times(size(0))),
            id if id.ends_with("_sortByAssociatedKeys") => listed(sort_factor(id), size(1).times(size(1))),
            "list_sets_equivalent_list" => (size(0).times(size(1)).by(2.0).plus(fixed(1)), None),
            "list_sets_contains_list" | "list_sets_intersects_list" => {
                (size(0).times(size(1)).plus(fixed(1)), None)
            }
            id if matches!(overload.name, "_==_" | "_!=_")
                || (id.starts_with("less") || id.starts_with("greater"))
                    && (id.ends_with("string") || id.ends_with("bytes")) =>
            {
                let max = size(0).max.min(size(1).max);
                (Estimate { min: max.min(1), max }.by(TRAVERSAL), None)
            }
            _ => (fixed(1), None),
        }
    }

    /// Looking at every element of a list, or at a text.
    pub(super) fn traversal(&mut self, name: &str, list: Id, size: Estimate) -> Estimate {
        let Type::List(item) = self.ty(list).clone() else {
            return if name == "includes" {
                size
            } else {
                size.by(TRAVERSAL)
            };
        };
        let mut each = Estimate::fixed(1);
        if matches!(*item, Type::String | Type::Bytes) {
            each = each.plus(self.item_size(list).by(TRAVERSAL));
        }
        size.times(each)
    }

    /// The size of the elements, by their place in the schema.
    pub(super) fn item_size(&self, list: Id) -> Estimate {
        match self.place(list) {
            Some(Some(shape)) => {
                let item = shape.step("@items");
                item.map_or(UNKNOWN, |item| Estimate {
                    min: 0,
                    max: item.max,
                })
            }
            _ => UNKNOWN,
        }
    }

    pub(super) fn joined(&mut self, args: &[Id], list: Estimate, between: Estimate) -> Estimate {
        let made = list.times(self.item_size(args[0]));
        if args.len() < 2 {
            return made;
        }
        let gaps = Estimate {
            min: list.min.saturating_sub(1),
            max: list.max.saturating_sub(1),
        };
        made.plus(between.times(gaps))
    }

    /// The number that an argument is written as.
    pub(super) fn number(&self, arg: Option<&Id>) -> Option<u64> {
        match &self.checked.ast.nodes[*arg?].kind {
            Kind::Literal(Literal::Int(value)) => Some(u64::try_from(*value).unwrap_or(0)),
            _ => None,
        }
    }
}

fn sort_factor(id: &str) -> f64 {
    if id.contains("string") || id.contains("bytes") {
        2.0 + TRAVERSAL
    } else {
        2.0
    }
}

/// The length of a text after replacing.
fn replaced(text: Estimate, old: Estimate, new: Estimate) -> Estimate {
    let pieces = |text: u64, old: u64| (text as f64 / old as f64).ceil() as u64;
    let (most, kept_most) = if old.min == 0 {
        (text.max.saturating_add(1), text.max)
    } else if new.max <= old.min {
        (0, text.max)
    } else {
        (pieces(text.max, old.min), 0)
    };
    let (fewest, kept_fewest) = if old.max == 0 {
        (text.min.saturating_add(1), text.min)
    } else if old.max <= new.min {
        (0, text.min)
    } else {
        (pieces(text.min, old.max), 0)
    };
    Estimate {
        min: fewest.saturating_mul(new.min).saturating_add(kept_fewest),
        max: most.saturating_mul(new.max).saturating_add(kept_most),
    }
}
