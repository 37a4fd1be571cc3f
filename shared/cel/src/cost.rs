//! What an expression may cost at most, before it runs, by the rules of cel-go and Kubernetes. A definition with a rule that
//! may cost too much is refused, so these numbers decide what can be written.

mod calls;

use crate::{
    ast::{Fold, Id, Kind, Literal},
    budget::{LIST, MAP, STRUCT},
    check::{Checked, Meaning},
    environment::Environment,
    runtime_cost::scaled,
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
}

fn is_scalar(ty: &Type) -> bool {
    match ty {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        Type::Optional(inner) => is_scalar(inner),
        _ => false,
    }
}
