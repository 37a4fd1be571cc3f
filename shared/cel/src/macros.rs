//! The macros: calls that are more than calls.

use crate::{
    ast::{Fold, Id, Kind},
    parse::{Parser, Stopped},
};
use std::sync::Arc;

/// Macros over a range with one variable: name, arguments, what they make.
const ONE: [(&str, usize, Fold); 7] = [
    ("all", 2, Fold::All),
    ("exists", 2, Fold::Exists),
    ("exists_one", 2, Fold::ExistsOne),
    ("existsOne", 2, Fold::ExistsOne),
    ("map", 2, Fold::List),
    ("map", 3, Fold::List),
    ("filter", 2, Fold::Filter),
];
/// The same with two variables.
const TWO: [(&str, usize, Fold); 10] = [
    ("all", 3, Fold::All),
    ("exists", 3, Fold::Exists),
    ("existsOne", 3, Fold::ExistsOne),
    ("exists_one", 3, Fold::ExistsOne),
    ("transformList", 3, Fold::List),
    ("transformList", 4, Fold::List),
    ("transformMap", 3, Fold::Map),
    ("transformMap", 4, Fold::Map),
    ("transformMapEntry", 3, Fold::Entries),
    ("transformMapEntry", 4, Fold::Entries),
];
const ACCUMULATORS: [&str; 2] = ["__result__", "@result"];

/// A call, or what the macro of that name makes of it.
pub(crate) fn call(
    parser: &mut Parser<'_>,
    at: usize,
    target: Option<Id>,
    function: Arc<str>,
    args: Vec<Id>,
) -> Result<Id, Stopped> {
    let Some(range) = target else {
        if &*function == "has" && args.len() == 1 {
            return has(parser, at, args[0]);
        }
        return Ok(parser.ast.add(
            at,
            Kind::Call {
                function,
                target,
                args,
            },
        ));
    };
    let found = |table: &[(&str, usize, Fold)]| {
        let row = table
            .iter()
            .find(|row| row.0 == &*function && row.1 == args.len());
        row.map(|row| row.2)
    };
    if let Some(fold) = found(&ONE) {
        let simple = if matches!(fold, Fold::List | Fold::Filter) {
            "argument is not an identifier"
        } else {
            "argument must be a simple name"
        };
        let first = variable(parser, args[0], simple)?;
        let filter = (args.len() == 3).then(|| args[1]);
        let body = args[args.len() - 1];
        let second = None;
        return Ok(parser.ast.add(
            at,
            Kind::Fold {
                fold,
                range,
                first,
                second,
                filter,
                body,
            },
        ));
    }
    if let Some(fold) = found(&TWO) {
        let first = variable(parser, args[0], "argument must be a simple name")?;
        let second = variable(parser, args[1], "argument must be a simple name")?;
        if first == second {
            let place = parser.ast.nodes[args[1]].at;
            return Err(parser.fail(place, format!("duplicate variable name: {first}")));
        }
        let filter = (args.len() == 4).then(|| args[2]);
        let body = args[args.len() - 1];
        let second = Some(second);
        return Ok(parser.ast.add(
            at,
            Kind::Fold {
                fold,
                range,
                first,
                second,
                filter,
                body,
            },
        ));
    }
    match (&*function, args.len()) {
        ("bind", 3) if named(parser, range, "cel") => {
            let simple = "cel.bind() variable names must be simple identifiers";
            let name = variable(parser, args[0], simple)?;
            let (init, body) = (args[1], args[2]);
            Ok(parser.ast.add(at, Kind::Bind { name, init, body }))
        }
        ("optMap" | "optFlatMap", 2) => {
            let simple = format!("{function}() variable name must be a simple identifier");
            let name = variable(parser, args[0], &simple)?;
            let (target, body, flat) = (range, args[1], &*function == "optFlatMap");
            Ok(parser.ast.add(
                at,
                Kind::OptMap {
                    target,
                    name,
                    body,
                    flat,
                },
            ))
        }
        ("sortBy", 2) => sort_by(parser, at, range, &args),
        _ => Ok(parser.ast.add(
            at,
            Kind::Call {
                function,
                target,
                args,
            },
        )),
    }
}

fn has(parser: &mut Parser<'_>, at: usize, arg: Id) -> Result<Id, Stopped> {
    if let Kind::Select {
        operand,
        field,
        test: false,
        optional: false,
    } = &parser.ast.nodes[arg].kind
    {
        let (operand, field) = (*operand, field.clone());
        let (test, optional) = (true, false);
        return Ok(parser.ast.add(
            at,
            Kind::Select {
                operand,
                field,
                test,
                optional,
            },
        ));
    }
    let place = parser.ast.nodes[arg].at;
    Err(parser.fail(place, "invalid argument to has() macro"))
}

/// The list is bound, so that it is computed once; its keys are a list beside it.
fn sort_by(parser: &mut Parser<'_>, at: usize, range: Id, args: &[Id]) -> Result<Id, Stopped> {
    let first = variable(parser, args[0], "argument must be a simple name")?;
    let name: Arc<str> = "@__sortBy_input__".into();
    let input = parser.ast.add(at, Kind::Ident(name.clone()));
    let keys = parser.ast.add(
        at,
        Kind::Fold {
            fold: Fold::List,
            range: input,
            first,
            second: None,
            filter: None,
            body: args[1],
        },
    );
    let target = parser.ast.add(at, Kind::Ident(name.clone()));
    let body = parser.ast.add(
        at,
        Kind::Call {
            function: "@sortByAssociatedKeys".into(),
            target: Some(target),
            args: vec![keys],
        },
    );
    Ok(parser.ast.add(
        at,
        Kind::Bind {
            name,
            init: range,
            body,
        },
    ))
}

fn named(parser: &Parser<'_>, id: Id, name: &str) -> bool {
    matches!(&parser.ast.nodes[id].kind, Kind::Ident(ident) if &**ident == name)
}

fn variable(parser: &mut Parser<'_>, id: Id, otherwise: &str) -> Result<Arc<str>, Stopped> {
    let place = parser.ast.nodes[id].at;
    let name = match &parser.ast.nodes[id].kind {
        Kind::Ident(name) if !name.starts_with('.') => name.clone(),
        _ => return Err(parser.fail(place, otherwise)),
    };
    if ACCUMULATORS.contains(&&*name) {
        return Err(parser.fail(place, "iteration variable overwrites accumulator variable"));
    }
    Ok(name)
}
