//! What operators do with etcd's own command, at ours and at Debian's server.

use crate::lab::*;
use std::{process::Stdio, time::Duration};

/// What the checks may take: the one of speed writes for a minute.
const CHECK: Duration = Duration::from_secs(240);

async fn good(url: &str, args: &[&str]) -> String {
    let said = ctl(url, args).await;
    assert_eq!(said.code, Some(0), "{args:?}: {said:?}");
    said.out
}

/// The cells of the only row of a table, and of its head.
fn cells(table: &str) -> (Vec<String>, Vec<String>) {
    let rows: Vec<Vec<String>> = table
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert_eq!(rows.len(), 2, "{table}");
    (rows[0].clone(), rows[1].clone())
}

fn cell(table: &str, name: &str) -> String {
    let (head, row) = cells(table);
    let at = head.iter().position(|cell| cell == name);
    row[at.unwrap_or_else(|| panic!("no {name} in {table}"))].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_etcds_command_are_those_of_debians_server() {
    let (ours, theirs) = (Ours::start(|_| {}).await, Theirs::start().await);
    let dir = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    for (url, name) in [(&ours.url, "ours"), (&theirs.url, "theirs")] {
        for key in ["a", "b", "c"] {
            good(url, &["put", key, "1"]).await;
        }
        let status = good(url, &["endpoint", "status", "-w", "table"]).await;
        let file = dir.path().join(name).display().to_string();
        let saved = good(url, &["snapshot", "save", &file]).await;
        assert_eq!(saved, format!("Snapshot saved at {file}\n"));
        let snapshot = good(url, &["snapshot", "status", &file, "-w", "table"]).await;
        let data = dir.path().join(format!("{name}.data")).display().to_string();
        good(url, &["snapshot", "restore", &file, "--data-dir", &data]).await;
        assert!(dir.path().join(format!("{name}.data/member/snap/db")).exists());
        let members = good(url, &["member", "list", "-w", "table"]).await;
        let alike = [
            (
                &status,
                ["IS LEADER", "IS LEARNER", "RAFT TERM", "ERRORS"].as_slice(),
            ),
            (&snapshot, &["REVISION"]),
            (&members, &["STATUS", "NAME", "IS LEARNER"]),
        ];
        let told: Vec<_> = alike
            .iter()
            .map(|(table, names)| {
                let values: Vec<String> = names.iter().map(|name| cell(table, name)).collect();
                (cells(table).0, values)
            })
            .collect();
        let defragmented = good(url, &["defrag"]).await.replace(url.as_str(), "URL");
        let health = ctl(url, &["endpoint", "health"]).await;
        let health = format!("{}{}", health.out, health.err);
        let health = health
            .split_once(": ")
            .map(|(_, told)| told.to_owned())
            .unwrap_or_default();
        let health = health.split("took").next().map(str::to_owned);
        seen.push((told, defragmented, health));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_is_made_of_ours_and_into_ours() {
    let (ours, theirs) = (Ours::start(|_| {}).await, Theirs::start().await);
    let address = |url: &str| url.trim_start_matches("http://").to_owned();
    for (from, to) in [(&ours.url, &theirs.url), (&theirs.url, &ours.url)] {
        good(from, &["put", "before", "1"]).await;
        let mirror = Running::start(from, &["make-mirror", &address(to), "--prefix", ""]);
        let there = async |key: &str, value: &str| {
            let looking =
                async { while good(to, &["get", key, "--print-value-only"]).await.trim() != value {} };
            let found = tokio::time::timeout(LIMIT, looking).await;
            found.unwrap_or_else(|_| panic!("waited for {key} of {from} at {to}"));
        };
        there("before", "1").await;
        good(from, &["put", "after", from]).await;
        there("after", from).await;
        good(from, &["del", "before"]).await;
        there("before", "").await;
        drop(mirror);
    }
}

/// Runs one of the checks, which take longer than other commands.
async fn check(url: &str, args: &[&str]) -> String {
    let mut command = tokio::process::Command::from(command(url, args));
    command.stdin(Stdio::null()).kill_on_drop(true);
    let done = tokio::time::timeout(CHECK, command.output()).await;
    let done = done.unwrap_or_else(|_| panic!("{args:?} did not end")).unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checks_of_etcds_command_run_and_leave_nothing() {
    let etcd = Ours::start(|_| {}).await;
    let scale = ["check", "datascale", "--load=s"];
    let (speed, scale) = tokio::join!(
        check(&etcd.url, &["check", "perf", "--load=s"]),
        check(&etcd.url, &scale),
    );
    // How fast it is depends on the machine; that it was measured does not.
    for told in ["Throughput", "lowest request", "Stddev"] {
        assert!(speed.contains(told), "{speed}");
    }
    assert!(
        scale.contains("PASS: Approximate system memory used : "),
        "{scale}"
    );
    let left = good(&etcd.url, &["get", "--prefix", "", "--keys-only"]).await;
    assert_eq!(left, "");
}
