//! What no input may do: panic, recurse without end, or run on.

use super::{everything, value, value_of};
use crate::{Bindings, Budget, Environment, Program, Type, Value};
use proptest::prelude::*;
use serde_json::json;
use std::time::Instant;

#[test]
fn deep_nesting_is_refused() {
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("!(", ")"),
        ("x[", "]"),
        ("{1:", "}"),
        ("true ? true : (", ")"),
        ("size(", ")"),
    ] {
        let source = format!("{}1{}", open.repeat(5_000), close.repeat(5_000));
        let got = value(&source);
        assert!(
            got.contains("expression recursion limit exceeded: 250"),
            "{open}: {got}"
        );
    }
    for chain in [" + 1", ".a", "[0]", " == 1"] {
        let got = value(&format!("x{}", chain.repeat(10_000)));
        assert!(
            got.contains("expression recursion limit exceeded: 250"),
            "{chain}: {got}"
        );
    }
    let deep = format!("{}1{}", "(".repeat(240), ")".repeat(240));
    assert_eq!(value(&deep), "1");
    let deep = format!("{}[]{}", "[".repeat(230), "]".repeat(230));
    assert_eq!(value(&format!("{deep} == {deep}")), "true");
    assert_eq!(value(&vec!["true"; 5_000].join(" && ")), "true");
}

#[test]
fn a_megabyte_of_text_is_refused_at_once() {
    let got = value(&"a".repeat(1 << 20));
    assert_eq!(
        got,
        "ERROR: <input>:-1:0: expression code point size exceeds limit: size: 1048576, limit 100000"
    );
}

#[test]
fn what_grows_is_cut_by_its_cost() {
    let doubling = |times: usize, start: &str| {
        let binds: String = (0..times)
            .map(|at| {
                let before = if at == 0 {
                    start.to_owned()
                } else {
                    format!("v{}", at - 1)
                };
                format!("cel.bind(v{at}, {before} + {before}, ")
            })
            .collect();
        (binds, ")".repeat(times))
    };
    let (open, close) = doubling(60, "'aaaaaaaa'");
    assert_eq!(
        value(&format!("{open}v59{close}")),
        "stopped: operation cancelled: actual cost limit exceeded"
    );
    let (open, close) = doubling(40, "[1, 2]");
    assert_eq!(
        value(&format!("{open}v39.exists(i, i == 3){close}")),
        "stopped: operation cancelled: actual cost limit exceeded"
    );
    assert_eq!(
        value(&format!("{open}v39 == v39{close}")),
        "stopped: operation cancelled: actual cost limit exceeded"
    );
    let nested = "lists.range(1000).map(a, lists.range(1000).map(b, lists.range(1000)))";
    assert_eq!(
        value(nested),
        "stopped: operation cancelled: actual cost limit exceeded"
    );
    let regex = format!("x.matches('{}')", "(a{1,1000}){1,1000}");
    assert!(value_of(&regex, &json!("aaa")).contains("invalid matches argument"));
    let regex = format!("x.matches('{}')", "(a|b)*c".repeat(500));
    let text = json!("ab".repeat(100_000));
    assert_eq!(
        value_of(&regex, &text),
        "stopped: operation cancelled: actual cost limit exceeded"
    );
}

#[test]
fn the_total_budget_ends_before_the_limit_of_one() {
    let program = Program::compile("lists.range(1000).all(i, i >= 0)", &everything()).unwrap();
    let mut budget = Budget::new(8_000);
    assert!(program.evaluate(&Bindings::new(), &mut budget).is_ok());
    let error = program.evaluate(&Bindings::new(), &mut budget).unwrap_err();
    assert!(
        error.to_string().contains("running out of cost budget"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_compiler_panic(source in "\\PC{0,80}") {
        let _result = Program::compile(&source, &everything());
    }

    #[test]
    fn no_bytes_make_more_than_they_are(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let source = String::from_utf8_lossy(&bytes);
        let nodes = crate::parse::parse(&source).map(|ast| ast.nodes.len()).unwrap_or_default();
        prop_assert!(nodes <= 2 + 4 * bytes.len());
        if let Err(issues) = Program::compile(&source, &everything()) {
            prop_assert!(issues.len() <= 100);
        }
    }

    #[test]
    fn no_words_run_on_or_grow(
        words in prop::collection::vec(prop::sample::select(GROWING), 1..12),
        times in 1_usize..6,
    ) {
        let inner = words.join("");
        let source = (0..times).fold(format!("x{inner}"), |source, _| format!("[{source}].map(x, x{inner})"));
        if let Ok(program) = Program::compile(&source, &everything()) {
            let x = json!(["a", "bb", "ccc"]);
            let bindings = Bindings::new().with("x", Value::json(&x, None));
            let mut budget = Budget::new(50_000).per_call(20_000);
            if let Ok(value) = program.evaluate(&bindings, &mut budget) {
                prop_assert!(budget.spent() <= 20_000);
                let _json = value.to_json(1 << 20);
            }
        }
    }

    #[test]
    fn no_words_make_evaluation_panic(words in prop::collection::vec(prop::sample::select(WORDS), 0..24)) {
        let source = words.join(" ");
        let nodes = crate::parse::parse(&source).map(|ast| ast.nodes.len()).unwrap_or_default();
        prop_assert!(nodes <= 2 + 4 * words.len());
        if let Ok(program) = Program::compile(&source, &everything()) {
            let x = json!({"a": [1, "b"]});
            let bindings = Bindings::new().with("x", Value::json(&x, None));
            let _result = program.evaluate(&bindings, &mut Budget::default());
        }
    }
}

const GROWING: &[&str] = &[
    " + x",
    ".map(y, x)",
    ".map(y, [y, y])",
    ".flatten()",
    ".filter(y, y in x)",
    ".join('xxxxxxxxxxxxxxxx')",
    ".split('')",
    ".replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaa')",
    ".findAll('(a|b|c)*')",
    ".matches('(a|b)*c{1,100}')",
    ".sum()",
    ".all(y, x.all(z, y == z))",
    ".sortBy(y, y)",
    ".transformMap(k, v, x)",
    ".size()",
    " == x",
];

const WORDS: &[&str] = &[
    "x",
    "1",
    "'a'",
    "b''",
    "2u",
    "1.5",
    "true",
    "null",
    "+",
    "-",
    "*",
    "/",
    "%",
    "==",
    "<",
    "&&",
    "||",
    "?",
    ":",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ".",
    "!",
    "in",
    ".a",
    ".?a",
    "[?0]",
    ".size()",
    ".all(i, i == 1)",
    ".map(k, v, v)",
    "has(x.a)",
    "size(",
    "optional.of(",
    ".orValue(1)",
    ".sortBy(e, e)",
    "cel.bind(y, x, y)",
    "duration('1s')",
    ".substring(1)",
    ".replace('', 'b')",
    "'%s'.format([1])",
    ".flatten()",
    "type(",
];

/// `cargo test -p cel --release -- --nocapture timing` prints the time.
#[test]
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn timing_of_a_policy_with_three_expressions() {
    let object = json!({"metadata": {"name": "web", "labels": {"app": "web", "team": "a"}}, "spec": {"replicas": 3,
        "containers": [{"name": "a", "image": "r/a:1"}, {"name": "b", "image": "r/b:1"}]}});
    let environment = Environment::kubernetes().variable("object", Type::Dyn);
    let sources = [
        "object.spec.replicas <= 5",
        "has(object.metadata.labels) && 'team' in object.metadata.labels",
        "object.spec.containers.all(c, c.image.startsWith('r/'))",
    ];
    let started = Instant::now();
    let programs = sources.map(|source| Program::compile(source, &environment).unwrap());
    println!("compiled in {:?}", started.elapsed());
    let rounds = 1_000;
    let started = Instant::now();
    for _ in 0..rounds {
        let mut budget = Budget::default();
        let bindings = Bindings::new().with("object", Value::json(&object, None));
        for program in &programs {
            assert_eq!(
                program.evaluate(&bindings, &mut budget).unwrap().as_bool(),
                Some(true)
            );
        }
    }
    println!("three expressions: {:?}", started.elapsed() / rounds);
}
