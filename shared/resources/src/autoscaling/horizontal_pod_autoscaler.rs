//! HorizontalPodAutoscaler: stored as v2, served as v2 and v1.

use super::v1;
use crate::{
    Cell, Row, STATUS, Version, WriteRequest, cells, encode, rules,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{
    HPAScalingPolicy, HPAScalingRules, HorizontalPodAutoscaler, HorizontalPodAutoscalerStatus, MetricSpec,
    MetricTarget, ResourceMetricSource,
};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    short_names: &["hpa"],
    categories: &["all"],
    versions: &[
        Version::same("v2"),
        Version {
            group: None,
            name: "v1",
            to_hub: Some(v1::to_hub),
            from_hub: Some(v1::from_hub),
        },
    ],
    hub: "v2",
    prefix: "/registry/horizontalpodautoscalers",
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("Reference", "string", "What is scaled."),
        cells::column("Targets", "string", "Metrics: measured and wished."),
        cells::column("MinPods", "string", "The fewest pods."),
        cells::column("MaxPods", "string", "The most pods."),
        cells::column("Replicas", "string", "Pods that were seen last."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "autoscaling",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        "horizontalpodautoscaler",
        write::<HorizontalPodAutoscaler>,
    )
};

impl Kind for HorizontalPodAutoscaler {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        self.spec.min_replicas.get_or_insert(1);
        let metrics = self.spec.metrics.get_or_insert_default();
        if metrics.is_empty() {
            metrics.push(cpu(80));
        }
        if let Some(behavior) = &mut self.spec.behavior {
            // Upstream's generous way up and patient way down.
            let up = [("Pods", 4, 15), ("Percent", 100, 15)];
            default_rules(behavior.scale_up.get_or_insert_default(), &up, Some(0));
            default_rules(
                behavior.scale_down.get_or_insert_default(),
                &[("Percent", 100, 15)],
                None,
            );
        }
        self.status
            .get_or_insert_default()
            .current_replicas
            .take_if(|count| *count == 0);
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(HorizontalPodAutoscalerStatus::default());
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec = old.spec.clone();
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let spec = &self.spec;
        let minimum = spec.min_replicas.unwrap_or_default();
        rules::count("spec.minReplicas", Some(minimum), errors);
        if spec.max_replicas < 1 {
            errors.push(Error::invalid(
                "spec.maxReplicas",
                spec.max_replicas,
                "must be greater than 0",
            ));
        } else if spec.max_replicas < minimum {
            let why = "must be greater than or equal to `minReplicas`";
            errors.push(Error::invalid("spec.maxReplicas", spec.max_replicas, why));
        }
        for (name, value) in [
            ("kind", &spec.scale_target_ref.kind),
            ("name", &spec.scale_target_ref.name),
        ] {
            if value.is_empty() {
                errors.push(Error::required(field::child("spec.scaleTargetRef", name), ""));
            }
        }
        for (i, metric) in spec.metrics.iter().flatten().enumerate() {
            validate_metric(metric, &field::index("spec.metrics", i), errors);
        }
        // Where no pod is, only others can tell that one is needed.
        let mut metrics = spec.metrics.iter().flatten();
        if minimum == 0 && !metrics.any(|metric| matches!(&*metric.type_, "Object" | "External")) {
            let why =
                "must specify at least one Object or External metric to support scaling to zero replicas";
            errors.push(Error::forbidden("spec.metrics", why));
        }
    }
}

/// A metric: CPU at `percent` of what the pods request.
pub(super) fn cpu(percent: i32) -> MetricSpec {
    let target = MetricTarget {
        type_: "Utilization".to_owned(),
        average_utilization: Some(percent),
        ..MetricTarget::default()
    };
    MetricSpec {
        type_: "Resource".to_owned(),
        resource: Some(ResourceMetricSource {
            name: "cpu".to_owned(),
            target,
        }),
        ..MetricSpec::default()
    }
}

fn default_rules(rules: &mut HPAScalingRules, policies: &[(&str, i32, i32)], window: Option<i32>) {
    rules.select_policy.get_or_insert_with(|| "Max".to_owned());
    rules.stabilization_window_seconds = rules.stabilization_window_seconds.or(window);
    let list = rules.policies.get_or_insert_default();
    if list.is_empty() {
        list.extend(
            policies
                .iter()
                .map(|&(kind, value, period_seconds)| HPAScalingPolicy {
                    type_: kind.to_owned(),
                    value,
                    period_seconds,
                }),
        );
    }
}

/// The target of the source that the metric's type names, and where it stands.
fn target(metric: &MetricSpec) -> Option<(&'static str, &MetricTarget)> {
    match metric.type_.as_str() {
        "Resource" => metric
            .resource
            .as_ref()
            .map(|source| ("resource", &source.target)),
        "ContainerResource" => metric
            .container_resource
            .as_ref()
            .map(|source| ("containerResource", &source.target)),
        "Pods" => metric.pods.as_ref().map(|source| ("pods", &source.target)),
        "Object" => metric.object.as_ref().map(|source| ("object", &source.target)),
        "External" => metric
            .external
            .as_ref()
            .map(|source| ("external", &source.target)),
        _ => None,
    }
}

fn validate_metric(metric: &MetricSpec, path: &str, errors: &mut Vec<Error>) {
    let kinds = ["ContainerResource", "External", "Object", "Pods", "Resource"];
    if metric.type_.is_empty() {
        errors.push(Error::required(
            field::child(path, "type"),
            "must specify a metric source type",
        ));
        return;
    }
    if !kinds.contains(&metric.type_.as_str()) {
        errors.push(Error::not_supported(
            field::child(path, "type"),
            &metric.type_,
            &kinds,
        ));
        return;
    }
    let Some((name, target)) = target(metric) else {
        let mut name = metric.type_.clone();
        name[..1].make_ascii_lowercase();
        let why = "must populate information for the given metric source";
        errors.push(Error::required(field::child(path, &name), why));
        return;
    };
    let path = field::child(&field::child(path, name), "target");
    if !["Utilization", "Value", "AverageValue"].contains(&target.type_.as_str()) {
        let why = "must be either Utilization, Value, or AverageValue";
        errors.push(Error::invalid(field::child(&path, "type"), &target.type_, why));
    }
    if let Some(percent) = target.average_utilization
        && percent < 1
    {
        let why = "must be greater than 0";
        errors.push(Error::invalid(
            field::child(&path, "averageUtilization"),
            percent,
            why,
        ));
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
    status: StatusView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpecView {
    scale_target_ref: RefView,
    min_replicas: Option<i64>,
    max_replicas: i64,
    metrics: Vec<MetricView>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RefView {
    kind: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusView {
    current_replicas: i64,
    current_metrics: Vec<MetricView>,
}

/// A metric's wish (`target`) or what was measured (`current`), whatever its source.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MetricView {
    r#type: String,
    resource: Option<SourceView>,
    container_resource: Option<SourceView>,
    pods: Option<SourceView>,
    object: Option<SourceView>,
    external: Option<SourceView>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SourceView {
    name: String,
    target: ValueView,
    current: ValueView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ValueView {
    average_utilization: Option<i64>,
    average_value: Option<String>,
    value: Option<String>,
}

impl MetricView {
    fn source(&self) -> Option<&SourceView> {
        match self.r#type.as_str() {
            "Resource" => self.resource.as_ref(),
            "ContainerResource" => self.container_resource.as_ref(),
            "Pods" => self.pods.as_ref(),
            "Object" => self.object.as_ref(),
            "External" => self.external.as_ref(),
            _ => None,
        }
    }

    fn text(&self, status: Option<&Self>) -> String {
        let Some(wished) = self.source() else {
            return "<unknown type>".to_owned();
        };
        let measured = status.and_then(Self::source).map(|source| &source.current);
        let unknown = || "<unknown>".to_owned();
        let percent = |percent: i64| format!("{percent}%");
        let target = &wished.target;
        let by_name = matches!(self.r#type.as_str(), "Resource" | "ContainerResource");
        if by_name {
            let name = &wished.name;
            if let Some(value) = &target.average_value {
                let current = measured
                    .and_then(|m| m.average_value.clone())
                    .unwrap_or_else(unknown);
                return format!("{name}: {current}/{value}");
            }
            let current = measured
                .and_then(|m| m.average_utilization)
                .map_or_else(unknown, percent);
            let wished = target
                .average_utilization
                .map_or_else(|| "<auto>".to_owned(), percent);
            return format!("{name}: {current}/{wished}");
        }
        let suffix = if self.r#type == "Pods" { "" } else { " (avg)" };
        if let Some(value) = &target.average_value {
            let current = measured
                .and_then(|m| m.average_value.clone())
                .unwrap_or_else(unknown);
            return format!("{current}/{value}{suffix}");
        }
        let current = measured.and_then(|m| m.value.clone()).unwrap_or_else(unknown);
        format!("{current}/{}", target.value.as_deref().unwrap_or_default())
    }
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let measured = &status.current_metrics;
    let mut list: Vec<String> = spec
        .metrics
        .iter()
        .enumerate()
        .map(|(i, m)| m.text(measured.get(i)))
        .collect();
    let more = list.len().saturating_sub(2);
    list.truncate(2);
    let targets = match (list.is_empty(), more) {
        (true, _) => "<none>".to_owned(),
        (false, 0) => list.join(", "),
        (false, more) => format!("{} + {more} more...", list.join(", ")),
    };
    vec![
        cells::name(object),
        Cell::Text(format!(
            "{}/{}",
            spec.scale_target_ref.kind, spec.scale_target_ref.name
        )),
        Cell::Text(targets),
        Cell::Text(
            spec.min_replicas
                .map_or_else(|| "<unset>".to_owned(), |n| n.to_string()),
        ),
        Cell::Int(spec.max_replicas),
        Cell::Int(status.current_replicas),
        cells::age(object, now),
    ]
}
