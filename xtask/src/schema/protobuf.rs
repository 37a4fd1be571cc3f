//! The table of protobuf facts, from upstream's `generated.proto` files and the Go types beside them: the first say numbers and
//! types, the tags of the second say JSON names, which members are inline, and which are pointers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, bail, ensure};

/// Messages with a JSON form of their own.
const SPECIAL: &[(&str, &str)] = &[
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", "time"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "microtime"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "raw"),
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", "quantity"),
    ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "int-or-string"),
    ("io.k8s.apimachinery.pkg.runtime.RawExtension", "raw"),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
        "raw",
    ),
];

/// A kind that objects of any kind are answered as, which the published document does not name.
const ANSWERED: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.PartialObjectMetadataList";

/// Messages by name; of each, the fields by number: name and type, the type with `[]` or `{}` before it as in the table.
type Messages = BTreeMap<String, BTreeMap<u32, (String, String)>>;

/// What the tags of a Go struct's field say.
#[derive(Clone)]
struct Tag {
    /// Name in JSON; empty if inline, `-` if not in JSON.
    json: String,
    omitempty: bool,
    pointer: bool,
}

/// Go structs by name, as messages are named; the tags by number.
type Structs = BTreeMap<String, BTreeMap<u32, Tag>>;

/// The table of all messages that the kinds among `fields` (the other table) reach.
pub fn table(directory: &Path, fields: &str) -> Result<String> {
    let (mut messages, mut structs) = (Messages::new(), Structs::new());
    read(directory, &mut messages, &mut structs)?;
    same_as_sibling(&messages, &mut structs);
    ensure!(
        !messages.is_empty(),
        "no generated.proto under {}",
        directory.display()
    );
    let mut wanted: Vec<String> = kinds(fields).chain([ANSWERED]).map(str::to_owned).collect();
    let (mut seen, mut count, mut body) = (BTreeSet::new(), 0, BTreeMap::new());
    while let Some(name) = wanted.pop() {
        if !messages.contains_key(&name) || !seen.insert(name.clone()) {
            continue;
        }
        let lines = message(&name, &messages, &structs)?;
        count += lines.len() - 1;
        let names = lines.iter().filter_map(|line| line.trim_end().rsplit(' ').next());
        wanted.extend(names.map(|shape| shape.trim_start_matches(['[', ']', '{', '}', '=']).to_owned()));
        body.insert(name, lines.concat());
    }
    let text: String = body.values().map(String::as_str).collect();
    Ok(format!(
        "protobuf 1\nmessages={} fields={count}\n{text}",
        body.len()
    ))
}

/// Some types of a version are declared to be those of `v1`.
fn same_as_sibling(messages: &Messages, structs: &mut Structs) {
    for (name, fields) in messages
        .iter()
        .filter(|(name, _)| name.starts_with("io.k8s.api."))
    {
        let words: Vec<&str> = name.split('.').collect();
        let sibling = [&words[..words.len() - 2], &["v1", words[words.len() - 1]]]
            .concat()
            .join(".");
        let same = structs
            .get(&sibling)
            .filter(|tags| tags.keys().eq(fields.keys()))
            .cloned();
        if let (None, Some(tags)) = (structs.get(name), same) {
            structs.insert(name.clone(), tags);
        }
    }
}

/// Names of the types that are kinds.
fn kinds(fields: &str) -> impl Iterator<Item = &str> {
    let mut name = "";
    fields.lines().filter_map(move |line| {
        name = line.strip_prefix("type ").unwrap_or(name);
        line.starts_with("kind ").then_some(name)
    })
}

/// The lines of one message.
fn message(name: &str, messages: &Messages, structs: &Structs) -> Result<Vec<String>> {
    let (fields, tags) = (&messages[name], &structs.get(name));
    let tags = tags.with_context(|| format!("{name} has no Go struct"))?;
    let either = !fields.is_empty() && tags.values().all(|tag| tag.json == "-");
    let mut lines = vec![format!("{} {name}\n", if either { "either" } else { "message" })];
    for (number, (proto, shape)) in fields {
        let tag = tags
            .get(number)
            .with_context(|| format!("{name}.{proto} has no tag"))?;
        let mark = match (tag.json.as_str(), tag.omitempty && !tag.pointer) {
            ("", _) => "~".to_owned(),
            ("-", _) if either => proto.clone(),
            ("-", _) => continue,
            (json, true) => format!("{json}?"),
            (json, false) => json.to_owned(),
        };
        lines.push(format!(
            " {number} {mark} {}\n",
            resolve(shape, messages, structs)?
        ));
    }
    Ok(lines)
}

/// The shape with special messages replaced by their words, and lists that are messages of their own by `=` and the list.
fn resolve(shape: &str, messages: &Messages, structs: &Structs) -> Result<String> {
    let name = shape.trim_start_matches(['[', ']', '{', '}']);
    let before = &shape[..shape.len() - name.len()];
    if let Some((_, word)) = SPECIAL.iter().find(|(special, _)| *special == name) {
        return Ok(format!("{before}{word}"));
    }
    match messages.get(name) {
        None if name.contains('.') => bail!("no message {name}"),
        Some(fields) if !structs.contains_key(name) => match fields.values().next() {
            Some((items, list)) if items == "items" && fields.len() == 1 => Ok(format!("{before}={list}")),
            _ => bail!("{name} is neither a struct nor a list"),
        },
        _ => Ok(shape.to_owned()),
    }
}

/// Reads all directories with a `generated.proto`.
fn read(directory: &Path, messages: &mut Messages, structs: &mut Structs) -> Result<()> {
    let proto = directory.join("generated.proto");
    let mut package = None;
    if proto.is_file() {
        let text = fs::read_to_string(&proto).with_context(|| format!("reading {}", proto.display()))?;
        package = Some(proto_messages(&text, messages).with_context(|| format!("in {}", proto.display()))?);
    }
    for entry in fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, messages, structs)?;
        } else if let Some(package) = package
            .as_deref()
            .filter(|_| path.extension().is_some_and(|e| e == "go"))
        {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            go_structs(&text, package, structs);
        }
    }
    Ok(())
}

/// A name as in the published OpenAPI document.
fn published(name: &str) -> String {
    let name = name.trim_start_matches('.').replacen("k8s.io.", "io.k8s.", 1);
    name.replace("apiextensions_apiserver", "apiextensions-apiserver")
        .replace("kube_aggregator", "kube-aggregator")
}

/// Reads the messages of a file; its package, as published.
fn proto_messages(text: &str, messages: &mut Messages) -> Result<String> {
    let package = text
        .lines()
        .find_map(|line| line.strip_prefix("package "))
        .context("no package")?;
    let package = published(package.trim_end_matches(';'));
    let (mut current, scalars) = (None, ["string", "bytes", "bool", "int32", "int64", "double"]);
    let shape = |word: &str| match word {
        word if scalars.contains(&word) => word.to_owned(),
        word if word.contains('.') => published(word),
        word => format!("{package}.{word}"),
    };
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
        if let Some(name) = line
            .strip_prefix("message ")
            .and_then(|rest| rest.strip_suffix(" {"))
        {
            current = Some(messages.entry(format!("{package}.{name}")).or_default());
        }
        let (Some(fields), Some((declared, number))) =
            (&mut current, line.trim_end_matches(';').split_once(" = "))
        else {
            continue;
        };
        let (declared, name) = declared.rsplit_once(' ').context("a field without a name")?;
        let shape = if let Some(value) = declared.strip_prefix("map<string, ") {
            format!("{{}}{}", shape(value.trim_end_matches('>')))
        } else if let Some(element) = declared.strip_prefix("repeated ") {
            format!("[]{}", shape(element))
        } else {
            shape(declared.trim_start_matches("optional "))
        };
        fields.insert(
            number.parse().context("a field without a number")?,
            (name.to_owned(), shape),
        );
    }
    Ok(package)
}

/// Reads the structs of a Go file.
fn go_structs(text: &str, package: &str, structs: &mut Structs) {
    let mut current = None;
    for line in text.lines() {
        if let Some((name, rest)) = line.strip_prefix("type ").and_then(|rest| rest.split_once(' ')) {
            current = None;
            if rest.starts_with("struct") {
                current = Some(structs.entry(format!("{package}.{name}")).or_default());
            }
        }
        if let (Some(fields), Some((number, tag))) = (&mut current, go_field(line)) {
            fields.insert(number, tag);
        }
    }
}

fn go_field(line: &str) -> Option<(u32, Tag)> {
    let tag = |key: &str| line.split_once(&format!("{key}:\""))?.1.split('"').next();
    let number = tag("protobuf")?.split(',').nth(1)?.parse().ok()?;
    let declared: Vec<&str> = line.split('`').next()?.split_whitespace().collect();
    let mut json = tag("json").unwrap_or("-").split(',');
    let name = json.next().unwrap_or_default();
    let json_name = if name.is_empty() && declared.len() > 1 {
        declared[0]
    } else {
        name
    };
    Some((
        number,
        Tag {
            json: json_name.to_owned(),
            omitempty: json.any(|word| word == "omitempty"),
            pointer: declared.last().is_some_and(|word| word.starts_with('*')),
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_from_proto_and_json_from_go() -> Result<()> {
        let proto = "package k8s.io.api.core.v1;\n// message Not {\nmessage Volume {\n  optional string name = 1;\n\
            optional VolumeSource volumeSource = 2;\n  repeated .k8s.io.api.x.v1.Y ys = 3;\n  map<string, bytes> data = 4;\n}\n\
            message VolumeSource {\n}\nmessage Verbs {\n  repeated string items = 1;\n}\n";
        let go = "type Volume struct {\n\tName string `json:\"name\" protobuf:\"bytes,1,opt,name=name\"`\n\
            \tVolumeSource `json:\",inline\" protobuf:\"bytes,2,opt,name=volumeSource\"`\n\
            \tYs []y.Y `json:\"ys,omitempty\" protobuf:\"bytes,3,rep,name=ys\"`\n\
            \tData *map[string][]byte `json:\"d,omitempty\" protobuf:\"bytes,4,rep,name=data\"`\n}\ntype VolumeSource struct{}\n";
        let (mut messages, mut structs) = (Messages::new(), Structs::new());
        let package = proto_messages(proto, &mut messages)?;
        messages.insert("io.k8s.api.x.v1.Y".into(), BTreeMap::new());
        structs.insert("io.k8s.api.x.v1.Y".into(), BTreeMap::new());
        go_structs(go, &package, &mut structs);
        let lines = message("io.k8s.api.core.v1.Volume", &messages, &structs)?.concat();
        let expected = "message io.k8s.api.core.v1.Volume\n 1 name string\n 2 ~ io.k8s.api.core.v1.VolumeSource\n \
            3 ys? []io.k8s.api.x.v1.Y\n 4 d {}bytes\n";
        assert_eq!(lines, expected);
        assert_eq!(
            resolve("{}io.k8s.api.core.v1.Verbs", &messages, &structs)?,
            "{}=[]string"
        );
        Ok(())
    }
}
