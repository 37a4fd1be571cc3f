//! The end-to-end stories: what a person does with a cluster, done with real kubectl. Each story has a namespace of its own;
//! stories of a group share a cluster. What they print is what Rust's test programs print. They never look inside of the
//! binary, and a story never needs that another one was told before it.

#![expect(clippy::disallowed_methods, reason = "how long a story took is real time")]

mod accounts;
mod admission;
mod aggregation;
mod api;
mod apply;
mod bad_input;
mod certificates;
mod clients;
mod configuration;
mod containers;
mod credentials;
mod custom;
mod deployments;
mod disruption;
mod etcd;
mod expect;
mod helm;
mod lifecycle;
mod metrics;
mod nodes;
mod objects;
mod overload;
mod parts;
mod pod;
mod pods;
mod policies;
mod quotas;
mod rights;
mod services;
mod snapshots;
mod streams;
mod surroundings;
mod tutorials;
mod verbs;
mod volumes;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
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

/// Stories that share a cluster.
struct Group {
    stories: &'static [&'static [Story]],
    /// How many of them are told at the same time. More than one: they may not touch the cluster itself.
    at_once: usize,
}

/// The groups.
const GROUPS: &[Group] = &[
    Group {
        stories: &[
            deployments::STORIES,
            metrics::STORIES,
            disruption::STORIES,
            services::STORIES,
            streams::STORIES,
            containers::STORIES,
            configuration::STORIES,
            nodes::STORIES,
        ],
        at_once: 1,
    },
    Group {
        stories: &[pods::STORIES, quotas::STORIES],
        at_once: 4,
    },
    Group {
        stories: &[
            volumes::STORIES,
            surroundings::STORIES,
            accounts::STORIES,
            certificates::STORIES,
        ],
        at_once: 4,
    },
    Group {
        stories: &[
            objects::STORIES,
            api::STORIES,
            apply::STORIES,
            custom::STORIES,
            aggregation::STORIES,
            admission::STORIES,
            policies::STORIES,
            rights::STORIES,
            bad_input::STORIES,
            overload::STORIES,
            clients::STORIES,
        ],
        at_once: 1,
    },
    Group {
        stories: &[helm::STORIES, verbs::STORIES],
        at_once: 4,
    },
    Group {
        stories: tutorials::STORIES,
        at_once: 6,
    },
    Group {
        stories: &[lifecycle::STORIES, credentials::STORIES, certificates::ALONE],
        at_once: 1,
    },
    Group {
        stories: &[snapshots::STORIES, parts::STORIES, etcd::STORIES],
        at_once: 1,
    },
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
    let groups: Vec<(Vec<&Story>, usize)> = GROUPS
        .iter()
        .map(|group| {
            let stories = group.stories.iter().copied().flatten().filter(wanted);
            (stories.collect(), group.at_once)
        })
        .collect();
    let count: usize = groups.iter().map(|(stories, _)| stories.len()).sum();
    if arguments.iter().any(|argument| argument == "--list") {
        groups
            .iter()
            .flat_map(|(stories, _)| stories)
            .for_each(|story| println!("{}: test", title(story)));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {count} tests");
    let failures: Vec<String> = groups
        .iter()
        .filter(|(stories, _)| !stories.is_empty())
        .flat_map(|(stories, at_once)| tell(stories, *at_once))
        .collect();
    let word = if failures.is_empty() { "ok" } else { "FAILED" };
    for failure in &failures {
        println!("\n---- {failure}");
    }
    let (passed, failed) = (count - failures.len(), failures.len());
    let all = GROUPS
        .iter()
        .flat_map(|group| group.stories.iter().copied().flatten());
    let out = all.count() - count;
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
fn tell(stories: &[&Story], at_once: usize) -> Vec<String> {
    let started = Cluster::new().and_then(|mut cluster| cluster.up().map(|_| cluster));
    let cluster = match started {
        Ok(cluster) => cluster,
        Err(error) => {
            let error = error.context("the cluster did not start");
            return stories.iter().map(|story| failed(story, &error)).collect();
        }
    };
    if at_once == 1 {
        // In this thread, since a cluster that a story starts ends with the thread of its start.
        let told = stories.iter().enumerate();
        return told
            .filter_map(|(number, story)| tell_one(&cluster, number, story))
            .collect();
    }
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(story) = stories.get(number)
                {
                    let failure = tell_one(&cluster, number, story);
                    failures
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .extend(failure);
                }
            });
        }
    });
    failures.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn failed(story: &Story, error: &anyhow::Error) -> String {
    println!("test {} ... FAILED", title(story));
    format!("{}{}\n{error:#}", title(story), place(error))
}

/// Tells one story and prints how it went; the answer is why it failed.
fn tell_one(cluster: &Cluster, number: usize, story: &Story) -> Option<String> {
    let begun = Instant::now();
    let mut cluster = cluster.in_namespace(&format!("story-{number}"));
    let told = catch_unwind(AssertUnwindSafe(|| in_namespace(&mut cluster, story)));
    match told.unwrap_or_else(|_| Err(anyhow!("the story panicked"))) {
        Ok(()) => {
            let took = begun.elapsed().as_secs_f64();
            println!("test {} ... ok <{took:.1} s>", title(story));
            None
        }
        Err(error) => {
            println!("{}{}: {error:#}", title(story), place(&error));
            cluster.diagnose();
            Some(failed(story, &error))
        }
    }
}

/// Tells a story in a namespace of its own, which goes afterwards.
fn in_namespace(cluster: &mut Cluster, story: &Story) -> Result<()> {
    cluster.see_that_it_runs()?;
    let name = cluster.namespace.clone();
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
