//! Objects that upstream refuses, and its words: pairs of lines. Where upstream of today prints a value as JSON, or
//! says something in other words, than the upstream that was asked, today's form stands there.

use super::{Op, Small, run};

const PAIRS: &str = include_str!("refused.txt");

#[test]
fn what_upstream_refuses_is_refused_in_its_words() {
    let lines: Vec<&str> = PAIRS.lines().collect();
    let mut wrong = Vec::new();
    for pair in lines.chunks(2) {
        let [body, expected] = pair else {
            panic!("an object without its words")
        };
        let told = run(body, None, Op::Create, &Small::usual());
        let told = told.map_or_else(|status| status.message, |_| "nothing: it was written".to_owned());
        if told != *expected {
            wrong.push(format!("{body}\n  upstream: {expected}\n  ours:     {told}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}\n{}",
        wrong.len(),
        lines.len() / 2,
        wrong.join("\n")
    );
}
