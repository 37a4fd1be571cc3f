//! APIService, of the aggregation layer.

use crate::{
    Cell, Row, STATUS, WriteRequest, cells,
    write::{Kind, write},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceCondition, APIServiceStatus},
};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    categories: &["api-extensions"],
    namespaced: false,
    prefix: "/registry/apiregistration.k8s.io/apiservices",
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("Service", "string", "The service that answers."),
        cells::column("Available", "string", "Whether it answers."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "apiregistration.k8s.io",
        "APIService",
        "apiservices",
        "apiservice",
        write::<APIService>,
    )
};

impl Kind for APIService {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        if let Some(service) = &mut spec.service {
            service.port.get_or_insert(443);
        }
        self.status.get_or_insert_default();
    }

    /// What this server answers itself is always there.
    fn prepare_create(&mut self, request: &WriteRequest<'_>) {
        let local = self.spec.as_ref().is_none_or(|spec| spec.service.is_none());
        let condition = || APIServiceCondition {
            type_: "Available".to_owned(),
            status: "True".to_owned(),
            reason: Some("Local".to_owned()),
            message: Some("Local APIServices are always available".to_owned()),
            last_transition_time: Some(Time(request.now)),
        };
        self.status = Some(APIServiceStatus {
            conditions: local.then(|| vec![condition()]),
        });
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn validate(&self, _: &mut Vec<Error>) {}
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
    status: StatusView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecView {
    service: Option<ServiceView>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceView {
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusView {
    conditions: Vec<ConditionView>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConditionView {
    r#type: String,
    status: String,
    reason: String,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let service = spec
        .service
        .map(|service| format!("{}/{}", service.namespace, service.name));
    let condition = status
        .conditions
        .into_iter()
        .find(|condition| condition.r#type == "Available");
    let available = match condition {
        None => "Unknown".to_owned(),
        Some(condition) if condition.status == "True" => condition.status,
        Some(condition) => format!("{} ({})", condition.status, condition.reason),
    };
    vec![
        cells::name(object),
        Cell::Text(service.unwrap_or_else(|| "Local".to_owned())),
        Cell::Text(available),
        cells::age(object, now),
    ]
}
