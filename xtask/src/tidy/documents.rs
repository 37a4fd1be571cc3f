//! Rules of the documents: what they name exists, decisions are numbered, the change log knows the version.

use std::collections::BTreeSet;

use super::Text;
use crate::bench;

/// Everything in the documents that breaks a rule.
pub fn complaints(texts: &[Text]) -> Vec<String> {
    let mut complaints = features(texts);
    complaints.extend(decisions(texts));
    complaints.extend(version(texts));
    complaints
}

/// Each line of a feature list names a test or a benchmark that exists.
fn features(texts: &[Text]) -> Vec<String> {
    let functions = functions(texts);
    let lists = texts
        .iter()
        .filter(|text| text.path.starts_with("docs/features/") && !text.path.ends_with("README.md"));
    let mut complaints = Vec::new();
    for list in lists {
        for (number, item) in items(&list.content) {
            let place = format!("{}:{number}", list.path);
            let (tests, benches) = (named(&item, "test"), named(&item, "bench"));
            if tests.is_empty() && benches.is_empty() {
                complaints.push(format!("{place}: names no test and no bench"));
            }
            for test in tests.iter().filter(|test| !functions.contains(last_part(test))) {
                complaints.push(format!("{place}: there is no test `{test}`"));
            }
            for name in benches.iter().filter(|name| !bench::exists(name)) {
                complaints.push(format!("{place}: there is no bench `{name}`"));
            }
        }
    }
    complaints
}

fn functions(texts: &[Text]) -> BTreeSet<&str> {
    let code = texts.iter().filter(|text| text.is_rust());
    let heads = code.flat_map(|text| text.content.split("fn ").skip(1));
    heads.filter_map(|rest| rest.split(['(', '<']).next()).collect()
}

/// The items of the lists outside code blocks: the number of their first line, and their text on one line.
fn items(content: &str) -> Vec<(usize, String)> {
    let mut items: Vec<(usize, String)> = Vec::new();
    let mut in_code = false;
    let mut open = false;
    for (number, line) in content.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        if line.starts_with("- ") && !in_code {
            items.push((number + 1, line.to_owned()));
            open = true;
        } else if line.starts_with("  ") && open && !in_code {
            if let Some((_, item)) = items.last_mut() {
                item.push(' ');
                item.push_str(line.trim());
            }
        } else {
            open = false;
        }
    }
    items
}

/// The names in backquotes that follow a word, as in "test `x`".
fn named(item: &str, word: &str) -> Vec<String> {
    let start = format!("{word} `");
    let parts = item.split(&start).skip(1);
    parts
        .filter_map(|rest| rest.split_once('`').map(|(name, _)| name.to_owned()))
        .collect()
}

fn last_part(name: &str) -> &str {
    name.rsplit("::").next().unwrap_or(name)
}

/// Decisions are files NNNN-TITLE.md, numbered without a gap.
fn decisions(texts: &[Text]) -> Vec<String> {
    let files = texts
        .iter()
        .filter_map(|text| text.path.strip_prefix("docs/adr/"));
    let mut complaints = Vec::new();
    let mut next = 1;
    for file in files.filter(|file| *file != "README.md") {
        let number = file
            .split_once('-')
            .filter(|(number, _)| number.len() == 4)
            .and_then(|(n, _)| n.parse::<u32>().ok());
        if number != Some(next) {
            complaints.push(format!(
                "docs/adr/{file}: the next decision has the number {next:04}"
            ));
        }
        next = number.unwrap_or(next) + 1;
    }
    complaints
}

/// The change log has the version of the workspace.
fn version(texts: &[Text]) -> Vec<String> {
    let content = |path: &str| {
        texts
            .iter()
            .find(|text| text.path == path)
            .map_or("", |text| text.content.as_str())
    };
    let after = content("Cargo.toml")
        .split_once("[workspace.package]")
        .map_or("", |(_, rest)| rest);
    let version = after.lines().find_map(|line| line.strip_prefix("version = "));
    let version = version.map_or("", |value| value.trim_matches('"'));
    let headings = content("CHANGELOG.md")
        .lines()
        .filter(|line| line.starts_with("## "));
    let known = headings
        .flat_map(|line| line.split([' ', '[', ']']))
        .any(|word| word == version);
    if known {
        Vec::new()
    } else {
        vec![format!("CHANGELOG.md: no heading of version {version}")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str, content: &str) -> Text {
        Text {
            path: path.into(),
            content: content.into(),
        }
    }

    #[test]
    fn a_feature_names_what_shows_it() {
        let code = text("a/src/b.rs", "#[test]\nfn rolls_out() {}\n");
        let list = text(
            "docs/features/apps.md",
            "# Apps\n- Rolls out (test `rolls_out`).\n- Undoes\n  (test `undoes`).\n- Is fast (bench `nosuch`).\n- Is good.\n",
        );
        let complaints = features(&[code, list]);
        let expected = [
            "docs/features/apps.md:3: there is no test `undoes`",
            "docs/features/apps.md:5: there is no bench `nosuch`",
            "docs/features/apps.md:6: names no test and no bench",
        ];
        assert_eq!(complaints, expected);
    }

    #[test]
    fn decisions_are_numbered() {
        let good = [text("docs/adr/0001-a.md", ""), text("docs/adr/0002-b.md", "")];
        assert!(decisions(&good).is_empty());
        let bad = [
            text("docs/adr/0001-a.md", ""),
            text("docs/adr/0001-b.md", ""),
            text("docs/adr/notes.md", ""),
        ];
        assert_eq!(decisions(&bad).len(), 2);
    }

    #[test]
    fn the_change_log_knows_the_version() {
        let cargo = || text("Cargo.toml", "[workspace.package]\nversion = \"0.1.0\"\n");
        assert!(version(&[cargo(), text("CHANGELOG.md", "## [0.1.0] - 2026\n")]).is_empty());
        assert_eq!(version(&[cargo(), text("CHANGELOG.md", "## 0.0.9\n")]).len(), 1);
    }
}
