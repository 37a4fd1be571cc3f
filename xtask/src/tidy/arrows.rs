//! Which crate may know which: the arrows of the architecture.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use e2e::process;
use serde::Deserialize;

/// Every crate: its folder, and the crates of the workspace that it may depend on. Dev-dependencies are free, since a test may
/// put real parts together. `testing` does just that for all tests, so it may know every box; it is nothing but a
/// dev-dependency, and so brings none of them to another. `simulation` is only tests, and `e2e` knows the cluster as its
/// user does.
const CRATES: &[(&str, &[&str])] = &[
    ("shared/api", &[]),
    ("shared/cel", &["api"]),
    ("shared/schema", &["api", "cel"]),
    ("shared/resources", &["api", "cel", "schema"]),
    ("shared/component", &[]),
    ("shared/client", &["api", "component"]),
    ("shared/reconcile", &["api", "client", "component"]),
    ("shared/streams", &["component"]),
    (
        "shared/testing",
        &[
            "api",
            "schema",
            "resources",
            "component",
            "client",
            "reconcile",
            "streams",
            "etcd",
            "apiserver",
            "scheduler",
            "controller-manager",
            "cloud-controller-manager",
            "kubelet",
            "runtime",
            "proxy",
            "nft",
            "cni",
            "dns",
            "metrics-server",
            "dashboard",
        ],
    ),
    ("shared/etcd-proto", &[]),
    ("shared/http2", &["component"]),
    ("shared/kms-proto", &[]),
    (
        "control-plane/etcd",
        &["component", "etcd-proto", "http2", "raft"],
    ),
    ("control-plane/etcd/raft", &[]),
    (
        "control-plane/backup",
        &["api", "component", "etcd", "etcd-proto"],
    ),
    (
        "control-plane/apiserver",
        &[
            "api",
            "cel",
            "schema",
            "resources",
            "client",
            "component",
            "streams",
            "etcd",
            "kms-proto",
        ],
    ),
    ("control-plane/scheduler", &["api", "client", "component"]),
    (
        "control-plane/controller-manager",
        &["api", "client", "component", "reconcile"],
    ),
    (
        "control-plane/cloud-controller-manager",
        &["api", "client", "component", "reconcile"],
    ),
    (
        "node/kubelet",
        &["api", "schema", "client", "component", "streams", "runtime"],
    ),
    ("node/runtime", &["component", "streams", "cni"]),
    ("node/proxy", &["api", "client", "component", "nft"]),
    ("node/nft", &[]),
    ("addons/cni", &["component", "nft"]),
    ("addons/dns", &["api", "client", "component"]),
    ("addons/metrics-server", &["api", "client", "component"]),
    ("addons/dashboard", &["api", "client", "component"]),
    ("xtask", &["e2e", "component", "etcd", "etcd-proto"]),
    ("tests/e2e", &["component"]),
    ("tests/simulation", &[]),
];

/// The folders of crates, and the other folders of the repository.
const CRATE_FOLDERS: &[&str] = &["shared", "control-plane", "node", "addons", "tests"];
const OTHER_FOLDERS: &[&str] = &["src", "xtask", "docs", "fuzz"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    path: Option<String>,
    kind: Option<String>,
}

/// Asks cargo for the workspace and compares it with the table.
pub fn complaints(root: &Path) -> Result<Vec<String>> {
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let said = process::output(Command::new("cargo").args(arguments).current_dir(root))?;
    let metadata: Metadata = serde_json::from_str(&said).context("read cargo metadata")?;
    let mut complaints = edges(root, &metadata);
    complaints.extend(folders(root)?);
    Ok(complaints)
}

fn edges(root: &Path, metadata: &Metadata) -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = CRATES.iter().copied().collect();
    let mut complaints = Vec::new();
    let mut seen = BTreeSet::new();
    for package in &metadata.packages {
        let folder = Path::new(&package.manifest_path).parent().unwrap_or(root);
        let folder = folder
            .strip_prefix(root)
            .unwrap_or(folder)
            .to_string_lossy()
            .into_owned();
        let allowed = table.get(folder.as_str()).copied();
        if allowed.is_none() && !folder.is_empty() {
            complaints.push(format!(
                "{folder}: not in the table of crates (xtask/src/tidy/arrows.rs)"
            ));
        }
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| dependency.path.is_some())
        {
            let (from, to) = (&package.name, dependency.name.as_str());
            let for_tests = dependency.kind.as_deref() == Some("dev");
            // The root package knows all boxes; what is only for tests is no box.
            let fine = allowed.map_or(
                !["testing", "xtask", "e2e", "simulation"].contains(&to),
                |allowed| allowed.contains(&to),
            );
            if !for_tests && !fine {
                complaints.push(format!(
                    "{from} -> {to}: not an arrow of the design (xtask/src/tidy/arrows.rs)"
                ));
            }
        }
        seen.insert(folder);
    }
    let missing = CRATES.iter().filter(|(folder, _)| !seen.contains(*folder));
    complaints.extend(
        missing.map(|(folder, _)| format!("{folder}: in the table of crates, but not in the workspace")),
    );
    complaints
}

/// The folder listing is the architecture diagram: nothing stands in it that the design does not name.
fn folders(root: &Path) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for name in names(root)?
        .iter()
        .filter(|name| !name.starts_with('.') && *name != "target")
    {
        if !CRATE_FOLDERS.contains(&name.as_str()) && !OTHER_FOLDERS.contains(&name.as_str()) {
            complaints.push(format!("{name}/: not a folder of the design"));
        }
    }
    for parent in CRATE_FOLDERS {
        for name in names(&root.join(parent))? {
            let folder = format!("{parent}/{name}");
            if root.join(&folder).join("Cargo.toml").exists() || *parent == "tests" {
                continue;
            }
            complaints.push(format!("{folder}: a folder without a crate"));
        }
    }
    Ok(complaints)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder)?.filter_map(Result::ok);
    let folders = entries.filter(|entry| entry.path().is_dir());
    Ok(folders
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(from: &str, folder: &str, to: &str, kind: Option<&str>) -> Metadata {
        let dependency = Dependency {
            name: to.into(),
            path: Some("x".into()),
            kind: kind.map(String::from),
        };
        let manifest_path = format!("/r/{folder}/Cargo.toml").replace("//", "/");
        Metadata {
            packages: vec![Package {
                name: from.into(),
                manifest_path,
                dependencies: vec![dependency],
            }],
        }
    }

    fn wrong_arrows(metadata: &Metadata) -> Vec<String> {
        let complaints = edges(Path::new("/r"), metadata);
        complaints
            .into_iter()
            .filter(|complaint| complaint.contains("->"))
            .collect()
    }

    #[test]
    fn an_arrow_against_the_design_is_a_complaint() {
        assert_eq!(
            wrong_arrows(&workspace("api", "shared/api", "client", None)).len(),
            1
        );
        assert_eq!(
            wrong_arrows(&workspace("client", "shared/client", "api", None)).len(),
            0
        );
        assert_eq!(
            wrong_arrows(&workspace("ferrokube", "", "kubelet", None)).len(),
            0
        );
    }

    #[test]
    fn testing_is_for_tests_alone() {
        assert_eq!(
            wrong_arrows(&workspace("etcd", "control-plane/etcd", "testing", Some("dev"))).len(),
            0
        );
        assert_eq!(
            wrong_arrows(&workspace("etcd", "control-plane/etcd", "testing", None)).len(),
            1
        );
        assert_eq!(
            wrong_arrows(&workspace("ferrokube", "", "testing", None)).len(),
            1
        );
    }
}
