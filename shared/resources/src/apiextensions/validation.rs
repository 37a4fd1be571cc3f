//! The rules for definitions, in upstream's words.

use super::{approval, selectable};
use crate::names::{NameRule, dns_1035_label, dns_subdomain};
use api::field::{self, Error};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceConversion, CustomResourceDefinition,
    CustomResourceDefinitionNames, CustomResourceDefinitionSpec, CustomResourceDefinitionVersion,
    CustomResourceSubresources, WebhookClientConfig,
};
use schema::Structural;

/// The schema of a version, as far as it can be read.
pub(super) fn parse_schema(version: &CustomResourceDefinitionVersion) -> Option<Structural> {
    let schema = version.schema.as_ref()?.open_api_v3_schema.as_ref()?;
    Structural::parse(&serde_json::to_vec(schema).ok()?).ok()
}

pub(super) fn create(crd: &CustomResourceDefinition, errors: &mut Vec<Error>) {
    let name = crd.metadata.name.as_deref().unwrap_or_default();
    if name != format!("{}.{}", crd.spec.names.plural, crd.spec.group) {
        let why = "must be spec.names.plural+\".\"+spec.group";
        errors.push(Error::invalid("metadata.name", name, why));
    }
    spec(&crd.spec, None, errors);
    status(crd, errors);
    approved(crd, None, errors);
    preserves(crd, None, errors);
}

pub(super) fn update(
    crd: &CustomResourceDefinition,
    old: &CustomResourceDefinition,
    errors: &mut Vec<Error>,
) {
    spec(&crd.spec, Some(&old.spec), errors);
    let before = old
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let mut same = |path: &str, new: &str, old: &str| {
        if new != old {
            errors.push(Error::invalid(path, new, "field is immutable"));
        }
    };
    let (new_names, old_names) = (&crd.spec.names, &old.spec.names);
    if before
        .into_iter()
        .any(|c| c.type_ == "Established" && c.status == "True")
    {
        same("spec.scope", &crd.spec.scope, &old.spec.scope);
        same("spec.names.kind", &new_names.kind, &old_names.kind);
    }
    same("spec.group", &crd.spec.group, &old.spec.group);
    same("spec.names.plural", &new_names.plural, &old_names.plural);
    status(crd, errors);
    approved(crd, Some(old), errors);
    preserves(crd, Some(old), errors);
}

/// The rules for the status.
pub(super) fn status(crd: &CustomResourceDefinition, errors: &mut Vec<Error>) {
    let Some(status) = &crd.status else { return };
    if let Some(accepted) = &status.accepted_names {
        names(accepted, "status.acceptedNames", errors);
    }
    let path = "status.storedVersions";
    let stored = status.stored_versions.as_deref().unwrap_or_default();
    if stored.is_empty() {
        errors.push(Error::invalid(
            path,
            stored,
            "must have at least one stored version",
        ));
        return;
    }
    let versions = &crd.spec.versions;
    for version in versions.iter().filter(|v| v.storage && !stored.contains(&v.name)) {
        let why = format!("must have the storage version {}", version.name);
        errors.push(Error::invalid(path, stored, why));
    }
    for (index, name) in stored.iter().enumerate() {
        if !versions.iter().any(|version| version.name == *name) {
            let why = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            );
            errors.push(Error::invalid(field::index(path, index), name, why));
        }
    }
}

fn approved(crd: &CustomResourceDefinition, old: Option<&CustomResourceDefinition>, errors: &mut Vec<Error>) {
    if !approval::protected(&crd.spec.group) {
        return;
    }
    let of = |crd: &CustomResourceDefinition| approval::approval(crd.metadata.annotations.as_ref());
    let (state, why) = of(crd);
    if old.is_some_and(|old| of(old).0 == state) {
        return;
    }
    let path = field::key("metadata.annotations", approval::ANNOTATION);
    match state {
        approval::Approval::Missing => errors.push(Error::required(path, why)),
        approval::Approval::Invalid => {
            let annotations = crd.metadata.annotations.as_ref();
            let given = annotations.and_then(|a| a.get(approval::ANNOTATION));
            errors.push(Error::invalid(path, given, why));
        }
        approval::Approval::Approved | approval::Approval::Bypassed => {}
    }
}

fn preserves(
    crd: &CustomResourceDefinition,
    old: Option<&CustomResourceDefinition>,
    errors: &mut Vec<Error>,
) {
    let preserves = |crd: &CustomResourceDefinition| crd.spec.preserve_unknown_fields == Some(true);
    if preserves(crd) && !old.is_some_and(preserves) {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.push(Error::invalid("spec.preserveUnknownFields", true, why));
    }
}

/// One error of all that a rule says.
fn named(value: &str, path: String, rule: NameRule, errors: &mut Vec<Error>) {
    let wrong = rule(value);
    if !wrong.is_empty() {
        errors.push(Error::invalid(path, value, wrong.join(",")));
    }
}

fn spec(
    spec: &CustomResourceDefinitionSpec,
    old: Option<&CustomResourceDefinitionSpec>,
    errors: &mut Vec<Error>,
) {
    if spec.group.is_empty() {
        errors.push(Error::required("spec.group", ""));
    } else if !dns_subdomain(&spec.group).is_empty() {
        named(&spec.group, "spec.group".to_owned(), dns_subdomain, errors);
    } else if !spec.group.contains('.') {
        let why = "should be a domain with at least one dot";
        errors.push(Error::invalid("spec.group", &spec.group, why));
    }
    one_of("spec.scope", &spec.scope, &["Cluster", "Namespaced"], errors);
    for (index, version) in spec.versions.iter().enumerate() {
        let path = field::index("spec.versions", index);
        let schema = version
            .schema
            .as_ref()
            .and_then(|s| s.open_api_v3_schema.as_ref());
        if schema.is_none() {
            errors.push(Error::required(format!("{path}.schema.openAPIV3Schema"), ""));
        }
    }
    for (index, version) in spec.versions.iter().enumerate() {
        let path = field::index("spec.versions", index);
        let same_name = |old: &&CustomResourceDefinitionVersion| old.name == version.name;
        let before = old.and_then(|old| old.versions.iter().find(same_name));
        named(&version.name, format!("{path}.name"), dns_1035_label, errors);
        self::version(version, before, &path, errors);
    }
    let repeated = |(index, version): (usize, &CustomResourceDefinitionVersion)| {
        spec.versions[..index].iter().any(|v| v.name == version.name)
    };
    if spec.versions.iter().enumerate().any(repeated) {
        let why = "must contain unique version names";
        errors.push(Error::invalid("spec.versions", &spec.versions, why));
    }
    if spec.versions.iter().filter(|v| v.storage).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        errors.push(Error::invalid("spec.versions", &spec.versions, why));
    }
    for (name, value) in [
        ("plural", Some(spec.names.plural.as_str())),
        ("singular", spec.names.singular.as_deref()),
        ("kind", Some(spec.names.kind.as_str())),
        ("listKind", spec.names.list_kind.as_deref()),
    ] {
        if value.unwrap_or_default().is_empty() {
            errors.push(Error::required(format!("spec.names.{name}"), ""));
        }
    }
    names(&spec.names, "spec.names", errors);
    if let Some(wanted) = &spec.conversion {
        conversion(wanted, errors);
    }
}

fn one_of(path: &str, value: &str, accepted: &[&str], errors: &mut Vec<Error>) {
    if value.is_empty() {
        errors.push(Error::required(path, ""));
    } else if !accepted.contains(&value) {
        errors.push(Error::not_supported(path, value, accepted));
    }
}

fn names(names: &CustomResourceDefinitionNames, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    let (singular, list) = (
        names.singular.as_deref().unwrap_or_default(),
        names.list_kind.as_deref().unwrap_or_default(),
    );
    for (name, value) in [("plural", names.plural.as_str()), ("singular", singular)] {
        if !value.is_empty() {
            named(value, at(name), dns_1035_label, errors);
        }
    }
    for (name, value) in [("kind", names.kind.as_str()), ("listKind", list)] {
        let wrong = dns_1035_label(&value.to_lowercase());
        if !value.is_empty() && !wrong.is_empty() {
            let why = format!(
                "may have mixed case, but should otherwise match: {}",
                wrong.join(",")
            );
            errors.push(Error::invalid(at(name), value, why));
        }
    }
    let mut each = |list: &Option<Vec<String>>, name: &str| {
        for (index, value) in list.iter().flatten().enumerate() {
            named(value, field::index(&at(name), index), dns_1035_label, errors);
        }
    };
    each(&names.short_names, "shortNames");
    each(&names.categories, "categories");
    if !names.kind.is_empty() && names.kind == list {
        let why = "kind and listKind may not be the same";
        errors.push(Error::invalid(at("listKind"), list, why));
    }
}

fn version(
    version: &CustomResourceDefinitionVersion,
    old: Option<&CustomResourceDefinitionVersion>,
    path: &str,
    errors: &mut Vec<Error>,
) {
    let at = |name: &str| field::child(path, name);
    if let Some(warning) = &version.deprecation_warning {
        let mut wrong = |why: &str| errors.push(Error::invalid(at("deprecationWarning"), warning, why));
        if version.deprecated != Some(true) {
            wrong("can only be set for deprecated versions");
        }
        if warning.len() > 256 {
            wrong("must be <= 256 characters long");
        }
        if warning.is_empty() {
            wrong("must not be an empty string");
        }
        if let Some(place) = warning.find(char::is_control) {
            wrong(&format!(
                "must only contain printable UTF-8 characters; non-printable character found at index {place}"
            ));
        }
    }
    let schema = parse_schema(version);
    // A schema that was taken once is not judged again.
    let known = old.is_some_and(|old| old.schema == version.schema);
    let status = version.subresources.as_ref().is_some_and(|s| s.status.is_some());
    if let Some(schema) = schema.as_ref().filter(|_| !known) {
        errors.extend(schema.check(&at("schema.openAPIV3Schema"), status));
    } else if schema.is_none()
        && version
            .schema
            .as_ref()
            .is_some_and(|s| s.open_api_v3_schema.is_some())
    {
        let why = "is not a schema";
        errors.push(Error::invalid(at("schema.openAPIV3Schema"), "", why));
    }
    if let Some(parts) = &version.subresources {
        subresources(parts, &at("subresources"), errors);
    }
    for (index, column) in version.additional_printer_columns.iter().flatten().enumerate() {
        let path = field::index(&at("additionalPrinterColumns"), index);
        self::column(column, &path, errors);
    }
    if let (Some(fields), Some(schema)) = (&version.selectable_fields, &schema) {
        let same = old.is_some_and(|old| old.selectable_fields == version.selectable_fields);
        selectable::validate(fields, schema, same, &at("selectableFields"), errors);
    }
}

fn simple_path(value: &str, path: &str, errors: &mut Vec<Error>) -> bool {
    let simple = value.starts_with('.');
    if !simple {
        errors.push(Error::invalid(
            path,
            value,
            "must be a simple json path starting with .",
        ));
    }
    simple
}

fn subresources(parts: &CustomResourceSubresources, path: &str, errors: &mut Vec<Error>) {
    let Some(scale) = &parts.scale else { return };
    let mut check = |name: &str, value: &str, under: &[&str], words: &str| {
        let at = field::child(path, name);
        if value.is_empty() {
            errors.push(Error::required(at, ""));
        } else if simple_path(value, &at, errors) && !under.iter().any(|root| value.starts_with(root)) {
            errors.push(Error::invalid(
                at,
                value,
                format!("should be a json path under {words}"),
            ));
        }
    };
    check(
        "scale.specReplicasPath",
        &scale.spec_replicas_path,
        &[".spec."],
        ".spec",
    );
    let status = &scale.status_replicas_path;
    check("scale.statusReplicasPath", status, &[".status."], ".status");
    if let Some(selector) = scale.label_selector_path.as_deref().filter(|p| !p.is_empty()) {
        let words = "either .spec or .status";
        check(
            "scale.labelSelectorPath",
            selector,
            &[".spec.", ".status."],
            words,
        );
    }
}

fn column(column: &CustomResourceColumnDefinition, path: &str, errors: &mut Vec<Error>) {
    const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
    const FORMATS: [&str; 9] = [
        "byte",
        "date",
        "date-time",
        "double",
        "float",
        "int32",
        "int64",
        "password",
        "binary",
    ];
    let at = |name: &str| field::child(path, name);
    if column.name.is_empty() {
        errors.push(Error::required(at("name"), ""));
    }
    let types = format!("must be one of {}", TYPES.join(","));
    if column.type_.is_empty() {
        errors.push(Error::required(at("type"), types));
    } else if !TYPES.contains(&column.type_.as_str()) {
        errors.push(Error::invalid(at("type"), &column.type_, types));
    }
    let format = column.format.as_deref().unwrap_or_default();
    if !format.is_empty() && !FORMATS.contains(&format) {
        let mut formats = FORMATS;
        formats.sort_unstable();
        let why = format!("must be one of {}", formats.join(","));
        errors.push(Error::invalid(at("format"), format, why));
    }
    if column.json_path.is_empty() {
        errors.push(Error::required(at("jsonPath"), ""));
    } else {
        simple_path(&column.json_path, &at("jsonPath"), errors);
    }
}

fn conversion(conversion: &CustomResourceConversion, errors: &mut Vec<Error>) {
    one_of(
        "spec.conversion.strategy",
        &conversion.strategy,
        &["None", "Webhook"],
        errors,
    );
    let path = "spec.conversion.webhook";
    let webhook = conversion.webhook.as_ref();
    if conversion.strategy != "Webhook" {
        if webhook.is_some() {
            let why = "should not be set when strategy is not set to Webhook";
            errors.push(Error::forbidden(path, why));
        }
        return;
    }
    let at = |name: &str| field::child(path, name);
    match webhook.and_then(|webhook| webhook.client_config.as_ref()) {
        None => {
            let why = "required when strategy is set to Webhook";
            errors.push(Error::required(at("clientConfig"), why));
        }
        Some(client) => self::client(client, &at("clientConfig"), errors),
    }
    let versions = webhook.map_or(&[][..], |webhook| &webhook.conversion_review_versions);
    let place = at("conversionReviewVersions");
    if versions.is_empty() {
        errors.push(Error::required(&place, ""));
        return;
    }
    for (index, version) in versions.iter().enumerate() {
        let at = field::index(&place, index);
        if versions[..index].contains(version) {
            errors.push(Error::invalid(at, version, "duplicate version"));
            continue;
        }
        for why in dns_1035_label(version) {
            errors.push(Error::invalid(&at, version, why));
        }
    }
    if !versions
        .iter()
        .any(|version| ["v1", "v1beta1"].contains(&version.as_str()))
    {
        errors.push(Error::invalid(
            place,
            versions,
            "must include at least one of v1, v1beta1",
        ));
    }
}

fn client(client: &WebhookClientConfig, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    match (&client.url, &client.service) {
        (Some(_), Some(_)) | (None, None) => {
            errors.push(Error::required(path, "exactly one of url or service is required"));
        }
        (Some(url), None) => self::url(url, &at("url"), errors),
        (None, Some(service)) => {
            let at = |name: &str| field::child(&at("service"), name);
            for (name, value) in [("name", &service.name), ("namespace", &service.namespace)] {
                if value.is_empty() {
                    let why = format!("service {name} is required");
                    errors.push(Error::required(at(name), why));
                }
            }
            if let Some(port) = service.port.filter(|port| !(1..=65535).contains(port)) {
                let why = "port is not valid: must be between 1 and 65535, inclusive";
                errors.push(Error::invalid(at("port"), port, why));
            }
            if let Some(path) = service.path.as_deref().filter(|path| !path.starts_with('/')) {
                errors.push(Error::invalid(at("path"), path, "must start with a '/'"));
            }
        }
    }
}

fn url(url: &str, path: &str, errors: &mut Vec<Error>) {
    let form = "; desired format: https://host[/path]";
    let mut wrong = |why: String| errors.push(Error::invalid(path, url, why));
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if scheme != "https" {
        wrong(format!("'https' is the only allowed URL scheme{form}"));
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() {
        wrong(format!("host must be specified{form}"));
    }
    if host.contains('@') {
        wrong("user information is not permitted in the URL".to_owned());
    }
    if rest.contains('#') {
        wrong("fragments are not permitted in the URL".to_owned());
    }
    if rest.contains('?') {
        wrong("query parameters are not permitted in the URL".to_owned());
    }
}
