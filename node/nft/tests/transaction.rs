//! Transactions in a network namespace of the test's own.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use nft::{
    Batch, Chain, Data, Element, Error, Family, Set, SetFlags, Verdict,
    keys::{IPV4, PORT, VERDICT},
};
use std::process::Command;

/// Runs `work` on a thread with a new network namespace, gone with the thread.
fn in_namespace(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let enter = || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a network namespace (as root)");
            work();
        };
        scope.spawn(enter).join().expect("the work in the namespace");
    });
}

fn listing() -> String {
    let output = Command::new("nft")
        .args(["-n", "list", "ruleset"])
        .output()
        .expect("nft");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn element(last: u8, chain: &str) -> Element {
    let data = Some(Data::Verdict(Verdict::Goto(chain.to_owned())));
    Element {
        key: vec![10, 0, 0, last, 0, 80, 0, 0],
        data,
    }
}

fn table() -> Batch {
    let mut batch = Batch::new(Family::Inet, "test");
    batch.add_table().add_chain(&Chain {
        name: "there",
        hook: None,
    });
    batch.add_set(&Set {
        name: "map",
        key: &[IPV4, PORT],
        data: &[VERDICT],
        flags: SetFlags::default(),
    });
    batch
}

#[test]
fn all_of_a_transaction_happens_or_nothing() {
    in_namespace(|| {
        table().commit().expect("a table");
        let mut batch = Batch::new(Family::Inet, "test");
        batch
            .add_elements("map", &[element(1, "there")])
            .add_elements("map", &[element(2, "nowhere")]);
        let Err(Error::Refused { what, errno }) = batch.commit() else {
            panic!("a refusal")
        };
        assert_eq!(
            (what.as_str(), errno),
            ("elements of set map", nix::Error::ENOENT)
        );
        assert!(!listing().contains("10.0.0.1"), "nothing happened");
        let mut batch = Batch::new(Family::Inet, "test");
        batch.add_elements("map", &[element(1, "there"), element(3, "there")]);
        batch.delete_elements("map", &[element(3, "there")]);
        batch.commit().expect("elements");
        assert!(
            listing().contains("elements = { 10.0.0.1 . 80 : goto there }"),
            "{}",
            listing()
        );
    });
}

#[test]
fn nothing_is_no_transaction_and_removing_what_is_not_there_is_fine() {
    in_namespace(|| {
        Batch::new(Family::Inet, "test").commit().expect("nothing");
        let mut batch = Batch::new(Family::Inet, "test");
        batch.delete_table();
        batch.commit().expect("no table");
        assert_eq!(listing(), "");
    });
}
