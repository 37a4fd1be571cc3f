//! `/version`: what is running.

use super::documents::VERSION;
use component::metrics::{Description, Family, Gauge};

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
    serde_json::to_vec(&made_from(build)).unwrap_or_default()
}

/// The same as a metric.
pub fn told(build: &BuildInfo, out: &mut String) {
    const INFO: Description = Description::new(
        "kubernetes_build_info",
        "[ALPHA] A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.",
        &[
            "build_date",
            "compiler",
            "git_commit",
            "git_tree_state",
            "git_version",
            "go_version",
            "major",
            "minor",
            "platform",
        ],
    );
    let of = made_from(build);
    let labels = [
        of.build_date,
        of.compiler,
        of.git_commit,
        of.git_tree_state,
        of.git_version,
        of.go_version,
        of.major,
        of.minor,
        &of.platform,
    ];
    let info = Family::<Gauge>::new(INFO);
    info.of(&labels).set(1);
    info.write(out);
}

fn made_from(build: &BuildInfo) -> Version<'_> {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Version {
        major: "1",
        minor: "37",
        git_version: VERSION,
        git_commit: &build.commit,
        git_tree_state: &build.tree_state,
        build_date: &build.date,
        go_version: "none",
        compiler: "rustc",
        platform: format!("linux/{machine}"),
    }
}
