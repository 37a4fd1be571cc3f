//! Types of built-in kinds, as expressions see them.

use crate::table::{self, Field, TypeRef, type_of};
use cel::{Schema, Shape};
use std::sync::Arc;

/// A type of the table, spread out. What holds itself may be anything from there on.
#[derive(Default)]
struct Typed {
    ty: &'static str,
    format: &'static str,
    any: bool,
    properties: Vec<(&'static str, Typed)>,
    items: Option<Box<Typed>>,
    additional: Option<Box<Typed>>,
    list_type: &'static str,
    list_keys: Vec<String>,
}

impl Typed {
    fn of(shape: table::Shape, above: &mut Vec<TypeRef>) -> Self {
        let plain = |ty, format| Self {
            ty,
            format,
            ..Self::default()
        };
        let any = || Self {
            any: true,
            ..Self::default()
        };
        match shape {
            table::Shape::String | table::Shape::Quantity => plain("string", ""),
            table::Shape::Int32 | table::Shape::Int64 => plain("integer", ""),
            table::Shape::Bool => plain("boolean", ""),
            table::Shape::Float => plain("number", ""),
            table::Shape::Time | table::Shape::MicroTime => plain("string", "date-time"),
            table::Shape::Bytes => plain("string", "byte"),
            table::Shape::Raw | table::Shape::IntOrString => any(),
            table::Shape::Struct(ty) if above.contains(&ty) => any(),
            table::Shape::Struct(ty) => Self::object(ty, above),
            table::Shape::List(item) => Self {
                items: Some(Box::new(Self::of(item.get(), above))),
                ..plain("array", "")
            },
            table::Shape::Map(value) => Self {
                additional: Some(Box::new(Self::of(value.get(), above))),
                ..plain("object", "")
            },
        }
    }

    fn object(ty: TypeRef, above: &mut Vec<TypeRef>) -> Self {
        above.push(ty);
        let fields = ty.fields().iter();
        let properties = fields
            .map(|field| (field.name, Self::field(field, above)))
            .collect();
        above.pop();
        Self {
            ty: "object",
            properties,
            ..Self::default()
        }
    }

    fn field(field: &Field, above: &mut Vec<TypeRef>) -> Self {
        let keys = field.list_keys.split(',').filter(|key| !key.is_empty());
        Self {
            list_type: field.list_type,
            list_keys: keys.map(str::to_owned).collect(),
            ..Self::of(field.shape, above)
        }
    }
}

impl Schema for Typed {
    fn type_name(&self) -> &str {
        self.ty
    }

    fn format(&self) -> &str {
        self.format
    }

    fn int_or_string(&self) -> bool {
        self.any
    }

    fn properties(&self) -> Vec<(&str, &dyn Schema)> {
        let properties = self.properties.iter();
        properties
            .map(|(name, typed)| (*name, typed as &dyn Schema))
            .collect()
    }

    fn additional(&self) -> Option<&dyn Schema> {
        self.additional.as_deref().map(|typed| typed as &dyn Schema)
    }

    fn items(&self) -> Option<&dyn Schema> {
        self.items.as_deref().map(|typed| typed as &dyn Schema)
    }

    fn list_type(&self) -> &str {
        self.list_type
    }

    fn list_map_keys(&self) -> &[String] {
        &self.list_keys
    }
}

/// Objects of a built-in kind as expressions see them; none for a kind that the table does not know.
pub fn cel_shape(group: &str, version: &str, kind: &str) -> Option<Arc<Shape>> {
    let ty = type_of(group, version, kind)?;
    Shape::of(&Typed::object(ty, &mut Vec::new()), kind, true)
}

#[cfg(test)]
mod tests {
    use super::cel_shape;
    use cel::{Environment, Program};

    #[test]
    fn built_in_kinds_have_types() {
        let shape = cel_shape("apps", "v1", "Deployment").unwrap();
        let environment = Environment::kubernetes().shaped("object", &shape);
        for (source, wrong) in [
            (
                "object.spec.replicas > 1 && object.metadata.labels['a'] == 'b'",
                "",
            ),
            ("object.spec.template.spec.containers.all(c, c.image != '')", ""),
            ("object.metadata.creationTimestamp.getFullYear() > 2000", ""),
            ("object.spec.strategy.rollingUpdate.maxSurge == 1", ""),
            ("object.replicas > 1", "undefined field 'replicas'"),
            (
                "object.spec.replicas > 'x'",
                "found no matching overload for '_>_' applied to '(int, string)'",
            ),
        ] {
            let found = Program::compile(source, &environment).err();
            let found = found.map(|issues| issues[0].message.clone());
            assert_eq!(found.unwrap_or_default(), wrong, "{source}");
        }
        let recursive = "CustomResourceDefinition";
        assert!(cel_shape("apiextensions.k8s.io", "v1", recursive).is_some());
    }
}
