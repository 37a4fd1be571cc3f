//! What an expression may cost at most, before it runs, by the rules of cel-go and Kubernetes. A definition with a rule that
//! may cost too much is refused, so these numbers decide what can be written.

use crate::{
    ast::{Fold, Id, Kind, Literal},
    budget::{LIST, MAP, REGEX, STRUCT, TRAVERSAL},
    check::{Checked, Meaning},
    environment::Environment,
    functions::{Overload, REGISTRY},
    runtime_cost::{CHECK, NOMINAL, scaled},
    shape::Shape,
    types::Type,
};
use std::sync::Arc;

/// At least and at most: of a cost, or of a size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// At least.
    pub min: u64,
    /// At most; the largest number if there is no limit.
    pub max: u64,
}

const UNKNOWN: Estimate = Estimate {
    min: 0,
    max: u64::MAX,
};

impl Estimate {
    pub(crate) fn fixed(value: u64) -> Self {
        Self {
            min: value,
            max: value,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            min: self.min.saturating_add(other.min),
            max: self.max.saturating_add(other.max),
        }
    }

    fn times(self, other: Self) -> Self {
        Self {
            min: self.min.saturating_mul(other.min),
            max: self.max.saturating_mul(other.max),
        }
    }

    /// Rounded up.
    fn by(self, factor: f64) -> Self {
        Self {
            min: scaled(self.min, factor),
            max: scaled(self.max, factor),
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// Where a value comes from: from no variable, or from a place in a schema, if the schema has one there.
type Place = Option<Option<Arc<Shape>>>;

/// The sizes of keys and values of a list or map that an expression makes.
#[derive(Clone, Copy, Debug)]
struct Inner {
    list: bool,
    key: Estimate,
    value: Estimate,
}

#[derive(Clone, Debug)]
struct Local {
    place: Place,
    size: Option<Estimate>,
    inner: Option<Inner>,
}

struct Coster<'c> {
    checked: &'c Checked,
    environment: &'c Environment,
    places: Vec<Place>,
    sizes: Vec<Option<Estimate>>,
    inners: Vec<Option<Inner>>,
    locals: Vec<Local>,
}

/// The cost of a checked tree.
pub(crate) fn estimate(checked: &Checked, environment: &Environment) -> Estimate {
    let count = checked.ast.nodes.len();
    let mut coster = Coster {
        checked,
        environment,
        places: vec![None; count],
        sizes: vec![None; count],
        inners: vec![None; count],
        locals: Vec::new(),
    };
    coster.cost(checked.ast.root)
}

impl Coster<'_> {
    fn ty(&self, id: Id) -> &Type {
        &self.checked.types[id]
    }

    /// One step below a place. Below what comes from no variable is the root of the schema, as upstream has it.
    fn below(&self, place: &Place, step: &str) -> Place {
        Some(match place {
            None => self.environment.root(),
            Some(shape) => shape.as_ref().and_then(|shape| shape.step(step)),
        })
    }

    fn cost(&mut self, id: Id) -> Estimate {
        let checked = self.checked;
        match &checked.ast.nodes[id].kind {
            Kind::Literal(_) => Estimate::default(),
            Kind::Ident(_) => self.ident(id),
            Kind::Select {
                operand, field, test, ..
            } => self.select(id, *operand, field, *test),
            Kind::Call {
                function,
                target,
                args,
            } => self.call(id, function, *target, args),
            Kind::List(items) => {
                let (mut sum, mut size) = (Estimate::fixed(LIST), None);
                for (item, _) in items {
                    sum = sum.plus(self.cost(*item));
                    let own = self.size_or_unknown(*item);
                    size = Some(size.map_or(own, |size: Estimate| size.or(own)));
                }
                let value = size.unwrap_or_default();
                self.inners[id] = Some(Inner {
                    list: true,
                    key: Estimate::fixed(1),
                    value,
                });
                sum
            }
            Kind::Map(entries) => {
                let (mut sum, mut sizes) = (Estimate::fixed(MAP), None);
                for entry in entries {
                    sum = sum.plus(self.cost(entry.key)).plus(self.cost(entry.value));
                    let own = (self.size_or_unknown(entry.key), self.size_or_unknown(entry.value));
                    sizes = Some(sizes.map_or(own, |(key, value): (Estimate, Estimate)| {
                        (key.or(own.0), value.or(own.1))
                    }));
                }
                let (key, value) = sizes.unwrap_or_default();
                self.inners[id] = Some(Inner {
                    list: false,
                    key,
                    value,
                });
                sum
            }
            Kind::Struct { fields, .. } => {
                let costs = fields.iter().map(|field| self.cost(field.value));
                costs.fold(Estimate::fixed(STRUCT), Estimate::plus)
            }
            Kind::Fold {
                fold,
                range,
                second,
                filter,
                body,
                ..
            } => self.fold(id, *fold, *range, second.is_some(), *filter, *body),
            Kind::Bind { init, body, .. } => {
                let init_cost = self.cost(*init);
                let body_cost = self.bound(*init, *body);
                self.sizes[id] = self.size(*body);
                self.inners[id] = self.inner(*body);
                init_cost.plus(body_cost).plus(Estimate::fixed(LIST))
            }
            Kind::OptMap {
                target, body, flat, ..
            } => {
                let target_cost = self.cost(*target);
                let body_cost = self.bound(*target, *body);
                let test = target_cost.plus(Estimate::fixed(1));
                let wrap = Estimate::fixed(LIST + 1 + u64::from(!flat));
                let yes = target_cost.plus(body_cost).plus(wrap);
                test.plus(yes.or(Estimate::fixed(1)))
            }
        }
    }

    fn bound(&mut self, init: Id, body: Id) -> Estimate {
        let local = Local {
            place: self.place(init),
            size: self.size(init),
            inner: self.inner(init),
        };
        self.locals.push(local);
        let cost = self.cost(body);
        self.locals.pop();
        cost
    }

    fn ident(&mut self, id: Id) -> Estimate {
        self.places[id] = match &self.checked.meanings[id] {
            Meaning::Local(depth) => self.locals.get(*depth).and_then(|local| local.place.clone()),
            Meaning::Global(place) => Some(self.environment.shape(*place)),
            _ => None,
        };
        Estimate::fixed(1)
    }

    fn select(&mut self, id: Id, operand: Id, field: &str, test: bool) -> Estimate {
        if !matches!(self.checked.meanings[id], Meaning::None) {
            return self.ident(id);
        }
        let cost = self.cost(operand);
        if test {
            return cost;
        }
        let place = self.place(operand);
        self.places[id] = self.below(&place, field);
        let counted = matches!(self.ty(operand), Type::Map(_) | Type::Struct(_) | Type::Open(_));
        cost.plus(Estimate::fixed(counted.into()))
    }

    fn place(&self, id: Id) -> Place {
        self.places[id].clone()
    }

    fn local(&self, id: Id) -> Option<&Local> {
        match &self.checked.meanings[id] {
            Meaning::Local(depth) => self.locals.get(*depth),
            _ => None,
        }
    }

    fn inner(&self, id: Id) -> Option<Inner> {
        self.inners[id].or_else(|| self.local(id).and_then(|local| local.inner))
    }

    fn size(&mut self, id: Id) -> Option<Estimate> {
        if self.sizes[id].is_some() {
            return self.sizes[id];
        }
        let own = match &self.checked.ast.nodes[id].kind {
            Kind::Literal(Literal::String(text)) => Some(text.chars().count()),
            Kind::Literal(Literal::Bytes(bytes)) => Some(bytes.len()),
            Kind::Literal(_) => Some(1),
            Kind::List(items) => Some(items.len()),
            Kind::Map(entries) => Some(entries.len()),
            _ => None,
        };
        if let Some(own) = own {
            return Some(Estimate::fixed(own as u64));
        }
        if let Some(Some(shape)) = &self.places[id] {
            let size = Estimate {
                min: 0,
                max: shape.max,
            };
            self.sizes[id] = Some(size);
            return Some(size);
        }
        if is_scalar(self.ty(id)) {
            return Some(Estimate::fixed(1));
        }
        self.local(id).and_then(|local| local.size)
    }

    fn size_or_unknown(&mut self, id: Id) -> Estimate {
        self.size(id).unwrap_or(UNKNOWN)
    }

    fn fold(&mut self, id: Id, fold: Fold, range: Id, two: bool, filter: Option<Id>, body: Id) -> Estimate {
        let fixed = Estimate::fixed;
        let start = match fold {
            Fold::List | Fold::Filter => LIST,
            Fold::Map | Fold::Entries => MAP,
            _ => 0,
        };
        let range_cost = self.cost(range);
        let inner = self.inner(range);
        let is_list = inner.map_or(matches!(self.ty(range), Type::List(_)), |inner| inner.list);
        let place = self.place(range);
        let key = Local {
            place: self.below(&place, if is_list { "@indices" } else { "@keys" }),
            size: inner.map(|inner| inner.key),
            inner: None,
        };
        let value = Local {
            place: self.below(&place, if is_list { "@items" } else { "@values" }),
            size: inner.map(|inner| inner.value),
            inner: None,
        };
        let mark = self.locals.len();
        match (two, is_list) {
            (true, _) => self.locals.extend([key, value]),
            (false, true) => self.locals.push(value),
            (false, false) => self.locals.push(key),
        }
        let filter_cost = filter.map(|filter| self.cost(filter));
        let body_cost = self.cost(body);
        self.locals.truncate(mark);
        let kept = |made: Estimate| match filter_cost {
            Some(filter) => filter.plus(made.or(fixed(1))),
            None => made,
        };
        let quantified = |loops: u64| {
            fixed(loops).plus(Estimate {
                min: 1,
                max: body_cost.max.saturating_add(1),
            })
        };
        let (step, result) = match fold {
            Fold::All => (quantified(2), 1),
            Fold::Exists => (quantified(3), 1),
            Fold::ExistsOne => (body_cost.plus(Estimate { min: 1, max: 2 }), 2),
            Fold::List => (kept(body_cost.plus(fixed(LIST + 2))), 1),
            Fold::Filter => (
                body_cost.plus(Estimate {
                    min: 1,
                    max: LIST + 3,
                }),
                1,
            ),
            Fold::Map => (kept(body_cost.plus(fixed(3))), 1),
            Fold::Entries => (kept(body_cost.plus(fixed(2))), 1),
        };
        let count = self.size_or_unknown(range);
        match fold {
            Fold::All | Fold::Exists | Fold::ExistsOne => self.sizes[id] = Some(fixed(1)),
            _ => {
                self.sizes[id] = Some(count);
                if matches!(fold, Fold::List | Fold::Filter) {
                    let value = match fold {
                        Fold::List => self.size_or_unknown(body),
                        _ => inner.map_or(UNKNOWN, |inner| inner.value),
                    };
                    self.inners[id] = Some(Inner {
                        list: true,
                        key: fixed(1),
                        value,
                    });
                }
            }
        }
        range_cost.plus(fixed(start + result)).plus(count.times(step))
    }

    fn call(&mut self, id: Id, function: &str, target: Option<Id>, args: &[Id]) -> Estimate {
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
    fn overload(&mut self, overload: &Overload, args: &[Id]) -> (Estimate, Option<Estimate>) {
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

    fn standard(
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
    fn traversal(&mut self, name: &str, list: Id, size: Estimate) -> Estimate {
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
    fn item_size(&self, list: Id) -> Estimate {
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

    fn joined(&mut self, args: &[Id], list: Estimate, between: Estimate) -> Estimate {
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
    fn number(&self, arg: Option<&Id>) -> Option<u64> {
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

fn is_scalar(ty: &Type) -> bool {
    match ty {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        Type::Optional(inner) => is_scalar(inner),
        _ => false,
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
