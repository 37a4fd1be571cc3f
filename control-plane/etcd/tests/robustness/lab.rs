//! A run: the members, what happens to them, and the judgement.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use component::{Env, Random};

use crate::disk::Fault;
use crate::member::{GROUP, Process, address};
use crate::runs::TALLY;
use crate::traffic::Traffic;

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

/// What happens to a member, or several.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    Kill,
    KillAll,
    Pause,
    CutOff,
    CutOneWay,
    CutAndKill,
    DiskFull,
    DiskFullAndKill,
    SlowSync,
    StuckSync,
}

const MISHAPS: &[Mishap] = &[
    Mishap::Kill,
    Mishap::KillAll,
    Mishap::Pause,
    Mishap::CutOff,
    Mishap::CutOneWay,
    Mishap::CutAndKill,
    Mishap::DiskFull,
    Mishap::DiskFullAndKill,
    Mishap::SlowSync,
    Mishap::StuckSync,
];

/// It happens, and is over after a while.
async fn happen(what: Mishap, members: &mut [Process], random: &Random) {
    let place = random.below(3);
    let (next, after) = ((place + 1) % 3, (place + 2) % 3);
    match what {
        Mishap::KillAll => {
            members.iter_mut().for_each(Process::kill);
            members.iter_mut().for_each(Process::restart);
            wait(random, 100, 900).await;
        }
        Mishap::CutOff => {
            for other in [next, after] {
                cut(place, other);
                cut(other, place);
            }
            wait(random, 200, 1800).await;
            heal();
        }
        Mishap::CutOneWay => {
            cut(place, next);
            wait(random, 200, 1800).await;
            heal();
        }
        Mishap::CutAndKill => {
            cut(place, next);
            cut(next, place);
            happen_to(Mishap::Kill, &mut members[place as usize], random).await;
            wait(random, 100, 900).await;
            heal();
        }
        other => happen_to(other, &mut members[place as usize], random).await,
    }
}

/// It happens to one member alone.
async fn happen_to(what: Mishap, member: &mut Process, random: &Random) {
    match what {
        Mishap::Pause => {
            member.pause();
            wait(random, 100, 2500).await;
            member.resume();
        }
        Mishap::DiskFull => {
            member.disk(Fault::Full, true);
            wait(random, 200, 1800).await;
            member.disk(Fault::Full, false);
        }
        Mishap::DiskFullAndKill => {
            member.disk(Fault::Full, true);
            wait(random, 100, 900).await;
            member.kill();
            member.disk(Fault::Full, false);
            member.restart();
        }
        Mishap::SlowSync => {
            member.disk(Fault::Slow, true);
            wait(random, 500, 2500).await;
            member.disk(Fault::Slow, false);
        }
        Mishap::StuckSync => {
            member.disk(Fault::Stuck, true);
            wait(random, 200, 2500).await;
            member.disk(Fault::Stuck, false);
        }
        _ => {
            member.kill();
            wait(random, 100, 900).await;
            member.restart();
        }
    }
}

/// As many mishaps in some order, none a second time before all others.
fn drawn(count: u64, random: &Random) -> Vec<Mishap> {
    let mut drawn = Vec::new();
    let mut left = Vec::new();
    for _ in 0..count {
        if left.is_empty() {
            left = MISHAPS.to_vec();
        }
        let at = random.below(left.len() as u64);
        drawn.push(left.swap_remove(at as usize));
    }
    drawn
}

/// A whole run.
pub fn run(seed: u64, mishaps: u64) {
    heal();
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let tally = runtime.block_on(async {
        let (env, random) = (Env::system(), Random::seeded(seed));
        let mut members: Vec<Process> = (0..3)
            .map(|place| Process::start(place, folder.path().into()))
            .collect();
        let traffic = Traffic::start(&env, seed).await;
        let mut tally = BTreeMap::new();
        for what in drawn(mishaps, &random) {
            wait(&random, 100, 700).await;
            happen(what, &mut members, &random).await;
            *tally.entry(format!("{what:?}")).or_default() += 1;
        }
        heal();
        members.iter_mut().for_each(Process::still_runs);
        tally.insert("lost_packets".to_owned(), lost());
        tally.extend(traffic.end_and_judge().await);
        members.iter_mut().for_each(Process::still_runs);
        env.tasks.stop();
        tally
    });
    let pairs: Vec<String> = tally
        .iter()
        .map(|(name, count)| format!("{name}={count}"))
        .collect();
    // The harness has begun the line.
    println!("\n{TALLY}{}", pairs.join(" "));
}
