//! What is said of snapshots: tables, or JSON.

use super::args::Form;
use anyhow::Result;
use backup::{Facts, Place, Restored, Stored};
use serde::Serialize;

/// A snapshot that was kept.
#[derive(Serialize)]
struct Kept<'a> {
    place: String,
    name: &'a str,
    #[serde(flatten)]
    facts: Facts,
}

fn json(value: &impl Serialize) -> Result<String> {
    Ok(format!("{}\n", serde_json::to_string(value)?))
}

/// Columns that are as wide as what is in them.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("   ");
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).into()
}

fn cells(facts: Facts) -> [String; 4] {
    [
        format!("{:x}", facts.hash),
        facts.revision.to_string(),
        facts.total_key.to_string(),
        size(facts.total_size),
    ]
}

/// Bytes, in thousands, as etcdctl says them.
fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut number = bytes as f64;
    let mut unit = 0;
    while number >= 1000.0 && unit + 1 < units.len() {
        number /= 1000.0;
        unit += 1;
    }
    match number < 10.0 && unit > 0 {
        true => format!("{number:.1} {}", units[unit]),
        false => format!("{number:.0} {}", units[unit]),
    }
}

/// What is in a snapshot.
pub fn facts(facts: Facts, form: Form) -> Result<String> {
    match form {
        Form::Json => json(&facts),
        Form::Table => Ok(table(&[
            row(["HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE"]),
            cells(facts).into(),
        ])),
    }
}

/// A snapshot that was taken.
pub fn kept(place: &Place, name: &str, facts: Facts, form: Form) -> Result<String> {
    let place = place.to_string();
    if form == Form::Json {
        return json(&Kept { place, name, facts });
    }
    let mut told = row([&place, name]);
    told.extend(cells(facts));
    Ok(table(&[
        row(["PLACE", "NAME", "HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE"]),
        told,
    ]))
}

/// Snapshots that are kept, or were removed.
pub fn stored(all: &[Stored], form: Form) -> Result<String> {
    if form == Form::Json {
        return json(&all);
    }
    let mut rows = vec![row(["NAME", "TAKEN", "REVISION", "SIZE"])];
    rows.extend(all.iter().map(|stored| {
        let revision = stored
            .revision
            .map_or(String::new(), |revision| revision.to_string());
        let taken = stored.taken.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        vec![stored.name.clone(), taken, revision, size(stored.size)]
    }));
    Ok(table(&rows))
}

/// A store that was made.
pub fn restored(restored: &Restored, form: Form) -> Result<String> {
    if form == Form::Json {
        return json(restored);
    }
    let mut told = table(&[
        row(["DATA DIR", "REVISION", "KEYS"]),
        vec![
            restored.data_dir.display().to_string(),
            restored.revision.to_string(),
            restored.keys.to_string(),
        ],
    ]);
    if let Some(previous) = &restored.previous {
        told += &format!("\nthe store that was there is in {}\n", previous.display());
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_snapshot_is_told_as_etcdctl_does() {
        let found = Facts {
            hash: 0xfe01_cf57,
            revision: 10,
            total_key: 7,
            total_size: 2_100_000,
        };
        assert_eq!(
            facts(found, Form::Table).unwrap(),
            "HASH       REVISION   TOTAL KEYS   TOTAL SIZE\nfe01cf57   10         7            2.1 MB\n"
        );
        assert_eq!(
            facts(found, Form::Json).unwrap(),
            "{\"hash\":4261531479,\"revision\":10,\"totalKey\":7,\"totalSize\":2100000}\n"
        );
        assert_eq!(
            [size(999), size(409_600), size(12_000)],
            ["999 B", "410 kB", "12 kB"]
        );
    }
}
