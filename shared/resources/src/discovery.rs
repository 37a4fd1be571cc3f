//! EndpointSlice, of the discovery group.

use crate::{
    Cell, Row, cells, meta, names,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::Deserialize;
use std::{collections::BTreeSet, net::IpAddr};

pub(crate) static ROW: Row = Row {
    prefix: "/registry/endpointslices",
    columns: &[
        cells::NAME,
        cells::column("AddressType", "string", "Kind of the addresses."),
        cells::column("Ports", "string", "Ports of each endpoint."),
        cells::column("Endpoints", "string", "Addresses of the endpoints."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "discovery.k8s.io",
        "EndpointSlice",
        "endpointslices",
        "endpointslice",
        write::<EndpointSlice>,
    )
};

const TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];

impl Kind for EndpointSlice {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        for port in self.ports.iter_mut().flatten() {
            port.name.get_or_insert_default();
            port.protocol.get_or_insert_with(|| "TCP".to_owned());
        }
        self.endpoints.get_or_insert_default();
        self.ports.get_or_insert_default();
    }

    fn spec_changed(&self, old: &Self) -> bool {
        self.endpoints != old.endpoints
            || self.ports != old.ports
            || self.metadata.labels != old.metadata.labels
            || self.metadata.annotations != old.metadata.annotations
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        if self.address_type.is_empty() {
            errors.push(Error::required("addressType", ""));
        } else if !TYPES.contains(&self.address_type.as_str()) {
            errors.push(Error::not_supported("addressType", &self.address_type, &TYPES));
        }
        validate_endpoints(self, errors);
        let mut seen = BTreeSet::new();
        for (i, port) in self.ports.iter().flatten().enumerate() {
            let path = field::index("ports", i);
            let name = port.name.as_deref().unwrap_or_default();
            if !name.is_empty() {
                meta::invalid(errors, &field::child(&path, "name"), name, names::dns_label(name));
            }
            if !seen.insert(name) {
                errors.push(Error::duplicate(field::child(&path, "name"), name));
            }
            let protocol = port.protocol.as_deref().unwrap_or_default();
            if !["SCTP", "TCP", "UDP"].contains(&protocol) {
                errors.push(Error::not_supported(
                    field::child(&path, "protocol"),
                    protocol,
                    &["SCTP", "TCP", "UDP"],
                ));
            }
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        if self.address_type != old.address_type {
            errors.push(Error::invalid(
                "addressType",
                &self.address_type,
                "field is immutable",
            ));
        }
    }
}

fn validate_endpoints(slice: &EndpointSlice, errors: &mut Vec<Error>) {
    let endpoints = slice.endpoints.as_deref().unwrap_or_default();
    if endpoints.len() > 1000 {
        let detail = "must have at most 1000 items".to_owned();
        let error = Error {
            kind: field::ErrorType::TooMany,
            field: "endpoints".to_owned(),
            value: String::new(),
            detail,
        };
        errors.push(Error {
            value: endpoints.len().to_string(),
            ..error
        });
    }
    for (i, endpoint) in endpoints.iter().enumerate() {
        let path = field::child(&field::index("endpoints", i), "addresses");
        if endpoint.addresses.is_empty() {
            errors.push(Error::required(&path, "must contain at least 1 address"));
        }
        for (i, address) in endpoint.addresses.iter().enumerate() {
            let path = field::index(&path, i);
            match (slice.address_type.as_str(), address.parse::<IpAddr>()) {
                ("IPv4", Ok(IpAddr::V4(_))) | ("IPv6", Ok(IpAddr::V6(_))) => {
                    meta::invalid(errors, &path, address, names::endpoint_ip(address));
                }
                ("IPv4", _) => errors.push(Error::invalid(path, address, "must be a valid IPv4 address")),
                ("IPv6", _) => errors.push(Error::invalid(path, address, "must be a valid IPv6 address")),
                _ => meta::invalid(errors, &path, address, names::dns_subdomain(address)),
            }
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct View {
    address_type: String,
    endpoints: Vec<Endpoint>,
    ports: Vec<Port>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    addresses: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Port {
    port: Option<i32>,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let view: View = cells::view(object);
    let port = |port: &Port| port.port.map_or_else(|| "*".to_owned(), |port| port.to_string());
    let ports: Vec<String> = view.ports.iter().map(port).collect();
    let addresses: Vec<String> = view
        .endpoints
        .into_iter()
        .flat_map(|endpoint| endpoint.addresses)
        .collect();
    vec![
        cells::name(object),
        Cell::Text(view.address_type),
        Cell::Text(cells::three(&ports, "<unset>")),
        Cell::Text(cells::three(&addresses, "<unset>")),
        cells::age(object, now),
    ]
}
