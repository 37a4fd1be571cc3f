//! Directories of which a file is cut or flipped at any byte: what opens is a state that the store had, with all that was
//! acknowledged, or it is refused. What cannot be told from a write that the power cut off is the last commit.

use crate::{
    lab::*,
    members::{entries, member},
};
use component::{Env, Random};
use etcd::{
    txn::{Txn, TxnOp},
    *,
};
use std::{sync::Arc, time::Duration};

/// A life and the directory it left.
struct Recorded {
    files: MemoryFiles,
    replicated: bool,
    /// The states that there were, in order.
    states: Vec<String>,
    /// Which state was acknowledged when a file was so long.
    acknowledged: Vec<(String, usize, usize)>,
    /// What all later commits vouch for.
    proven: usize,
}

/// All that can be read.
async fn told(store: &Engine) -> Result<String, Error> {
    let keys = list(store, "/", 0).await?;
    Ok(format!("{keys} {:?} {:?}", store.leases(), store.meta_all()))
}

fn newest_log(files: &MemoryFiles) -> String {
    let mut names = files.list().unwrap();
    names.retain(|name| name.starts_with("log-"));
    names.sort();
    names.pop().unwrap()
}

impl Recorded {
    fn new(files: &MemoryFiles, replicated: bool) -> Self {
        Self {
            files: files.clone(),
            replicated,
            states: Vec::new(),
            acknowledged: Vec::new(),
            proven: 0,
        }
    }

    async fn note(&mut self, store: &Engine, durable: bool) {
        self.states.push(told(store).await.unwrap());
        if durable {
            let log = newest_log(&self.files);
            let length = self.files.get(&log).unwrap().len();
            self.proven = self.acknowledged.last().map_or(0, |last| last.2);
            self.acknowledged.push((log, length, self.states.len() - 1));
        }
    }

    /// What must be there when the newest log ends at `length`.
    fn least(&self, log: &str, length: usize) -> usize {
        let mut before = self.acknowledged.iter().rev();
        before
            .find(|(name, end, _)| name.as_str() < log || (name == log && *end <= length))
            .map_or(0, |found| found.2)
    }
}

/// A lone store that does everything.
async fn alone(options: Options, close: bool) -> Recorded {
    let files = MemoryFiles::new();
    let store = Engine::open_in(Arc::new(files.clone()), options, Env::simulated(1)).unwrap();
    let mut recorded = Recorded::new(&files, false);
    recorded.note(&store, true).await;
    for n in 0..40 {
        match n % 10 {
            3 => drop(delete(&store, &format!("/{}", n % 7)).await),
            4 => store
                .grant_as(n, Duration::from_secs(1000))
                .await
                .map(drop)
                .unwrap(),
            5 => {
                let op = Op::Put {
                    value: "leased".into(),
                    lease: n - 1,
                };
                done(store.txn(request(&format!("/l{n}"), None, op)).await);
            }
            6 if n > 20 => store.revoke(n - 2).await.unwrap(),
            7 => {
                let op = |key: String| TxnOp::Put {
                    key: key.into(),
                    value: Some("both".into()),
                    lease: Some(0),
                    prev: false,
                };
                let txn = Txn {
                    success: vec![op(format!("/t{n}")), op("/t".to_owned())],
                    ..Txn::default()
                };
                drop(store.transact(txn).await.unwrap());
            }
            8 => {
                let value = (n < 30).then(|| n.to_string().into());
                store.set_meta("m".into(), value).await.unwrap();
            }
            9 => {
                store.compact(store.revision().await.unwrap() - 3).await.unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            _ => drop(put(&store, &format!("/{}", n % 7), &format!("{n}{}", "x".repeat(150))).await),
        }
        recorded.note(&store, true).await;
    }
    put_volatile(&store, "/v", "1").await;
    recorded.note(&store, false).await;
    put_volatile(&store, "/v", "2").await;
    recorded.note(&store, false).await;
    put(&store, "/last", "1").await;
    recorded.note(&store, true).await;
    if close {
        store.close().await;
    } else {
        recorded.files = files.after_crash();
    }
    recorded
}

/// A member that is durable now and then.
async fn of_several() -> Recorded {
    let files = MemoryFiles::new();
    let store = member(&files);
    let mut recorded = Recorded::new(&files, true);
    recorded.note(&store, true).await;
    for entry in entries(&Random::seeded(11), 60) {
        let index = entry.1;
        store.apply_committed(vec![entry]).await.unwrap();
        let flushed = index % 6 == 0;
        if flushed {
            store.flush().await.unwrap();
        }
        recorded.note(&store, flushed).await;
    }
    recorded.files = files.after_kill();
    recorded
}

fn opened(recorded: &Recorded, files: &MemoryFiles) -> Result<Arc<Engine>, OpenError> {
    let options = Options {
        replicated: recorded.replicated,
        ..small()
    };
    Engine::open_in(Arc::new(files.clone()), options, Env::simulated(1))
}

/// Whether it was refused, or when it is read. Else it has at least the state `least`.
async fn is_refused(recorded: &Recorded, files: &MemoryFiles, least: usize, context: &str) -> bool {
    let store = match opened(recorded, files) {
        Err(OpenError::Corrupt { .. } | OpenError::Newer { .. }) => return true,
        Err(other) => panic!("{context}: {other}"),
        Ok(store) => store,
    };
    let Ok(state) = told(&store).await else {
        return true;
    };
    let at = recorded.states.iter().rposition(|known| *known == state);
    let at = at.unwrap_or_else(|| panic!("{context}: never was there {state}"));
    assert!(at >= least, "{context}: state {at} instead of {least} or newer");
    false
}

/// Which bits of a byte are flipped, one after the other: one, or all.
fn bits(at: usize) -> Vec<u8> {
    #[expect(clippy::disallowed_methods, reason = "a test may be told to take longer")]
    let all = std::env::var("EVERY_BIT").is_ok();
    match all {
        true => (0..8).collect(),
        false => vec![(at % 8) as u8],
    }
}

async fn cut_and_flip(recorded: &Recorded, context: &str) {
    let newest = newest_log(&recorded.files);
    let (mut tried, mut refused) = (0, 0);
    for name in recorded.files.list().unwrap() {
        if name == "version" {
            continue;
        }
        let whole = recorded.files.get(&name).unwrap();
        for at in 0..whole.len() {
            let context = format!("{context}: {name} of {} bytes at {at}", whole.len());
            let cut = recorded.files.after_kill();
            cut.put(&name, whole[..at].to_vec());
            let least = match name == newest {
                true => recorded.least(&newest, at),
                false => recorded.states.len() - 1,
            };
            let was_refused = is_refused(recorded, &cut, least, &format!("{context} cut")).await;
            (tried, refused) = (tried + 1, refused + u64::from(was_refused));
            for bit in bits(at) {
                let flipped = recorded.files.after_kill();
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                flipped.put(&name, bytes);
                let context = format!("{context} flipped");
                let was_refused = is_refused(recorded, &flipped, recorded.proven, &context).await;
                (tried, refused) = (tried + 1, refused + u64::from(was_refused));
            }
        }
    }
    assert!(
        refused * 4 > tried,
        "{context}: only {refused} of {tried} were refused"
    );
}

#[tokio::test(start_paused = true)]
async fn a_log_of_several_segments_cut_or_flipped_anywhere_is_whole_or_refused() {
    let options = Options {
        checkpoint_bytes: 1 << 30,
        ..small()
    };
    cut_and_flip(&alone(options, false).await, "log only").await;
}

#[tokio::test(start_paused = true)]
async fn a_reclaimed_directory_cut_or_flipped_anywhere_is_whole_or_refused() {
    let options = Options {
        checkpoint_bytes: 4 << 10,
        ..small()
    };
    let recorded = alone(options, false).await;
    assert!(recorded.files.get("checkpoint").is_some());
    cut_and_flip(&recorded, "with a checkpoint").await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_directory_cut_or_flipped_anywhere_is_whole_or_refused() {
    cut_and_flip(&alone(small(), true).await, "closed").await;
}

#[tokio::test(start_paused = true)]
async fn a_members_directory_cut_or_flipped_anywhere_is_whole_or_refused() {
    cut_and_flip(&of_several().await, "a member").await;
}
