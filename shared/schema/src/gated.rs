//! Fields behind feature gates: while a gate is off they are dropped on write, unless the object had one of them before.

use crate::{
    document::{read, write},
    syntax::SyntaxError,
    table::{Shape, TypeRef, type_named, types},
};
use regex::bytes::Regex;
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

mod table;

pub use table::GATED;

/// A field behind a gate.
#[derive(Clone, Copy, Debug)]
pub struct Gated {
    /// The type that has it, without `io.k8s.api.`, such as `core.v1.PodSpec`.
    pub ty: &'static str,
    /// Its name in JSON.
    pub field: &'static str,
    /// A member without which it needs no gate; empty: it always does.
    pub with: &'static str,
    /// The gate.
    pub gate: &'static str,
}

/// The fields whose gates are off.
pub struct Disabled {
    fields: HashMap<TypeRef, Vec<&'static Gated>>,
    /// Types in which one of the fields may stand, at any depth.
    reach: BTreeSet<TypeRef>,
    /// What the text of an object has if one of the fields stands in it.
    names: Option<Regex>,
}

impl fmt::Debug for Disabled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disabled({} types)", self.fields.len())
    }
}

impl Disabled {
    /// Those whose gates are not `enabled`.
    pub fn new(enabled: impl Fn(&str) -> bool) -> Self {
        let mut fields: HashMap<TypeRef, Vec<&'static Gated>> = HashMap::new();
        let mut names = BTreeSet::new();
        for gated in GATED.iter().filter(|gated| !enabled(gated.gate)) {
            if let Some(ty) = type_named(&format!("{}{}", table::PREFIX, gated.ty)) {
                fields.entry(ty).or_default().push(gated);
                names.insert(gated.field);
            }
        }
        let names: Vec<&str> = names.into_iter().collect();
        let names = (!names.is_empty()).then(|| format!("\"(?:{})\"", names.join("|")));
        Self {
            reach: reach(&fields),
            fields,
            names: names.and_then(|pattern| Regex::new(&pattern).ok()),
        }
    }

    /// `new` without the fields whose gates are off, but for gates of which `old` already has a field; `None`: nothing
    /// is to be dropped.
    ///
    /// # Errors
    /// Text that is not JSON.
    pub fn drop(&self, new: &[u8], old: Option<&[u8]>, ty: TypeRef) -> Result<Option<Vec<u8>>, SyntaxError> {
        let mut off = self.used(new, ty);
        if off.is_empty() {
            return Ok(None);
        }
        if let Some(old) = old {
            let used = self.used(old, ty);
            off.retain(|gate| !used.contains(gate));
        }
        if off.is_empty() {
            return Ok(None);
        }
        let mut value = read(new)?;
        self.strip(&mut value, Shape::Struct(ty), &off);
        Ok(Some(write(&value)))
    }

    /// The gates of which a field stands in `text`.
    fn used(&self, text: &[u8], ty: TypeRef) -> BTreeSet<&'static str> {
        let mut used = BTreeSet::new();
        let may = self.reach.contains(&ty) && self.names.as_ref().is_some_and(|names| names.is_match(text));
        if may {
            let seed = Look {
                disabled: self,
                shape: Shape::Struct(ty),
                used: &mut used,
            };
            // What cannot be read is refused by the decoder.
            let _ = seed.deserialize(&mut serde_json::Deserializer::from_slice(text));
        }
        used
    }

    fn strip(&self, value: &mut Value, shape: Shape, off: &BTreeSet<&'static str>) {
        match (shape, value) {
            (Shape::Struct(ty), Value::Object(members)) if self.reach.contains(&ty) => {
                for gated in self.fields.get(&ty).into_iter().flatten() {
                    let goes = |value: &Value| gated.with.is_empty() || value.get(gated.with).is_some();
                    if off.contains(gated.gate) && members.get(gated.field).is_some_and(goes) {
                        members.remove(gated.field);
                    }
                }
                for (name, value) in members {
                    if let Some((_, field)) = ty.field(name) {
                        self.strip(value, field.shape, off);
                    }
                }
            }
            (Shape::List(element), Value::Array(items)) => {
                items
                    .iter_mut()
                    .for_each(|item| self.strip(item, element.get(), off));
            }
            (Shape::Map(element), Value::Object(members)) => {
                members
                    .values_mut()
                    .for_each(|member| self.strip(member, element.get(), off));
            }
            _ => {}
        }
    }
}

/// The types from which `fields` can be reached.
fn reach(fields: &HashMap<TypeRef, Vec<&'static Gated>>) -> BTreeSet<TypeRef> {
    let mut reach: BTreeSet<TypeRef> = types().filter(|ty| fields.contains_key(ty)).collect();
    loop {
        let before = reach.len();
        let more: Vec<TypeRef> = types()
            .filter(|ty| {
                ty.fields()
                    .iter()
                    .any(|field| element(field.shape).is_some_and(|of| reach.contains(&of)))
            })
            .collect();
        reach.extend(more);
        if reach.len() == before {
            return reach;
        }
    }
}

/// The struct of a shape, or of the elements of its elements.
fn element(shape: Shape) -> Option<TypeRef> {
    match shape {
        Shape::Struct(ty) => Some(ty),
        Shape::List(of) | Shape::Map(of) => element(of.get()),
        _ => None,
    }
}

/// Walks a text without keeping it.
struct Look<'a> {
    disabled: &'a Disabled,
    shape: Shape,
    used: &'a mut BTreeSet<&'static str>,
}

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match element(self.shape) {
            Some(ty) if self.disabled.reach.contains(&ty) => deserializer.deserialize_any(self),
            _ => IgnoredAny::deserialize(deserializer).map(drop),
        }
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let shape = match self.shape {
                Shape::Struct(ty) => ty.field(&name).map(|(_, field)| field.shape),
                Shape::Map(of) => Some(of.get()),
                _ => None,
            };
            let gated = match self.shape {
                Shape::Struct(ty) => self.disabled.fields.get(&ty),
                _ => None,
            };
            let gated = gated.into_iter().flatten().find(|gated| gated.field == name);
            match (gated, shape) {
                (Some(gated), _) => {
                    let value = map.next_value::<Value>()?;
                    if !value.is_null() && (gated.with.is_empty() || value.get(gated.with).is_some()) {
                        self.used.insert(gated.gate);
                    }
                }
                (None, Some(shape)) => map.next_value_seed(Look {
                    disabled: self.disabled,
                    shape,
                    used: &mut *self.used,
                })?,
                (None, None) => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Shape::List(of) = self.shape else {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        while seq
            .next_element_seed(Look {
                disabled: self.disabled,
                shape: of.get(),
                used: &mut *self.used,
            })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::type_of;

    const POD: &str = r#"{"spec":{"containers":[{"name":"a","ports":[{"protocol":"TCP"}],"volumeMounts":[{"bindMountOptions":["x"],"name":"v"}]}],"schedulingGroup":{"podGroupName":"g"}}}"#;

    fn dropped(disabled: &Disabled, kind: (&str, &str), new: &str, old: Option<&str>) -> Option<String> {
        let ty = type_of(kind.0, "v1", kind.1).unwrap();
        let dropped = disabled.drop(new.as_bytes(), old.map(str::as_bytes), ty).unwrap();
        dropped.map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn every_gated_field_is_in_the_table() {
        for gated in GATED {
            let ty = type_named(&format!("{}{}", table::PREFIX, gated.ty))
                .unwrap_or_else(|| panic!("{}", gated.ty));
            assert!(ty.field(gated.field).is_some(), "{} {}", gated.ty, gated.field);
        }
    }

    #[test]
    fn fields_of_a_gate_that_is_off_are_dropped() {
        let none = Disabled::new(|_| true);
        let all = Disabled::new(|_| false);
        let some = Disabled::new(|gate| gate == "GenericWorkload");
        assert_eq!(dropped(&none, ("", "Pod"), POD, None), None);
        let bare = r#"{"spec":{"containers":[{"name":"a","ports":[{"protocol":"TCP"}],"volumeMounts":[{"name":"v"}]}]}}"#;
        assert_eq!(dropped(&all, ("", "Pod"), POD, None).unwrap(), bare);
        assert_eq!(dropped(&all, ("", "Pod"), bare, None), None);
        let kept = dropped(&some, ("", "Pod"), POD, None).unwrap();
        assert!(kept.contains("schedulingGroup") && !kept.contains("bindMountOptions"));
        // In a template as well.
        let template = format!(r#"{{"spec":{{"template":{POD}}}}}"#);
        let kept = dropped(&all, ("apps", "Deployment"), &template, None).unwrap();
        assert_eq!(kept, format!(r#"{{"spec":{{"template":{bare}}}}}"#));
    }

    #[test]
    fn what_the_old_object_has_of_a_gate_may_stay() {
        let all = Disabled::new(|_| false);
        assert_eq!(dropped(&all, ("", "Pod"), POD, Some(POD)), None);
        let other = r#"{"spec":{"containers":[{"name":"b","volumeMounts":[{"bindMountOptions":["y"]}]}]}}"#;
        let kept = dropped(&all, ("", "Pod"), POD, Some(other)).unwrap();
        assert!(kept.contains("bindMountOptions") && !kept.contains("schedulingGroup"));
        // A reference into another namespace goes whole; one into the same is behind no gate.
        let claim =
            |namespace| format!(r#"{{"spec":{{"dataSourceRef":{{"kind":"K","name":"n"{namespace}}}}}}}"#);
        let far = claim(r#","namespace":"x""#);
        assert_eq!(
            dropped(&all, ("", "PersistentVolumeClaim"), &far, None).unwrap(),
            r#"{"spec":{}}"#
        );
        assert_eq!(
            dropped(&all, ("", "PersistentVolumeClaim"), &claim(""), None),
            None
        );
    }
}
