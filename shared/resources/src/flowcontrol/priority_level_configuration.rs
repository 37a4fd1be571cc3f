//! PriorityLevelConfiguration.

use crate::{
    Cell, Row, STATUS, WriteRequest, cells, encode,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::api::flowcontrol::v1::{PriorityLevelConfiguration, PriorityLevelConfigurationStatus};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/prioritylevelconfigurations",
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("Type", "string", "Whether its requests are limited."),
        cells::column("NominalConcurrencyShares", "string", "Its share of the server."),
        cells::column("Queues", "string", "Number of queues."),
        cells::column("HandSize", "string", "Queues that a flow may use."),
        cells::column("QueueLengthLimit", "string", "Requests that may wait in a queue."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        super::GROUP,
        "PriorityLevelConfiguration",
        "prioritylevelconfigurations",
        "prioritylevelconfiguration",
        write::<PriorityLevelConfiguration>,
    )
};

impl Kind for PriorityLevelConfiguration {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        if let Some(exempt) = &mut self.spec.exempt {
            exempt.nominal_concurrency_shares.get_or_insert(0);
            exempt.lendable_percent.get_or_insert(0);
        }
        if let Some(limited) = &mut self.spec.limited {
            limited.nominal_concurrency_shares.get_or_insert(30);
            limited.lendable_percent.get_or_insert(0);
            if let Some(queuing) = &mut limited.limit_response.queuing {
                for (field, value) in [
                    (&mut queuing.hand_size, 8),
                    (&mut queuing.queues, 64),
                    (&mut queuing.queue_length_limit, 50),
                ] {
                    if field.unwrap_or_default() == 0 {
                        *field = Some(value);
                    }
                }
            }
        }
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(PriorityLevelConfigurationStatus::default());
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
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecView {
    r#type: String,
    limited: Option<LimitedView>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LimitedView {
    nominal_concurrency_shares: i64,
    limit_response: ResponseView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseView {
    queuing: Option<QueuingView>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct QueuingView {
    queues: i64,
    hand_size: i64,
    queue_length_limit: i64,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let spec = cells::view::<View>(object).spec;
    let number = |number: Option<i64>| number.map_or_else(|| cells::text("<none>"), Cell::Int);
    let queuing = spec
        .limited
        .as_ref()
        .and_then(|limited| limited.limit_response.queuing);
    vec![
        cells::name(object),
        Cell::Text(spec.r#type),
        number(
            spec.limited
                .as_ref()
                .map(|limited| limited.nominal_concurrency_shares),
        ),
        number(queuing.map(|queuing| queuing.queues)),
        number(queuing.map(|queuing| queuing.hand_size)),
        number(queuing.map(|queuing| queuing.queue_length_limit)),
        cells::age(object, now),
    ]
}
