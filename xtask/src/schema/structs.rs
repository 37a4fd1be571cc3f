//! The structs of the crate k8s-openapi, read from its sources: generated code, one struct a file, always in the same form.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Types that hold any value.
const RAW: [&str; 3] = [".RawExtension", ".FieldsV1", ".JSON"];

/// Structs by the name of their definition.
pub type Structs = BTreeMap<String, Struct>;

/// A struct.
#[derive(Default)]
pub struct Struct {
    /// `GROUP/VERSION KIND`, and the same of its list, if it is a kind.
    pub kind: Option<(String, String)>,
    /// Whether it has metadata, which the struct always has.
    pub metadata: bool,
    /// Fields by name in JSON.
    pub fields: BTreeMap<String, Field>,
}

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Whether it is no `Option`.
    pub required: bool,
    /// As in the table.
    pub shape: String,
    /// How it is merged: `list map KEYS`, `list set`, `list atomic`, `map granular`, `map atomic`; empty for other shapes.
    pub strategy: String,
}

/// The directory of the sources of k8s-openapi as this workspace uses it.
pub fn sources() -> Result<PathBuf> {
    // What only other machines need is not downloaded.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline"])
        .args(["--filter-platform", &platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("running cargo metadata")?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("reading what cargo metadata says")?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let package = packages.iter().find(|package| package["name"] == "k8s-openapi");
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let manifest = Path::new(manifest.context("no k8s-openapi in the workspace")?);
    Ok(manifest.with_file_name("src"))
}

/// The newest release in `sources`, such as `v1_37`.
pub fn newest(sources: &Path) -> Result<String> {
    let mut releases = BTreeSet::new();
    for entry in fs::read_dir(sources).with_context(|| format!("listing {}", sources.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let minor = name
            .strip_prefix("v1_")
            .and_then(|minor| minor.parse::<u32>().ok());
        releases.extend(minor.map(|minor| (minor, name)));
    }
    releases.pop_last().map(|(_, name)| name).context("no release")
}

/// The structs of one release.
pub fn read(sources: &Path, release: &str) -> Result<Structs> {
    let (root, mut files) = (sources.join(release), Vec::new());
    collect(&root, &root, &mut files)?;
    // Rust's paths of all that have names in the document, so that types of fields can be named.
    let names: BTreeMap<String, String> = files
        .iter()
        .filter_map(|(module, text)| {
            let name = definition(text)?;
            Some((
                format!("crate::{module}::{}", name.rsplit('.').next()?),
                name.to_owned(),
            ))
        })
        .collect();
    let structs = files.iter().filter_map(|(_, text)| {
        // Those without fields hold any value; others without names are scalars, and one is the list of anything.
        let name = definition(text)?;
        let declared = after(text, "\npub struct ")?.trim_start_matches(char::is_alphanumeric);
        let empty = declared.starts_with("(pub crate::serde_json::Value)")
            && !RAW.iter().any(|raw| name.ends_with(raw));
        (declared.starts_with(" {") || empty).then_some((name, text))
    });
    structs
        .map(|(name, text)| {
            Ok((
                name.to_owned(),
                structure(text, &names).with_context(|| format!("in {name}"))?,
            ))
        })
        .collect()
}

/// All files below, with the path of their module.
fn collect(root: &Path, directory: &Path, files: &mut Vec<(String, String)>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("listing {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let module = directory.strip_prefix(root)?.to_string_lossy().replace('/', "::");
        files.push((module, text));
    }
    Ok(())
}

fn definition(text: &str) -> Option<&str> {
    text.lines().next()?.strip_prefix("// Generated from definition ")
}

fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.split_once(mark).map(|(_, rest)| rest)
}

fn structure(text: &str, names: &BTreeMap<String, String>) -> Result<Struct> {
    let constant = |name: &str| {
        after(text, &format!("const {name}: &'static str = \""))?
            .split('"')
            .next()
    };
    let kind = constant("API_VERSION")
        .zip(constant("KIND"))
        .map(|(version, kind)| {
            let list = constant("LIST_KIND").map(|list| format!("{version} {list}"));
            (format!("{version} {kind}"), list.unwrap_or_default())
        });
    let json: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| {
            let (name, member) = line.trim().strip_prefix('"')?.split_once("\" => Field::Key_")?;
            Some((member.trim_end_matches(','), name))
        })
        .collect();
    let strategies = strategies(text, &json);
    let body = after(text, "\npub struct ").and_then(|rest| after(rest, " {\n"));
    let body = body.and_then(|body| body.split("\n}").next()).unwrap_or_default();
    let mut fields = BTreeMap::new();
    for line in body.lines().filter_map(|line| line.strip_prefix("    pub ")) {
        let (member, ty) = line.trim_end_matches(',').split_once(": ").context("no type")?;
        let name = json_name(&json, member).with_context(|| format!("{member} has no name in JSON"))?;
        let (required, ty) = match ty.strip_prefix("Option<").and_then(|ty| ty.strip_suffix('>')) {
            Some(ty) => (false, ty),
            None => (true, ty),
        };
        let field = Field {
            required,
            shape: shape(ty, names).with_context(|| format!("{member}: {ty}"))?,
            strategy: strategies.get(member).cloned().unwrap_or_default(),
        };
        fields.insert(name.to_owned(), field);
    }
    Ok(Struct {
        kind,
        metadata: text.contains("\nimpl crate::Metadata for "),
        fields,
    })
}

/// Names that are words of Rust have a `_` behind them.
fn json_name<'a>(json: &BTreeMap<&str, &'a str>, member: &str) -> Option<&'a str> {
    json.get(member)
        .or_else(|| json.get(member.strip_suffix('_')?))
        .copied()
}

/// How fields are merged, by member.
fn strategies(text: &str, json: &BTreeMap<&str, &str>) -> BTreeMap<String, String> {
    let calls = text.split("crate::merge_strategies::").skip(1);
    let strategy = |call: &str| {
        let (name, rest) = call.split_once('(')?;
        let (member, rest) = rest.trim_start().strip_prefix("&mut self.")?.split_once(',')?;
        let mut strategy = name.replace("::", " ");
        if name == "list::map" {
            let closures = rest.split_once("&[")?.1.split_once("],")?.0;
            let keys = closures.split("lhs.").skip(1).filter_map(|key| {
                let key = key.split(" ==").next()?;
                // The keys are members of another struct, but are named like those of this one.
                Some(json_name(json, key).map_or_else(|| camel(key), str::to_owned))
            });
            strategy = format!("{strategy} {}", keys.collect::<Vec<_>>().join(","));
        }
        Some((member.to_owned(), strategy))
    };
    calls.filter_map(strategy).collect()
}

/// `host_port` as `hostPort`; some words are written large in JSON.
fn camel(member: &str) -> String {
    let mut words = member.trim_end_matches('_').split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        match word {
            "id" | "ip" => name.push_str(&word.to_ascii_uppercase()),
            word => {
                name.extend(word.get(..1).map(str::to_ascii_uppercase));
                name.push_str(word.get(1..).unwrap_or_default());
            }
        }
    }
    name
}

fn shape(ty: &str, names: &BTreeMap<String, String>) -> Option<String> {
    let inside = |start: &str| ty.strip_prefix(start)?.strip_suffix('>');
    if let Some(ty) = inside("std::boxed::Box<") {
        return shape(ty, names);
    }
    if let Some(ty) = inside("std::vec::Vec<") {
        return Some(format!("[]{}", shape(ty, names)?));
    }
    if let Some(ty) = inside("std::collections::BTreeMap<std::string::String, ") {
        return Some(format!("{{}}{}", shape(ty, names)?));
    }
    let word = match ty.rsplit("::").next()? {
        "String" => "string",
        "bool" => "bool",
        "i32" => "int32",
        "i64" => "int64",
        "f64" => "float",
        "ByteString" => "bytes",
        "Quantity" => "quantity",
        "Time" => "time",
        "MicroTime" => "microtime",
        "IntOrString" => "int-or-string",
        _ => return names.get(ty).cloned(),
    };
    Some(word.to_owned())
}
