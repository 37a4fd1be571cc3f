//! `ferrokube certificate list`.

use anyhow::{Context, Result};
use jiff::Timestamp;
use std::{fs, path::Path};
use x509_parser::prelude::Pem;

/// A line each certificate of the folder: its file, whom it names, until when, by whom it is signed.
pub fn table(pki: &Path, now: Timestamp) -> Result<String> {
    let entries = fs::read_dir(pki).with_context(|| format!("no certificates in {}", pki.display()))?;
    let mut paths: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "crt"));
    paths.sort();
    let mut rows = vec![["CERTIFICATE", "NAMES", "EXPIRES", "LEFT", "SIGNED BY"].map(str::to_owned)];
    for path in paths {
        let text = fs::read(&path).with_context(|| path.display().to_string())?;
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        rows.push(row(name, &text, now).with_context(|| path.display().to_string())?);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let line = |row: &[String; 5]| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("   ").trim_end())
    };
    Ok(rows.iter().map(line).collect())
}

fn row(name: String, text: &[u8], now: Timestamp) -> Result<[String; 5]> {
    let block = Pem::iter_from_buffer(text).next().context("it is empty")??;
    let certificate = block.parse_x509()?;
    let end = Timestamp::from_second(certificate.validity().not_after.timestamp())?;
    let days = end.duration_since(now).as_hours() / 24;
    let left = if end <= now {
        "expired".to_owned()
    } else {
        format!("{days}d")
    };
    let issuer = certificate.issuer();
    let signer = if issuer == certificate.subject() {
        "itself".to_owned()
    } else {
        issuer.to_string()
    };
    Ok([
        name,
        certificate.subject().to_string(),
        end.to_string(),
        left,
        signer,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use component::pki::{Authority, Purpose};

    #[test]
    fn certificates_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let ca = Authority::open(dir.path(), now).unwrap();
        ca.leaf("admin", &Purpose::client("jane", &["devs"]), now)
            .unwrap();
        let text = table(dir.path(), now).unwrap();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines[1],
            [
                "admin",
                "CN=jane,",
                "O=devs",
                "2028-01-15T08:00:00Z",
                "365d",
                "CN=kubernetes"
            ]
        );
        assert_eq!((lines[2][0], lines[2][3], lines[2][4]), ("ca", "3650d", "itself"));
        let late = now + jiff::SignedDuration::from_hours(24 * 400);
        assert!(table(dir.path(), late).unwrap().contains("expired"));
        std::fs::write(dir.path().join("bad.crt"), "garbage").unwrap();
        assert!(table(dir.path(), now).is_err());
    }
}
