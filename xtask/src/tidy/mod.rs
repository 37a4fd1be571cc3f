//! `cargo xtask tidy`: the rules of the code base that a machine can check, also run as a test.

mod arrows;
mod documents;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use e2e::artifacts;

/// `cargo xtask tidy`.
pub fn run() -> Result<bool> {
    let complaints = complaints(&artifacts::root())?;
    complaints.iter().for_each(|complaint| println!("{complaint}"));
    match complaints.len() {
        0 => println!("tidy"),
        count => println!("{count} complaints"),
    }
    Ok(complaints.is_empty())
}

/// A file of the repository, as text.
pub struct Text {
    /// The path from the repository's root.
    pub path: String,
    /// The content.
    pub content: String,
}

impl Text {
    /// True for Rust code.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// Everything that breaks a rule, a line each.
pub fn complaints(root: &Path) -> Result<Vec<String>> {
    let texts = texts(root)?;
    let mut all = arrows::complaints(root)?;
    all.extend(sources::complaints(&texts));
    all.extend(documents::complaints(&texts));
    Ok(all)
}

/// Kinds of files that hold text written here; and what is neither ours nor for the eye.
const KINDS: &[&str] = &[
    "rs", "toml", "md", "yaml", "yml", "sh", "proto", "json", "css", "js",
];
const SKIPPED: &[&str] = &["target", ".git", ".cache"];

fn texts(root: &Path) -> Result<Vec<Text>> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let entry = entry?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type()?.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|end| KINDS.iter().any(|kind| end == *kind))
            {
                let inside = path
                    .strip_prefix(root)
                    .unwrap_or(&path)
                    .to_string_lossy()
                    .into_owned();
                // A file that another program removes just now is no file of the repository.
                let Ok(content) = fs::read_to_string(&path) else {
                    continue;
                };
                found.push(Text {
                    path: inside,
                    content,
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let complaints = complaints(&artifacts::root()).unwrap();
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }
}
