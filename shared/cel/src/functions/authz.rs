//! The authorizer, and what mutations are made with.

use super::Row;
use crate::{
    authorizer::{Authorization, Check, Part, Stage},
    stop::Stop,
    value::Value,
};
use std::sync::Arc;

macro_rules! ty {
    ($name:literal) => {
        concat!("kubernetes.authorization.", $name)
    };
}

pub(super) const ROWS: &[Row] = &[
    Row(
        ".path",
        "authorizer_path",
        concat!(ty!("Authorizer"), ",string->", ty!("PathCheck")),
        |args, _| {
            build(args, Stage::Authorizer, Stage::Path, |check, text| {
                check.path = Some(text)
            })
        },
    ),
    Row(
        ".group",
        "authorizer_group",
        concat!(ty!("Authorizer"), ",string->", ty!("GroupCheck")),
        |args, _| {
            build(args, Stage::Authorizer, Stage::Group, |check, text| {
                check.group = text
            })
        },
    ),
    Row(
        ".serviceAccount",
        "authorizer_serviceaccount",
        concat!(ty!("Authorizer"), ",string,string->", ty!("Authorizer")),
        |args, _| service_account(args),
    ),
    Row(
        ".resource",
        "groupcheck_resource",
        concat!(ty!("GroupCheck"), ",string->", ty!("ResourceCheck")),
        |args, _| {
            build(args, Stage::Group, Stage::Resource, |check, text| {
                check.resource = text
            })
        },
    ),
    Row(
        ".subresource",
        "resourcecheck_subresource",
        concat!(ty!("ResourceCheck"), ",string->", ty!("ResourceCheck")),
        |args, _| {
            build(args, Stage::Resource, Stage::Resource, |check, text| {
                check.subresource = text
            })
        },
    ),
    Row(
        ".namespace",
        "resourcecheck_namespace",
        concat!(ty!("ResourceCheck"), ",string->", ty!("ResourceCheck")),
        |args, _| {
            build(args, Stage::Resource, Stage::Resource, |check, text| {
                check.namespace = text
            })
        },
    ),
    Row(
        ".name",
        "resourcecheck_name",
        concat!(ty!("ResourceCheck"), ",string->", ty!("ResourceCheck")),
        |args, _| {
            build(args, Stage::Resource, Stage::Resource, |check, text| {
                check.name = text
            })
        },
    ),
    Row(
        ".fieldSelector",
        "authorizer_fieldselector",
        concat!(ty!("ResourceCheck"), ",string->", ty!("ResourceCheck")),
        |args, _| {
            build(args, Stage::Resource, Stage::Resource, |check, text| {
                check.field_selector = Some(text)
            })
        },
    ),
    Row(
        ".labelSelector",
        "authorizer_labelselector",
        concat!(ty!("ResourceCheck"), ",string->", ty!("ResourceCheck")),
        |args, _| {
            build(args, Stage::Resource, Stage::Resource, |check, text| {
                check.label_selector = Some(text)
            })
        },
    ),
    Row(
        ".check",
        "pathcheck_check",
        concat!(ty!("PathCheck"), ",string->", ty!("Decision")),
        |args, _| ask(args),
    ),
    Row(
        ".check",
        "resourcecheck_check",
        concat!(ty!("ResourceCheck"), ",string->", ty!("Decision")),
        |args, _| ask(args),
    ),
    Row(
        ".allowed",
        "decision_allowed",
        concat!(ty!("Decision"), "->bool"),
        |args, _| match args {
            [Value::Authorization(Authorization(Part::Answer(answer)))] => Ok(Value::Bool(answer.allowed)),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".reason",
        "decision_reason",
        concat!(ty!("Decision"), "->string"),
        |args, _| match args {
            [Value::Authorization(Authorization(Part::Answer(answer)))] => {
                Ok(Value::text(answer.reason.clone()))
            }
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".errored",
        "decision_errored",
        concat!(ty!("Decision"), "->bool"),
        |args, _| match args {
            [Value::Authorization(Authorization(Part::Answer(answer)))] => {
                Ok(Value::Bool(answer.error.is_some()))
            }
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".error",
        "decision_error",
        concat!(ty!("Decision"), "->string"),
        |args, _| match args {
            [Value::Authorization(Authorization(Part::Answer(answer)))] => {
                Ok(Value::text(answer.error.clone().unwrap_or_default()))
            }
            _ => Err(Stop::OVERLOAD),
        },
    ),
];

pub(super) const MUTATION: &[Row] = &[Row(
    "jsonpatch.escapeKey",
    "string_jsonpatch_escapeKey_string",
    "string->string",
    |args, _| match args {
        [Value::String(text)] => Ok(Value::text(text.replace('~', "~0").replace('/', "~1"))),
        _ => Err(Stop::OVERLOAD),
    },
)];

fn build<'a>(
    args: &[Value<'a>],
    from: Stage,
    to: Stage,
    set: fn(&mut Check, String),
) -> Result<Value<'a>, Stop> {
    let [
        Value::Authorization(Authorization(Part::Question(authorizer, stage, check))),
        Value::String(text),
    ] = args
    else {
        return Err(Stop::OVERLOAD);
    };
    if *stage != from {
        return Err(Stop::OVERLOAD);
    }
    let mut check = Check::clone(check);
    set(&mut check, text.to_string());
    Ok(Value::Authorization(Authorization(Part::Question(
        *authorizer,
        to,
        Arc::new(check),
    ))))
}

fn service_account<'a>(args: &[Value<'a>]) -> Result<Value<'a>, Stop> {
    let [
        Value::Authorization(Authorization(Part::Question(authorizer, Stage::Authorizer, check))),
        Value::String(namespace),
        Value::String(name),
    ] = args
    else {
        return Err(Stop::OVERLOAD);
    };
    if !api::valid_dns_subdomain(name) {
        return Err("Invalid service account name".into());
    }
    if !api::valid_dns_label(namespace) {
        return Err("Invalid service account namespace".into());
    }
    let mut check = Check::clone(check);
    check.service_account = Some((namespace.to_string(), name.to_string()));
    let question = Part::Question(*authorizer, Stage::Authorizer, Arc::new(check));
    Ok(Value::Authorization(Authorization(question)))
}

fn ask<'a>(args: &[Value<'a>]) -> Result<Value<'a>, Stop> {
    let [
        Value::Authorization(Authorization(Part::Question(authorizer, stage, check))),
        Value::String(verb),
    ] = args
    else {
        return Err(Stop::OVERLOAD);
    };
    if !matches!(stage, Stage::Path | Stage::Resource) {
        return Err(Stop::OVERLOAD);
    }
    let mut check = Check::clone(check);
    check.verb = verb.to_string();
    let answer = authorizer.decide(&check);
    Ok(Value::Authorization(Authorization(Part::Answer(Arc::new(
        answer,
    )))))
}
