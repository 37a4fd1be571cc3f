//! Rules of the sources: sizes, names, nothing unfinished, nothing of one machine.

use super::Text;

/// How long a file of code may be. Files are mostly under 500 lines; this is where a reader gets lost.
const LONGEST: usize = 600;

/// Files that are one long table.
const TABLES: &[&str] = &[
    "control-plane/apiserver/src/security/authentication/stories/bad_input.rs",
    "control-plane/apiserver/src/security/authorization/stories.rs",
];

/// Names that say nothing of what a module holds.
const EMPTY_NAMES: &[&str] = &["common", "helper", "helpers", "misc", "util", "utils"];

/// Words of work that is not done, put together so that this file does not contain them.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
];

/// Tests that are skipped. What looks like one may be the body of a child process that another test starts.
const SKIPPED_TEST: &str = concat!("#[ign", "ore");
const CHILD: &str = concat!("#[ign", "ore = \"is run by ");

/// Paths of one machine.
const MACHINE_PATHS: &[&str] = &[concat!("/wo", "rk/"), concat!("/fa", "rm/")];

/// The mark of code that the compiler does not check, and the crates that may have such, since they speak with the kernel.
const UNSAFE: &str = concat!("expect(unsafe", "_code");
const KERNEL_CRATES: &[&str] = &["node/runtime/", "node/proxy/", "node/nft/", "addons/cni/"];

/// Everything in the sources that breaks a rule.
pub fn complaints(texts: &[Text]) -> Vec<String> {
    let mut complaints = Vec::new();
    for text in texts {
        if text.is_rust() {
            complaints.extend(shape(text));
        }
        for (number, line) in text.content.lines().enumerate() {
            let place = format!("{}:{}", text.path, number + 1);
            complaints.extend(bad_words(text, line).map(|what| format!("{place}: {what}")));
        }
    }
    complaints
}

fn shape(text: &Text) -> Vec<String> {
    let mut complaints = Vec::new();
    let path = &text.path;
    let lines = text.content.lines().count();
    if lines > LONGEST && !TABLES.contains(&path.as_str()) {
        complaints.push(format!(
            "{path}: {lines} lines; split it (a table can be named in xtask/src/tidy/sources.rs)"
        ));
    }
    let stems = path.trim_end_matches(".rs").split('/');
    if let Some(name) = stems.into_iter().find(|stem| EMPTY_NAMES.contains(stem)) {
        complaints.push(format!("{path}: `{name}` does not say what it holds"));
    }
    if path.ends_with("src/lib.rs") || path == "src/main.rs" || path == "xtask/src/main.rs" {
        let docs = text.content.lines().take_while(|line| line.starts_with("//!"));
        let docs: String = docs.collect::<Vec<_>>().join(" ").to_lowercase();
        if !docs.contains("never") {
            complaints.push(format!(
                "{path}: the crate's documentation says what the crate is and what it never does"
            ));
        }
    }
    complaints
}

fn bad_words<'a>(text: &'a Text, line: &'a str) -> impl Iterator<Item = String> + 'a {
    let code = text.is_rust() || text.path.ends_with(".toml") || text.path.ends_with(".sh");
    let unfinished = UNFINISHED.iter().filter(move |word| code && has_word(line, word));
    let skipped = [SKIPPED_TEST]
        .into_iter()
        .filter(move |word| text.is_rust() && line.contains(word) && !line.contains(CHILD));
    let outside = !KERNEL_CRATES.iter().any(|folder| text.path.starts_with(folder));
    let unchecked = [UNSAFE]
        .into_iter()
        .filter(move |word| outside && line.contains(word));
    let paths = MACHINE_PATHS.iter().filter(move |path| starts_path(line, path));
    unfinished
        .map(|word| format!("`{word}`: what is begun is finished"))
        .chain(skipped.map(|_| "a skipped test".to_owned()))
        .chain(unchecked.map(|_| "unsafe code outside of the crates that speak with the kernel".to_owned()))
        .chain(paths.map(|path| format!("{path}…: a path of one machine")))
}

/// True if the word stands alone, so that a name template of a temporary file is none.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let letter = |c: char| c.is_alphanumeric() || c == '_';
        !line[..at].ends_with(letter) && !line[at + word.len()..].starts_with(letter)
            || word.ends_with('(') && !line[..at].ends_with(letter)
    })
}

/// True if the text begins a path; `/apis/network/` and the like only contain such letters.
fn starts_path(line: &str, path: &str) -> bool {
    line.match_indices(path)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "-_.}/".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(path: &str, content: &str) -> Vec<String> {
        complaints(&[Text {
            path: path.into(),
            content: content.into(),
        }])
    }

    #[test]
    fn unfinished_work_is_a_complaint() {
        let mark = UNFINISHED[0];
        assert_eq!(about("a/src/b.rs", &format!("// {mark}: later")).len(), 1);
        assert_eq!(about("a/src/b.rs", &format!("let METHOD{mark} = 1;")).len(), 0);
        assert_eq!(
            about("a/src/b.rs", &format!("    {}\"later\")", UNFINISHED[3])).len(),
            1
        );
        assert_eq!(about("a/src/b.rs", "mktemp(\"/tmp/a.XXXXXX\")").len(), 0);
    }

    #[test]
    fn a_skipped_test_is_a_complaint() {
        assert_eq!(about("a/src/b.rs", &format!("{SKIPPED_TEST}]")).len(), 1);
        assert_eq!(
            about("a/src/b.rs", &format!("{SKIPPED_TEST} = \"slow\"]")).len(),
            1
        );
        assert_eq!(
            about("a/src/b.rs", &format!("{CHILD}survives_a_crash\"]")).len(),
            0
        );
    }

    #[test]
    fn unsafe_code_has_its_crates() {
        let line = format!("#[{UNSAFE}, reason = \"x\")]");
        assert_eq!(about("node/runtime/src/b.rs", &line).len(), 0);
        assert_eq!(about("node/kubelet/src/b.rs", &line).len(), 1);
    }

    #[test]
    fn names_and_sizes() {
        assert_eq!(about("a/src/utils.rs", "").len(), 1);
        assert_eq!(about("a/src/helpers/b.rs", "").len(), 1);
        assert_eq!(about("a/src/long.rs", &"\n".repeat(601)).len(), 1);
        assert_eq!(about("a/src/lib.rs", "//! A thing.\n").len(), 1);
        assert_eq!(
            about("a/src/lib.rs", "//! A thing.\n//! It never breaks.\n").len(),
            0
        );
    }

    #[test]
    fn paths_of_a_machine() {
        let path = MACHINE_PATHS[0];
        assert_eq!(about("README.md", &format!("see {path}x")).len(), 1);
        assert_eq!(about("README.md", &format!("see /home{path}x")).len(), 0);
    }
}
