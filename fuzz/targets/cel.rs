//! Expressions: compiled, and evaluated within a budget.
#![no_main]

use cel::{Bindings, Budget, Environment, Program, Type, Value};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

fuzz_target!(|source: &str| {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    let environment = ENVIRONMENT.get_or_init(|| {
        Environment::kubernetes()
            .variable("self", Type::Dyn)
            .variable("text", Type::String)
            .variable("list", Type::Dyn)
    });
    if let Ok(program) = Program::compile(source, environment) {
        let list = Value::list((0..9).map(Value::Int).collect());
        let bindings = Bindings::new()
            .with("self", Value::Int(7))
            .with("text", Value::text("some text, 10.0.0.1"))
            .with("list", list);
        let _ = program.evaluate(&bindings, &mut Budget::new(1_000_000).per_call(100_000));
        let _ = (program.cost(), program.used());
    }
});
