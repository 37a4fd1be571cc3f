//! events.k8s.io/v1: the same Events under other field names.

use crate::{encode, write};
use api::Status;
use k8s_openapi::api::{
    core::v1::{Event as Core, EventSeries as CoreSeries},
    events::v1::{Event, EventSeries},
};

/// From events.k8s.io/v1 to core/v1.
pub(crate) fn to_hub(body: &[u8]) -> Result<Vec<u8>, Status> {
    let event: Event = write::decode(body)?;
    encode::canonical(&Core {
        action: event.action,
        count: event.deprecated_count,
        event_time: event.event_time,
        first_timestamp: event.deprecated_first_timestamp,
        involved_object: event.regarding.unwrap_or_default(),
        last_timestamp: event.deprecated_last_timestamp,
        message: event.note,
        metadata: event.metadata,
        reason: event.reason,
        related: event.related,
        reporting_component: Some(event.reporting_controller.unwrap_or_default()),
        reporting_instance: Some(event.reporting_instance.unwrap_or_default()),
        series: event.series.map(|series| CoreSeries {
            count: Some(series.count),
            last_observed_time: Some(series.last_observed_time),
        }),
        source: event.deprecated_source,
        type_: event.type_,
    })
}

/// From core/v1 to events.k8s.io/v1.
pub(crate) fn from_hub(body: &[u8]) -> Result<Vec<u8>, Status> {
    let event: Core = write::decode(body)?;
    encode::canonical(&Event {
        action: event.action,
        deprecated_count: event.count,
        deprecated_first_timestamp: event.first_timestamp,
        deprecated_last_timestamp: event.last_timestamp,
        deprecated_source: event.source,
        event_time: event.event_time,
        metadata: event.metadata,
        note: event.message,
        reason: event.reason,
        regarding: Some(event.involved_object),
        related: event.related,
        reporting_controller: event.reporting_component,
        reporting_instance: event.reporting_instance,
        series: event.series.and_then(|series| {
            let last_observed_time = series.last_observed_time?;
            Some(EventSeries {
                count: series.count.unwrap_or_default(),
                last_observed_time,
            })
        }),
        type_: event.type_,
    })
}
