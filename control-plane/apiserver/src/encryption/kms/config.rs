//! What the configuration says of a KMS provider.

use super::{Settings, service::socket};
use api::field::{self, Error};
use serde::Deserialize;
use std::collections::BTreeSet;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::encryption) struct KmsConfiguration {
    #[serde(rename = "apiVersion", default)]
    api_version: String,
    #[serde(default)]
    name: String,
    cachesize: Option<i32>,
    #[serde(default)]
    endpoint: String,
    timeout: Option<String>,
}

impl KmsConfiguration {
    /// Which service it is, in upstream's rules. `names` are those of the services so far.
    pub fn settings(
        &self,
        path: &str,
        names: &mut BTreeSet<String>,
        errors: &mut Vec<Error>,
    ) -> Option<Settings> {
        let before = errors.len();
        self.check_name(&field::child(path, "name"), names, errors);
        let place = field::child(path, "timeout");
        let text = self.timeout.as_deref().unwrap_or("3s");
        let timeout = component::flags::parse_duration(text);
        if timeout.is_none_or(|timeout| timeout.is_zero()) {
            errors.push(Error::invalid(place, text, "timeout should be a positive value"));
        }
        let socket = self.check_endpoint(&field::child(path, "endpoint"), errors);
        if let Some(size) = self.cachesize {
            let why = "cachesize is not supported in v2";
            errors.push(Error::invalid(field::child(path, "cachesize"), size, why));
        }
        let version = match self.api_version.as_str() {
            "v2" => None,
            // What is said when no version is given.
            "" | "v1" => Some(
                "KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead",
            ),
            _ => Some("unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported"),
        };
        if let Some(why) = version {
            let place = field::child(path, "apiVersion");
            errors.push(Error::invalid(place, &self.api_version, why));
        }
        let (timeout, socket) = (timeout?, socket?);
        (errors.len() == before).then(|| Settings {
            name: self.name.clone(),
            socket,
            timeout,
        })
    }

    fn check_name(&self, path: &str, names: &mut BTreeSet<String>, errors: &mut Vec<Error>) {
        let name = &self.name;
        if name.is_empty() {
            errors.push(Error::required(path, "name is a mandatory field for a provider"));
        }
        if name.contains(':') {
            let why = format!("invalid KMS provider name {name}, must not contain ':'");
            errors.push(Error::invalid(path, name, why));
        }
        if !names.insert(name.clone()) {
            let why = format!("duplicate KMS provider name {name}, names must be unique");
            errors.push(Error::invalid(path, name, why));
        }
    }

    fn check_endpoint(&self, path: &str, errors: &mut Vec<Error>) -> Option<String> {
        let endpoint = self.endpoint.as_str();
        if let Some(socket) = socket(endpoint) {
            return Some(socket.to_owned());
        }
        let why = match endpoint.split_once("://") {
            _ if endpoint.is_empty() => "endpoint is a mandatory field for a kms".to_owned(),
            Some(("unix", _)) => {
                "invalid endpoint for kms provider, error: the path is not absolute".to_owned()
            }
            other => {
                let scheme = other.map_or("", |(scheme, _)| scheme);
                format!("unsupported scheme {scheme:?} for KMS provider, only unix is supported")
            }
        };
        errors.push(Error::invalid(path, endpoint, why));
        None
    }
}
