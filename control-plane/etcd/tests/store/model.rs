//! The store against a history that is a plain list.

use crate::lab::*;
use etcd::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    Put {
        key: u8,
        length: usize,
        guess: Option<bool>,
    },
    Delete {
        key: u8,
    },
    Burst(Vec<u8>),
    Compact {
        back: u64,
    },
    Read {
        back: u64,
    },
    Watch {
        back: u64,
    },
    Close,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0u8..12;
    prop_oneof![
        6 => (key.clone(), 0usize..600, prop::option::of(any::<bool>()))
            .prop_map(|(key, length, guess)| Step::Put { key, length, guess }),
        2 => key.clone().prop_map(|key| Step::Delete { key }),
        2 => prop::collection::vec(key, 1..30).prop_map(Step::Burst),
        1 => (0u64..20).prop_map(|back| Step::Compact { back }),
        2 => (0u64..30).prop_map(|back| Step::Read { back }),
        2 => (0u64..30).prop_map(|back| Step::Watch { back }),
        1 => Just(Step::Close),
        1 => Just(Step::Crash),
    ]
}

#[derive(Default)]
struct Model {
    /// By revision, from 1: key, and value if it was put.
    history: Vec<(String, Option<String>)>,
    compacted: u64,
}

impl Model {
    fn revision(&self) -> u64 {
        self.history.len() as u64
    }

    fn at(&self, revision: u64) -> BTreeMap<&str, (u64, &str)> {
        let mut state = BTreeMap::new();
        for (index, (key, value)) in self.history[..revision as usize].iter().enumerate() {
            match value {
                Some(value) => state.insert(key.as_str(), (index as u64 + 1, value.as_str())),
                None => state.remove(key.as_str()),
            };
        }
        state
    }

    fn list(&self, revision: u64) -> String {
        let texts = self
            .at(revision)
            .into_iter()
            .map(|(key, (at, value))| format!("{key}={value}@{at}"));
        texts.collect::<Vec<_>>().join(" ")
    }

    fn events(&self, after: u64) -> Vec<String> {
        let changes = self.history.iter().enumerate().skip(after as usize);
        let texts = changes.map(|(index, (key, value))| match value {
            Some(value) => format!("+{key}={value}@{}", index + 1),
            None => format!("-{key}@{}", index + 1),
        });
        texts.collect()
    }
}

async fn check_watch(store: &Engine, model: &Model, after: u64) {
    if after + 1 < model.compacted {
        let ended = next(&mut watch_all(store, after)).await;
        assert!(
            matches!(ended, Err(Error::Compacted(oldest)) if oldest == model.compacted),
            "{ended:?}"
        );
        return;
    }
    let (expected, mut seen) = (model.events(after), Vec::new());
    let mut watch = watch_all(store, after);
    while seen.len() < expected.len() {
        let WatchItem::Events(events) = next(&mut watch).await.unwrap() else {
            panic!("progress was not asked for")
        };
        seen.extend(events.iter().map(event_text));
    }
    assert_eq!(seen, expected);
}

async fn run(steps: Vec<Step>) {
    let (mut files, mut model) = (MemoryFiles::new(), Model::default());
    let mut store = open(&files);
    for (number, step) in steps.into_iter().enumerate() {
        let name = |key: u8| format!("/{key:02}");
        match step {
            Step::Put { key, length, guess } => {
                let (key, text) = (name(key), format!("{number}{}", "x".repeat(length)));
                let current = model
                    .at(model.revision())
                    .get(key.as_str())
                    .map_or(0, |(at, _)| *at);
                let expect = guess.map(|right| if right { current } else { current + 1 });
                match store.txn(request(&key, expect, value(&text))).await.unwrap() {
                    TxnOutcome::Done(revision) => {
                        assert_ne!(guess, Some(false));
                        model.history.push((key, Some(text)));
                        assert_eq!(revision, model.revision());
                    }
                    TxnOutcome::Mismatch(kv, revision) => {
                        assert_eq!(guess, Some(false));
                        assert_eq!(
                            (kv.map_or(0, |kv| kv.mod_revision), revision),
                            (current, model.revision())
                        );
                    }
                }
            }
            Step::Delete { key } => {
                if model.at(model.revision()).contains_key(name(key).as_str()) {
                    model.history.push((name(key), None));
                }
                assert_eq!(delete(&store, &name(key)).await, model.revision());
            }
            Step::Burst(keys) => {
                let writes = keys
                    .iter()
                    .map(|key| store.txn(request(&name(*key), None, value("burst"))));
                let outcomes = futures::future::join_all(writes).await;
                for (key, outcome) in keys.iter().zip(outcomes) {
                    model.history.push((name(*key), Some("burst".to_owned())));
                    assert_eq!(done(outcome), model.revision());
                }
            }
            Step::Compact { back } => {
                let revision = model.revision().saturating_sub(back);
                match store.compact(revision).await {
                    Ok(()) => model.compacted = revision,
                    Err(Error::Compacted(oldest)) => assert!(oldest == model.compacted && revision <= oldest),
                    Err(other) => panic!("{other}"),
                }
            }
            Step::Read { back } => {
                let revision = model.revision().saturating_sub(back);
                match list(&store, "/", revision).await {
                    Err(Error::Compacted(oldest)) => assert!(oldest == model.compacted && revision < oldest),
                    read => assert_eq!(
                        read.unwrap(),
                        model.list(if revision == 0 { model.revision() } else { revision })
                    ),
                }
            }
            Step::Watch { back } => match model.revision().saturating_sub(back) {
                0 => {}
                after => check_watch(&store, &model, after).await,
            },
            Step::Close => {
                store.close().await;
                store = open(&files);
            }
            Step::Crash => {
                files = files.after_crash();
                store = open(&files);
            }
        }
        assert_eq!(store.revision().await.unwrap(), model.revision());
    }
    assert_eq!(list(&store, "/", 0).await.unwrap(), model.list(model.revision()));
    store.close().await;
    assert_eq!(
        list(&open(&files), "/", 0).await.unwrap(),
        model.list(model.revision())
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_a_list_of_changes(steps in prop::collection::vec(step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(steps));
    }
}
