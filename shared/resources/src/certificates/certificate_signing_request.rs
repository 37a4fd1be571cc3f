//! CertificateSigningRequest.

use super::validation::{self, Writer};
use crate::{
    Cell, Row, STATUS, Subresource, WriteRequest, cells, duration, names,
    write::{Kind, write},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::{
    api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    short_names: &["csr"],
    namespaced: false,
    prefix: "/registry/certificatesigningrequests",
    subresources: &[
        Subresource {
            name: "approval",
            ..STATUS
        },
        STATUS,
    ],
    fields: &["spec.signerName"],
    columns: &[
        cells::NAME,
        cells::AGE,
        cells::column("SignerName", "string", "Who shall sign."),
        cells::column("Requestor", "string", "Who asks."),
        cells::column(
            "RequestedDuration",
            "string",
            "How long the certificate shall be valid.",
        ),
        cells::column("Condition", "string", "What became of the request."),
    ],
    cells: row_cells,
    ..Row::usual(
        "certificates.k8s.io",
        "CertificateSigningRequest",
        "certificatesigningrequests",
        "certificatesigningrequest",
        write::<CertificateSigningRequest>,
    )
};

impl Kind for CertificateSigningRequest {
    const ROW: &'static Row = &ROW;
    const NAMES: names::NameRule = |_| Vec::new();

    fn defaults(&mut self) {
        self.status.get_or_insert_default();
        for condition in self
            .status
            .iter_mut()
            .flat_map(|status| status.conditions.iter_mut().flatten())
        {
            if condition.status.is_empty() {
                "True".clone_into(&mut condition.status);
            }
        }
    }

    /// Who asks is what the server knows of the requester, not what the request says.
    fn prepare_create(&mut self, request: &WriteRequest<'_>) {
        self.status = Some(CertificateSigningRequestStatus::default());
        let (spec, user) = (&mut self.spec, &request.user);
        spec.username = Some(user.name.to_owned());
        spec.uid = Some(user.uid.to_owned()).filter(|uid| !uid.is_empty());
        spec.groups = Some(user.groups.to_vec()).filter(|groups| !groups.is_empty());
        spec.extra = user.extra.cloned().filter(|extra| !extra.is_empty());
    }

    fn prepare_update(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
        self.status.clone_from(&old.status);
    }

    /// Signers write all of the status but whether the request is approved.
    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    /// Approvers write the conditions.
    fn prepare_subresource(&mut self, _: &str, old: &Self) {
        self.spec.clone_from(&old.spec);
        let conditions = self.status.take().and_then(|status| status.conditions);
        self.status.clone_from(&old.status);
        self.status.get_or_insert_default().conditions = conditions;
    }

    fn stamp(&mut self, old: &Self, request: &WriteRequest<'_>) {
        let now = Time(request.now);
        let before = old
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_deref())
            .unwrap_or_default();
        let conditions = self.status.as_mut().and_then(|status| status.conditions.as_mut());
        for condition in conditions.into_iter().flatten() {
            condition.last_update_time.get_or_insert_with(|| now.clone());
            let same = before
                .iter()
                .find(|old| old.type_ == condition.type_ && old.status == condition.status);
            let since = same.and_then(|old| old.last_transition_time.clone());
            condition
                .last_transition_time
                .get_or_insert_with(|| since.unwrap_or_else(|| now.clone()));
        }
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        validation::spec(&self.spec, errors);
        validation::status(self.status.as_ref(), errors);
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        validation::changed(self, old, Writer::Anyone, errors);
    }

    fn validate_status(&self, old: &Self, errors: &mut Vec<Error>) {
        validation::changed(self, old, Writer::Signer, errors);
    }

    fn validate_subresource(&self, _: &str, old: &Self, errors: &mut Vec<Error>) {
        validation::changed(self, old, Writer::Approver, errors);
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
    signer_name: String,
    username: String,
    expiration_seconds: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusView {
    certificate: String,
    conditions: Vec<cells::ConditionView>,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let wished = spec.expiration_seconds.map(duration::human_duration);
    vec![
        cells::name(object),
        cells::age(object, now),
        cells::or_none(&spec.signer_name),
        Cell::Text(spec.username),
        cells::or_none(&wished.unwrap_or_default()),
        Cell::Text(state(&status)),
    ]
}

fn state(status: &StatusView) -> String {
    let has = |kind: &str| status.conditions.iter().any(|condition| condition.r#type == kind);
    let mut text = match () {
        () if has("Denied") => "Denied",
        () if has("Approved") => "Approved",
        () => "Pending",
    }
    .to_owned();
    if has("Failed") {
        text.push_str(",Failed");
    }
    if !status.certificate.is_empty() {
        text.push_str(",Issued");
    }
    text
}
