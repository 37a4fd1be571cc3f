//! Types of what an expression makes: lists, maps, objects, and what macros go over.

use super::Checker;
use crate::{
    ast::{Entry, Field, Fold, Id},
    types::Type,
};
use std::sync::Arc;

impl Checker<'_> {
    /// The type inside an optional element.
    pub(super) fn inner(&mut self, id: Id, ty: Type, optional: bool) -> Type {
        if !optional {
            return ty;
        }
        match self.known.resolve(&ty, false) {
            Type::Optional(inner) => (*inner).clone(),
            ty if ty.is_dyn() => Type::Dyn,
            ty => {
                let message = format!("expected type 'optional_type({ty})' but found '{ty}'");
                self.fail(self.ast.nodes[id].at, message);
                Type::Error
            }
        }
    }

    pub(super) fn list(&mut self, items: &[(Id, bool)]) -> Type {
        let mut ty = None;
        for (id, optional) in items {
            let item = self.node(*id);
            let item = self.inner(*id, item, *optional);
            ty = Some(self.join(*id, ty, item));
        }
        let ty = ty.unwrap_or_else(|| self.known.fresh());
        Type::list(ty)
    }

    pub(super) fn map(&mut self, entries: &[Entry]) -> Type {
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            let key = self.node(entry.key);
            keys = Some(self.join(entry.key, keys, key));
            let value = self.node(entry.value);
            let value = self.inner(entry.value, value, entry.optional);
            values = Some(self.join(entry.value, values, value));
        }
        let key = keys.unwrap_or_else(|| self.known.fresh());
        let value = values.unwrap_or_else(|| self.known.fresh());
        Type::map(key, value)
    }

    pub(super) fn object(&mut self, at: usize, name: &Arc<str>, fields: &[Field]) -> Type {
        let Some(declared) = self.environment.object(name) else {
            self.fail(at, format!("undeclared reference to '{name}' (in container '')"));
            return Type::Error;
        };
        for field in fields {
            let ty = self.node(field.value);
            let ty = self.inner(field.value, ty, field.optional);
            let wanted = match declared {
                None => Type::Dyn,
                Some(known) => match known.iter().find(|(name, _)| *name == &*field.name) {
                    Some((_, ty)) => ty.clone(),
                    None => {
                        self.fail(field.at, format!("undefined field '{}'", field.name));
                        Type::Error
                    }
                },
            };
            if !self.known.fits(&ty, &wanted) {
                let (wanted, ty) = (self.show(&wanted), self.show(&ty));
                let name = &field.name;
                self.fail(
                    field.at,
                    format!("expected type of field '{name}' is '{wanted}' but provided type is '{ty}'"),
                );
            }
        }
        Type::Open(name.clone())
    }

    pub(super) fn fold(
        &mut self,
        fold: Fold,
        range: Id,
        names: (&Arc<str>, Option<&Arc<str>>),
        filter: Option<Id>,
        body: Id,
    ) -> Type {
        let ty = self.node(range);
        let ty = self.known.resolve(&ty, false);
        let (key, value) = match &ty {
            Type::List(item) => (Type::Int, (**item).clone()),
            Type::Map(pair) => pair.as_ref().clone(),
            ty if ty.is_dyn() || matches!(ty, Type::Var(_)) => {
                self.known.fits(ty, &Type::Dyn);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.fail(self.ast.nodes[range].at, message);
                (Type::Error, Type::Error)
            }
        };
        let alone = if matches!(ty, Type::List(_)) {
            value.clone()
        } else {
            key.clone()
        };
        let before = self.scopes.len();
        match names.1 {
            Some(second) => {
                self.scopes.push((names.0.clone(), key.clone()));
                self.scopes.push((second.clone(), value));
            }
            None => self.scopes.push((names.0.clone(), alone.clone())),
        }
        if let Some(filter) = filter {
            let ty = self.node(filter);
            self.want(filter, &ty, &Type::Bool);
        }
        let made = self.node(body);
        self.scopes.truncate(before);
        match fold {
            Fold::All | Fold::Exists | Fold::ExistsOne => {
                self.want(body, &made, &Type::Bool);
                Type::Bool
            }
            Fold::Filter => {
                self.want(body, &made, &Type::Bool);
                Type::list(alone)
            }
            Fold::List => Type::list(made),
            Fold::Map => Type::map(key, made),
            Fold::Entries => {
                let fresh = Type::map(self.known.fresh(), self.known.fresh());
                self.want(body, &made, &fresh);
                self.known.resolve(&made, false)
            }
        }
    }

    pub(super) fn opt_map(&mut self, at: usize, target: Id, name: &Arc<str>, body: Id, flat: bool) -> Type {
        let ty = self.node(target);
        let inner = match self.known.resolve(&ty, false) {
            Type::Optional(inner) => (*inner).clone(),
            ty if ty.is_dyn() => Type::Dyn,
            ty => {
                let message = format!("found no matching overload for 'hasValue' applied to '{ty}.()'");
                self.fail(at, message);
                Type::Error
            }
        };
        let made = self.scoped(name, inner, body);
        if !flat {
            return Type::optional(made);
        }
        let wanted = Type::optional(self.known.fresh());
        self.want(body, &made, &wanted);
        self.known.resolve(&made, false)
    }
}
