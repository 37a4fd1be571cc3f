//! autoscaling/v1: CPU only; what else v2 knows travels in annotations.

use super::{flat::Metric, horizontal_pod_autoscaler::cpu};
use crate::{encode, write};
use api::Status;
use k8s_openapi::{
    api::autoscaling::{
        v1::{
            CrossVersionObjectReference, HorizontalPodAutoscaler as V1,
            HorizontalPodAutoscalerSpec as V1Spec, HorizontalPodAutoscalerStatus as V1Status,
        },
        v2::{
            CrossVersionObjectReference as Reference, HorizontalPodAutoscaler as V2,
            HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus, MetricSpec, MetricStatus,
            MetricValueStatus, ResourceMetricStatus,
        },
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::{Serialize, de::DeserializeOwned};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// From v1 to v2.
pub(super) fn to_hub(body: &[u8]) -> Result<Vec<u8>, Status> {
    let V1 {
        mut metadata,
        spec,
        status,
    } = write::decode(body)?;
    let mut metrics: Vec<MetricSpec> = taken::<Vec<Metric>>(&mut metadata, METRICS)
        .unwrap_or_default()
        .into_iter()
        .map(Metric::into_spec)
        .collect();
    metrics.extend(spec.target_cpu_utilization_percentage.map(cpu));
    let target = spec.scale_target_ref;
    let measured = taken::<Vec<Metric>>(&mut metadata, CURRENT).unwrap_or_default();
    let conditions = taken(&mut metadata, CONDITIONS);
    let behavior = taken(&mut metadata, BEHAVIOR);
    let status = status.map(|status| {
        let mut current: Vec<MetricStatus> = measured.into_iter().map(Metric::into_status).collect();
        current.extend(status.current_cpu_utilization_percentage.map(cpu_status));
        HorizontalPodAutoscalerStatus {
            conditions,
            current_metrics: Some(current),
            current_replicas: Some(status.current_replicas).filter(|&count| count != 0),
            desired_replicas: status.desired_replicas,
            last_scale_time: status.last_scale_time,
            observed_generation: status.observed_generation,
        }
    });
    encode::canonical(&V2 {
        metadata,
        spec: HorizontalPodAutoscalerSpec {
            behavior,
            max_replicas: spec.max_replicas,
            metrics: Some(metrics),
            min_replicas: spec.min_replicas,
            scale_target_ref: Reference {
                api_version: target.api_version,
                kind: target.kind,
                name: target.name,
            },
        },
        status,
    })
}

/// From v2 to v1.
pub(super) fn from_hub(body: &[u8]) -> Result<Vec<u8>, Status> {
    let V2 {
        mut metadata,
        spec,
        status,
    } = write::decode(body)?;
    let (mut percent, mut metrics) = (None, Vec::new());
    for metric in spec.metrics.into_iter().flatten() {
        match cpu_percent(&metric) {
            Some(cpu) if percent.is_none() => percent = Some(cpu),
            _ => metrics.push(Metric::of_spec(metric)),
        }
    }
    put(&mut metadata, METRICS, (!metrics.is_empty()).then_some(&metrics))?;
    put(&mut metadata, BEHAVIOR, spec.behavior.as_ref())?;
    let status = match status {
        None => None,
        Some(status) => {
            let (mut used, mut measured) = (None, Vec::new());
            for metric in status.current_metrics.into_iter().flatten() {
                match cpu_used(&metric) {
                    Some(cpu) if used.is_none() => used = Some(cpu),
                    _ => measured.push(Metric::of_status(metric)),
                }
            }
            put(
                &mut metadata,
                CURRENT,
                (!measured.is_empty()).then_some(&measured),
            )?;
            put(
                &mut metadata,
                CONDITIONS,
                status.conditions.as_ref().filter(|list| !list.is_empty()),
            )?;
            Some(V1Status {
                current_cpu_utilization_percentage: used,
                current_replicas: status.current_replicas.unwrap_or_default(),
                desired_replicas: status.desired_replicas,
                last_scale_time: status.last_scale_time,
                observed_generation: status.observed_generation,
            })
        }
    };
    let target = spec.scale_target_ref;
    let scale_target_ref = CrossVersionObjectReference {
        api_version: target.api_version,
        kind: target.kind,
        name: target.name,
    };
    encode::canonical(&V1 {
        metadata,
        spec: V1Spec {
            max_replicas: spec.max_replicas,
            min_replicas: spec.min_replicas,
            scale_target_ref,
            target_cpu_utilization_percentage: percent,
        },
        status,
    })
}

/// Takes an annotation that holds JSON; text that cannot be read is dropped, as upstream does.
fn taken<T: DeserializeOwned>(metadata: &mut ObjectMeta, key: &str) -> Option<T> {
    let text = metadata.annotations.as_mut()?.remove(key)?;
    serde_json::from_str(&text).ok()
}

fn put<T: Serialize>(metadata: &mut ObjectMeta, key: &str, value: Option<&T>) -> Result<(), Status> {
    if let Some(value) = value {
        let text = String::from_utf8(encode::canonical(value)?).map_err(Status::internal)?;
        metadata
            .annotations
            .get_or_insert_default()
            .insert(key.to_owned(), text);
    }
    Ok(())
}

fn cpu_percent(metric: &MetricSpec) -> Option<i32> {
    let source = metric.resource.as_ref().filter(|_| metric.type_ == "Resource")?;
    source.target.average_utilization.filter(|_| source.name == "cpu")
}

fn cpu_used(metric: &MetricStatus) -> Option<i32> {
    let source = metric.resource.as_ref().filter(|_| metric.type_ == "Resource")?;
    // An average value beside the percentage has no place in v1.
    let only = source.name == "cpu" && source.current.average_value.is_none();
    source.current.average_utilization.filter(|_| only)
}

fn cpu_status(percent: i32) -> MetricStatus {
    let current = MetricValueStatus {
        average_utilization: Some(percent),
        ..MetricValueStatus::default()
    };
    MetricStatus {
        type_: "Resource".to_owned(),
        resource: Some(ResourceMetricStatus {
            name: "cpu".to_owned(),
            current,
        }),
        ..MetricStatus::default()
    }
}
