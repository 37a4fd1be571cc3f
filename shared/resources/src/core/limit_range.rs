//! LimitRange.

use crate::{
    Row, meta, names, rules,
    write::{Kind, write},
};
use api::{field, field::Error};
use k8s_openapi::{
    api::core::v1::{LimitRange, LimitRangeItem},
    apimachinery::pkg::api::resource::Quantity,
};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) static ROW: Row = Row {
    short_names: &["limits"],
    prefix: "/registry/limitranges",
    create_on_update: true,
    ..Row::usual("", "LimitRange", "limitranges", "limitrange", write::<LimitRange>)
};

impl Kind for LimitRange {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        for item in self
            .spec
            .get_or_insert_default()
            .limits
            .iter_mut()
            .filter(|item| item.type_ == "Container")
        {
            // A limit is the default limit, a default limit or a minimum the default request.
            let default = item.default.get_or_insert_default();
            for (name, max) in item.max.iter().flatten() {
                default.entry(name.clone()).or_insert_with(|| max.clone());
            }
            let request = item.default_request.get_or_insert_default();
            for (name, value) in default.iter().chain(item.min.iter().flatten()) {
                request.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let Some(spec) = &self.spec else { return };
        let mut seen = BTreeSet::new();
        for (i, item) in spec.limits.iter().enumerate() {
            let path = field::index("spec.limits", i);
            let kind = field::child(&path, "type");
            let words = names::qualified_name(&item.type_);
            let standard = ["Container", "PersistentVolumeClaim", "Pod"].contains(&item.type_.as_str());
            if words.is_empty() && !standard && !item.type_.contains('/') {
                let why = "must be a standard limit type or fully qualified";
                errors.push(Error::invalid(&kind, &item.type_, why));
            }
            meta::invalid(errors, &kind, &item.type_, words);
            if !seen.insert(&item.type_) {
                errors.push(Error::duplicate(kind, &item.type_));
            }
            validate_item(item, &path, errors);
        }
    }
}

type List = Option<BTreeMap<String, Quantity>>;

fn validate_item(item: &LimitRangeItem, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    if item.type_ == "Pod" {
        for (name, list) in [
            ("default", &item.default),
            ("defaultRequest", &item.default_request),
        ] {
            if list.as_ref().is_some_and(|list| !list.is_empty()) {
                let why = "may not be specified when `type` is 'Pod'";
                errors.push(Error::forbidden(at(name), why));
            }
        }
    }
    if item.type_ == "PersistentVolumeClaim" {
        let storage = |list: &List| list.as_ref().is_some_and(|list| list.contains_key("storage"));
        if !storage(&item.min) && !storage(&item.max) {
            let why = "either minimum or maximum storage value is required, but neither was provided";
            errors.push(Error::required(at("limits"), why));
        }
    }
    // What must not be greater than what, and the field that is to blame.
    let order = [
        ("min", &item.min, "min value", &item.max, "max value"),
        (
            "defaultRequest",
            &item.min,
            "min value",
            &item.default_request,
            "default request value",
        ),
        (
            "defaultRequest",
            &item.default_request,
            "default request value",
            &item.max,
            "max value",
        ),
        (
            "defaultRequest",
            &item.default_request,
            "default request value",
            &item.default,
            "default limit value",
        ),
        ("default", &item.min, "min value", &item.default, "default value"),
        ("default", &item.default, "default value", &item.max, "max value"),
    ];
    for (blamed, low, low_words, high, high_words) in order {
        for (name, low) in low.iter().flatten() {
            let Some(high) = high.as_ref().and_then(|list| list.get(name)) else {
                continue;
            };
            if rules::parse(low) > rules::parse(high) {
                let why = format!("{low_words} {} is greater than {high_words} {}", low.0, high.0);
                errors.push(Error::invalid(field::key(&at(blamed), name), low, why));
            }
        }
    }
    for (name, ratio) in item.max_limit_request_ratio.iter().flatten() {
        if rules::parse(ratio).is_some_and(|ratio| ratio < api::Quantity::from_int(1)) {
            let why = format!("ratio {} is less than 1", ratio.0);
            errors.push(Error::invalid(
                field::key(&at("maxLimitRequestRatio"), name),
                ratio,
                why,
            ));
        }
    }
}
