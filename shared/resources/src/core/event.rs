//! Event: stored as core/v1, served in the core and the events.k8s.io group.

use crate::{
    Cell, Keeping, Row, Version, cells, duration, events,
    write::{Kind, write},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    short_names: &["ev"],
    versions: &[
        Version::same("v1"),
        Version {
            group: Some("events.k8s.io"),
            name: "v1",
            to_hub: Some(events::to_hub),
            from_hub: Some(events::from_hub),
        },
    ],
    prefix: "/registry/events",
    create_on_update: true,
    fields: &[
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "source.component",
        "type",
    ],
    columns: &[
        cells::column("Last Seen", "string", "When it happened last."),
        cells::column("Type", "string", "Normal or Warning."),
        cells::column("Reason", "string", "Why, in one word."),
        cells::column("Object", "string", "What it is about."),
        cells::wide("Subobject", "The part of the object."),
        cells::wide("Source", "Who says so."),
        cells::column("Message", "string", "What happened."),
        cells::wide("First Seen", "When it happened first."),
        cells::wide("Count", "How often it happened."),
        crate::Column {
            priority: 1,
            ..cells::NAME
        },
    ],
    cells: row_cells,
    keeping: Keeping::Expiring,
    ..Row::usual("", "Event", "events", "event", write::<Event>)
};

impl Kind for Event {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        self.source.get_or_insert_default();
        // Written even if nobody says so.
        self.reporting_component.get_or_insert_default();
        self.reporting_instance.get_or_insert_default();
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let wanted = self.involved_object.namespace.as_deref().unwrap_or_default();
        let namespace = self.metadata.namespace.as_deref().unwrap_or_default();
        // Events about cluster-scoped objects live in `default`.
        let right = if wanted.is_empty() {
            ["default", "kube-system"].contains(&namespace)
        } else {
            wanted == namespace
        };
        if !right {
            errors.push(Error::invalid(
                "involvedObject.namespace",
                wanted,
                "does not match event.namespace",
            ));
        }
        if self.event_time.is_none() {
            return;
        }
        let required = [
            ("reportingController", &self.reporting_component),
            ("reportingInstance", &self.reporting_instance),
            ("action", &self.action),
            ("reason", &self.reason),
        ];
        for (path, value) in required {
            if value.as_deref().unwrap_or_default().is_empty() {
                errors.push(Error::required(path, ""));
            }
        }
        for (path, value, max) in [
            ("reportingInstance", &self.reporting_instance, 128),
            ("action", &self.action, 128),
            ("reason", &self.reason, 128),
            ("message", &self.message, 1024),
        ] {
            if value.as_ref().is_some_and(|value| value.len() > max) {
                errors.push(Error::invalid(
                    path,
                    "",
                    format!("can have at most {max} characters"),
                ));
            }
        }
        let kind = self.type_.as_deref().unwrap_or_default();
        if !["Normal", "Warning"].contains(&kind) {
            errors.push(Error::invalid("type", kind, ""));
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct View {
    first_timestamp: Option<Timestamp>,
    last_timestamp: Option<Timestamp>,
    event_time: Option<Timestamp>,
    count: i64,
    series: Option<Series>,
    r#type: String,
    reason: String,
    message: String,
    involved_object: Involved,
    source: Source,
    reporting_component: String,
    reporting_instance: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Series {
    count: i64,
    last_observed_time: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Involved {
    kind: String,
    name: String,
    field_path: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source {
    component: String,
    host: String,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let view: View = cells::view(object);
    let first = view.first_timestamp.or(view.event_time);
    let (last, count) = match &view.series {
        Some(series) => (series.last_observed_time, series.count),
        None => (view.last_timestamp.or(first), view.count.max(1)),
    };
    let (component, host) = if view.source.component.is_empty() {
        (&view.reporting_component, &view.reporting_instance)
    } else {
        (&view.source.component, &view.source.host)
    };
    let source = if host.is_empty() {
        component.clone()
    } else {
        format!("{component}, {host}")
    };
    let about = match view.involved_object.name.as_str() {
        "" => view.involved_object.kind.to_lowercase(),
        name => format!("{}/{name}", view.involved_object.kind.to_lowercase()),
    };
    vec![
        Cell::Text(duration::since(last, now)),
        Cell::Text(view.r#type),
        Cell::Text(view.reason),
        Cell::Text(about),
        Cell::Text(view.involved_object.field_path),
        Cell::Text(source),
        cells::text(view.message.trim()),
        Cell::Text(duration::since(first, now)),
        Cell::Int(count),
        cells::name(object),
    ]
}
