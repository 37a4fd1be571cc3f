//! FlowSchema.

use crate::{
    Cell, Row, STATUS, WriteRequest, cells, encode, meta, names, rules,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::flowcontrol::v1::{FlowSchema, FlowSchemaStatus, PolicyRulesWithSubjects, Subject};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/flowschemas",
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("PriorityLevel", "string", "The level of its requests."),
        cells::column(
            "MatchingPrecedence",
            "string",
            "The lowest that matches is taken.",
        ),
        cells::column(
            "DistinguisherMethod",
            "string",
            "How its requests are told apart.",
        ),
        cells::AGE,
        cells::column("MissingPL", "string", "Whether the level is missing."),
    ],
    cells: row_cells,
    ..Row::usual(
        super::GROUP,
        "FlowSchema",
        "flowschemas",
        "flowschema",
        write::<FlowSchema>,
    )
};

impl Kind for FlowSchema {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        let precedence = self.spec.matching_precedence.get_or_insert_default();
        if *precedence == 0 {
            *precedence = 1000;
        }
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(FlowSchemaStatus::default());
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let spec = &self.spec;
        let precedence = spec.matching_precedence.unwrap_or_default();
        let mut wrong = |why: &str| errors.push(Error::invalid("spec.matchingPrecedence", precedence, why));
        match precedence {
            ..=0 => wrong("must be a positive value"),
            1 if self.metadata.name.as_deref() != Some("exempt") => {
                wrong("only the schema named 'exempt' may have matchingPrecedence 1");
            }
            10001.. => wrong("must not be greater than 10000"),
            _ => {}
        }
        if let Some(method) = &spec.distinguisher_method {
            let methods = ["ByNamespace", "ByUser"];
            let path = "spec.distinguisherMethod.type";
            rules::one_of(Some(&method.type_), &methods, path, errors);
        }
        let (path, level) = (
            "spec.priorityLevelConfiguration.name",
            &spec.priority_level_configuration.name,
        );
        if level.is_empty() {
            errors.push(Error::required(path, "must reference a priority level"));
        } else {
            meta::invalid(errors, path, level, names::dns_subdomain(level));
        }
        for (i, rule) in spec.rules.iter().flatten().enumerate() {
            validate_rule(rule, &field::index("spec.rules", i), errors);
        }
        let name = self.metadata.name.as_deref();
        if !super::is_as_fixed(&super::MANDATORY_SCHEMAS, name, spec) {
            let why = format!(
                "spec of '{}' must equal the fixed value",
                name.unwrap_or_default()
            );
            errors.push(Error::invalid("spec", spec, why));
        }
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }
}

fn validate_rule(rule: &PolicyRulesWithSubjects, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    if rule.subjects.is_empty() {
        let why = "subjects must contain at least one value";
        errors.push(Error::required(at("subjects"), why));
    }
    for (i, subject) in rule.subjects.iter().enumerate() {
        validate_subject(subject, &field::index(&at("subjects"), i), errors);
    }
    let resources = rule.resource_rules.as_deref().unwrap_or_default();
    let others = rule.non_resource_rules.as_deref().unwrap_or_default();
    if resources.is_empty() && others.is_empty() {
        let why = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(Error::required(path, why));
    }
    for (i, rule) in resources.iter().enumerate() {
        let path = field::index(&at("resourceRules"), i);
        let at = |name: &str| field::child(&path, name);
        verbs(&rule.verbs, &at("verbs"), errors);
        let why = "resource rules must supply at least one api group";
        list(&rule.api_groups, &at("apiGroups"), why, "api groups", errors);
        let why = "resource rules must supply at least one resource";
        list(&rule.resources, &at("resources"), why, "resources", errors);
        let namespaces = rule.namespaces.as_deref().unwrap_or_default();
        if !namespaces.is_empty() || rule.cluster_scope != Some(true) {
            let why = "resource rules that are not cluster scoped must supply at least one namespace";
            list(namespaces, &at("namespaces"), why, "namespaces", errors);
            for (i, namespace) in namespaces.iter().enumerate().filter(|_| !is_all(namespaces)) {
                for why in names::dns_label(namespace) {
                    let why = format!("each member of this list must be '*' or a DNS-1123 label; {why}");
                    errors.push(Error::invalid(field::index(&at("namespaces"), i), namespace, why));
                }
            }
        }
    }
    for (i, rule) in others.iter().enumerate() {
        let path = field::index(&at("nonResourceRules"), i);
        let at = |name: &str| field::child(&path, name);
        verbs(&rule.verbs, &at("verbs"), errors);
        let why = "nonResourceURLs must contain at least one value";
        list(
            &rule.non_resource_urls,
            &at("nonResourceURLs"),
            why,
            "non-resource URLs",
            errors,
        );
        let urls = &rule.non_resource_urls;
        for (i, url) in urls.iter().enumerate().filter(|_| !is_all(urls)) {
            if let Some(why) = wrong_path(url) {
                errors.push(Error::invalid(field::index(&at("nonResourceURLs"), i), url, why));
            }
        }
    }
}

/// Verbs that there are, or all.
fn verbs(verbs: &[String], path: &str, errors: &mut Vec<Error>) {
    const KNOWN: [&str; 9] = [
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "proxy",
        "update",
        "watch",
    ];
    list(
        verbs,
        path,
        "verbs must contain at least one value",
        "verbs",
        errors,
    );
    if !is_all(verbs) && !verbs.iter().all(|verb| KNOWN.contains(&verb.as_str())) {
        errors.push(Error::not_supported(path, verbs, &KNOWN));
    }
}

fn is_all(list: &[String]) -> bool {
    list.iter().any(|value| value == "*")
}

/// What is wrong with a path of requests that are about no resource.
fn wrong_path(path: &str) -> Option<&'static str> {
    match path {
        "/" => None,
        "" => Some("must not be empty"),
        _ if !path.starts_with('/') => Some("must start with slash"),
        _ if path.contains(' ') => Some("must not contain white-space"),
        _ if path.contains("//") => Some("must not contain double slash"),
        _ => match path.matches('*').count() {
            0 => None,
            1 if path.ends_with("/*") => None,
            _ => Some("wildcard can only do suffix matching"),
        },
    }
}

/// A list with something in it; `*` stands alone.
fn list(values: &[String], path: &str, missing: &str, words: &str, errors: &mut Vec<Error>) {
    if values.is_empty() {
        errors.push(Error::required(path, missing));
    } else if values.len() > 1 && values.iter().any(|value| value == "*") {
        let why = format!("if '*' is present, must not specify other {words}");
        errors.push(Error::invalid(path, values, why));
    }
}

fn validate_subject(subject: &Subject, path: &str, errors: &mut Vec<Error>) {
    let (user, group) = (subject.user.as_ref(), subject.group.as_ref());
    let account = subject.service_account.as_ref();
    let parts = [
        ("Group", "group", group.map(|group| &group.name)),
        (
            "ServiceAccount",
            "serviceAccount",
            account.map(|account| &account.name),
        ),
        ("User", "user", user.map(|user| &user.name)),
    ];
    let kinds = parts.map(|(kind, _, _)| kind);
    rules::one_of(Some(&subject.kind), &kinds, &field::child(path, "kind"), errors);
    if !kinds.contains(&subject.kind.as_str()) {
        return;
    }
    for (kind, name, given) in parts {
        let path = field::child(path, name);
        match given {
            None if kind == subject.kind => {
                let why = format!("{name} is required when subject kind is '{kind}'");
                errors.push(Error::required(path, why));
            }
            Some(_) if kind != subject.kind => {
                let why = format!("{name} is forbidden when subject kind is not '{kind}'");
                errors.push(Error::forbidden(path, why));
            }
            Some(given) => rules::required(&field::child(&path, "name"), given, errors),
            None => {}
        }
    }
    if let Some(account) = account {
        let at = |name: &str| field::child(path, &format!("serviceAccount.{name}"));
        if !matches!(account.name.as_str(), "" | "*") {
            meta::invalid(
                errors,
                &at("name"),
                &account.name,
                names::dns_subdomain(&account.name),
            );
        }
        if account.namespace.is_empty() {
            let why = "must specify namespace for service account";
            errors.push(Error::required(at("namespace"), why));
        } else {
            meta::invalid(
                errors,
                &at("namespace"),
                &account.namespace,
                names::dns_label(&account.namespace),
            );
        }
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
    priority_level_configuration: LevelView,
    matching_precedence: i64,
    distinguisher_method: MethodView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LevelView {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MethodView {
    r#type: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusView {
    conditions: Vec<cells::ConditionView>,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let dangling = status
        .conditions
        .into_iter()
        .find(|condition| condition.r#type == "Dangling");
    vec![
        cells::name(object),
        Cell::Text(spec.priority_level_configuration.name),
        Cell::Int(spec.matching_precedence),
        cells::or_none(&spec.distinguisher_method.r#type),
        cells::age(object, now),
        Cell::Text(dangling.map_or_else(|| "?".to_owned(), |condition| condition.status)),
    ]
}
