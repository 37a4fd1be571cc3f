//! IngressClass.

use crate::{
    Cell, Row, cells, encode, meta, names, rules,
    write::{Kind, write},
};
use api::{Gvr, Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::networking::v1::IngressClass;
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/ingressclasses",
    columns: &[
        cells::NAME,
        cells::column("Controller", "string", "Who serves its Ingresses."),
        cells::column("Parameters", "string", "The object with more settings."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "networking.k8s.io",
        "IngressClass",
        "ingressclasses",
        "ingressclass",
        write::<IngressClass>,
    )
};

impl Kind for IngressClass {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        if let Some(parameters) = &mut spec.parameters {
            parameters.scope.get_or_insert_with(|| "Cluster".to_owned());
        }
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let Some(spec) = &self.spec else { return };
        let controller = spec.controller.as_deref().unwrap_or_default();
        if controller.len() > 250 {
            errors.push(Error::too_long("spec.controller", 250));
        }
        names::domain_prefixed_path("spec.controller", controller, errors);
        let Some(of) = &spec.parameters else { return };
        let path = "spec.parameters";
        validate_reference(of.api_group.as_deref(), &of.kind, &of.name, path, errors);
        let scopes = ["Cluster", "Namespace"];
        let scope = of.scope.as_deref();
        rules::one_of(scope, &scopes, "spec.parameters.scope", errors);
        let path = "spec.parameters.namespace";
        match (scope, &of.namespace) {
            (Some("Namespace"), None) => {
                let why = "`parameters.scope` is set to 'Namespace'";
                errors.push(Error::required(path, why));
            }
            (Some("Namespace"), Some(name)) => meta::invalid(errors, path, name, names::dns_label(name)),
            (Some("Cluster"), Some(_)) => {
                let why = "`parameters.scope` is set to 'Cluster'";
                errors.push(Error::forbidden(path, why));
            }
            _ => {}
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        let controller = |class: &Self| class.spec.as_ref().and_then(|spec| spec.controller.clone());
        rules::immutable("spec.controller", &controller(self), &controller(old), errors);
        self.validate(errors);
    }
}

/// Resource of the row.
pub(crate) const RESOURCE: Gvr = Gvr::new("networking.k8s.io", "v1", "ingressclasses");

/// Whether Ingresses without a class get this one.
pub(crate) fn is_default(class: &Object) -> bool {
    let value = class.annotation("ingressclass.kubernetes.io/is-default-class");
    value.as_deref() == Some("true")
}

/// Rules for a reference to an object of another group.
pub(super) fn validate_reference(
    group: Option<&str>,
    kind: &str,
    name: &str,
    path: &str,
    errors: &mut Vec<Error>,
) {
    if let Some(group) = group {
        meta::invalid(
            errors,
            &field::child(path, "apiGroup"),
            group,
            names::dns_subdomain(group),
        );
    }
    for (part, value) in [("kind", kind), ("name", name)] {
        let path = field::child(path, part);
        if value.is_empty() {
            errors.push(Error::required(path, format!("{part} is required")));
        } else {
            meta::invalid(errors, &path, value, names::path_segment(value));
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecView {
    controller: String,
    parameters: Option<ParametersView>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ParametersView {
    api_group: Option<String>,
    kind: String,
    name: String,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let spec = cells::view::<View>(object).spec;
    let parameters = spec.parameters.map(|of| {
        let group = of.api_group.map(|group| format!(".{group}")).unwrap_or_default();
        format!("{}{group}/{}", of.kind, of.name)
    });
    vec![
        cells::name(object),
        Cell::Text(spec.controller),
        cells::or_none(&parameters.unwrap_or_default()),
        cells::age(object, now),
    ]
}
