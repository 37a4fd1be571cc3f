//! Stories: an object goes in, the stored text, the error or the line of a table comes out.

mod batch;
mod certificates;
mod conversions;
mod definitions;
mod devices;
mod kinds;
mod machinery;
mod networking;
mod pods;
mod refused;
mod storage;
mod tables;
mod workloads;

use crate::{Cluster, Op, Row, WriteRequest, Written, by_kind, table};
use api::{Gvr, Object, Status};
use jiff::Timestamp;
use std::{cell::Cell, sync::Arc};

/// A cluster with a few objects; addresses and ports are handed out in order.
#[derive(Default)]
struct Small {
    objects: Vec<(&'static str, Arc<Object>)>,
    next: Cell<u8>,
    dual: bool,
}

impl Small {
    fn with(mut self, plural: &'static str, body: &str) -> Self {
        let object = Object::parse(body.to_owned().into(), 1, &[]).unwrap();
        self.objects.push((plural, Arc::new(object)));
        self
    }

    fn usual() -> Self {
        Self::default().with(
            "serviceaccounts",
            r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default","namespace":"ns"}}"#,
        )
    }
}

impl Cluster for Small {
    fn get(&self, resource: &Gvr, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.list(resource, namespace)
            .into_iter()
            .find(|object| object.name() == name)
    }

    fn list(&self, resource: &Gvr, namespace: &str) -> Vec<Arc<Object>> {
        let mine = self
            .objects
            .iter()
            .filter(|(plural, o)| *plural == resource.resource && o.namespace() == namespace);
        mine.map(|(_, object)| object.clone()).collect()
    }

    fn families(&self) -> Vec<&'static str> {
        if self.dual {
            vec!["IPv4", "IPv6"]
        } else {
            vec!["IPv4"]
        }
    }

    fn allocate_ip(&self, family: &str, wished: Option<&str>) -> Result<String, String> {
        if wished == Some("10.96.0.99") {
            return Err("provided IP is already allocated".to_owned());
        }
        self.next.set(self.next.get() + 1);
        let range = if family == "IPv6" { "fd00::" } else { "10.96.0." };
        Ok(wished.map_or_else(|| format!("{range}{}", self.next.get()), str::to_owned))
    }

    fn allocate_node_port(&self, wished: Option<u16>) -> Result<u16, String> {
        self.next.set(self.next.get() + 1);
        Ok(wished.unwrap_or(30000 + u16::from(self.next.get())))
    }
}

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

const UID: &str = "11111111-2222-4333-8444-555555555555";

fn row(body: &str) -> &'static Row {
    let kind = api::scan::scalar(body.as_bytes(), "kind").unwrap();
    let version = api::scan::scalar(body.as_bytes(), "apiVersion").unwrap();
    by_kind(version.split_once('/').map_or("", |(group, _)| group), &kind).unwrap()
}

fn write(body: &str, old: Option<&str>, op: Op, cluster: &Small) -> Result<Written, Status> {
    let row = row(body);
    let name = api::scan::scalar(body.as_bytes(), "metadata.name")
        .unwrap()
        .into_owned();
    let old = old.map(|text| Object::parse(text.to_owned().into(), 1, row.fields).unwrap());
    let request = WriteRequest {
        op,
        body: body.as_bytes(),
        old: old.as_ref(),
        namespace: if row.namespaced { "ns" } else { "" },
        name: &name,
        uid: UID,
        now: now(),
        user: crate::Requester {
            name: "jane",
            ..crate::Requester::default()
        },
        cluster,
        custom: None,
        for_admission: false,
    };
    (row.write)(&request)
}

fn run(body: &str, old: Option<&str>, op: Op, cluster: &Small) -> Result<String, Status> {
    let written = write(body, old, op, cluster)?;
    Ok(String::from_utf8(written.body.to_vec()).unwrap())
}

/// The stored text of a new object; a second write of it changes nothing.
fn create(body: &str) -> String {
    let stored = run(body, None, Op::Create, &Small::usual()).unwrap();
    assert_eq!(
        run(&stored, Some(&stored), Op::Update, &Small::usual()).unwrap(),
        stored,
        "not idempotent"
    );
    stored
}

fn refused(body: &str) -> String {
    run(body, None, Op::Create, &Small::usual()).unwrap_err().message
}

fn update(body: &str, old: &str) -> Result<String, String> {
    run(body, Some(old), Op::Update, &Small::usual()).map_err(|status| status.message)
}

/// The line of a stored object, all columns, a minute after it was made.
fn line(stored: &str) -> String {
    let row = row(stored);
    let object = Object::parse(stored.to_owned().into(), 1, row.fields).unwrap();
    let cells = (row.cells)(&object, now() + jiff::SignedDuration::from_secs(60));
    assert_eq!(cells.len(), row.columns.len());
    let texts: Vec<String> = cells
        .iter()
        .map(|cell| match cell {
            crate::Cell::Text(text) => text.clone(),
            crate::Cell::Int(number) => number.to_string(),
            crate::Cell::Bool(yes) => yes.to_string(),
            crate::Cell::Number(number) => number.to_string(),
            crate::Cell::Nothing => String::new(),
        })
        .collect();
    texts.join("|")
}

#[test]
fn the_table_is_whole() {
    for row in table() {
        assert!(
            !row.prefix.is_empty() && row.prefix.starts_with("/registry/"),
            "{}",
            row.kind
        );
        assert!(
            row.versions.iter().any(|version| version.name == row.hub),
            "{}",
            row.kind
        );
        assert!(
            row.trigger.is_none_or(|index| index < row.fields.len()),
            "{}",
            row.kind
        );
        let prefixes = table().iter().filter(|other| other.prefix == row.prefix);
        assert_eq!(prefixes.count(), 1, "{}", row.prefix);
        for version in row.versions {
            let group = version.group.unwrap_or(row.group);
            assert!(std::ptr::eq(crate::find(group, row.plural).unwrap(), *row));
        }
    }
    assert!(crate::find("", "deployments").is_none());
}
