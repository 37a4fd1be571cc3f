//! `/version`: what is running.

use super::documents::VERSION;

/// From what the binary was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildInfo {
    /// The commit, 40 hexadecimal digits.
    pub commit: String,
    /// `clean`, `dirty`, or `archive` where there was no repository.
    pub tree_state: String,
    /// When, as RFC 3339 has it.
    pub date: String,
}

impl Default for BuildInfo {
    /// Nothing is known.
    fn default() -> Self {
        Self {
            commit: "0".repeat(40),
            tree_state: "archive".to_owned(),
            date: "1970-01-01T00:00:00Z".to_owned(),
        }
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Version<'a> {
    major: &'a str,
    minor: &'a str,
    git_version: &'a str,
    git_commit: &'a str,
    git_tree_state: &'a str,
    build_date: &'a str,
    go_version: &'a str,
    compiler: &'a str,
    platform: String,
}

/// `/version` of what was made from `build`.
pub fn version(build: &BuildInfo) -> Vec<u8> {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let version = Version {
        major: "1",
        minor: "37",
        git_version: VERSION,
        git_commit: &build.commit,
        git_tree_state: &build.tree_state,
        build_date: &build.date,
        go_version: "none",
        compiler: "rustc",
        platform: format!("linux/{machine}"),
    };
    serde_json::to_vec(&version).unwrap_or_default()
}
