//! What a person sees while a cluster starts: a line a box, ready or why not.

use component::{Readiness, State};
use std::{collections::BTreeMap, io::IsTerminal, time::Duration};

/// What the boxes are called on the board and before people.
const BOXES: &[(&str, &str)] = &[
    ("store", "store"),
    ("kube-apiserver", "API server"),
    ("kube-scheduler", "scheduler"),
    ("kube-controller-manager", "controllers"),
    ("runtime", "container runtime"),
    ("kubelet", "kubelet"),
    ("proxy", "service proxy"),
    ("dns", "cluster DNS"),
];

/// After so long without the last box the wait ends with what is missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Prints each box as it becomes ready. An error when one failed or took too long.
pub async fn show(
    ready: &Readiness,
    start: tokio::time::Instant,
    clock: &component::Clock,
) -> Result<(), String> {
    let mut board = ready.watch();
    let mut shown: BTreeMap<&str, ()> = BTreeMap::new();
    let deadline = start + PATIENCE;
    loop {
        let states = board.borrow_and_update().clone();
        for (name, title) in BOXES {
            match states.get(name) {
                Some(State::Ready) if shown.insert(name, ()).is_none() => {
                    line("✓", title, clock.now() - start)
                }
                Some(State::Failed(why)) => return Err(format!("{title}: {why}")),
                _ => {}
            }
        }
        if shown.len() == BOXES.len() {
            return Ok(());
        }
        tokio::select! {
            biased;
            changed = board.changed() => {
                if changed.is_err() {
                    return Err("the process is stopping".to_owned());
                }
            }
            () = clock.sleep_until(deadline) => return Err(missing(&states)),
        }
    }
}

fn missing(states: &BTreeMap<&'static str, State>) -> String {
    let waiting = BOXES.iter().filter_map(|(name, title)| match states.get(name) {
        Some(State::Ready) => None,
        Some(State::Starting(why)) => Some(format!("{title} ({why})")),
        _ => Some((*title).to_owned()),
    });
    format!(
        "not ready after {} s: {}",
        PATIENCE.as_secs(),
        waiting.collect::<Vec<_>>().join(", ")
    )
}

fn line(mark: &str, title: &str, after: Duration) {
    let mark = if std::io::stdout().is_terminal() {
        format!("\x1b[32m{mark}\x1b[0m")
    } else {
        mark.to_owned()
    };
    println!("{mark} {title:<20} {:>6.2} s", after.as_secs_f64());
}
