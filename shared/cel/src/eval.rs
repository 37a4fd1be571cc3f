//! Evaluation.

use crate::{
    ast::{Entry, Field, Fold, Id, Kind, Literal},
    budget::{Budget, LIST, MAP, STRUCT},
    check::{Checked, Meaning},
    functions::REGISTRY,
    program::Bindings,
    runtime_cost::call_cost,
    stop::Stop,
    value::{Key, List, Map, Object, Text, Value},
};
use std::{collections::BTreeMap, sync::Arc};

type Out<'a> = Result<Value<'a>, Stop>;

struct Evaluator<'p, 'b, 'a> {
    checked: &'p Checked,
    variables: &'p [String],
    bindings: &'b Bindings<'a>,
    budget: &'b mut Budget,
    locals: Vec<Value<'a>>,
}

/// The value of a checked tree.
pub(crate) fn evaluate<'a>(
    checked: &Checked,
    variables: &[String],
    bindings: &Bindings<'a>,
    budget: &mut Budget,
) -> Out<'a> {
    let mut evaluator = Evaluator {
        checked,
        variables,
        bindings,
        budget,
        locals: Vec::new(),
    };
    evaluator.node(checked.ast.root)
}

impl<'a> Evaluator<'_, '_, 'a> {
    fn kind(&self, id: Id) -> &Kind {
        &self.checked.ast.nodes[id].kind
    }

    fn node(&mut self, id: Id) -> Out<'a> {
        let checked = self.checked;
        match &checked.ast.nodes[id].kind {
            Kind::Literal(literal) => Ok(match checked.patterns.get(&id) {
                Some(pattern) => Value::String(Text::Pattern(pattern.clone())),
                None => constant(literal),
            }),
            Kind::Ident(name) => self.named(id, name),
            Kind::Select {
                operand,
                field,
                test,
                optional,
            } => self.select(id, *operand, field, *test, *optional),
            Kind::Call {
                function,
                target,
                args,
            } => self.call(id, function, *target, args),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { name, fields } => self.object(name, fields),
            Kind::Fold {
                fold,
                range,
                second,
                filter,
                body,
                ..
            } => self.fold(*fold, *range, second.is_some(), *filter, *body),
            Kind::Bind { init, body, .. } => {
                let value = self.node(*init)?;
                self.scoped(value, *body)
            }
            Kind::OptMap {
                target, body, flat, ..
            } => self.opt_map(*target, *body, *flat),
        }
    }

    fn scoped(&mut self, value: Value<'a>, body: Id) -> Out<'a> {
        self.locals.push(value);
        let result = self.node(body);
        self.locals.pop();
        result
    }

    fn named(&mut self, id: Id, name: &str) -> Out<'a> {
        self.budget.charge(1)?;
        match &self.checked.meanings[id] {
            Meaning::Local(depth) => self.locals.get(*depth).cloned().ok_or(Stop::OVERLOAD),
            Meaning::Global(place) => {
                let name = self.variables.get(*place).map_or(name, String::as_str);
                let value = self.bindings.get(name).cloned();
                value.ok_or_else(|| format!("no such attribute(s): {name}").into())
            }
            Meaning::Type(ty) => Ok(Value::Type(ty.clone())),
            _ => Err(format!("no such attribute(s): {name}").into()),
        }
    }

    fn select(&mut self, id: Id, operand: Id, field: &str, test: bool, optional: bool) -> Out<'a> {
        if !matches!(self.checked.meanings[id], Meaning::None) {
            return self.named(id, field);
        }
        let value = self.node(operand)?;
        let wrapped = matches!(value, Value::Optional(_));
        if !test {
            // What is no variable is first made into one.
            let chained = matches!(self.kind(operand), Kind::Ident(_) | Kind::Select { .. });
            self.budget.charge(if chained { 1 } else { 2 })?;
        }
        let found = value.field(field, self.budget)?;
        if test {
            // An optional tells by its value.
            return Ok(Value::Bool(found.is_some()));
        }
        if wrapped || optional {
            return Ok(match found {
                Some(inner @ Value::Optional(_)) => inner,
                found => Value::Optional(found.map(Arc::new)),
            });
        }
        found.ok_or_else(|| Stop::key(field))
    }

    fn call(&mut self, id: Id, function: &str, target: Option<Id>, args: &[Id]) -> Out<'a> {
        match (function, args) {
            ("_&&_", [left, right]) => return self.logical(*left, *right, false),
            ("_||_", [left, right]) => return self.logical(*left, *right, true),
            ("_?_:_", [condition, yes, no]) => {
                return match self.node(*condition)? {
                    Value::Bool(true) => self.branch(*yes),
                    Value::Bool(false) => self.branch(*no),
                    _ => Err(Stop::OVERLOAD),
                };
            }
            ("@in", [value, list]) if is_constant(self.checked, *list) => {
                let value = self.node(*value)?;
                let list = self.node(*list)?;
                return self.run(REGISTRY.named("@in"), &[value, list], false);
            }
            _ => {}
        }
        let checked = self.checked;
        let Meaning::Call { overloads, plain } = &checked.meanings[id] else {
            return Err(Stop::OVERLOAD);
        };
        let mut values = Vec::with_capacity(args.len() + 1);
        if let Some(target) = target.filter(|_| !plain) {
            values.push(self.node(target)?);
        }
        for arg in args {
            values.push(self.node(*arg)?);
        }
        self.run(overloads, &values, true)
    }

    /// Runs the overload that fits the values.
    fn run(&mut self, overloads: &[usize], values: &[Value<'a>], charged: bool) -> Out<'a> {
        let fits = |place: &&usize| {
            let params = &REGISTRY.overloads[**place].params;
            params.len() == values.len() && values.iter().zip(params).all(|(value, ty)| value.is_a(ty))
        };
        let place = match overloads {
            [only] => only,
            many => many.iter().find(fits).ok_or(Stop::OVERLOAD)?,
        };
        let overload = &REGISTRY.overloads[*place];
        if charged {
            let cost = call_cost(overload, values);
            self.budget.charge(cost)?;
        }
        let value = (overload.run)(values, self.budget)?;
        if charged && overload.name == "join" {
            self.budget.charge((value.size() as f64 * 0.2).ceil() as u64)?;
        }
        Ok(value)
    }

    /// Of a variable in a branch, only what is selected costs.
    fn branch(&mut self, id: Id) -> Out<'a> {
        let value = self.node(id)?;
        let mut root = id;
        while let Kind::Select {
            operand,
            test: false,
            optional: false,
            ..
        } = self.kind(root)
        {
            root = *operand;
        }
        if matches!(self.kind(root), Kind::Ident(_)) {
            self.budget.refund(1);
        }
        Ok(value)
    }

    /// An error on one side is no matter if the other side decides.
    fn logical(&mut self, left: Id, right: Id, decides: bool) -> Out<'a> {
        let left = self.node(left);
        match &left {
            Ok(Value::Bool(value)) if *value == decides => return left,
            Err(Stop::Cost | Stop::Budget) => return left,
            _ => {}
        }
        let right = self.node(right)?;
        match (left, right) {
            (_, Value::Bool(value)) if value == decides => Ok(Value::Bool(decides)),
            (Ok(Value::Bool(_)), Value::Bool(value)) => Ok(Value::Bool(value)),
            (Err(stop), _) => Err(stop),
            _ => Err(Stop::OVERLOAD),
        }
    }

    fn list(&mut self, items: &[(Id, bool)]) -> Out<'a> {
        let free = items
            .iter()
            .all(|(id, optional)| !optional && is_constant(self.checked, *id));
        if !free {
            self.budget.charge(LIST)?;
        }
        let mut values = Vec::with_capacity(items.len());
        for (id, optional) in items {
            match (self.node(*id)?, optional) {
                (Value::Optional(inner), true) => values.extend(inner.map(|inner| Value::clone(&inner))),
                (_, true) => return Err(Stop::OVERLOAD),
                (value, false) => values.push(value),
            }
        }
        Ok(Value::List(List::Shared(values.into())))
    }

    #[expect(
        clippy::mutable_key_type,
        reason = "keys compare by their text, not by what reads it"
    )]
    fn map(&mut self, entries: &[Entry]) -> Out<'a> {
        let free = entries.iter().all(|entry| {
            !entry.optional && is_constant(self.checked, entry.key) && is_constant(self.checked, entry.value)
        });
        if !free {
            self.budget.charge(MAP)?;
        }
        let mut made = BTreeMap::new();
        for entry in entries {
            let key = Key::of(&self.node(entry.key)?).map_err(|_| Stop::from("unsupported key type"))?;
            let value = match (self.node(entry.value)?, entry.optional) {
                (Value::Optional(inner), true) => match inner {
                    Some(inner) => Value::clone(&inner),
                    None => continue,
                },
                (_, true) => return Err(Stop::OVERLOAD),
                (value, false) => value,
            };
            if made.insert(key.clone(), value).is_some() {
                return Err(format!("Failed with repeated key: {:?}", key.value()).into());
            }
        }
        Ok(Value::Map(Map::Shared(Arc::new(made))))
    }

    fn object(&mut self, name: &Arc<str>, fields: &[Field]) -> Out<'a> {
        self.budget.charge(STRUCT)?;
        let mut made = BTreeMap::new();
        for field in fields {
            let value = match (self.node(field.value)?, field.optional) {
                (Value::Optional(inner), true) => match inner {
                    Some(inner) => Value::clone(&inner),
                    None => continue,
                },
                (_, true) => return Err(Stop::OVERLOAD),
                (value, false) => value,
            };
            if let Value::Object(inner) = &value
                && name.starts_with("Object")
                && *inner.name != *format!("{name}.{}", field.name)
            {
                return Err(format!(
                    "unexpected type name {:?}, expected {:?}, which matches field name path from root Object type",
                    &*inner.name,
                    format!("{name}.{}", field.name)
                )
                .into());
            }
            made.insert(field.name.clone(), value);
        }
        let name = name.clone();
        Ok(Value::Object(Arc::new(Object { name, fields: made })))
    }

    fn opt_map(&mut self, target: Id, body: Id, flat: bool) -> Out<'a> {
        let inner = match self.node(target)? {
            Value::Optional(Some(inner)) => inner,
            Value::Optional(None) => {
                self.budget.charge(2)?;
                return Ok(Value::Optional(None));
            }
            _ => return Err(Stop::OVERLOAD),
        };
        self.budget.charge(3)?;
        let value = self.scoped(Value::clone(&inner), body)?;
        Ok(if flat { value } else { Value::some(value) })
    }

    fn fold(&mut self, fold: Fold, range: Id, two: bool, filter: Option<Id>, body: Id) -> Out<'a> {
        let range = self.node(range)?;
        let keys = match &range {
            Value::Map(map) => Some(map.keys()),
            Value::List(_) => None,
            _ => return Err(Stop::OVERLOAD),
        };
        let count = match (&range, &keys) {
            (Value::List(list), _) => list.len(),
            (_, keys) => keys.as_ref().map_or(0, Vec::len),
        };
        let mut made = Made::new(fold);
        for at in 0..count {
            let (first, second) = match (&range, &keys) {
                (Value::List(list), _) => {
                    let item = list.get(at).ok_or(Stop::OVERLOAD)?;
                    if two {
                        (Value::Int(i64::try_from(at).unwrap_or(i64::MAX)), Some(item))
                    } else {
                        (item, None)
                    }
                }
                (Value::Map(map), Some(keys)) => {
                    let key = &keys[at];
                    let value = if two { map.get(key).transpose()? } else { None };
                    (key.value(), value)
                }
                _ => return Err(Stop::OVERLOAD),
            };
            let mark = self.locals.len();
            self.locals.push(first);
            self.locals.extend(second);
            let on = self.step(&mut made, filter, body);
            self.locals.truncate(mark);
            if !on? {
                break;
            }
        }
        self.budget.charge(1)?;
        made.finish(self.budget)
    }

    /// One turn; whether there is to be another.
    fn step(&mut self, made: &mut Made<'a>, filter: Option<Id>, body: Id) -> Result<bool, Stop> {
        if let Some(filter) = filter {
            match self.node(filter)? {
                Value::Bool(true) => {}
                Value::Bool(false) => return Ok(true),
                _ => return Err(Stop::OVERLOAD),
            }
        }
        match made {
            Made::Quantified { decides, error } => {
                // The loop's condition, and what was found so far.
                self.budget.charge(if *decides { 4 } else { 3 })?;
                match self.node(body) {
                    Ok(Value::Bool(value)) if value == *decides => {
                        self.budget.charge(if *decides { 3 } else { 2 })?;
                        *made = Made::Decided(value);
                        return Ok(false);
                    }
                    Ok(Value::Bool(_)) => {}
                    Ok(_) => *error = Some(Stop::OVERLOAD),
                    Err(stop @ Stop::Error(_)) => *error = Some(error.take().unwrap_or(stop)),
                    Err(stop) => return Err(stop),
                }
            }
            Made::Count(count) => match self.node(body)? {
                Value::Bool(true) => {
                    self.budget.charge(2)?;
                    *count += 1;
                }
                Value::Bool(false) => {}
                _ => return Err(Stop::OVERLOAD),
            },
            Made::List(items, keep) => {
                let value = self.node(body)?;
                match (*keep, value) {
                    (false, value) => {
                        self.budget.charge(LIST + 2)?;
                        items.push(value);
                    }
                    (true, Value::Bool(true)) => {
                        self.budget.charge(LIST + 3)?;
                        items.extend(self.locals.last().cloned());
                    }
                    (true, Value::Bool(false)) => {}
                    _ => return Err(Stop::OVERLOAD),
                }
            }
            Made::Map(entries) => {
                let value = self.node(body)?;
                let at = self.locals.len().checked_sub(2).ok_or(Stop::OVERLOAD)?;
                self.budget.charge(3)?;
                insert(entries, Key::of(&self.locals[at])?, value)?;
            }
            Made::Entries(entries) => {
                self.budget.charge(2)?;
                let Value::Map(map) = self.node(body)? else {
                    return Err(Stop::OVERLOAD);
                };
                for key in map.keys() {
                    if let Some(value) = map.get(&key).transpose()? {
                        insert(entries, key, value)?;
                    }
                }
            }
            Made::Decided(_) => return Ok(false),
        }
        Ok(true)
    }
}

#[expect(
    clippy::mutable_key_type,
    reason = "keys compare by their text, not by what reads it"
)]
fn insert<'a>(
    entries: &mut BTreeMap<Key<'a>, Value<'a>>,
    key: Key<'a>,
    value: Value<'a>,
) -> Result<(), Stop> {
    let shown = key.value();
    if entries.insert(key, value).is_some() {
        return Err(format!("insert failed: key {shown:?} already exists").into());
    }
    Ok(())
}

/// What a macro has made so far.
enum Made<'a> {
    Quantified {
        decides: bool,
        error: Option<Stop>,
    },
    Decided(bool),
    Count(u64),
    /// And whether the elements are kept, not the bodies.
    List(Vec<Value<'a>>, bool),
    Map(BTreeMap<Key<'a>, Value<'a>>),
    Entries(BTreeMap<Key<'a>, Value<'a>>),
}

impl<'a> Made<'a> {
    fn new(fold: Fold) -> Self {
        match fold {
            Fold::All | Fold::Exists => Self::Quantified {
                decides: fold == Fold::Exists,
                error: None,
            },
            Fold::ExistsOne => Self::Count(0),
            Fold::List => Self::List(Vec::new(), false),
            Fold::Filter => Self::List(Vec::new(), true),
            Fold::Map => Self::Map(BTreeMap::new()),
            Fold::Entries => Self::Entries(BTreeMap::new()),
        }
    }

    fn finish(self, budget: &mut Budget) -> Out<'a> {
        Ok(match self {
            Self::Quantified {
                error: Some(stop), ..
            } => return Err(stop),
            Self::Quantified { decides, .. } => Value::Bool(!decides),
            Self::Decided(value) => Value::Bool(value),
            Self::Count(count) => {
                budget.charge(1)?;
                Value::Bool(count == 1)
            }
            Self::List(items, _) => Value::list(items),
            Self::Map(entries) | Self::Entries(entries) => Value::Map(Map::Shared(Arc::new(entries))),
        })
    }
}

/// Whether a node is the same whenever it runs: it costs nothing.
fn is_constant(checked: &Checked, id: Id) -> bool {
    match &checked.ast.nodes[id].kind {
        Kind::Literal(_) => true,
        Kind::List(items) => items
            .iter()
            .all(|(id, optional)| !optional && is_constant(checked, *id)),
        Kind::Map(entries) => entries.iter().all(|entry| {
            !entry.optional && is_constant(checked, entry.key) && is_constant(checked, entry.value)
        }),
        _ => false,
    }
}

fn constant<'a>(literal: &Literal) -> Value<'a> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::String(text) => Value::String(Text::Shared(text.clone())),
        Literal::Bytes(bytes) => Value::Bytes(bytes.clone()),
    }
}
