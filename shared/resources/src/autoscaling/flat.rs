//! Metrics in the flat shape of autoscaling/v1, which stands in annotations.

use k8s_openapi::{
    api::autoscaling::v2::{
        ContainerResourceMetricSource, ContainerResourceMetricStatus, CrossVersionObjectReference,
        ExternalMetricSource, ExternalMetricStatus, MetricIdentifier, MetricSpec, MetricStatus, MetricTarget,
        MetricValueStatus, ObjectMetricSource, ObjectMetricStatus, PodsMetricSource, PodsMetricStatus,
        ResourceMetricSource, ResourceMetricStatus,
    },
    apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::LabelSelector},
};
use serde::{Deserialize, Serialize};

/// A metric spec or status.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metric {
    #[serde(rename = "type")]
    kind: String,
    object: Option<Source>,
    pods: Option<Source>,
    resource: Option<Source>,
    container_resource: Option<Source>,
    external: Option<Source>,
}

/// The fields of all sources; each uses some of them.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
struct Source {
    name: String,
    container: String,
    target: Option<CrossVersionObjectReference>,
    metric_name: String,
    #[serde(alias = "metricSelector")]
    selector: Option<LabelSelector>,
    target_average_utilization: Option<i32>,
    target_average_value: Option<Quantity>,
    target_value: Option<Quantity>,
    average_value: Option<Quantity>,
    current_average_utilization: Option<i32>,
    current_average_value: Option<Quantity>,
    current_value: Option<Quantity>,
}

impl Source {
    fn metric(&self) -> MetricIdentifier {
        MetricIdentifier {
            name: self.metric_name.clone(),
            selector: self.selector.clone(),
        }
    }

    fn named(metric: MetricIdentifier) -> Self {
        Self {
            metric_name: metric.name,
            selector: metric.selector,
            ..Self::default()
        }
    }

    fn wish(self) -> MetricTarget {
        let average_value = self.target_average_value.or(self.average_value);
        let kind = match (&self.target_average_utilization, &average_value) {
            (Some(_), _) => "Utilization",
            (None, Some(_)) => "AverageValue",
            (None, None) => "Value",
        };
        let value = self.target_value.filter(|_| kind == "Value");
        MetricTarget {
            type_: kind.to_owned(),
            average_utilization: self.target_average_utilization,
            average_value,
            value,
        }
    }

    fn with_wish(mut self, target: MetricTarget) -> Self {
        self.target_average_utilization = target.average_utilization;
        self.target_average_value = target.average_value;
        self.target_value = target.value;
        self
    }

    fn measured(self) -> MetricValueStatus {
        MetricValueStatus {
            average_utilization: self.current_average_utilization,
            average_value: self.current_average_value.or(self.average_value),
            value: self.current_value,
        }
    }

    fn with_measured(mut self, current: MetricValueStatus) -> Self {
        self.current_average_utilization = current.average_utilization;
        self.current_average_value = current.average_value;
        self.current_value = current.value;
        self
    }
}

impl Metric {
    /// As v2.
    pub(super) fn into_spec(self) -> MetricSpec {
        MetricSpec {
            type_: self.kind,
            object: self.object.map(|s| ObjectMetricSource {
                described_object: s.target.clone().unwrap_or_default(),
                metric: s.metric(),
                target: s.wish(),
            }),
            pods: self.pods.map(|s| PodsMetricSource {
                metric: s.metric(),
                target: s.wish(),
            }),
            resource: self.resource.map(|s| ResourceMetricSource {
                name: s.name.clone(),
                target: s.wish(),
            }),
            container_resource: self.container_resource.map(|s| ContainerResourceMetricSource {
                container: s.container.clone(),
                name: s.name.clone(),
                target: s.wish(),
            }),
            external: self.external.map(|s| ExternalMetricSource {
                metric: s.metric(),
                target: s.wish(),
            }),
        }
    }

    /// From v2.
    pub(super) fn of_spec(spec: MetricSpec) -> Self {
        let named = |name: String, container: String| Source {
            name,
            container,
            ..Source::default()
        };
        Self {
            kind: spec.type_,
            object: spec.object.map(|s| {
                let source = Source {
                    target: Some(s.described_object),
                    ..Source::named(s.metric)
                };
                let mut source = source.with_wish(s.target);
                source.average_value = source.target_average_value.take();
                source
            }),
            pods: spec.pods.map(|s| Source::named(s.metric).with_wish(s.target)),
            resource: spec
                .resource
                .map(|s| named(s.name, String::new()).with_wish(s.target)),
            container_resource: spec
                .container_resource
                .map(|s| named(s.name, s.container).with_wish(s.target)),
            external: spec.external.map(|s| Source::named(s.metric).with_wish(s.target)),
        }
    }

    /// As v2.
    pub(super) fn into_status(self) -> MetricStatus {
        MetricStatus {
            type_: self.kind,
            object: self.object.map(|s| ObjectMetricStatus {
                described_object: s.target.clone().unwrap_or_default(),
                metric: s.metric(),
                current: s.measured(),
            }),
            pods: self.pods.map(|s| PodsMetricStatus {
                metric: s.metric(),
                current: s.measured(),
            }),
            resource: self.resource.map(|s| ResourceMetricStatus {
                name: s.name.clone(),
                current: s.measured(),
            }),
            container_resource: self.container_resource.map(|s| ContainerResourceMetricStatus {
                container: s.container.clone(),
                name: s.name.clone(),
                current: s.measured(),
            }),
            external: self.external.map(|s| ExternalMetricStatus {
                metric: s.metric(),
                current: s.measured(),
            }),
        }
    }

    /// From v2.
    pub(super) fn of_status(status: MetricStatus) -> Self {
        let named = |name: String, container: String| Source {
            name,
            container,
            ..Source::default()
        };
        Self {
            kind: status.type_,
            object: status.object.map(|s| {
                let source = Source {
                    target: Some(s.described_object),
                    ..Source::named(s.metric)
                };
                let mut source = source.with_measured(s.current);
                source.average_value = source.current_average_value.take();
                source
            }),
            pods: status
                .pods
                .map(|s| Source::named(s.metric).with_measured(s.current)),
            resource: status
                .resource
                .map(|s| named(s.name, String::new()).with_measured(s.current)),
            container_resource: status
                .container_resource
                .map(|s| named(s.name, s.container).with_measured(s.current)),
            external: status
                .external
                .map(|s| Source::named(s.metric).with_measured(s.current)),
        }
    }
}
