//! Stories: what members do, step by step, kept as text beside this file. A line with `>` is a command, what follows is what
//! came of it. `UPDATE=1` writes the stories anew; then read the differences.
#![expect(
    clippy::unwrap_used,
    reason = "the functions that tests share fail as tests do"
)]

mod stage;
mod text;

use std::path::Path;

use stage::Stage;

fn tell(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stories");
    let path = folder.join(name).with_extension("txt");
    let told = std::fs::read_to_string(&path).unwrap();
    let mut stage = Stage::default();
    let mut anew = String::new();
    for paragraph in told.split("\n\n") {
        for line in paragraph.lines() {
            if line.starts_with('#') {
                anew += &format!("{line}\n");
            } else if let Some(command) = line.strip_prefix("> ") {
                anew += &format!("{line}\n{}", stage.play(command));
            }
        }
        anew += "\n";
    }
    let anew = format!("{}\n", anew.trim_end());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &anew).unwrap();
    } else if let Some((was, is)) = told.lines().zip(anew.lines()).find(|(was, is)| was != is) {
        panic!("{name}: told was {was:?}, now it is {is:?}; UPDATE=1 writes it anew");
    } else {
        assert_eq!(told, anew);
    }
}

#[test]
fn a_leader_is_elected_and_its_entries_are_committed() {
    tell("election");
}

#[test]
fn a_member_that_was_cut_off_does_not_disturb() {
    tell("pre-vote");
}

#[test]
fn a_leader_that_hears_no_majority_steps_down() {
    tell("check-quorum");
}

#[test]
fn a_log_that_went_astray_is_mended() {
    tell("conflict");
}

#[test]
fn leadership_is_handed_over() {
    tell("transfer");
}

#[test]
fn a_learner_gets_the_log_and_then_a_vote() {
    tell("learner");
}

#[test]
fn a_leader_that_leaves_hands_over() {
    tell("leader-leaves");
}

#[test]
fn the_last_member_learns_that_the_other_left() {
    tell("last-of-two");
}

#[test]
fn a_member_far_behind_gets_a_snapshot() {
    tell("snapshot");
}

#[test]
fn a_read_waits_for_a_majority() {
    tell("read-index");
}

#[test]
fn nothing_is_promised_before_it_is_durable() {
    tell("durability");
}

#[test]
fn too_much_is_refused() {
    tell("limits");
}
