//! PodTemplate.

use super::pod::template;
use crate::{
    Cell, Row, cells, encode,
    write::{Kind, write},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PodTemplate;
use serde::Deserialize;
use std::collections::BTreeMap;

pub(crate) static ROW: Row = Row {
    prefix: "/registry/podtemplates",
    columns: &[
        cells::NAME,
        cells::column("Containers", "string", "Names of the containers in the template."),
        cells::column("Images", "string", "Images of the containers in the template."),
        cells::column("Pod Labels", "string", "The labels of the template."),
    ],
    cells: row_cells,
    ..Row::usual(
        "",
        "PodTemplate",
        "podtemplates",
        "podtemplate",
        write::<PodTemplate>,
    )
};

impl Kind for PodTemplate {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        template::defaults(self.template.get_or_insert_default());
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.template, &old.template)
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        template::validate(&self.template.clone().unwrap_or_default(), "template", errors);
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    template: Labelled,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Labelled {
    metadata: MetaView,
    #[serde(flatten)]
    template: cells::TemplateView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MetaView {
    labels: BTreeMap<String, String>,
}

fn row_cells(object: &Object, _: Timestamp) -> Vec<Cell> {
    let Labelled { metadata, template } = cells::view::<View>(object).template;
    let [containers, images] = template.cells();
    vec![
        cells::name(object),
        containers,
        images,
        cells::labels(&metadata.labels),
    ]
}
