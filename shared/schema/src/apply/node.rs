//! What the values of a document are by its schema: which maps and lists are one thing, and which are many.

use super::{
    raw::{EMPTY, Kind, NULL, Raw},
    set::{Scalar, Step},
};
use crate::{
    structural::{Additional, Structural},
    table::{Field, Shape, TypeRef, type_named},
};

/// The schema of a value.
#[derive(Clone, Copy, Debug)]
pub enum Node<'a> {
    /// Of a built-in type: its shape, and the field that holds it.
    Table(Shape, Option<&'static Field>),
    /// A custom resource or another whole object, by its schema: its metadata is as that of any object.
    Object(Option<&'a Structural>),
    /// A part of a custom resource.
    Structural(&'a Structural),
    /// Without a schema: maps have members, lists are one thing.
    Deduced,
    /// Without a schema: one thing.
    Untyped,
}

/// What a value is to those who own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// Has one owner.
    Leaf,
    /// Each member has owners.
    Map,
    /// Each element has owners: it is a set, or a map by the members that are keys.
    List,
}

/// Structs that upstream holds by value although they are not required: they are there, empty, in a new object. The
/// metadata, spec and status of whole objects are so too, and required structs.
const EMBEDDED: &[(&str, &str)] = &[
    ("AllocationResult", "devices"),
    ("Container", "resources"),
    ("ContainerStatus", "lastState"),
    ("ContainerStatus", "state"),
    ("DaemonSetSpec", "updateStrategy"),
    ("DeploymentSpec", "strategy"),
    ("Endpoint", "conditions"),
    ("EphemeralContainer", "resources"),
    ("Event", "deprecatedSource"),
    ("Event", "regarding"),
    ("Event", "source"),
    ("IngressServiceBackend", "port"),
    ("IngressStatus", "loadBalancer"),
    ("LimitedPriorityLevelConfiguration", "limitResponse"),
    ("NetworkPolicySpec", "podSelector"),
    ("NodeDaemonEndpoints", "kubeletEndpoint"),
    ("NodeStatus", "daemonEndpoints"),
    ("NodeStatus", "nodeInfo"),
    ("PersistentVolumeClaimSpec", "resources"),
    ("PodTemplate", "template"),
    ("ReplicaSetSpec", "template"),
    ("ResourceClaimSpec", "devices"),
    ("ServiceStatus", "loadBalancer"),
    ("StatefulSetSpec", "updateStrategy"),
];

/// Defaults of fields that are keys of lists, beside the zeros of required ones.
const KEY_DEFAULTS: &[(&str, &str, &str)] = &[
    ("ContainerPort", "protocol", "TCP"),
    ("ServicePort", "protocol", "TCP"),
];

const STRING: Node<'static> = Node::Table(Shape::String, None);

impl<'a> Node<'a> {
    /// Of a built-in type.
    pub fn of(ty: TypeRef) -> Self {
        Self::Table(Shape::Struct(ty), None)
    }

    /// What `value` is. A null is whatever it may be.
    pub(super) fn sort(self, value: Raw<'_>) -> Sort {
        match self {
            Self::Table(..) => self.table_sort(),
            Self::Object(_) => Sort::Map,
            Self::Structural(schema) => structural_sort(schema, value.kind()),
            Self::Deduced if value.kind() == Kind::Map => Sort::Map,
            Self::Deduced | Self::Untyped => Sort::Leaf,
        }
    }

    fn table_sort(self) -> Sort {
        let Self::Table(shape, field) = self else {
            return Sort::Leaf;
        };
        let map_type = field.map_or("", |field| field.map_type);
        let granular = |atomic: bool| if atomic { Sort::Leaf } else { Sort::Map };
        match shape {
            Shape::Struct(ty) => {
                granular(map_type == "atomic" || map_type.is_empty() && ty.map_type() == "atomic")
            }
            Shape::Map(_) => granular(map_type == "atomic"),
            Shape::List(_) if self.merges() => Sort::List,
            _ => Sort::Leaf,
        }
    }

    /// Whether the elements of this built-in list have owners each: by its list type, else by its patch strategy.
    fn merges(self) -> bool {
        match self {
            Self::Table(_, Some(field)) if field.list_type.is_empty() => field.merges(),
            Self::Table(_, Some(field)) => field.list_type != "atomic",
            _ => false,
        }
    }

    /// Whether any value of it that holds others has one owner.
    pub(super) fn is_atomic(self) -> bool {
        match self {
            Self::Table(Shape::Struct(_) | Shape::Map(_), _) => self.table_sort() == Sort::Leaf,
            Self::Table(Shape::List(_), _) => !self.merges(),
            Self::Structural(schema) => match schema.type_name() {
                "object" => schema.map_type() == "atomic",
                "array" => schema.list_type() == "atomic",
                _ => false,
            },
            Self::Untyped => true,
            Self::Table(..) | Self::Object(_) | Self::Deduced => false,
        }
    }

    /// The member of that name, and whether the schema declares it: a field, not the key of a map. `None`: there is no
    /// such field.
    pub(super) fn member(self, name: &str) -> Option<(Node<'a>, bool)> {
        match self {
            Self::Table(Shape::Struct(ty), _) => {
                let (_, field) = ty.field(name)?;
                let any = field.shape == Shape::Raw && ty.struct_name() == "JSONSchemaProps";
                let node = match (field.shape, any) {
                    (_, true) => Self::Deduced,
                    (Shape::Raw, false) => Self::Untyped,
                    (shape, false) => Self::Table(shape, Some(field)),
                };
                Some((node, true))
            }
            Self::Table(Shape::Map(element), _) => Some((shape_node(element.get()), false)),
            Self::Table(..) => None,
            Self::Object(schema) => match (name, schema) {
                ("apiVersion" | "kind", _) => Some((STRING, true)),
                ("metadata", _) => Some((metadata(), true)),
                (_, Some(schema)) => structural_member(schema, name),
                (_, None) => Some((Self::Deduced, false)),
            },
            Self::Structural(schema) => structural_member(schema, name),
            Self::Deduced => Some((Self::Deduced, false)),
            Self::Untyped => Some((Self::Untyped, false)),
        }
    }

    /// The elements of a list.
    pub(super) fn element(self) -> Node<'a> {
        match self {
            Self::Table(Shape::List(element), _) => shape_node(element.get()),
            Self::Structural(schema) => schema.items().map_or(Self::Untyped, whole_or_part),
            _ => Self::Untyped,
        }
    }

    /// The members that are the keys of a list; none for a set.
    pub(super) fn keys(self) -> Vec<&'a str> {
        match self {
            Self::Table(_, Some(field)) => {
                let keys = match field.list_type {
                    "" => field.merge_key,
                    _ => field.list_keys,
                };
                keys.split(',').filter(|key| !key.is_empty()).collect()
            }
            Self::Structural(schema) => schema.list_map_keys().iter().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// The step to an element of a list, whose `keys` these are.
    ///
    /// # Errors
    /// An element that has no place in such a list, in upstream's words.
    pub(super) fn step(self, keys: &[&str], element: Raw<'_>) -> Result<Step, String> {
        if keys.is_empty() {
            return match element.kind() {
                Kind::Map => Err("associative list without keys has an element that's a map type".to_owned()),
                Kind::List => Err("not supported: associative list with lists as elements".to_owned()),
                Kind::Null => {
                    Err("associative list without keys has an element that's an explicit null".to_owned())
                }
                _ => Ok(Step::Value(Scalar::read(element))),
            };
        }
        match element.kind() {
            Kind::Map => {}
            Kind::Null => return Err("associative list with keys may not have a null element".to_owned()),
            _ => return Err("associative list with keys may not have non-map elements".to_owned()),
        }
        let value = |name: &&str| {
            let given = element.member(name).map(Scalar::read);
            let value = given.or_else(|| self.element().key_default(name))?;
            Some(((*name).into(), value))
        };
        let mut fields: Vec<(Box<str>, Scalar)> = keys.iter().filter_map(value).collect();
        if fields.is_empty() {
            let keys: Vec<_> = keys.iter().map(|key| format!("{key:?}")).collect();
            return Err(format!(
                "associative list with keys has an element that omits all key fields [{}] (and doesn't have default \
                 values for any key fields)",
                keys.join(" ")
            ));
        }
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Step::Key(fields.into()))
    }

    fn key_default(self, name: &str) -> Option<Scalar> {
        match self {
            Self::Table(Shape::Struct(ty), _) => {
                let of = |entry: &&(&str, &str, &str)| entry.0 == ty.struct_name() && entry.1 == name;
                if let Some(default) = KEY_DEFAULTS.iter().find(of) {
                    return Some(Scalar::String(default.2.into()));
                }
                let (_, field) = ty.field(name)?;
                zero(field).map(Scalar::read)
            }
            Self::Structural(schema) | Self::Object(Some(schema)) => {
                let default = schema.property(name)?.default_value()?.to_string();
                Some(Scalar::read(Raw::new(default.as_bytes())))
            }
            _ => None,
        }
    }

    /// What upstream has in place of the member `name` when the text leaves it out; `None`: nothing.
    pub(super) fn implied(self, name: &str) -> Option<Raw<'static>> {
        let Self::Table(Shape::Struct(ty), _) = self else {
            return None;
        };
        let (_, field) = ty.field(name)?;
        let embedded = || {
            let owner = ty.struct_name();
            matches!(name, "metadata" | "spec" | "status") || EMBEDDED.binary_search(&(owner, name)).is_ok()
        };
        match field.shape {
            Shape::Struct(_) if field.written || embedded() => Some(EMPTY),
            Shape::Struct(_) => None,
            _ => zero(field),
        }
    }
}

/// The zero of a field that is always written.
fn zero(field: &Field) -> Option<Raw<'static>> {
    let zero: &[u8] = match field.shape {
        _ if !field.written => return None,
        Shape::String | Shape::Bytes => b"\"\"",
        Shape::Int32 | Shape::Int64 | Shape::Float | Shape::IntOrString => b"0",
        Shape::Bool => b"false",
        Shape::Quantity => b"\"0\"",
        Shape::List(_) | Shape::Map(_) | Shape::Time | Shape::MicroTime => return Some(NULL),
        Shape::Struct(_) | Shape::Raw => return None,
    };
    Some(Raw::new(zero))
}

fn shape_node<'a>(shape: Shape) -> Node<'a> {
    match shape {
        Shape::Raw => Node::Untyped,
        shape => Node::Table(shape, None),
    }
}

/// `metadata` of any object.
fn metadata<'a>() -> Node<'a> {
    let ty = type_named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    ty.map_or(Node::Deduced, Node::of)
}

fn whole_or_part(schema: &Structural) -> Node<'_> {
    if schema.embedded() {
        Node::Object(Some(schema))
    } else {
        Node::Structural(schema)
    }
}

fn structural_member<'a>(schema: &'a Structural, name: &str) -> Option<(Node<'a>, bool)> {
    if let Some(property) = schema.properties.get(name) {
        return Some((whole_or_part(property), true));
    }
    match schema.additional_properties() {
        Some(Additional::Schema(any)) => Some((whole_or_part(any), false)),
        Some(Additional::Any(true)) => Some((Node::Deduced, false)),
        Some(Additional::Any(false)) => None,
        None if schema.preserve_unknown() || schema.properties.is_empty() => Some((Node::Deduced, false)),
        None => None,
    }
}

fn structural_sort(schema: &Structural, kind: Kind) -> Sort {
    let map = || {
        if schema.map_type() == "atomic" {
            Sort::Leaf
        } else {
            Sort::Map
        }
    };
    match (schema.type_name(), kind) {
        ("object", _) | ("", Kind::Map) => map(),
        ("array", _) => match schema.list_type() {
            "set" | "map" => Sort::List,
            _ => Sort::Leaf,
        },
        _ => Sort::Leaf,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_structs_are_sorted_and_there() {
        assert!(EMBEDDED.is_sorted());
        for (owner, field) in EMBEDDED {
            let mut types = crate::table::types().filter(|ty| ty.struct_name() == *owner);
            assert!(types.any(|ty| ty.field(field).is_some()), "{owner}.{field}");
        }
    }
}
