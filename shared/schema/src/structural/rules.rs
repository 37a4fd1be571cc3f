//! The rules that a schema in a definition must keep, in upstream's words.

mod structure;

use super::prune::{Dropped, prune};
use super::{Additional, Instance, Items, Structural, expressions, validate};
use api::field::{self, Error};

const META: [&str; 3] = ["metadata", "kind", "apiVersion"];
const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const AT_ROOT: &str = "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength \
    MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example \
    XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the status subresource is enabled";

/// What holds where a schema stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// Why there may be no default.
    no_default: Option<&'a str>,
    /// Inside the metadata of an object.
    meta: bool,
    root: bool,
}

impl Structural {
    /// What is wrong with it as the schema of a version, at `path`; `status`: it has the subresource.
    pub fn check(&self, path: &str, status: bool) -> Vec<Error> {
        let mut errors = Vec::new();
        if status {
            self.check_root(path, &mut errors);
        }
        if self.nullable {
            let why = "nullable cannot be true at the root";
            errors.push(Error::forbidden(format!("{path}.nullable"), why));
        }
        let structural = structure::check(self, path);
        if structural.is_empty() {
            defaults(self, path, true, &mut errors);
        } else {
            errors.extend(structural);
        }
        let place = Place {
            no_default: None,
            meta: false,
            root: true,
        };
        node(self, path, place, &mut errors);
        if errors.is_empty() {
            errors = expressions::check(self, path);
        }
        errors
    }

    fn check_root(&self, path: &str, errors: &mut Vec<Error>) {
        if !self.ty.is_empty() && self.ty != "object" {
            let why = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
            errors.push(Error::invalid(format!("{path}.type"), &self.ty, why));
        }
        let more = self.default.is_some()
            || self.nullable
            || self.additional_properties.is_some()
            || self.not.is_some()
            || self.max_properties.is_some()
            || self.min_properties.is_some()
            || self.embedded
            || self.int_or_string
            || self.list_type.is_some()
            || self.map_type.is_some();
        let lists = [
            self.all_of.len(),
            self.any_of.len(),
            self.one_of.len(),
            self.choices.len(),
        ];
        if more || lists.iter().any(|size| *size > 0) {
            errors.push(Error::invalid(path, "", AT_ROOT));
        }
    }

    /// The formats in it that nobody checks, in the order of their paths.
    pub fn unknown_formats(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.visit(&mut |schema| {
            if !schema.format.is_empty() && !known_format(&schema.ty, &schema.format) {
                found.push(schema.format.clone());
            }
        });
        found
    }

    /// The types of the elements of sets that are no scalars.
    pub fn odd_sets(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.visit(&mut |schema| {
            let of = schema.items().map_or("", Structural::type_name);
            if schema.list_type() == "set" && matches!(of, "object" | "array") {
                found.push(of.to_owned());
            }
        });
        found.sort();
        found.dedup();
        found
    }

    fn visit(&self, look: &mut dyn FnMut(&Structural)) {
        look(self);
        let lists = [&self.all_of, &self.any_of, &self.one_of];
        let nested = lists.into_iter().flatten().chain(self.not.as_deref());
        let inner = self.items().into_iter().chain(self.additional());
        for schema in inner.chain(self.properties.values()).chain(nested) {
            schema.visit(look);
        }
    }
}

fn known_format(ty: &str, format: &str) -> bool {
    match ty {
        "" | "string" => super::formats::known(format),
        "integer" => ["int32", "int64"].contains(&format),
        "number" => ["float", "double"].contains(&format),
        _ => false,
    }
}

/// Defaults are of their own type, and would not be pruned.
fn defaults(schema: &Structural, path: &str, embedded: bool, errors: &mut Vec<Error>) {
    if let Some(default) = &schema.default {
        let place = field::child(path, "default");
        let mut pruned = default.clone();
        prune(
            &mut pruned,
            Some(schema),
            schema.embedded,
            &mut Dropped::default(),
        );
        if pruned != *default {
            errors.push(Error::invalid(&place, default, "must not have unknown fields"));
        }
        let mut value = default.clone();
        super::value::normalize(&mut value);
        errors.extend(validate::check(&place, &value, None, schema));
    }
    if let Some(items) = schema.items() {
        defaults(items, &field::child(path, "items"), items.embedded, errors);
    }
    for (name, property) in &schema.properties {
        if embedded && META.contains(&name.as_str()) {
            continue;
        }
        let path = field::key(&field::child(path, "properties"), name);
        defaults(property, &path, property.embedded, errors);
    }
    if let Some(additional) = schema.additional() {
        let path = field::child(path, "additionalProperties");
        defaults(additional, &path, additional.embedded, errors);
    }
}

fn node(schema: &Structural, path: &str, place: Place<'_>, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    unsupported(schema, path, place, errors);
    if schema.unique_items {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(Error::forbidden(at("uniqueItems"), why));
    }
    let below = Place { root: false, ..place };
    if let Some(additional) = &schema.additional_properties {
        if !schema.properties.is_empty() && *additional != Additional::Any(true) {
            let why = "additionalProperties and properties are mutual exclusive";
            errors.push(Error::forbidden(at("additionalProperties"), why));
        }
        if let Additional::Schema(additional) = additional {
            let inside = Place {
                no_default: if place.meta {
                    Some("inside additionalProperties applying to object metadata")
                } else {
                    place.no_default
                },
                ..below
            };
            node(additional, &at("additionalProperties"), inside, errors);
        }
    }
    for (name, property) in &schema.properties {
        let meta = (place.root || schema.embedded) && META.contains(&name.as_str());
        let reason = format!("in top-level {name}");
        let inside = Place {
            meta: place.meta || meta,
            no_default: if meta && place.root {
                Some(&reason)
            } else {
                place.no_default
            },
            root: false,
        };
        node(property, &field::key(&at("properties"), name), inside, errors);
    }
    if let Some(not) = &schema.not {
        node(not, &at("not"), below, errors);
    }
    for (word, list) in [
        ("allOf", &schema.all_of),
        ("oneOf", &schema.one_of),
        ("anyOf", &schema.any_of),
    ] {
        for (index, one) in list.iter().enumerate() {
            node(one, &field::index(&at(word), index), below, errors);
        }
    }
    if let Some(items) = schema.items() {
        node(items, &at("items"), below, errors);
    }
    extensions(schema, path, errors);
    map_keys(schema, path, errors);
    cel_rules(schema, path, errors);
}

fn unsupported(schema: &Structural, path: &str, place: Place<'_>, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    if !schema.ty.is_empty() && !TYPES.contains(&schema.ty.as_str()) {
        errors.push(Error::not_supported(at("type"), &schema.ty, &TYPES));
    }
    if let (Some(reason), true) = (place.no_default, schema.default.is_some()) {
        errors.push(Error::forbidden(
            at("default"),
            format!("must not be set {reason}"),
        ));
    }
    let each = matches!(schema.items, Some(Items::Each(count)) if count > 0);
    let embedded = place.meta && schema.embedded;
    for (there, name, why) in [
        (schema.id, "id", "id is not supported"),
        (
            schema.additional_items,
            "additionalItems",
            "additionalItems is not supported",
        ),
        (
            schema.pattern_properties,
            "patternProperties",
            "patternProperties is not supported",
        ),
        (schema.definitions, "definitions", "definitions is not supported"),
        (
            schema.dependencies,
            "dependencies",
            "dependencies is not supported",
        ),
        (schema.reference, "$ref", "$ref is not supported"),
        (
            schema.ty == "null",
            "type",
            "type cannot be set to null, use nullable as an alternative",
        ),
        (each, "items", "items must be a schema object and not an array"),
        (
            embedded,
            "x-kubernetes-embedded-resource",
            "must not be used inside of resource meta",
        ),
    ] {
        if there {
            errors.push(Error::forbidden(at(name), why));
        }
    }
}

/// The rules of the `x-kubernetes-` words but the list of keys.
fn extensions(schema: &Structural, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    if schema.preserve_unknown == Some(false) {
        let why = "must be true or undefined";
        errors.push(Error::invalid(
            at("x-kubernetes-preserve-unknown-fields"),
            false,
            why,
        ));
    }
    let mut of_type = |there: bool, ty: &str, word: &str| {
        if there && schema.ty != ty {
            let why = format!("must be {ty} if {word} is specified");
            errors.push(match schema.ty.as_str() {
                "" => Error::required(at("type"), why),
                other => Error::invalid(at("type"), other, why),
            });
        }
    };
    of_type(schema.map_type.is_some(), "object", "x-kubernetes-map-type");
    of_type(schema.list_type.is_some(), "array", "x-kubernetes-list-type");
    if let Some(ty) = schema
        .map_type
        .as_deref()
        .filter(|ty| !["atomic", "granular"].contains(ty))
    {
        errors.push(Error::not_supported(
            at("x-kubernetes-map-type"),
            ty,
            &["atomic", "granular"],
        ));
    }
    if schema.ty == "array"
        && schema.list_type() == "set"
        && let Some(items) = schema.items()
    {
        let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
        let inner = |name: &str| field::child(&at("items"), name);
        if items.ty == "array" && items.list_type() != "atomic" {
            errors.push(Error::invalid(
                inner("x-kubernetes-list-type"),
                &items.list_type,
                why,
            ));
        }
        if items.ty == "object" && items.map_type() != "atomic" {
            errors.push(Error::invalid(
                inner("x-kubernetes-map-type"),
                &items.list_type,
                why,
            ));
        }
    }
    let types = ["atomic", "set", "map"];
    if let Some(ty) = schema.list_type.as_deref().filter(|ty| !types.contains(ty)) {
        errors.push(Error::not_supported(at("x-kubernetes-list-type"), ty, &types));
    }
}

/// `x-kubernetes-list-map-keys`, and what elements of sets and maps may be.
fn map_keys(schema: &Structural, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    let keys = at("x-kubernetes-list-map-keys");
    if !schema.list_map_keys.is_empty() && schema.list_type.as_deref() != Some("map") {
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(match &schema.list_type {
            None => Error::required(at("x-kubernetes-list-type"), why),
            Some(ty) => Error::invalid(at("x-kubernetes-list-type"), ty, why),
        });
    }
    let Some(ty @ ("map" | "set")) = schema.list_type.as_deref() else {
        return;
    };
    if ty == "map" {
        if schema.list_map_keys.is_empty() {
            errors.push(Error::required(
                &keys,
                "must not be empty if x-kubernetes-list-type is map",
            ));
        }
        if schema.items.is_none() {
            let why = "must have a schema if x-kubernetes-list-type is map";
            errors.push(Error::required(at("items"), why));
        }
    }
    let Some(items) = schema.items() else { return };
    if ty == "map" && items.ty != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(Error::invalid(field::child(&at("items"), "type"), &items.ty, why));
    } else if ty == "map" {
        for (index, key) in schema.list_map_keys.iter().enumerate() {
            let place = |name| {
                let place = field::key(&field::child(&at("items"), "properties"), key);
                field::child(&place, name)
            };
            match items.properties.get(key) {
                Some(property) if ["array", "object"].contains(&property.ty.as_str()) => {
                    let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                    errors.push(Error::invalid(place("type"), &items.ty, why));
                }
                Some(_) => {}
                None => {
                    let why = "entries must all be names of item properties";
                    errors.push(Error::invalid(&keys, &schema.list_map_keys, why));
                }
            }
            if schema.list_map_keys[..index].contains(key) {
                let why = "must not contain duplicate entries";
                errors.push(Error::invalid(&keys, &schema.list_map_keys, why));
            }
        }
    }
    if items.nullable {
        let why = format!("cannot be nullable when x-kubernetes-list-type is {ty}");
        errors.push(Error::forbidden(field::child(&at("items"), "nullable"), why));
    }
    for key in schema.list_map_keys.iter().filter(|_| ty == "map") {
        let Some(property) = items.properties.get(key) else {
            continue;
        };
        let place = field::key(&field::child(&at("items"), "properties"), key);
        if !items.required.contains(key) && property.default.is_none() {
            let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(Error::required(field::child(&place, "default"), why));
        }
        if property.nullable {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(Error::forbidden(field::child(&place, "nullable"), why));
        }
    }
}

/// The form of the rules in CEL.
fn cel_rules(schema: &Structural, path: &str, errors: &mut Vec<Error>) {
    const REASONS: [&str; 4] = [
        "FieldValueDuplicate",
        "FieldValueForbidden",
        "FieldValueInvalid",
        "FieldValueRequired",
    ];
    let lines = |text: &str| text.contains(['\n', '\r']);
    for (index, rule) in schema.validations.iter().enumerate() {
        let place = field::index(&field::child(path, "x-kubernetes-validations"), index);
        let at = |name: &str| field::child(&place, name);
        let (text, message) = (rule.rule.trim(), rule.message.trim());
        if text.is_empty() {
            errors.push(Error::required(at("rule"), "rule is not specified"));
        } else if !rule.message.is_empty() && message.is_empty() {
            errors.push(Error::invalid(
                at("message"),
                &rule.message,
                "message must be non-empty if specified",
            ));
        } else if lines(message) {
            errors.push(Error::invalid(
                at("message"),
                &rule.message,
                "message must not contain line breaks",
            ));
        } else if lines(text) && message.is_empty() {
            let why = "message must be specified if rule contains line breaks";
            errors.push(Error::required(at("message"), why));
        }
        if !rule.message_expression.is_empty() && rule.message_expression.trim().is_empty() {
            let why = "messageExpression must be non-empty if specified";
            errors.push(Error::required(at("messageExpression"), why));
        }
        if !rule.reason.is_empty() && !REASONS.contains(&rule.reason.as_str()) {
            errors.push(Error::not_supported(at("reason"), &rule.reason, &REASONS));
        }
        if !rule.field_path.is_empty() && rule.field_path.trim().is_empty() {
            let why = "fieldPath must be non-empty if specified";
            errors.push(Error::invalid(at("fieldPath"), &rule.field_path, why));
        }
        if lines(&rule.field_path) {
            errors.push(Error::invalid(
                at("fieldPath"),
                &rule.field_path,
                "fieldPath must not contain line breaks",
            ));
        }
        if expressions::field_path(&rule.field_path, schema).is_none() {
            let why = "fieldPath must be a valid path";
            errors.push(Error::invalid(at("fieldPath"), &rule.field_path, why));
        }
    }
}

impl Structural {
    /// The schema at a simple path such as `.spec.size`; or what is wrong with the path.
    ///
    /// # Errors
    /// A field that the schema does not name.
    pub fn at(&self, path: &str) -> Result<&Structural, String> {
        let Some(names) = path.strip_prefix('.') else {
            return Err("expected [ or . but got: ".to_owned() + path.get(..1).unwrap_or_default());
        };
        names.split('.').try_fold(self, |schema, name| {
            schema
                .property(name)
                .ok_or_else(|| format!("does not refer to a valid field: {name}"))
        })
    }

    /// An object that holds nothing, with this schema's defaults.
    pub fn empty(&self) -> Option<Instance> {
        let shaped = Instance::parse(b"{}").ok()?.shaped(Some(self), false).ok()?;
        Some(shaped.instance)
    }
}

impl Structural {
    /// What is not structural about it.
    pub fn structural_errors(&self, path: &str) -> Vec<Error> {
        structure::check(self, path)
    }
}
