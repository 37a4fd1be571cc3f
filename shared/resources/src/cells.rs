//! What the cells of many kinds share. A cell function decodes a small view, never the whole object.

use crate::{Cell, Column, duration};
use api::Object;
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// A column that is always shown.
pub(crate) const fn column(name: &'static str, kind: &'static str, description: &'static str) -> Column {
    Column {
        name,
        kind,
        format: "",
        priority: 0,
        description,
    }
}

/// A column that `-o wide` adds.
pub(crate) const fn wide(name: &'static str, description: &'static str) -> Column {
    Column {
        name,
        kind: "string",
        format: "",
        priority: 1,
        description,
    }
}

/// `NAME`.
pub(crate) const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    priority: 0,
    description: "Name of the object.",
};
/// `AGE`.
pub(crate) const AGE: Column = column("Age", "string", "Time since the object was created.");
/// `CREATED AT`, of kinds without columns of their own.
pub(crate) const CREATED: Column = column("Created At", "date", "When the object was created.");
/// `CONTAINERS` of workloads.
pub(crate) const CONTAINERS: Column = wide("Containers", "Names of the containers in the template.");
/// `IMAGES` of workloads.
pub(crate) const IMAGES: Column = wide("Images", "Images of the containers in the template.");
/// `SELECTOR`.
pub(crate) const SELECTOR: Column = wide("Selector", "The labels by which pods are chosen.");

/// Name and date of creation.
pub(crate) fn name_and_date(object: &Object, _: Timestamp) -> Vec<Cell> {
    let date = object
        .creation_timestamp()
        .map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    vec![name(object), Cell::Text(date.unwrap_or_default())]
}

/// The name.
pub(crate) fn name(object: &Object) -> Cell {
    text(object.name())
}

/// The age.
pub(crate) fn age(object: &Object, now: Timestamp) -> Cell {
    Cell::Text(duration::since(object.creation_timestamp(), now))
}

/// Text.
pub(crate) fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

/// Text, or what upstream prints for none.
pub(crate) fn or_none(text: &str) -> Cell {
    Cell::Text(if text.is_empty() { "<none>" } else { text }.to_owned())
}

/// The view, or an empty one: an object that is stored can be read.
pub(crate) fn view<T: serde::de::DeserializeOwned + Default>(object: &Object) -> T {
    object.view().unwrap_or_default()
}

/// Text, or what upstream prints for an unset field.
pub(crate) fn or_unset(text: Option<String>) -> Cell {
    Cell::Text(text.unwrap_or_else(|| "<unset>".to_owned()))
}

/// `True` or `False`.
pub(crate) fn truth(yes: bool) -> Cell {
    text(if yes { "True" } else { "False" })
}

/// How many.
pub(crate) fn count<T>(list: &[T]) -> Cell {
    Cell::Int(i64::try_from(list.len()).unwrap_or(i64::MAX))
}

/// `a=1,b=2`, or `<none>`.
pub(crate) fn labels(labels: &BTreeMap<String, String>) -> Cell {
    let list: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    or_none(&list.join(","))
}

/// At most three, then how many more.
pub(crate) fn three(list: &[String], none: &str) -> String {
    match list.len() {
        0 => none.to_owned(),
        1..=3 => list.join(","),
        n => format!("{} + {} more...", list[..3].join(","), n - 3),
    }
}

/// A condition.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ConditionView {
    /// What it says.
    pub r#type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
}

/// The addresses that a load balancer gave.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct BalancerView {
    ingress: Vec<PointView>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PointView {
    ip: String,
    hostname: String,
}

impl BalancerView {
    /// Addresses or host names, sorted.
    pub(crate) fn addresses(self) -> Vec<String> {
        let points = self.ingress.into_iter();
        let all = points.map(|point| {
            if point.ip.is_empty() {
                point.hostname
            } else {
                point.ip
            }
        });
        all.filter(|point| !point.is_empty())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }
}

/// Names and images of a template's containers.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct TemplateView {
    spec: TemplateSpec,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TemplateSpec {
    containers: Vec<ContainerView>,
    node_selector: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerView {
    name: String,
    image: String,
}

impl TemplateView {
    /// The labels of nodes.
    pub(crate) fn node_selector(&self) -> &BTreeMap<String, String> {
        &self.spec.node_selector
    }

    /// The two cells.
    pub(crate) fn cells(&self) -> [Cell; 2] {
        let join = |part: fn(&ContainerView) -> &str| {
            Cell::Text(
                self.spec
                    .containers
                    .iter()
                    .map(part)
                    .collect::<Vec<_>>()
                    .join(","),
            )
        };
        [join(|c| &c.name), join(|c| &c.image)]
    }
}

/// A label selector object, printed as `metav1.FormatLabelSelector` does.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct SelectorView {
    match_labels: BTreeMap<String, String>,
    match_expressions: Vec<ExpressionView>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ExpressionView {
    key: String,
    operator: String,
    values: Vec<String>,
}

impl SelectorView {
    /// The text, or `<none>`.
    pub(crate) fn cell(&self) -> Cell {
        let mut terms: Vec<String> = self
            .match_labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        terms.extend(self.match_expressions.iter().map(|e| {
            let mut values = e.values.clone();
            values.sort();
            let (key, values) = (&e.key, values.join(","));
            match e.operator.as_str() {
                "In" => format!("{key} in ({values})"),
                "NotIn" => format!("{key} notin ({values})"),
                "Exists" => key.clone(),
                _ => format!("!{key}"),
            }
        }));
        terms.sort();
        or_none(&terms.join(","))
    }
}
