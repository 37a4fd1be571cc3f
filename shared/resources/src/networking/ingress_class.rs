//! IngressClass.

use crate::{
    Cell, Row, cells, encode,
    write::{Kind, write},
};
use api::Object;
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
