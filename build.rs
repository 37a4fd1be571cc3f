//! Tells the binary its commit, the state of its tree, and when it was made; without a repository, that there is none.

use std::{
    path::Path,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

/// What the binary is made of: a change may make the tree dirty, and with the log a commit is seen.
const SOURCES: [&str; 9] = [
    "src",
    "shared",
    "control-plane",
    "node",
    "addons",
    "build.rs",
    "Cargo.toml",
    "Cargo.lock",
    ".git/logs/HEAD",
];

fn git(args: &[&str]) -> Option<String> {
    let told = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(told.stdout).ok()?;
    told.status.success().then(|| text.trim().to_owned())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a build has no settings, and its time is when it happens"
)]
fn built() -> u64 {
    let given = std::env::var("SOURCE_DATE_EPOCH").ok();
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    };
    given.and_then(|text| text.parse().ok()).unwrap_or_else(now)
}

fn main() {
    for path in SOURCES.iter().filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    // Only of this repository: a tree unpacked inside of another has no commit.
    let own = Path::new(".git").exists();
    let commit = own.then(|| git(&["rev-parse", "HEAD"])).flatten();
    let changed = git(&["--no-optional-locks", "status", "--porcelain"]);
    let (commit, tree) = match (commit, changed) {
        (Some(commit), Some(changed)) if changed.is_empty() => (commit, "clean"),
        (Some(commit), _) => (commit, "dirty"),
        (None, _) => ("0".repeat(40), "archive"),
    };
    println!("cargo::rustc-env=FERROKUBE_COMMIT={commit}");
    println!("cargo::rustc-env=FERROKUBE_TREE={tree}");
    println!("cargo::rustc-env=FERROKUBE_BUILT={}", built());
}
