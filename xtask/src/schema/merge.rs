//! The table from three sources: the published document of one release, the structs of k8s-openapi for the same release, with
//! which it must agree, and those for the newest, from which comes what is new, gone and changed.

use std::collections::BTreeMap;

use super::{
    exceptions::Exceptions,
    structs::{self, Struct, Structs},
    table::{Field, Merging, Table, Type},
};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
/// Types that are kinds of every group and version.
const EVERYWHERE: [&str; 2] = ["DeleteOptions", "WatchEvent"];
/// An enum in k8s-openapi, for which there is no struct.
const ENUM: &str = "WatchEvent";

/// All in which a table differs from structs of its release, a line each.
pub fn differences(table: &Table, structs: &Structs, exceptions: &mut Exceptions) -> Vec<String> {
    let mut found = Vec::new();
    let lists = lists(structs);
    for name in table.0.keys() {
        let known = structs.contains_key(name)
            || lists.contains_key(name)
            || name.strip_prefix(META) == Some(&format!(".{ENUM}"));
        if !known && !exceptions.explains(name, "-") {
            found.push(format!("{name}: a type without a struct"));
        }
    }
    for (name, of_struct) in structs {
        match table.0.get(name) {
            Some(ty) => compare(name, ty, of_struct, exceptions, &mut found),
            None if exceptions.explains(name, "-") => {}
            None => found.push(format!("{name}: a struct without a type")),
        }
    }
    for (name, (kind, _)) in &lists {
        if !table.0.get(name).is_some_and(|ty| ty.kinds.contains(kind)) {
            found.push(format!("{name}: a list of a struct without a type"));
        }
    }
    found
}

/// The names of lists of kinds: their kind, and the name of the element.
fn lists(structs: &Structs) -> BTreeMap<String, (String, String)> {
    let of_kind = |(name, of_struct): (&String, &Struct)| {
        let (_, list) = of_struct.kind.as_ref().filter(|(_, list)| !list.is_empty())?;
        let (package, _) = name.rsplit_once('.')?;
        Some((
            format!("{package}.{}", list.rsplit(' ').next()?),
            (list.clone(), name.clone()),
        ))
    };
    structs.iter().filter_map(of_kind).collect()
}

fn compare(name: &str, ty: &Type, of_struct: &Struct, exceptions: &mut Exceptions, found: &mut Vec<String>) {
    let kind = of_struct.kind.as_ref().map(|(kind, _)| kind);
    if kind.is_some_and(|kind| !ty.kinds.contains(kind)) {
        found.push(format!("{name}: no kind {kind:?}"));
    }
    for (field, facts) in &ty.fields {
        let same = match of_struct.fields.get(field) {
            Some(of_struct_field) => {
                // k8s-openapi always has metadata.
                let required =
                    (field == "metadata" && of_struct.metadata) || facts.required == of_struct_field.required;
                required
                    && facts.shape == of_struct_field.shape
                    && strategy(facts) == of_struct_field.strategy
            }
            // Those of kinds are constants.
            None => kind.is_some() && matches!(field.as_str(), "apiVersion" | "kind"),
        };
        if !same && !exceptions.explains(name, field) {
            let other = of_struct.fields.get(field);
            found.push(format!(
                "{name} {field}: {facts:?} {} but in the struct {other:?}",
                strategy(facts)
            ));
        }
    }
    for field in of_struct.fields.keys() {
        if !ty.fields.contains_key(field) && !exceptions.explains(name, field) {
            found.push(format!("{name} {field}: in the struct only"));
        }
    }
}

/// What k8s-openapi makes of a field's merging: strategic merge, or that of server-side apply where there is none.
fn strategy(field: &Field) -> String {
    let word = |name: &str| field.merging.get(name).map_or("", String::as_str);
    let patched = word("patch").split(',').any(|strategy| strategy == "merge");
    if field.shape.starts_with("{}") {
        let how = if word("map") == "atomic" {
            "atomic"
        } else {
            "granular"
        };
        return format!("map {how}");
    }
    if !field.shape.starts_with("[]") {
        return String::new();
    }
    match (patched, word("key"), word("list")) {
        (true, "", _) | (false, _, "set") => "list set".into(),
        (true, key, _) => format!("list map {key}"),
        (false, _, "map") => format!("list map {}", word("keys")),
        _ => "list atomic".into(),
    }
}

/// The merging of a field of which only k8s-openapi's strategy is known.
fn merging(strategy: &str) -> Merging {
    let words: Vec<&str> = strategy.split(' ').collect();
    let pairs: &[(&str, &str)] = match words[..] {
        ["list", "map", keys] => &[("list", "map"), ("keys", keys)],
        ["list", how] => &[("list", how)],
        ["map", "atomic"] => &[("map", "atomic")],
        _ => &[],
    };
    pairs
        .iter()
        .map(|(word, value)| ((*word).to_owned(), (*value).to_owned()))
        .collect()
}

/// Brings the table from the release of `old` to that of `new`.
pub fn advance(table: &mut Table, old: &Structs, new: &Structs, exceptions: &mut Exceptions) {
    let (old_lists, new_lists) = (lists(old), lists(new));
    table.0.retain(|name, _| {
        let gone = old.contains_key(name) && !new.contains_key(name);
        let list_gone = old_lists.contains_key(name) && !new_lists.contains_key(name);
        !(gone || list_gone)
    });
    for (name, of_struct) in new {
        let ty = table.0.entry(name.clone()).or_default();
        ty.kinds
            .extend(of_struct.kind.as_ref().map(|(kind, _)| kind.clone()));
        advance_type(name, ty, old.get(name), of_struct, exceptions);
        exceptions.apply_to_type(name, ty);
    }
    for (name, (kind, element)) in new_lists {
        table.0.entry(name).or_insert_with(|| list(kind, &element));
    }
    let versions: Vec<&str> = new
        .values()
        .filter_map(|of_struct| of_struct.kind.as_ref()?.0.split(' ').next())
        .collect();
    for name in EVERYWHERE {
        let kinds = versions.iter().map(|version| format!("{version} {name}"));
        table
            .0
            .entry(format!("{META}.{name}"))
            .or_default()
            .kinds
            .extend(kinds);
    }
}

fn advance_type(name: &str, ty: &mut Type, old: Option<&Struct>, new: &Struct, exceptions: &mut Exceptions) {
    let before = |field: &String| old.and_then(|old| old.fields.get(field));
    ty.fields
        .retain(|field, _| before(field).is_none() || new.fields.contains_key(field));
    if old.is_none() && new.kind.is_some() {
        for constant in ["apiVersion", "kind"] {
            ty.fields.insert(constant.to_owned(), text());
        }
    }
    for (field, newer) in &new.fields {
        let older = before(field);
        if older == Some(newer) {
            continue;
        }
        let facts = ty
            .fields
            .entry(field.clone())
            .or_insert_with(|| first(newer, field == "metadata" && new.metadata));
        if let Some(older) = older {
            change(facts, older, newer);
        }
        exceptions.apply(name, field, facts);
    }
}

/// A field that was not there before.
fn first(field: &structs::Field, metadata: bool) -> Field {
    let required = field.required && !metadata;
    Field {
        required,
        written: required,
        shape: field.shape.clone(),
        merging: merging(&field.strategy),
    }
}

/// What changed of a field. Upstream writes it as before: what the schema requires says nothing of that any more.
fn change(facts: &mut Field, older: &structs::Field, newer: &structs::Field) {
    facts.shape.clone_from(&newer.shape);
    if older.required != newer.required {
        facts.required = newer.required;
    }
    if older.strategy != newer.strategy {
        facts.merging = merging(&newer.strategy);
    }
}

fn text() -> Field {
    Field {
        shape: "string".to_owned(),
        ..Field::default()
    }
}

/// A list of a kind.
fn list(kind: String, element: &str) -> Type {
    let items = Field {
        required: true,
        written: true,
        shape: format!("[]{element}"),
        merging: Merging::new(),
    };
    let metadata = Field {
        shape: format!("{META}.ListMeta"),
        ..Field::default()
    };
    let fields = [
        ("apiVersion", text()),
        ("items", items),
        ("kind", text()),
        ("metadata", metadata),
    ];
    Type {
        kinds: [kind].into(),
        map: String::new(),
        fields: fields
            .into_iter()
            .map(|(name, field)| (name.to_owned(), field))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Result;

    const TYPE: &str = "io.k8s.api.x.v1.Thing";

    fn structs(fields: &[(&str, bool, &str, &str)]) -> Structs {
        let field = |(name, required, shape, strategy): &(&str, bool, &str, &str)| {
            let field = structs::Field {
                required: *required,
                shape: (*shape).to_owned(),
                strategy: (*strategy).to_owned(),
            };
            ((*name).to_owned(), field)
        };
        let thing = Struct {
            kind: Some(("x/v1 Thing".to_owned(), "x/v1 ThingList".to_owned())),
            metadata: true,
            fields: fields.iter().map(field).collect(),
        };
        [(TYPE.to_owned(), thing)].into()
    }

    fn table() -> Result<Table> {
        Table::read(&format!(
            "fields 1\n\ntype {TYPE}\nkind x/v1 Thing\n apiVersion string\n gone string\n kind string\n metadata meta\n \
            ports []port patch=merge key=port list=map keys=port,protocol\n size! int32\ntype {TYPE}List\nkind x/v1 ThingList\n"
        ))
    }

    const OLD: [(&str, bool, &str, &str); 4] = [
        ("metadata", true, "meta", ""),
        ("gone", false, "string", ""),
        ("ports", false, "[]port", "list map port"),
        ("size", true, "int32", ""),
    ];

    #[test]
    fn differences_have_reasons_or_are_told() -> Result<()> {
        let (table, mut none) = (table()?, Exceptions::read("")?);
        assert_eq!(differences(&table, &structs(&OLD), &mut none), [""; 0]);
        let mut other = OLD;
        other[2].3 = "list map name";
        other[3].0 = "width";
        let found = differences(&table, &structs(&other), &mut none);
        assert_eq!(found.len(), 3, "{found:?}");
        let listed = format!("reason so it is\n {TYPE} ports\n {TYPE} size\n {TYPE} width\n {TYPE} more\n");
        let mut exceptions = Exceptions::read(&listed)?;
        assert_eq!(differences(&table, &structs(&other), &mut exceptions), [""; 0]);
        let unused: Vec<_> = exceptions.unused().map(|(_, field)| field.as_str()).collect();
        assert_eq!(unused, ["more"]);
        assert!(Exceptions::read(&format!(" {TYPE} ports")).is_err());
        Ok(())
    }

    #[test]
    fn the_release_brings_what_is_new_and_takes_what_is_gone() -> Result<()> {
        let mut table = table()?;
        let new = structs(&[
            OLD[0],
            OLD[2],
            ("size", false, "int32", ""),
            ("names", true, "[]string", "list set"),
            ("rules", false, "[]rule", "list map name"),
        ]);
        let listed = format!("reason so it is\n {TYPE} rules patch=merge key=name list=map keys=name,kind\n");
        advance(&mut table, &structs(&OLD), &new, &mut Exceptions::read(&listed)?);
        let text = table.text()?;
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(' ')).collect();
        assert_eq!(
            lines,
            [
                " apiVersion string",
                " kind string",
                " metadata meta",
                " names! []string list=set",
                " ports []port patch=merge key=port list=map keys=port,protocol",
                " rules []rule patch=merge key=name list=map keys=name,kind",
                // Not required any more, and still written.
                " size+ int32",
            ]
        );
        assert!(text.contains("kind x/v1 DeleteOptions"));
        advance(&mut table, &new, &Structs::new(), &mut Exceptions::read("")?);
        assert!(!table.text()?.contains("Thing"));
        Ok(())
    }
}
