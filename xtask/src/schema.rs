//! `cargo xtask schema`: makes the tables of field facts: names, types, list and merge keys from a published OpenAPI v2 document
//! and the sources of k8s-openapi, which must agree but for listed exceptions; numbers from upstream's protobuf files. Facts
//! only, no prose.
#![expect(
    clippy::disallowed_types,
    reason = "reads a published document once, at development time"
)]

mod compare;
mod exceptions;
mod merge;
mod protobuf;
mod structs;
mod table;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use self::{exceptions::Exceptions, table::Table};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/schema/tables/fields.txt");
const EXCEPTIONS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../shared/schema/tables/exceptions.txt"
);
const PROTOBUF: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../shared/schema/tables/protobuf.txt"
);

/// Command-line options of `cargo xtask schema`.
#[derive(clap::Args)]
pub struct Options {
    /// The OpenAPI v2 document, as JSON; without it, the committed table is compared with the sources of k8s-openapi.
    #[arg(long, value_name = "FILE")]
    openapi: Option<PathBuf>,
    /// The release of the document, as k8s-openapi names it.
    #[arg(long, value_name = "RELEASE", default_value = "v1_36")]
    release: String,
    /// Only compare the document with this one, which a server answered at /openapi/v2.
    #[arg(long, value_name = "FILE", requires = "openapi")]
    served: Option<PathBuf>,
    /// A directory with upstream's modules api, apimachinery, apiextensions-apiserver and kube-aggregator.
    #[arg(long, value_name = "DIR")]
    protobuf: Option<PathBuf>,
    /// Only compare: fail if a committed table differs.
    #[arg(long)]
    check: bool,
}

/// Writes (or with `--check` compares) the tables; whether they are as wanted.
pub fn run(options: &Options) -> Result<bool> {
    if options.openapi.is_none() && options.protobuf.is_none() {
        return agree();
    }
    let mut current = true;
    if let Some(file) = &options.openapi {
        let document = document(file)?;
        if let Some(served) = &options.served {
            return Ok(compare::compare(&document, &self::document(served)?));
        }
        let (table, faults) = merged(&document, &options.release)?;
        faults.iter().for_each(|fault| println!("{fault}"));
        if !faults.is_empty() {
            return Ok(false);
        }
        current &= keep(TABLE, &table.text()?, options.check)?;
    }
    if let Some(directory) = &options.protobuf {
        let fields = fs::read_to_string(TABLE).context("reading the table of fields")?;
        current &= keep(PROTOBUF, &protobuf::table(directory, &fields)?, options.check)?;
    }
    Ok(current)
}

fn document(file: &Path) -> Result<Value> {
    let text = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", file.display()))
}

/// Writes or compares one table; whether it is as wanted.
fn keep(path: &str, table: &str, check: bool) -> Result<bool> {
    if check {
        let same = fs::read_to_string(path).is_ok_and(|committed| committed == table);
        println!(
            "{}",
            if same {
                "the table is current"
            } else {
                "the table differs: run cargo xtask schema"
            }
        );
        return Ok(same);
    }
    fs::write(path, table).context("writing the table")?;
    println!("{}", table.lines().nth(1).unwrap_or_default());
    Ok(true)
}

/// Whether the committed table agrees with the structs of the newest release; says what differs.
fn agree() -> Result<bool> {
    let faults = disagreements()?;
    faults.iter().for_each(|fault| println!("{fault}"));
    if faults.is_empty() {
        println!("the table agrees with k8s-openapi");
    }
    Ok(faults.is_empty())
}

fn disagreements() -> Result<Vec<String>> {
    let sources = structs::sources()?;
    let newest = structs::read(&sources, &structs::newest(&sources)?)?;
    let table = Table::read(&fs::read_to_string(TABLE).context("reading the table of fields")?)?;
    Ok(merge::differences(&table, &newest, &mut exceptions()?))
}

fn exceptions() -> Result<Exceptions> {
    let text = fs::read_to_string(EXCEPTIONS).context("reading the exceptions")?;
    Exceptions::read(&text).context("reading the exceptions")
}

/// The table of a document of `release`, brought to the newest release; and in what the sources differ without a reason.
fn merged(document: &Value, release: &str) -> Result<(Table, Vec<String>)> {
    let sources = structs::sources()?;
    let (old, new) = (
        structs::read(&sources, release)?,
        structs::read(&sources, &structs::newest(&sources)?)?,
    );
    let (mut table, mut exceptions) = (Table::of_document(document)?, exceptions()?);
    let mut faults = merge::differences(&table, &old, &mut exceptions);
    if !faults.is_empty() {
        return Ok((table, faults));
    }
    merge::advance(&mut table, &old, &new, &mut exceptions);
    faults.extend(merge::differences(&table, &new, &mut exceptions));
    let unused = exceptions.unused();
    faults.extend(unused.map(|(ty, field)| format!("{ty} {field}: an exception that nothing needs")));
    Ok((table, faults))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_field_of_the_structs() -> Result<()> {
        assert_eq!(disagreements()?, Vec::<String>::new());
        Ok(())
    }
}
