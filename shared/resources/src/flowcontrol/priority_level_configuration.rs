//! PriorityLevelConfiguration.

use crate::{
    Cell, Row, STATUS, WriteRequest, cells, encode, rules,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::flowcontrol::v1::{
    ExemptPriorityLevelConfiguration, LimitedPriorityLevelConfiguration, PriorityLevelConfiguration,
    PriorityLevelConfigurationStatus, QueuingConfiguration,
};
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

    fn validate(&self, errors: &mut Vec<Error>) {
        let spec = &self.spec;
        let exempt = self.metadata.name.as_deref() == Some("exempt");
        if exempt != (spec.type_ == "Exempt") {
            let why = "type must be 'Exempt' if and only if name is 'exempt'";
            errors.push(Error::invalid("spec.type", &spec.type_, why));
        }
        match (spec.type_.as_str(), &spec.limited) {
            ("Exempt", Some(_)) => {
                let why = "must be nil if the type is not Limited";
                errors.push(Error::forbidden("spec.limited", why));
            }
            ("Exempt", None) => {
                if let Some(exempt) = &spec.exempt {
                    validate_exempt(exempt, errors);
                }
            }
            ("Limited", None) => {
                let why = "must not be empty when type is Limited";
                errors.push(Error::required("spec.limited", why));
            }
            ("Limited", Some(limited)) => validate_limited(limited, errors),
            (other, _) => errors.push(Error::not_supported("spec.type", other, &["Exempt", "Limited"])),
        }
        if spec.type_ == "Limited" && spec.exempt.is_some() {
            let why = "must be nil if the type is Limited";
            errors.push(Error::forbidden("spec.exempt", why));
        }
        let name = self.metadata.name.as_deref().unwrap_or_default();
        let mut compared = spec.clone();
        let mut but = "";
        if exempt {
            compared.exempt = None;
            but = " except the 'spec.exempt' field";
        }
        if !super::is_as_fixed(&super::MANDATORY_LEVELS, Some(name), &compared) {
            let why = format!("spec of '{name}'{but} must equal the fixed value");
            errors.push(Error::invalid("spec", spec, why));
        }
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }
}

fn validate_exempt(exempt: &ExemptPriorityLevelConfiguration, errors: &mut Vec<Error>) {
    let shares = exempt.nominal_concurrency_shares.unwrap_or_default();
    if shares < 0 {
        let why = "must be a non-negative integer";
        errors.push(Error::invalid(
            "spec.exempt.nominalConcurrencyShares",
            shares,
            why,
        ));
    }
    let lent = exempt.lendable_percent.unwrap_or_default();
    if !(0..=100).contains(&lent) {
        let why = "must be between 0 and 100, inclusive";
        errors.push(Error::invalid("spec.exempt.lendablePercent", lent, why));
    }
}

fn validate_limited(limited: &LimitedPriorityLevelConfiguration, errors: &mut Vec<Error>) {
    rules::count(
        "spec.limited.nominalConcurrencyShares",
        limited.nominal_concurrency_shares,
        errors,
    );
    let lent = limited.lendable_percent.unwrap_or_default();
    if !(0..=100).contains(&lent) {
        let why = "must be between 0 and 100, inclusive";
        errors.push(Error::invalid("spec.limited.lendablePercent", lent, why));
    }
    rules::count(
        "spec.limited.borrowingLimitPercent",
        limited.borrowing_limit_percent,
        errors,
    );
    let path = "spec.limited.limitResponse.queuing";
    let response = &limited.limit_response;
    let kind = response.type_.as_str();
    match (kind, &response.queuing) {
        ("Reject", Some(_)) => {
            let why = "must be nil if limited.limitResponse.type is not Limited";
            errors.push(Error::forbidden(path, why));
        }
        ("Reject", None) => {}
        ("Queue", None) => {
            let why = "must not be empty if limited.limitResponse.type is Limited";
            errors.push(Error::required(path, why));
        }
        ("Queue", Some(queuing)) => validate_queuing(queuing, path, errors),
        (other, _) => {
            let path = "spec.limited.limitResponse.type";
            errors.push(Error::not_supported(path, other, &["Queue", "Reject"]));
        }
    }
}

fn validate_queuing(queuing: &QueuingConfiguration, path: &str, errors: &mut Vec<Error>) {
    let queues = queuing.queues.unwrap_or_default();
    for (name, value) in [
        ("queueLengthLimit", queuing.queue_length_limit),
        ("queues", queuing.queues),
        ("handSize", queuing.hand_size),
    ] {
        let value = value.unwrap_or_default();
        let path = field::child(path, name);
        if value <= 0 {
            errors.push(Error::invalid(path, value, "must be positive"));
        } else if name == "queues" && value > 10_000_000 {
            errors.push(Error::invalid(path, value, "must not be greater than 10000000"));
        } else if name == "handSize" && value > queues {
            let why = format!("should not be greater than queues ({queues})");
            errors.push(Error::invalid(path, value, why));
        } else if name == "handSize" && entropy(queues, value) > 60 {
            let why = format!(
                "required entropy bits of deckSize {queues} and handSize {value} should not be greater than 60"
            );
            errors.push(Error::invalid(path, value, why));
        }
    }
}

/// The bits that choose `hand` cards of `deck`.
fn entropy(deck: i32, hand: i32) -> u32 {
    let bits: f64 = (0..hand).map(|dealt| f64::from(deck - dealt).log2()).sum();
    // A few hundred at most: hands are small.
    (0..).find(|n| f64::from(*n) >= bits).unwrap_or(u32::MAX)
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
