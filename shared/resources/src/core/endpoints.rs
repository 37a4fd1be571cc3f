//! Endpoints.

use crate::{
    Cell, Row, cells, meta, names,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EndpointPort, Endpoints};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    short_names: &["ep"],
    prefix: "/registry/services/endpoints",
    create_on_update: true,
    columns: &[
        cells::NAME,
        cells::column("Endpoints", "string", "Ready addresses."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual("", "Endpoints", "endpoints", "endpoints", write::<Endpoints>)
};

impl Kind for Endpoints {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        for port in self
            .subsets
            .iter_mut()
            .flatten()
            .flat_map(|subset| subset.ports.iter_mut().flatten())
        {
            port.protocol.get_or_insert_with(|| "TCP".to_owned());
            port.name.take_if(|name| name.is_empty());
        }
    }

    fn warnings(&self) -> Vec<String> {
        vec!["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".to_owned()]
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        for (i, subset) in self.subsets.iter().flatten().enumerate() {
            let path = field::index("subsets", i);
            let lists = [
                ("addresses", &subset.addresses),
                ("notReadyAddresses", &subset.not_ready_addresses),
            ];
            if lists
                .iter()
                .all(|(_, list)| list.as_ref().is_none_or(Vec::is_empty))
            {
                errors.push(Error::required(
                    &path,
                    "must specify `addresses` or `notReadyAddresses`",
                ));
            }
            for (name, list) in lists {
                for (i, address) in list.iter().flatten().enumerate() {
                    let path = field::child(&field::index(&field::child(&path, name), i), "ip");
                    meta::invalid(errors, &path, &address.ip, names::endpoint_ip(&address.ip));
                }
            }
            let ports = subset.ports.as_deref().unwrap_or_default();
            for (i, port) in ports.iter().enumerate() {
                let path = field::index(&field::child(&path, "ports"), i);
                validate_port(port, &path, ports.len() > 1, errors);
            }
        }
    }
}

fn validate_port(port: &EndpointPort, path: &str, many: bool, errors: &mut Vec<Error>) {
    match port.name.as_deref() {
        None if many => errors.push(Error::required(field::child(path, "name"), "")),
        None => {}
        Some(name) => meta::invalid(errors, &field::child(path, "name"), name, names::dns_label(name)),
    }
    meta::invalid(
        errors,
        &field::child(path, "port"),
        port.port,
        names::port_number(port.port),
    );
    let protocol = port.protocol.as_deref().unwrap_or_default();
    if !["SCTP", "TCP", "UDP"].contains(&protocol) {
        errors.push(Error::not_supported(
            field::child(path, "protocol"),
            protocol,
            &["SCTP", "TCP", "UDP"],
        ));
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    subsets: Vec<Subset>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Subset {
    addresses: Vec<Address>,
    ports: Vec<Port>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Address {
    ip: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Port {
    port: i32,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let view: View = cells::view(object);
    let mut list = Vec::new();
    for subset in &view.subsets {
        let host = |ip: &str| {
            if ip.contains(':') {
                format!("[{ip}]")
            } else {
                ip.to_owned()
            }
        };
        if subset.ports.is_empty() {
            list.extend(subset.addresses.iter().map(|address| host(&address.ip)));
        }
        for port in &subset.ports {
            list.extend(
                subset
                    .addresses
                    .iter()
                    .map(|address| format!("{}:{}", host(&address.ip), port.port)),
            );
        }
    }
    vec![
        cells::name(object),
        Cell::Text(cells::three(&list, "<none>")),
        cells::age(object, now),
    ]
}
