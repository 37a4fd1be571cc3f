//! The end-to-end stories: what a person does with a cluster, done with real kubectl. Each story has a namespace of its own;
//! stories of a group share a cluster. What they print is what Rust's test programs print. They never look inside of the
//! binary, and a story never needs that another one was told before it.

#![expect(clippy::disallowed_methods, reason = "how long a story took is real time")]

mod api;
mod bad_input;
mod configuration;
mod containers;
mod deployments;
mod expect;
mod lifecycle;
mod nodes;
mod objects;
mod parts;
mod services;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use e2e::cluster::Cluster;
use e2e::wait;

/// A story: its name, and the function that tells it.
struct Story {
    name: &'static str,
    tell: fn(&mut Cluster) -> Result<()>,
}

/// The stories of a module, named after it.
macro_rules! stories {
    ($($name:ident),* $(,)?) => {
        &[$($crate::Story { name: concat!(module_path!(), "::", stringify!($name)), tell: $name }),*]
    };
}
use stories;

/// The groups; each has a cluster.
const GROUPS: &[&[&[Story]]] = &[
    &[
        deployments::STORIES,
        services::STORIES,
        containers::STORIES,
        configuration::STORIES,
        nodes::STORIES,
    ],
    &[objects::STORIES, api::STORIES, bad_input::STORIES],
    &[lifecycle::STORIES],
    &[parts::STORIES],
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |story: &&Story| {
        filters.is_empty() || filters.iter().any(|filter| story.name.contains(filter.as_str()))
    };
    let groups: Vec<Vec<&Story>> = GROUPS
        .iter()
        .map(|group| group.iter().copied().flatten().filter(wanted).collect())
        .collect();
    let count: usize = groups.iter().map(Vec::len).sum();
    if arguments.iter().any(|argument| argument == "--list") {
        groups
            .iter()
            .flatten()
            .for_each(|story| println!("{}: test", title(story)));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {count} tests");
    let failures: Vec<String> = groups
        .iter()
        .filter(|group| !group.is_empty())
        .flat_map(|group| tell(group))
        .collect();
    let word = if failures.is_empty() { "ok" } else { "FAILED" };
    for failure in &failures {
        println!("\n---- {failure}");
    }
    let (passed, failed) = (count - failures.len(), failures.len());
    let out = GROUPS.iter().copied().flatten().copied().flatten().count() - count;
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {out} filtered out\n"
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The name without the name of this program.
fn title(story: &Story) -> &'static str {
    story.name.split_once("::").map_or(story.name, |(_, title)| title)
}

/// Where in a story an error came up, if backtraces are on.
fn place(error: &anyhow::Error) -> String {
    let backtrace = error.backtrace().to_string();
    let mut lines = backtrace
        .lines()
        .filter(|line| line.contains("stories/") && !line.contains("stories/expect.rs"));
    lines
        .next()
        .map_or_else(String::new, |line| format!(" ({})", line.trim()))
}

/// Tells the stories of a group in one cluster; the answer is what failed and why.
fn tell(stories: &[&Story]) -> Vec<String> {
    let mut failures = Vec::new();
    let mut fail = |story: &Story, error: &anyhow::Error| {
        println!("test {} ... FAILED", title(story));
        failures.push(format!("{}{}\n{error:#}", title(story), place(error)));
    };
    let started = Cluster::new().and_then(|mut cluster| cluster.up().map(|_| cluster));
    let mut cluster = match started {
        Ok(cluster) => cluster,
        Err(error) => {
            let error = error.context("the cluster did not start");
            stories.iter().for_each(|story| fail(story, &error));
            return failures;
        }
    };
    for (number, story) in stories.iter().enumerate() {
        let begun = Instant::now();
        let told = catch_unwind(AssertUnwindSafe(|| in_namespace(&mut cluster, number, story)));
        match told.unwrap_or_else(|_| Err(anyhow!("the story panicked"))) {
            Ok(()) => println!(
                "test {} ... ok <{:.1} s>",
                title(story),
                begun.elapsed().as_secs_f64()
            ),
            Err(error) => {
                println!("{}{}: {error:#}", title(story), place(&error));
                cluster.diagnose();
                fail(story, &error);
            }
        }
    }
    failures
}

/// Tells a story in a namespace of its own, which goes afterwards.
fn in_namespace(cluster: &mut Cluster, number: usize, story: &Story) -> Result<()> {
    cluster.see_that_it_runs()?;
    let name = format!("story-{number}");
    cluster.namespace = name.clone();
    cluster.kubectl(&format!("create namespace {name}"))?;
    wait::until("the namespace's service account", Duration::from_secs(20), || {
        cluster.kubectl("get serviceaccount default").map(Some)
    })?;
    let told = (story.tell)(cluster);
    if told.is_ok() {
        // A story may have ended the cluster; a namespace of a failed one is still needed to see why.
        let _ = cluster.try_kubectl(&["delete", "namespace", &name, "--wait=false"], "");
    }
    told
}
