//! FlowSchema.

use crate::{
    Cell, Row, STATUS, WriteRequest, cells, encode,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::api::flowcontrol::v1::{FlowSchema, FlowSchemaStatus};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/flowschemas",
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("PriorityLevel", "string", "The level of its requests."),
        cells::column(
            "MatchingPrecedence",
            "string",
            "The lowest that matches is taken.",
        ),
        cells::column(
            "DistinguisherMethod",
            "string",
            "How its requests are told apart.",
        ),
        cells::AGE,
        cells::column("MissingPL", "string", "Whether the level is missing."),
    ],
    cells: row_cells,
    ..Row::usual(
        super::GROUP,
        "FlowSchema",
        "flowschemas",
        "flowschema",
        write::<FlowSchema>,
    )
};

impl Kind for FlowSchema {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        let precedence = self.spec.matching_precedence.get_or_insert_default();
        if *precedence == 0 {
            *precedence = 1000;
        }
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(FlowSchemaStatus::default());
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
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
    priority_level_configuration: LevelView,
    matching_precedence: i64,
    distinguisher_method: MethodView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LevelView {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MethodView {
    r#type: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusView {
    conditions: Vec<cells::ConditionView>,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let dangling = status
        .conditions
        .into_iter()
        .find(|condition| condition.r#type == "Dangling");
    vec![
        cells::name(object),
        Cell::Text(spec.priority_level_configuration.name),
        Cell::Int(spec.matching_precedence),
        cells::or_none(&spec.distinguisher_method.r#type),
        cells::age(object, now),
        Cell::Text(dangling.map_or_else(|| "?".to_owned(), |condition| condition.status)),
    ]
}
