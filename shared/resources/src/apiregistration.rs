//! APIService, of the aggregation layer.

use crate::{
    Cell, Row, STATUS, WriteRequest, cells, meta, names, rules,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::Time,
    kube_aggregator::pkg::apis::apiregistration::v1::{
        APIService, APIServiceCondition, APIServiceSpec, APIServiceStatus,
    },
};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    categories: &["api-extensions"],
    namespaced: false,
    prefix: "/registry/apiregistration.k8s.io/apiservices",
    unconditional: false,
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
    const NAMES: names::NameRule = names::path_segment;

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

    fn validate(&self, errors: &mut Vec<Error>) {
        let Some(spec) = &self.spec else { return };
        let name = self.metadata.name.as_deref().unwrap_or_default();
        let (group, version) = (
            spec.group.as_deref().unwrap_or_default(),
            spec.version.as_deref().unwrap_or_default(),
        );
        let wanted = format!("{version}.{group}");
        if name != wanted {
            let why = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
            errors.push(Error::invalid("metadata.name", name, why));
        }
        if group.is_empty() && version != "v1" {
            let why = "only v1 may have an empty group and it better be legacy kube";
            errors.push(Error::required("spec.group", why));
        } else if !group.is_empty() {
            meta::invalid(errors, "spec.group", group, names::dns_subdomain(group));
        }
        meta::invalid(errors, "spec.version", version, names::dns_1035_label(version));
        for (path, value, most) in [
            ("spec.groupPriorityMinimum", spec.group_priority_minimum, 20000),
            ("spec.versionPriority", spec.version_priority, 1000),
        ] {
            if !(1..=most).contains(&value) {
                let why = format!("must be positive and less than {most}");
                errors.push(Error::invalid(path, value, why));
            }
        }
        validate_service(spec, errors);
    }

    fn validate_status(&self, _: &Self, errors: &mut Vec<Error>) {
        let conditions = self
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten());
        for (i, condition) in conditions.enumerate() {
            let path = field::child(&field::index("status.conditions", i), "status");
            rules::one_of(
                Some(&condition.status),
                &["True", "False", "Unknown"],
                &path,
                errors,
            );
        }
    }
}

fn validate_service(spec: &APIServiceSpec, errors: &mut Vec<Error>) {
    let insecure = spec.insecure_skip_tls_verify == Some(true);
    let bundle = spec
        .ca_bundle
        .as_ref()
        .map(|bundle| bundle.0.len())
        .unwrap_or_default();
    let path = "spec.insecureSkipTLSVerify";
    let Some(service) = &spec.service else {
        if bundle > 0 {
            let why = "local APIServices may not have a caBundle";
            errors.push(Error::invalid("spec.caBundle", format!("{bundle} bytes"), why));
        }
        if insecure {
            let why = "local APIServices may not have insecureSkipTLSVerify";
            errors.push(Error::invalid(path, true, why));
        }
        return;
    };
    rules::required(
        "spec.service.namespace",
        service.namespace.as_deref().unwrap_or_default(),
        errors,
    );
    rules::required(
        "spec.service.name",
        service.name.as_deref().unwrap_or_default(),
        errors,
    );
    let port = service.port.unwrap_or_default();
    for words in names::port_number(port) {
        let why = format!("port is not valid: {words}");
        errors.push(Error::invalid("spec.service.port", port, why));
    }
    if insecure && bundle > 0 {
        errors.push(Error::invalid(
            path,
            true,
            "may not be true if caBundle is present",
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
