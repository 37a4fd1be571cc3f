//! What makes a schema structural: every field has its type where it stands, and only rules for values are nested in
//! `allOf`, `anyOf`, `oneOf` and `not`.

use super::super::{Additional, Structural};
use api::field::{self, Error};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// What is not structural, sorted as upstream sorts it.
pub(super) fn check(schema: &Structural, path: &str) -> Vec<Error> {
    let mut errors = Vec::new();
    node(schema, Level::Root, path, &mut errors);
    complete_lists(schema, schema, path, path, &mut errors);
    errors.sort_by_cached_key(ToString::to_string);
    errors
}

fn node(schema: &Structural, level: Level, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    if schema.ty == "array" && schema.items.is_none() {
        errors.push(Error::required(at("items"), "must be specified"));
    }
    if let Some(items) = schema.items() {
        node(items, Level::Item, &at("items"), errors);
    }
    for (name, property) in &schema.properties {
        node(
            property,
            Level::Field,
            &field::key(&at("properties"), name),
            errors,
        );
    }
    if let Some(additional) = &schema.additional_properties {
        if level == Level::Root {
            errors.push(Error::forbidden(
                at("additionalProperties"),
                "must not be used at the root",
            ));
        }
        if schema.embedded {
            let why = "must not be used if x-kubernetes-embedded-resource is set";
            errors.push(Error::forbidden(at("additionalProperties"), why));
        }
        if let Additional::Schema(additional) = additional {
            node(additional, Level::Field, &at("additionalProperties"), errors);
        }
    }
    for (there, name) in [
        (schema.preserve_unknown(), "x-kubernetes-preserve-unknown-fields"),
        (schema.embedded, "x-kubernetes-embedded-resource"),
    ] {
        if schema.int_or_string && there {
            let why = "must be false if x-kubernetes-int-or-string is true";
            errors.push(Error::invalid(at(name), true, why));
        }
    }
    let skip_first = schema.all_of.first().is_some_and(is_int_or_string);
    values(schema, is_int_or_string(schema), skip_first, path, errors);
    types(schema, level, path, errors);
    metadata(schema, level, path, errors);
}

/// `anyOf: [{type: integer}, {type: string}]`, which is how a number or a text is written.
fn is_int_or_string(schema: &Structural) -> bool {
    let only = |ty: &str| Structural {
        ty: ty.to_owned(),
        ..Structural::default()
    };
    schema.any_of == [only("integer"), only("string")]
}

fn types(schema: &Structural, level: Level, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    if schema.embedded && schema.ty != "object" {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(match schema.ty.as_str() {
            "" => Error::required(at("type"), why),
            ty => Error::invalid(at("type"), ty, why),
        });
    } else if schema.ty.is_empty() && !schema.int_or_string && !schema.preserve_unknown() {
        let why = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(Error::required(at("type"), why));
    }
    if level == Level::Root && !schema.ty.is_empty() && schema.ty != "object" {
        errors.push(Error::invalid(
            at("type"),
            &schema.ty,
            "must be object at the root",
        ));
    }
    if schema.embedded && !schema.preserve_unknown() && schema.properties.is_empty() {
        let why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(Error::required(at("properties"), why));
    }
}

fn metadata(schema: &Structural, level: Level, path: &str, errors: &mut Vec<Error>) {
    if level != Level::Root && !schema.embedded {
        return;
    }
    let place = |name: &str| field::key(&field::child(path, "properties"), name);
    for name in ["kind", "apiVersion"] {
        if let Some(property) = schema.properties.get(name).filter(|p| p.ty != "string") {
            let at = field::child(&place(name), "type");
            errors.push(Error::invalid(at, &property.ty, "must be string"));
        }
    }
    let Some(metadata) = schema.properties.get("metadata") else {
        return;
    };
    if metadata.ty != "object" {
        let at = field::child(&place("metadata"), "type");
        errors.push(Error::invalid(at, &metadata.ty, "must be object"));
    }
    if level != Level::Root {
        return;
    }
    let mut rest = metadata.clone();
    if rest
        .properties
        .keys()
        .all(|name| name == "name" || name == "generateName")
    {
        rest.properties.clear();
    }
    rest.ty = String::new();
    rest.default = None;
    // Rules about values were checked where they stand; a description says nothing about fields.
    let bare = Structural {
        required: rest.required.clone(),
        ..Structural::default()
    };
    if rest != bare {
        let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(Error::forbidden(place("metadata"), why));
    }
}

/// The rules about values of a schema, and those that they nest.
fn values(schema: &Structural, skip_any_of: bool, skip_first: bool, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    if !skip_any_of {
        for (index, one) in schema.any_of.iter().enumerate() {
            nested(one, false, &field::index(&at("anyOf"), index), errors);
        }
    }
    for (index, one) in schema.all_of.iter().enumerate() {
        let path = field::index(&at("allOf"), index);
        nested(one, skip_first && index == 0, &path, errors);
    }
    for (index, one) in schema.one_of.iter().enumerate() {
        nested(one, false, &field::index(&at("oneOf"), index), errors);
    }
    if let Some(not) = &schema.not {
        nested(not, false, &at("not"), errors);
    }
    if let Err(why) = schema.pattern.regex() {
        let words = format!("must be a valid regular expression, but isn't: {why}");
        errors.push(Error::invalid(at("pattern"), &schema.pattern.text, words));
    }
}

fn nested(schema: &Structural, skip_any_of: bool, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    values(schema, skip_any_of, false, path, errors);
    if let Some(items) = schema.items() {
        nested(items, false, &at("items"), errors);
    }
    for (name, property) in &schema.properties {
        nested(property, false, &field::key(&at("properties"), name), errors);
    }
    for (there, name, state) in [
        (!schema.ty.is_empty(), "type", "empty"),
        (
            schema.additional_properties.is_some(),
            "additionalProperties",
            "undefined",
        ),
        (schema.default.is_some(), "default", "undefined"),
        (schema.title, "title", "empty"),
        (schema.description, "description", "empty"),
        (schema.nullable, "nullable", "false"),
        (
            schema.preserve_unknown(),
            "x-kubernetes-preserve-unknown-fields",
            "false",
        ),
        (schema.embedded, "x-kubernetes-embedded-resource", "false"),
        (schema.int_or_string, "x-kubernetes-int-or-string", "false"),
        (
            !schema.list_map_keys.is_empty(),
            "x-kubernetes-list-map-keys",
            "empty",
        ),
        (schema.list_type.is_some(), "x-kubernetes-list-type", "undefined"),
        (schema.map_type.is_some(), "x-kubernetes-map-type", "undefined"),
        (
            !schema.validations.is_empty(),
            "x-kubernetes-validations",
            "empty",
        ),
    ] {
        if there {
            errors.push(Error::forbidden(
                at(name),
                format!("must be {state} to be structural"),
            ));
        }
    }
    if schema.properties.contains_key("metadata") {
        let place = field::key(&at("properties"), "metadata");
        errors.push(Error::forbidden(
            place,
            "must not be specified in a nested context",
        ));
    }
}

/// What nested rules are about must be there outside of them.
fn complete_lists(rules: &Structural, schema: &Structural, place: &str, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    if let Some(not) = &rules.not {
        complete(not, Some(schema), place, &at("not"), errors);
    }
    for (word, list) in [
        ("allOf", &rules.all_of),
        ("anyOf", &rules.any_of),
        ("oneOf", &rules.one_of),
    ] {
        for (index, one) in list.iter().enumerate() {
            complete(one, Some(schema), place, &field::index(&at(word), index), errors);
        }
    }
}

fn complete(
    rules: &Structural,
    schema: Option<&Structural>,
    place: &str,
    path: &str,
    errors: &mut Vec<Error>,
) {
    let Some(schema) = schema else {
        errors.push(Error::required(place, format!("because it is defined in {path}")));
        return;
    };
    complete_lists(rules, schema, place, path, errors);
    let inner = |path: &str| field::child(path, "items");
    if let Some(items) = rules.items() {
        complete(items, schema.items(), &inner(place), &inner(path), errors);
    }
    for (name, property) in &rules.properties {
        let inner = |path: &str| field::key(&field::child(path, "properties"), name);
        complete(
            property,
            schema.properties.get(name),
            &inner(place),
            &inner(path),
            errors,
        );
    }
}
