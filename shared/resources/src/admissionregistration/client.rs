//! Where a webhook is: what upstream's `apiserver/pkg/util/webhook` says of URLs and services.

use crate::names;
use api::{field, field::Error};
use k8s_openapi::api::admissionregistration::v1::{ServiceReference, WebhookClientConfig};

const FORM: &str = "; desired format: https://host[/path]";

/// Rules for a client configuration.
pub(super) fn validate(client: &WebhookClientConfig, path: &str, errors: &mut Vec<Error>) {
    match (&client.url, &client.service) {
        (Some(url), None) => self::url(url, &field::child(path, "url"), errors),
        (None, Some(service)) => self::service(service, &field::child(path, "service"), errors),
        _ => errors.push(Error::required(path, "exactly one of url or service is required")),
    }
}

fn url(url: &str, path: &str, errors: &mut Vec<Error>) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let mut wrong = |value: &str, why: String| errors.push(Error::invalid(path, value, why));
    if scheme != "https" {
        wrong(scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = if scheme.is_empty() {
        ""
    } else {
        rest.split('/').next().unwrap_or_default()
    };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.is_empty() {
        wrong(host, format!("host must be provided{FORM}"));
    }
    if authority.contains('@') {
        wrong(user, "user information is not permitted in the URL".to_owned());
    }
    if !fragment.is_empty() {
        wrong(fragment, "fragments are not permitted in the URL".to_owned());
    }
    if !query.is_empty() {
        wrong(query, "query parameters are not permitted in the URL".to_owned());
    }
}

fn service(service: &ServiceReference, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    for (name, value) in [("name", &service.name), ("namespace", &service.namespace)] {
        if value.is_empty() {
            errors.push(Error::required(at(name), format!("service {name} is required")));
        }
    }
    let port = service.port.unwrap_or_default();
    for words in names::port_number(port) {
        let why = format!("port is not valid: {words}");
        errors.push(Error::invalid(at("port"), port, why));
    }
    let text = service.path.as_deref().unwrap_or_default();
    let mut wrong = |why: String| errors.push(Error::invalid(at("path"), text, why));
    match text {
        "" | "/" => return,
        "//" => return wrong("segment[0] may not be empty".to_owned()),
        _ if !text.starts_with('/') => wrong("must start with a '/'".to_owned()),
        _ => {}
    }
    let mut rest = text.chars();
    rest.next();
    let rest = rest.as_str();
    for (i, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if step.is_empty() {
            wrong(format!("segment[{i}] may not be empty"));
            continue;
        }
        for words in names::dns_subdomain(step) {
            wrong(format!("segment[{i}]: {words}"));
        }
    }
}
