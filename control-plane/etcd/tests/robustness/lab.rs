//! A run: the members, what happens to them, and the judgement.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use component::{Env, Random};

use crate::member::{GROUP, Process, address};
use crate::traffic::Traffic;

const MISHAPS: u64 = 8;

/// Runs nft with a script.
fn nft(script: &str) {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{script}");
}

fn heal() {
    nft("add table inet cuts\n\
         add counter inet cuts lost\n\
         add chain inet cuts out { type filter hook output priority 0; }\n\
         flush chain inet cuts out\n");
}

/// How many packets were lost so far.
fn lost() -> u64 {
    let said = Command::new("nft")
        .args(["list", "counter", "inet", "cuts", "lost"])
        .output()
        .unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    let mut words = text.split_whitespace().skip_while(|word| *word != "packets");
    words.nth(1).unwrap().parse().unwrap()
}

/// What `from` sends to `to` is lost.
fn cut(from: u64, to: u64) {
    nft(&format!(
        "add rule inet cuts out meta skgid {} ip daddr {} tcp dport 2380 counter name lost drop\n",
        GROUP + from,
        address(to)
    ));
}

async fn wait(random: &Random, least: u64, more: u64) {
    tokio::time::sleep(Duration::from_millis(least + random.below(more))).await;
}

/// One thing happens to a member, and is over after a while.
async fn mishap(members: &mut [Process], random: &Random) {
    let before = lost();
    let place = random.below(3);
    let (next, after) = ((place + 1) % 3, (place + 2) % 3);
    let member = &mut members[usize::try_from(place).unwrap()];
    match random.below(6) {
        0 | 1 => {
            member.kill();
            wait(random, 100, 900).await;
            member.restart();
        }
        2 => {
            member.pause();
            wait(random, 100, 1500).await;
            member.resume();
        }
        3 => {
            for other in [next, after] {
                cut(place, other);
                cut(other, place);
            }
            wait(random, 200, 1800).await;
            heal();
            assert!(lost() > before, "a cut that cut nothing");
        }
        4 => {
            cut(place, next);
            wait(random, 200, 1800).await;
            heal();
        }
        _ => {
            cut(place, next);
            cut(next, place);
            member.kill();
            wait(random, 100, 900).await;
            member.restart();
            wait(random, 100, 900).await;
            heal();
        }
    }
}

/// A whole run.
pub fn run(seed: u64) {
    heal();
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (env, random) = (Env::system(), Random::seeded(seed));
        let mut members: Vec<Process> = (0..3)
            .map(|place| Process::start(place, folder.path().into()))
            .collect();
        let traffic = Traffic::start(&env, seed).await;
        for _ in 0..MISHAPS {
            wait(&random, 100, 700).await;
            mishap(&mut members, &random).await;
        }
        heal();
        members.iter_mut().for_each(Process::still_runs);
        traffic.end_and_judge().await;
        env.tasks.stop();
    });
}
