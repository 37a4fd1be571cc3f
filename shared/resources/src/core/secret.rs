//! Secret.

use crate::{
    Cell, Row, cells, meta, names,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeMap;

pub(crate) static ROW: Row = Row {
    prefix: "/registry/secrets",
    fields: &["type"],
    columns: &[
        cells::NAME,
        cells::column("Type", "string", "What the secret is for."),
        cells::column("Data", "string", "Number of entries."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual("", "Secret", "secrets", "secret", write::<Secret>)
};

/// Keys that a type asks for.
const REQUIRED: &[(&str, &[&str])] = &[
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
];

impl Kind for Secret {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        // `stringData` is for writing only: it overwrites `data`.
        for (key, value) in self.string_data.take().into_iter().flatten() {
            self.data
                .get_or_insert_default()
                .insert(key, ByteString(value.into_bytes()));
        }
        if self.type_.as_deref().unwrap_or_default().is_empty() {
            self.type_ = Some("Opaque".to_owned());
        }
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let data = self.data.iter().flatten();
        let size: usize = data.clone().map(|(_, value)| value.0.len()).sum();
        for (key, _) in data {
            meta::invalid(errors, &field::key("data", key), key, names::config_key(key));
        }
        if size > super::config_map::MAX {
            errors.push(Error::too_long("data", super::config_map::MAX));
        }
        validate_type(self, errors);
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        if self.type_ != old.type_ {
            errors.push(Error::invalid("type", &self.type_, "field is immutable"));
        }
        if old.immutable == Some(true) {
            let why = "field is immutable when `immutable` is set";
            if self.immutable != Some(true) {
                errors.push(Error::forbidden("immutable", why));
            }
            if self.data != old.data {
                errors.push(Error::forbidden("data", why));
            }
        }
        self.validate(errors);
    }
}

fn validate_type(secret: &Secret, errors: &mut Vec<Error>) {
    let kind = secret.type_.as_deref().unwrap_or_default();
    let has = |key: &str| secret.data.as_ref().is_some_and(|data| data.contains_key(key));
    for key in REQUIRED
        .iter()
        .filter(|(name, _)| *name == kind)
        .flat_map(|(_, keys)| *keys)
    {
        if !has(key) {
            errors.push(Error::required(field::key("data", key), ""));
        }
    }
    match kind {
        "kubernetes.io/service-account-token" => {
            let annotations = secret.metadata.annotations.as_ref();
            let name = annotations.and_then(|a| a.get("kubernetes.io/service-account.name"));
            if name.is_none_or(String::is_empty) {
                errors.push(Error::required(
                    "metadata.annotations[kubernetes.io/service-account.name]",
                    "",
                ));
            }
        }
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            errors.push(Error::required("data[username]", ""));
            errors.push(Error::required("data[password]", ""));
        }
        "kubernetes.io/dockercfg" | "kubernetes.io/dockerconfigjson" => {
            let key = if kind.ends_with("json") {
                ".dockerconfigjson"
            } else {
                ".dockercfg"
            };
            let value = secret.data.as_ref().and_then(|data| data.get(key));
            if let Some(Err(wrong)) = value.map(|v| schema::check_untyped(&v.0)) {
                errors.push(Error::invalid(
                    field::key("data", key),
                    "<secret contents redacted>",
                    wrong.to_string(),
                ));
            }
        }
        _ => {}
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    r#type: String,
    data: BTreeMap<String, IgnoredAny>,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let view: View = cells::view(object);
    let count = i64::try_from(view.data.len()).unwrap_or(i64::MAX);
    vec![
        cells::name(object),
        Cell::Text(view.r#type),
        Cell::Int(count),
        cells::age(object, now),
    ]
}
