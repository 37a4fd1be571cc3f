//! CertificateSigningRequest.

use crate::{
    Cell, Row, STATUS, Subresource, WriteRequest, cells, duration,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestStatus};
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

    fn defaults(&mut self) {
        let usages = self.spec.usages.get_or_insert_default();
        if usages.is_empty() {
            usages.extend(["digital signature".to_owned(), "key encipherment".to_owned()]);
        }
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, request: &WriteRequest<'_>) {
        self.status = Some(CertificateSigningRequestStatus::default());
        // Who asks is what the server says, whatever the request claims.
        let user = request.user;
        self.spec.username = Some(user.name.to_owned());
        self.spec.uid = Some(user.uid.to_owned()).filter(|uid| !uid.is_empty());
        self.spec.groups = Some(user.groups.to_vec()).filter(|groups| !groups.is_empty());
        self.spec.extra = user.extra.filter(|extra| !extra.is_empty()).cloned();
    }

    fn prepare_update(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn prepare_subresource(&mut self, _: &str, old: &Self) {
        self.spec.clone_from(&old.spec);
        let certificate = old.status.as_ref().and_then(|status| status.certificate.clone());
        self.status.get_or_insert_default().certificate = certificate;
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
