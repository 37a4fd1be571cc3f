//! `matchConditions` of an authorization webhook: about which requests it is asked, by expressions over the review.
#![expect(clippy::disallowed_types, reason = "expressions read JSON values")]

use super::review;
use crate::security::Attributes;
use api::field::{self, Error};
use cel::{
    Bindings, Budget, Environment, MATCH_CONDITIONS_BUDGET, Program, Shape, Type, Value,
    admission::{Wanted, compile},
};
use serde_json::{Value as Json, json};
use std::sync::{Arc, LazyLock};

/// More conditions than this are none.
const MOST: usize = 64;

/// The shape of `request`.
static REQUEST: LazyLock<Arc<Shape>> = LazyLock::new(|| {
    let texts = || Type::list(Type::String);
    let strings = |names: &'static [&'static str]| names.iter().map(|name| (*name, Type::String));
    let requirement = Shape::object_of(
        "kubernetes.SelectorRequirement",
        strings(&["key", "operator"]).chain([("values", texts())]),
    );
    let selector = |name: &str| {
        let requirements = Type::list(requirement.of_type());
        Shape::object_of(
            name,
            strings(&["rawSelector"]).chain([("requirements", requirements)]),
        )
    };
    let resource = Shape::object_of(
        "kubernetes.ResourceAttributes",
        strings(&[
            "namespace",
            "verb",
            "group",
            "version",
            "resource",
            "subresource",
            "name",
        ])
        .chain([
            (
                "fieldSelector",
                selector("kubernetes.FieldSelectorAttributes").of_type(),
            ),
            (
                "labelSelector",
                selector("kubernetes.LabelSelectorAttributes").of_type(),
            ),
        ]),
    );
    let path = Shape::object_of("kubernetes.NonResourceAttributes", strings(&["path", "verb"]));
    Shape::object_of(
        "kubernetes.SubjectAccessReviewSpec",
        strings(&["user", "uid"]).chain([
            ("resourceAttributes", resource.of_type()),
            ("nonResourceAttributes", path.of_type()),
            ("groups", texts()),
            ("extra", Type::map(Type::String, texts())),
        ]),
    )
});

/// The conditions of a webhook.
#[derive(Debug, Default)]
pub struct Conditions(Vec<(String, Program)>);

impl Conditions {
    /// Compiles the expressions that stand at `path`.
    ///
    /// # Errors
    /// What is wrong with which.
    pub fn compile(expressions: &[String], path: &str) -> Result<Self, Vec<Error>> {
        let list = field::child(path, "matchConditions");
        if expressions.len() > MOST {
            let mut error =
                Error::invalid(list, expressions.len(), format!("must have at most {MOST} items"));
            error.kind = field::ErrorType::TooMany;
            return Err(vec![error]);
        }
        let environment = Environment::kubernetes().variable("request", REQUEST.of_type());
        let (mut made, mut errors): (Vec<(String, Program)>, Vec<Error>) = Default::default();
        for (at, source) in expressions.iter().enumerate() {
            let place = field::child(&field::index(&list, at), "expression");
            if source.trim().is_empty() {
                errors.push(Error::required(place, ""));
            } else if expressions[..at].contains(source) {
                errors.push(Error::duplicate(place, source));
            } else {
                match compile(source, &environment, Wanted::Bool) {
                    Ok(program) => made.push((source.clone(), program)),
                    Err(why) => errors.push(Error::invalid(place, source, why)),
                }
            }
        }
        match errors.is_empty() {
            true => Ok(Self(made)),
            false => Err(errors),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all hold: one that does not excludes the request, whatever others fail of.
    ///
    /// # Errors
    /// None excludes it, and some failed.
    pub(super) fn hold(&self, asked: &Attributes) -> Result<bool, String> {
        let request = described(asked);
        let bindings = Bindings::new().with("request", Value::json(&request, Some(&REQUEST)));
        let mut budget = Budget::new(MATCH_CONDITIONS_BUDGET);
        let mut failed = Vec::new();
        for (source, program) in &self.0 {
            match program.evaluate(&bindings, &mut budget) {
                Ok(value) if value.as_bool() == Some(false) => return Ok(false),
                Ok(value) if value.as_bool() == Some(true) => {}
                Ok(_) => failed.push(format!(
                    "cel evaluation error: expression '{source}' eval result type should be bool"
                )),
                Err(why) => failed.push(format!(
                    "cel evaluation error: expression '{source}' resulted in error: {why}"
                )),
            }
        }
        match failed.as_slice() {
            [] => Ok(true),
            [only] => Err(only.clone()),
            many => Err(format!("[{}]", many.join(", "))),
        }
    }
}

/// The request with all its texts, also those that are empty.
fn described(asked: &Attributes) -> Json {
    let user = &asked.user;
    let mut made = json!({"user": user.name, "groups": user.groups, "uid": user.uid, "extra": user.extra});
    if !asked.is_resource {
        made["nonResourceAttributes"] = json!({"path": asked.path, "verb": asked.verb});
        return made;
    }
    let mut resource = json!({
        "namespace": asked.namespace,
        "verb": asked.verb,
        "group": asked.group,
        "version": asked.version,
        "resource": asked.resource,
        "subresource": asked.subresource,
        "name": asked.name,
    });
    if let Some(selectors) = asked.selectors.as_deref() {
        let parts = [
            ("fieldSelector", review::fields(selectors)),
            ("labelSelector", review::labels(selectors)),
        ];
        for (name, selected) in parts {
            if let Some(selected) = selected {
                resource[name] = json!(selected);
            }
        }
    }
    made["resourceAttributes"] = resource;
    made
}
