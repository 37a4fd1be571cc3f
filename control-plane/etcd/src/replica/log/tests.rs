use super::*;
use crate::MemoryFiles;
use bytes::Bytes;
use raft::Payload;

const BYTES: u64 = 2000;
const IDENTITY: Identity = Identity {
    member: 7,
    cluster: 9,
};

fn entry(term: u64, index: u64) -> Entry {
    let text = format!("{term}.{index}:{}", "x".repeat((index % 40) as usize));
    Entry {
        term,
        index,
        payload: Payload::Data(Bytes::from(text)),
    }
}

fn hard(term: u64, commit: u64) -> HardState {
    HardState {
        term,
        vote: u64::MAX,
        commit,
    }
}

fn create(files: &MemoryFiles) -> Log {
    Log::create(Arc::new(files.clone()), IDENTITY, 5, hard(1, 3), (3, 1), BYTES).unwrap()
}

fn reopen(files: &MemoryFiles) -> (Log, Stored) {
    open(Arc::new(files.clone()), BYTES).unwrap().unwrap()
}

fn write(log: &mut Log, entries: Vec<Entry>, hard: Option<HardState>) {
    log.append(&[(entries, hard)]).unwrap();
    log.sync().unwrap();
}

#[test]
fn what_was_synced_is_there_after_a_crash_and_a_suffix_is_replaced() {
    let files = MemoryFiles::new();
    assert!(open(Arc::new(files.clone()), BYTES).unwrap().is_none());
    let mut log = create(&files);
    write(&mut log, vec![entry(1, 4), entry(1, 5), entry(1, 6)], None);
    write(&mut log, vec![entry(2, 5)], Some(hard(2, 4)));
    log.append(&[(vec![entry(2, 6)], None)]).unwrap();
    let (log, stored) = reopen(&files.after_crash());
    assert_eq!((log.identity(), stored.base), (IDENTITY, (3, 1)));
    assert_eq!(stored.hard, hard(2, 4));
    assert_eq!(stored.entries, [entry(1, 4), entry(2, 5)]);
    let (_, stored) = reopen(&files.after_kill());
    assert_eq!(stored.entries.len(), 3);
}

#[test]
fn segments_are_dropped_once_the_store_holds_them_and_are_used_again() {
    let files = MemoryFiles::new();
    let mut log = create(&files);
    for index in 4..400 {
        write(&mut log, vec![entry(1, index)], Some(hard(1, index - 1)));
        log.drop_until(index.saturating_sub(30)).unwrap();
    }
    assert!(files.list().unwrap().len() < 5, "{:?}", files.list());
    let files = files.after_crash();
    let (mut log, stored) = reopen(&files);
    assert_eq!(stored.hard, hard(1, 398));
    let indexes: Vec<u64> = stored.entries.iter().map(|entry| entry.index).collect();
    assert_eq!(indexes.first(), Some(&(stored.base.0 + 1)));
    assert_eq!(indexes.last(), Some(&399));
    assert!(stored.base.0 <= 369);
    log.installing((500, 3)).unwrap();
    assert_eq!(reopen(&files.after_crash()).1.installing, Some((500, 3)));
    log.reset((500, 3), Some(hard(3, 500))).unwrap();
    let (_, stored) = reopen(&files.after_crash());
    assert_eq!((stored.base, stored.hard), ((500, 3), hard(3, 500)));
    assert!(stored.entries.is_empty() && stored.installing.is_none());
}

/// One that was told to come, and did not before a crash, while the others had the entries after all.
#[test]
fn a_snapshot_that_was_not_installed_is_forgotten_when_the_log_goes_on() {
    let files = MemoryFiles::new();
    let mut log = create(&files);
    log.installing((5, 1)).unwrap();
    let files = files.after_crash();
    let (mut log, stored) = reopen(&files);
    assert_eq!(stored.installing, Some((5, 1)));
    write(&mut log, vec![entry(1, 4), entry(1, 5), entry(1, 6)], None);
    let (_, stored) = reopen(&files);
    assert_eq!((stored.installing, stored.entries.len()), (None, 3));
}

/// A log of several batches, and after each how long its file's content was and how many entries it had.
fn recorded() -> (MemoryFiles, Vec<(u64, usize)>) {
    let files = MemoryFiles::new();
    let mut log = create(&files);
    let mut marks = vec![(log.offset, 0)];
    for batch in 0..6 {
        let first = 4 + batch * 3;
        let entries = (first..first + 3).map(|index| entry(1, index)).collect();
        write(&mut log, entries, Some(hard(1, first)));
        marks.push((log.offset, batch as usize * 3 + 3));
    }
    (files, marks)
}

#[test]
fn a_log_cut_anywhere_keeps_what_was_acknowledged_by_then() {
    let (files, marks) = recorded();
    let whole = files.get(&name(1)).unwrap();
    for cut in marks[0].0..marks.last().unwrap().0 {
        let mut bytes = whole.clone();
        bytes[cut as usize..].fill(0);
        let files = MemoryFiles::new();
        files.put(&name(1), bytes);
        let (_, stored) = reopen(&files);
        let acknowledged = marks.iter().rev().find(|mark| mark.0 <= cut).unwrap().1;
        assert!(stored.entries.len() >= acknowledged, "cut at {cut}");
    }
}

#[test]
fn a_flipped_byte_is_refused_or_costs_only_the_unproven_end() {
    let (files, marks) = recorded();
    let whole = files.get(&name(1)).unwrap();
    let (end, all) = *marks.last().unwrap();
    let (unproven, proven) = marks[marks.len() - 2];
    for at in 0..end as usize {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        let files = MemoryFiles::new();
        files.put(&name(1), bytes);
        match open(Arc::new(files), BYTES) {
            Ok(Some((_, stored))) => {
                assert!(at >= unproven as usize, "byte {at} is acknowledged");
                assert!((proven..=all).contains(&stored.entries.len()));
            }
            Ok(None) => panic!("byte {at}: there is a log"),
            Err(error) => assert!(matches!(error, LogError::Damaged { .. }), "{error}"),
        }
    }
}

#[test]
fn what_was_torn_never_comes_back() {
    let files = MemoryFiles::new();
    let mut log = create(&files);
    write(&mut log, vec![entry(1, 4)], None);
    let offset = log.offset as usize;
    log.append(&[(vec![entry(1, 5), entry(1, 6)], None)]).unwrap();
    let mut bytes = files.get(&name(1)).unwrap();
    // The first record of the batch did not reach the disk, the second did.
    bytes[offset] ^= 1;
    let files = MemoryFiles::new();
    files.put(&name(1), bytes);
    let (mut log, stored) = reopen(&files);
    assert_eq!(stored.entries, [entry(1, 4)]);
    write(&mut log, vec![entry(2, 5)], None);
    assert_eq!(reopen(&files).1.entries, [entry(1, 4), entry(2, 5)]);
}

#[test]
fn a_full_disk_changes_nothing() {
    let files = MemoryFiles::new();
    let mut log = create(&files);
    write(&mut log, vec![entry(1, 4)], None);
    log.offset = BYTES;
    files.set_room(10);
    assert!(log.append(&[(vec![entry(1, 5)], None)]).is_err());
    files.set_room(u64::MAX);
    let files = files.after_crash();
    let mut log = reopen(&files).0;
    write(&mut log, vec![entry(1, 5)], None);
    assert_eq!(reopen(&files.after_crash()).1.entries.len(), 2);
}
