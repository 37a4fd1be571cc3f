//! The table of field facts: which types there are, which fields each has, and how lists and maps are merged.
//!
//! It is text made by `cargo xtask schema` from the published OpenAPI v2 document and the sources of k8s-openapi, so that a
//! change of upstream's types is a readable diff. It is read once, at first use, into slices of the text itself.
//!
//! A line ` NAME SHAPE WORD=VALUE...` is a field. Behind the name: `!` required and always written, `?` required but left out
//! when empty, `+` always written but not required.

use std::{collections::HashMap, sync::OnceLock};

const TEXT: &str = include_str!("../tables/fields.txt");

/// A type of the table: a copyable handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeRef(u16);

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Text.
    String,
    /// A 32-bit signed number.
    Int32,
    /// A 64-bit signed number.
    Int64,
    /// `true` or `false`.
    Bool,
    /// A 64-bit floating-point number.
    Float,
    /// A quantity such as `100m`: text or number.
    Quantity,
    /// A 32-bit number or text.
    IntOrString,
    /// An RFC 3339 time.
    Time,
    /// An RFC 3339 time with six digits of a second.
    MicroTime,
    /// Bytes in base64.
    Bytes,
    /// Any JSON value, not looked into.
    Raw,
    /// A struct of the table.
    Struct(TypeRef),
    /// A list of one shape.
    List(ShapeRef),
    /// A map from text to one shape.
    Map(ShapeRef),
}

/// The shape of the elements of a list or map: a copyable handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeRef(u16);

impl ShapeRef {
    /// The shape itself.
    pub fn get(self) -> Shape {
        table().shapes[usize::from(self.0)]
    }
}

/// One field of a type.
#[derive(Debug)]
pub struct Field {
    /// Name in JSON.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// Name of the type of what is not looked into in it, such as that of a [`Shape::Raw`]; empty: none.
    pub raw: &'static str,
    /// Whether the published schema requires it.
    pub required: bool,
    /// Whether upstream always writes it, even when empty.
    pub written: bool,
    /// `x-kubernetes-patch-strategy`: comma-separated `merge`, `replace`, `retainKeys`; empty: none.
    pub patch_strategy: &'static str,
    /// `x-kubernetes-patch-merge-key`; empty: none.
    pub merge_key: &'static str,
    /// `x-kubernetes-list-type`: `atomic`, `set` or `map`; empty: none.
    pub list_type: &'static str,
    /// `x-kubernetes-list-map-keys`, comma-separated; empty: none.
    pub list_keys: &'static str,
    /// `x-kubernetes-map-type`; empty: none.
    pub map_type: &'static str,
}

impl Field {
    /// Whether strategic merge merges this list (or map), rather than replacing it.
    pub fn merges(&self) -> bool {
        self.patch_strategy.split(',').any(|s| s == "merge")
    }

    /// Whether strategic merge replaces this map.
    pub fn replaces(&self) -> bool {
        self.patch_strategy.split(',').any(|s| s == "replace")
    }
}

#[derive(Debug, Default)]
struct Type {
    name: &'static str,
    map_type: &'static str,
    kinds: Vec<(&'static str, &'static str)>,
    fields: Vec<Field>,
}

#[derive(Default)]
struct Table {
    types: Vec<Type>,
    shapes: Vec<Shape>,
    by_name: HashMap<&'static str, TypeRef>,
    by_kind: HashMap<(&'static str, &'static str), TypeRef>,
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| read(TEXT))
}

/// The type of a kind of a built-in group; None for kinds that the table does not know.
pub fn type_of(group: &str, version: &str, kind: &str) -> Option<TypeRef> {
    if group.is_empty() {
        return table().by_kind.get(&(version, kind)).copied();
    }
    table()
        .by_kind
        .get(&(format!("{group}/{version}").as_str(), kind))
        .copied()
}

/// The type with a definition name such as `io.k8s.api.core.v1.PodSpec`.
pub fn type_named(name: &str) -> Option<TypeRef> {
    table().by_name.get(name).copied()
}

/// All types, by name.
pub fn types() -> impl Iterator<Item = TypeRef> {
    (0..table().types.len())
        .filter_map(|i| u16::try_from(i).ok())
        .map(TypeRef)
}

impl TypeRef {
    fn get(self) -> &'static Type {
        &table().types[usize::from(self.0)]
    }

    /// Definition name, such as `io.k8s.api.core.v1.PodSpec`.
    pub fn name(self) -> &'static str {
        self.get().name
    }

    /// The struct's name in upstream's Go, such as `PodSpec`.
    pub fn struct_name(self) -> &'static str {
        self.name().rsplit('.').next().unwrap_or_default()
    }

    /// The type as Go prints it, such as `v1.PodSpec`.
    pub fn go_name(self) -> &'static str {
        let name = self.name();
        let dot = name.rfind('.').and_then(|last| name[..last].rfind('.'));
        dot.map_or(name, |dot| &name[dot + 1..])
    }

    /// Its fields, by name.
    pub fn fields(self) -> &'static [Field] {
        &self.get().fields
    }

    /// Its field of that JSON name, with its place among the fields.
    pub fn field(self, name: &str) -> Option<(usize, &'static Field)> {
        let fields = self.fields();
        fields
            .binary_search_by(|field| field.name.cmp(name))
            .ok()
            .map(|i| (i, &fields[i]))
    }

    /// `(apiVersion, kind)` pairs that the type is served as; most types have none, options have many.
    pub fn kinds(self) -> &'static [(&'static str, &'static str)] {
        &self.get().kinds
    }

    /// `x-kubernetes-map-type`; empty: none.
    pub fn map_type(self) -> &'static str {
        self.get().map_type
    }
}

/// Names first, so that a field may refer to a type further down.
fn read(text: &'static str) -> Table {
    let mut table = Table::default();
    for name in text.lines().filter_map(|line| line.strip_prefix("type ")) {
        let Ok(index) = u16::try_from(table.types.len()) else {
            break;
        };
        table.by_name.insert(name, TypeRef(index));
        table.types.push(Type {
            name,
            ..Type::default()
        });
    }
    let mut at = 0;
    for line in text.lines().skip(2) {
        if let Some(line) = line.strip_prefix(' ') {
            let field = field(line, &mut table);
            table.types[at - 1].fields.push(field);
        } else if line.starts_with("type ") {
            at += 1;
        } else if let Some((version, kind)) = line.strip_prefix("kind ").and_then(|l| l.split_once(' ')) {
            let handle = table.by_name[table.types[at - 1].name];
            table.types[at - 1].kinds.push((version, kind));
            table.by_kind.insert((version, kind), handle);
        } else if let Some(map_type) = line.strip_prefix("map ") {
            table.types[at - 1].map_type = map_type;
        }
    }
    table
}

fn field(line: &'static str, table: &mut Table) -> Field {
    let mut words = line.split(' ');
    let marked = words.next().unwrap_or_default();
    let name = marked.trim_end_matches(['!', '?', '+']);
    let mark = &marked[name.len()..];
    let word = words.next().unwrap_or_default();
    let element = word.trim_start_matches(['[', ']', '{', '}']);
    let raw = element.contains('.') && !table.by_name.contains_key(element);
    let shape = shape(word, table);
    let mut field = Field {
        name,
        shape,
        raw: if raw { element } else { "" },
        required: matches!(mark, "!" | "?"),
        written: matches!(mark, "!" | "+"),
        patch_strategy: "",
        merge_key: "",
        list_type: "",
        list_keys: "",
        map_type: "",
    };
    for (word, value) in words.filter_map(|word| word.split_once('=')) {
        match word {
            "patch" => field.patch_strategy = value,
            "key" => field.merge_key = value,
            "list" => field.list_type = value,
            "keys" => field.list_keys = value,
            "map" => field.map_type = value,
            _ => {}
        }
    }
    field
}

fn shape(word: &'static str, table: &mut Table) -> Shape {
    if let Some(element) = word.strip_prefix("[]") {
        return Shape::List(element_shape(element, table));
    }
    if let Some(element) = word.strip_prefix("{}") {
        return Shape::Map(element_shape(element, table));
    }
    match word {
        "string" => Shape::String,
        "int32" => Shape::Int32,
        "int64" => Shape::Int64,
        "bool" => Shape::Bool,
        "float" => Shape::Float,
        "quantity" => Shape::Quantity,
        "int-or-string" => Shape::IntOrString,
        "time" => Shape::Time,
        "microtime" => Shape::MicroTime,
        "bytes" => Shape::Bytes,
        name => table
            .by_name
            .get(name)
            .map_or(Shape::Raw, |handle| Shape::Struct(*handle)),
    }
}

fn element_shape(word: &'static str, table: &mut Table) -> ShapeRef {
    let shape = shape(word, table);
    let index = table
        .shapes
        .iter()
        .position(|known| *known == shape)
        .unwrap_or_else(|| {
            table.shapes.push(shape);
            table.shapes.len() - 1
        });
    ShapeRef(u16::try_from(index).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        let counts = TEXT.lines().nth(1).unwrap();
        assert_eq!(TEXT.lines().next(), Some("fields 1"));
        let fields: usize = types().map(|t| t.fields().len()).sum();
        let kinds: usize = types().map(|t| t.kinds().len()).sum();
        assert_eq!(
            counts,
            format!("types={} fields={fields} kinds={kinds}", table().types.len())
        );
        for ty in types() {
            assert!(
                ty.fields().len() <= 128,
                "{}: a walker keeps seen fields in 128 bits",
                ty.name()
            );
            assert!(ty.fields().is_sorted_by_key(|field| field.name), "{}", ty.name());
        }
        for word in TEXT
            .lines()
            .filter_map(|l| l.strip_prefix(' '))
            .filter_map(|l| l.split(' ').nth(1))
        {
            let element = word
                .trim_start_matches("[]")
                .trim_start_matches("{}")
                .trim_start_matches("[]");
            let raw = [
                "RawExtension",
                "FieldsV1",
                "JSON",
                "OrArray",
                "OrBool",
                "OrStringArray",
            ];
            assert!(
                !element.starts_with("io.")
                    || type_named(element).is_some()
                    || raw.iter().any(|end| element.ends_with(end)),
                "unknown type {element}"
            );
        }
    }

    #[test]
    fn kinds_have_types_and_fields_have_facts() {
        let deployment = type_of("apps", "v1", "Deployment").unwrap();
        assert_eq!(deployment.go_name(), "v1.Deployment");
        let Shape::Struct(spec) = deployment.field("spec").unwrap().1.shape else {
            panic!("spec is a struct")
        };
        assert_eq!(spec.struct_name(), "DeploymentSpec");
        assert_eq!(spec.field("replicas").unwrap().1.shape, Shape::Int32);
        assert!(spec.field("selector").unwrap().1.required);
        assert!(spec.field("Replicas").is_none());
        let pod = type_named("io.k8s.api.core.v1.PodSpec").unwrap();
        let containers = pod.field("containers").unwrap().1;
        assert!(containers.merges());
        assert_eq!(
            (containers.merge_key, containers.list_type, containers.list_keys),
            ("name", "map", "name")
        );
        assert_eq!(pod.field("volumes").unwrap().1.patch_strategy, "merge,retainKeys");
        assert!(type_of("", "v1", "Pod").is_some());
        assert!(type_of("apps", "v1", "Pod").is_none());
        assert!(type_of("apps", "v1", "DeleteOptions").is_some());
    }
}
