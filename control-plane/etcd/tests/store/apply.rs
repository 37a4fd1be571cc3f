//! Stories of the state machine: what each command does, told as text.

use bytes::Bytes;
use etcd::{
    Op,
    state::{Command, Entry, Location, Output, State, apply},
};

fn command(words: &str) -> Command {
    let words: Vec<&str> = words.split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().unwrap();
    let bytes = |at: usize| Bytes::copy_from_slice(words[at].as_bytes());
    match words[0] {
        "put" => Command::Write {
            key: bytes(1),
            expect: None,
            op: Op::Put {
                value: bytes(2),
                lease: 0,
            },
        },
        "put-on" => Command::Write {
            key: bytes(1),
            expect: None,
            op: Op::Put {
                value: bytes(2),
                lease: number(3) as i64,
            },
        },
        "put-if" => Command::Write {
            key: bytes(1),
            expect: Some(number(3)),
            op: Op::Put {
                value: bytes(2),
                lease: 0,
            },
        },
        "delete" => Command::Write {
            key: bytes(1),
            expect: None,
            op: Op::Delete,
        },
        "delete-if" => Command::Write {
            key: bytes(1),
            expect: Some(number(2)),
            op: Op::Delete,
        },
        "grant" => Command::Grant {
            id: number(1) as i64,
            ttl: 1000,
        },
        "revoke" => Command::Revoke(number(1) as i64),
        "compact" => Command::Compact(number(1)),
        "reserve" => Command::Reserve(number(1)),
        "meta" => Command::Meta {
            key: bytes(1),
            value: words.get(2).map(|_| bytes(2)),
        },
        "nothing" => Command::Nothing,
        other => panic!("{other}"),
    }
}

fn describe(output: &Output) -> String {
    match output {
        Output::Put { version, prev, .. } => {
            let prev = prev.as_ref().map_or(0, |prev| prev.revision);
            format!(
                "put at {} created {} before {prev}",
                version.revision, version.create
            )
        }
        Output::Removed { keys, revision, .. } => {
            let keys: Vec<_> = keys
                .iter()
                .map(|(k, v)| format!("{}@{}", String::from_utf8_lossy(k), v.revision))
                .collect();
            format!("removed [{}] at {revision}", keys.join(" "))
        }
        Output::Mismatch(_, version) => format!("mismatch {}", version.as_ref().map_or(0, |v| v.revision)),
        Output::Granted(id, _) => format!("granted {id}"),
        Output::Compacted(revision, before) => format!("compacted {before} to {revision}"),
        Output::Reserved(until, before) => format!("reserved {before} to {until}"),
        Output::Meta { value, prev, .. } => format!("meta {prev:?} to {value:?}"),
        Output::Nothing => "nothing".to_owned(),
        Output::Refused(why) => format!("refused {why:?}"),
        Output::Txn { .. } | Output::Wanting(_) => panic!("no story has a transaction"),
    }
}

fn tell(state: &mut State, index: u64, words: &str) -> Output {
    let at = Location {
        segment: 1,
        offset: index as u32,
        length: 10,
    };
    apply(
        state,
        Entry {
            term: 1,
            index,
            at,
            command: command(words),
        },
    )
}

const STORIES: &[(&str, &[(&str, &str)])] = &[
    (
        "revisions count changes, not attempts",
        &[
            ("put a 1", "put at 1 created 1 before 0"),
            ("put a 2", "put at 2 created 1 before 1"),
            ("put-if a 3 1", "mismatch 2"),
            ("put-if b 1 0", "put at 3 created 3 before 0"),
            ("put-if a 3 2", "put at 4 created 1 before 2"),
            ("delete c", "removed [] at 4"),
            ("delete-if c 9", "mismatch 0"),
            ("delete-if a 4", "removed [a@4] at 5"),
            ("put a 5", "put at 6 created 6 before 0"),
        ],
    ),
    (
        "a lease takes its keys at one revision, and only those it still has",
        &[
            ("put-on a 1 7", "refused LeaseNotFound"),
            ("grant 7", "granted 7"),
            ("put-on a 1 7", "put at 1 created 1 before 0"),
            ("put-on b 1 7", "put at 2 created 2 before 0"),
            ("put-on c 1 7", "put at 3 created 3 before 0"),
            ("put b 2", "put at 4 created 2 before 2"),
            ("revoke 7", "removed [a@1 c@3] at 5"),
            ("revoke 7", "refused LeaseNotFound"),
            ("grant 8", "granted 8"),
            ("revoke 8", "removed [] at 5"),
        ],
    ),
    (
        "compaction goes forward and not beyond the newest revision",
        &[
            ("put a 1", "put at 1 created 1 before 0"),
            ("put a 2", "put at 2 created 1 before 1"),
            ("compact 3", "refused Future(3)"),
            ("compact 2", "compacted 0 to 2"),
            ("compact 2", "refused Compacted(2)"),
            ("reserve 100", "reserved 0 to 100"),
            ("put a 3", "put at 3 created 1 before 2"),
        ],
    ),
    (
        "the table beside the key space has no revisions",
        &[
            ("put a 1", "put at 1 created 1 before 0"),
            ("meta a x", "meta None to Some(b\"x\")"),
            ("meta a y", "meta Some(b\"x\") to Some(b\"y\")"),
            ("nothing", "nothing"),
            ("meta a", "meta Some(b\"y\") to None"),
            ("meta a", "meta None to None"),
            ("put a 2", "put at 2 created 1 before 1"),
        ],
    ),
];

#[test]
fn stories() {
    for (title, story) in STORIES {
        let mut state = State::default();
        for (index, (words, expected)) in story.iter().enumerate() {
            let output = tell(&mut state, index as u64 + 1, words);
            assert_eq!(describe(&output), *expected, "{title}: {words}");
        }
    }
}

#[test]
fn every_story_can_be_taken_back_step_by_step() {
    for (title, story) in STORIES {
        let mut state = State::default();
        let mut told = Vec::new();
        for (index, (words, _)) in story.iter().enumerate() {
            let before = format!("{state:?}");
            let output = tell(&mut state, index as u64 + 1, words);
            told.push((before, output));
        }
        for (before, output) in told.iter().rev() {
            state.undo(output);
            let live = |text: &str| text.split(", live:").next().unwrap_or_default().to_owned();
            assert_eq!(live(&format!("{state:?}")), live(before), "{title}");
        }
    }
}
