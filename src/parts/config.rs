//! Configuration files: a document of a component's configuration kind becomes pairs of field and value.

use anyhow::{Context, Result, bail};
use api::scan;
use component::flags::{Flag, Kind};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The configuration kind of a component.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKind {
    /// Its apiVersion.
    pub api_version: &'static str,
    /// Its kind.
    pub kind: &'static str,
}

/// Fields and values, the weakest first.
pub type Fields = Vec<(String, String)>;

/// The fields of the file, then those of the drop-ins in `dir` (empty: none), in order of their names.
pub fn read(file: &str, dir: &str, of: ConfigKind, tables: &[&'static [Flag]]) -> Result<Fields> {
    let mut paths: Vec<PathBuf> = if file.is_empty() {
        Vec::new()
    } else {
        vec![file.into()]
    };
    if !dir.is_empty() {
        paths.extend(drop_ins(Path::new(dir)).with_context(|| format!("--config-dir {dir}"))?);
    }
    let mut fields = Fields::new();
    for path in paths {
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let read = document(&text, of, tables).with_context(|| path.display().to_string())?;
        merge(&mut fields, read, tables);
    }
    Ok(fields)
}

/// The files `*.conf` of a folder and the folders in it, in order of their paths.
fn drop_ins(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(drop_ins(&path)?);
        } else if path.extension().is_some_and(|e| e == "conf") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A later map adds to an earlier one; everything else takes its place.
fn merge(fields: &mut Fields, later: Fields, tables: &[&'static [Flag]]) {
    for (path, value) in later {
        let is_map = row(tables, &path).is_some_and(|f| f.kind.between().is_some());
        match fields.iter_mut().find(|(p, _)| *p == path) {
            Some((_, old)) if is_map && !old.is_empty() => *old = format!("{old},{value}"),
            Some((_, old)) => *old = value,
            None => fields.push((path, value)),
        }
    }
}

/// The fields of one document, YAML or JSON.
pub fn document(text: &[u8], of: ConfigKind, tables: &[&'static [Flag]]) -> Result<Fields> {
    let json = schema::yaml_to_json(text).map_err(anyhow::Error::msg)?;
    let (api_version, kind) = (scan::scalar(&json, "apiVersion")?, scan::scalar(&json, "kind")?);
    if (&*api_version, &*kind) != (of.api_version, of.kind) {
        bail!(
            "it is of kind {kind:?} of {api_version:?}, not {:?} of {:?}",
            of.kind,
            of.api_version
        );
    }
    let mut reader = Reader {
        json: &json,
        tables,
        fields: Fields::new(),
    };
    reader.object(0, "")?;
    Ok(reader.fields)
}

fn row(tables: &[&'static [Flag]], path: &str) -> Option<&'static Flag> {
    tables
        .iter()
        .flat_map(|table| table.iter())
        .find(|flag| !flag.field.is_empty() && flag.field == path)
}

struct Reader<'a> {
    json: &'a [u8],
    tables: &'a [&'static [Flag]],
    fields: Fields,
}

impl Reader<'_> {
    fn object(&mut self, at: usize, prefix: &str) -> Result<()> {
        let mut seen = Vec::new();
        for member in scan::members(self.json, at) {
            let (key, value) = member?;
            let path = if prefix.is_empty() {
                key.to_string()
            } else {
                format!("{prefix}.{key}")
            };
            if seen.contains(&path) {
                bail!("duplicate field {path:?}");
            }
            if !matches!(path.as_str(), "apiVersion" | "kind") {
                self.member(value.start, &self.json[value.clone()], &path)?;
            }
            seen.push(path);
        }
        Ok(())
    }

    fn member(&mut self, at: usize, value: &[u8], path: &str) -> Result<()> {
        let Some(flag) = row(self.tables, path) else {
            let inside = format!("{path}.");
            let mut flags = self.tables.iter().flat_map(|table| table.iter());
            if !flags.any(|flag| flag.field.starts_with(&inside)) {
                bail!("unknown field {path:?}");
            }
            return match value.first() {
                Some(b'{') => self.object(at, path),
                Some(b'n') => Ok(()),
                _ => bail!("field {path:?} must be an object"),
            };
        };
        let text = match (flag.kind, flag.kind.between(), value.first()) {
            (_, Some(between), Some(b'{')) => self.map(at, between)?,
            (Kind::List, _, Some(b'[')) => self.list(at)?,
            // What is refused whole needs no reading; that it is there is enough.
            (Kind::Text, _, Some(b'{' | b'[')) if !matches!(value, b"{}" | b"[]") => {
                String::from_utf8_lossy(value).into_owned()
            }
            (.., Some(b'{' | b'[')) if matches!(value, b"{}" | b"[]") => String::new(),
            (Kind::List, _, Some(first)) | (_, Some(_), Some(first)) if *first != b'n' => {
                bail!("field {path:?} is of another type")
            }
            (.., Some(b'{' | b'[')) => bail!("field {path:?} is of another type"),
            _ => self.scalar(at, value)?,
        };
        // A zero value says nothing, as in upstream's defaulting.
        let zero = flag.kind == Kind::Duration && matches!(text.as_str(), "0" | "0s");
        if !text.is_empty() && !zero {
            self.fields.push((path.to_owned(), text));
        }
        Ok(())
    }

    fn scalar(&self, at: usize, value: &[u8]) -> Result<String> {
        Ok(match value {
            [b'"', ..] => scan::text(self.json, at..at + value.len())?.into_owned(),
            b"null" => String::new(),
            other => String::from_utf8_lossy(other).into_owned(),
        })
    }

    fn list(&self, at: usize) -> Result<String> {
        let mut items = Vec::new();
        for item in scan::elements(self.json, at)? {
            items.push(self.scalar(item.start, &self.json[item.clone()])?);
        }
        Ok(items.join(","))
    }

    fn map(&self, at: usize, between: char) -> Result<String> {
        let mut pairs = Vec::new();
        for member in scan::members(self.json, at) {
            let (key, value) = member?;
            pairs.push(format!(
                "{key}{between}{}",
                self.scalar(value.start, &self.json[value.clone()])?
            ));
        }
        Ok(pairs.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: ConfigKind = ConfigKind {
        api_version: "example.io/v1",
        kind: "Example",
    };
    const TABLE: &[Flag] = &[
        Flag::new("address", Kind::Text, "", "").field("address"),
        Flag::new("dns", Kind::List, "", "").field("clusterDNS"),
        Flag::new("gates", Kind::Map, "", "").field("featureGates"),
        Flag::new("ca", Kind::Text, "", "").field("authentication.x509.clientCAFile"),
        Flag::new("period", Kind::Duration, "1s", "").field("period"),
        Flag::refused("profiles", Kind::Text, "no").file_only(),
    ];

    fn read(text: &str) -> Result<Vec<String>> {
        let head = "apiVersion: example.io/v1\nkind: Example\n";
        let fields = document(format!("{head}{text}").as_bytes(), OF, &[TABLE])?;
        Ok(fields
            .into_iter()
            .map(|(path, value)| format!("{path}={value}"))
            .collect())
    }

    #[test]
    fn a_document_becomes_pairs() {
        let text = "address: 1.2.3.4\nclusterDNS: [10.0.0.1, 10.0.0.2]\nfeatureGates: {A: true, B: false}\n\
                    authentication:\n  x509:\n    clientCAFile: /ca\nperiod: 0s\nprofiles: [{a: 1}]\n";
        let pairs = [
            "address=1.2.3.4",
            "clusterDNS=10.0.0.1,10.0.0.2",
            "featureGates=A=true,B=false",
            "authentication.x509.clientCAFile=/ca",
            "profiles=[{\"a\":1}]",
        ];
        assert_eq!(read(text).unwrap(), pairs);
        assert!(
            read("authentication: {}\naddress: \"\"\nclusterDNS: []\nperiod: null\n")
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, words) in [
            ("nope: 1", "unknown field \"nope\""),
            ("nope: {}", "unknown field \"nope\""),
            (
                "authentication: {x509: {nope: 1}}",
                "unknown field \"authentication.x509.nope\"",
            ),
            ("authentication: 5", "field \"authentication\" must be an object"),
            ("clusterDNS: {a: b}", "field \"clusterDNS\" is of another type"),
            ("clusterDNS: 10.0.0.1", "field \"clusterDNS\" is of another type"),
            ("period: [1]", "field \"period\" is of another type"),
            ("address: a\naddress: b", "duplicate field \"address\""),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), words);
        }
        let other = document(b"apiVersion: v1\nkind: Example\n", OF, &[TABLE]).unwrap_err();
        assert_eq!(
            other.to_string(),
            "it is of kind \"Example\" of \"v1\", not \"Example\" of \"example.io/v1\""
        );
        assert!(document(b"a: [", OF, &[TABLE]).is_err());
    }

    #[test]
    fn drop_ins_come_in_order_and_maps_add_up() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            fs::write(
                dir.path().join(name),
                format!("apiVersion: example.io/v1\nkind: Example\n{text}"),
            )
            .unwrap();
        };
        write("main.yaml", "address: first\nfeatureGates: {A: true}\n");
        write("20.conf", "address: third\n");
        write(
            "10.conf",
            "address: second\nclusterDNS: [10.0.0.1]\nfeatureGates: {B: false}\n",
        );
        write("ignored.txt", "nope: 1\n");
        let main = dir.path().join("main.yaml").display().to_string();
        let fields = super::read(&main, &dir.path().display().to_string(), OF, &[TABLE]).unwrap();
        let value = |path: &str| fields.iter().find(|(p, _)| p == path).map(|(_, v)| v.as_str());
        assert_eq!(value("address"), Some("third"));
        assert_eq!(value("featureGates"), Some("A=true,B=false"));
        assert_eq!(value("clusterDNS"), Some("10.0.0.1"));
    }
}
