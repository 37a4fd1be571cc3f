//! Many runs, each in namespaces of its own in which all its processes end with it.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use component::Env;

/// Set in the namespaces: the seed of the run.
pub const INSIDE: &str = "ROBUSTNESS_INSIDE";
/// What a run says at its end begins so; then come names and numbers.
pub const TALLY: &str = "tally ";
/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(300);

/// What to run.
pub struct Runs {
    pub first: u64,
    pub count: u64,
    pub at_once: u64,
    pub seconds: u64,
}

/// What became of them.
#[derive(Default)]
struct Sum {
    runs: u64,
    numbers: BTreeMap<String, u64>,
    violations: Vec<String>,
}

impl Runs {
    /// Runs them, tells the sums, and fails if one of them failed.
    pub fn all(&self) {
        let (next, sum) = (AtomicU64::new(0), Mutex::new(Sum::default()));
        let env = Env::system();
        let until = env.clock.now() + Duration::from_secs(self.seconds);
        std::thread::scope(|scope| {
            for _ in 0..self.at_once {
                let worker = || {
                    loop {
                        let number = next.fetch_add(1, SeqCst);
                        if number >= self.count || env.clock.now() >= until {
                            return;
                        }
                        let done = one(self.first + number, &env);
                        sum.lock().unwrap().add(done);
                    }
                };
                std::thread::Builder::new().spawn_scoped(scope, worker).unwrap();
            }
        });
        let sum = sum.into_inner().unwrap();
        println!(
            "{} runs, {} violations, {:?}",
            sum.runs,
            sum.violations.len(),
            sum.numbers
        );
        assert!(sum.violations.is_empty(), "{}", sum.violations.join("\n"));
    }
}

impl Sum {
    fn add(&mut self, done: Result<String, String>) {
        self.runs += 1;
        match done {
            Ok(said) => {
                let tally = said.lines().find_map(|line| line.strip_prefix(TALLY));
                for pair in tally.expect("a run tells its numbers").split(' ') {
                    let (name, number) = pair.split_once('=').unwrap();
                    *self.numbers.entry(name.to_owned()).or_default() += number.parse::<u64>().unwrap();
                }
            }
            Err(said) => {
                println!("{said}");
                self.violations.push(said);
            }
        }
    }
}

/// Makes a run; gives what it said.
fn one(seed: u64, env: &Env) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let out = std::fs::File::create(&log).unwrap();
    let mut child = Command::new("unshare")
        .args(["--net", "--pid", "--fork", "--kill-child", "--"])
        .args(["sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["a_run", "--exact", "--nocapture"])
        .env(INSIDE, seed.to_string())
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .spawn()
        .expect("unshare of Debian's package util-linux");
    let until = env.clock.now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if env.clock.now() >= until {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    match status {
        Some(status) if status.success() => Ok(said),
        Some(status) => Err(format!("seed {seed}: {status}\n{said}")),
        None => Err(format!("seed {seed}: it did not end in {LIMIT:?}\n{said}")),
    }
}
