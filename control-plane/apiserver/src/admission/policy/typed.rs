//! The types that a policy's expressions have for the kinds that it is about, told in its status (upstream
//! `validatingadmissionpolicy-status-controller`). They refuse nothing.

use super::{
    GROUP,
    view::{PolicySpec, PolicyView},
};
use crate::{
    Reader, Server,
    cache::{Item, Selection},
    handler::{Call, Validation},
    security::User,
};
use api::{Gvk, Gvr, Object, Status};
use cel::{
    Environment, Issue, Program, Shape,
    admission::{Compiler, Extras, environment},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

const POLICIES: Gvr = Gvr::new(GROUP, "v1", "validatingadmissionpolicies");
/// Most kinds that a policy is looked at for.
const MOST: usize = 10;
/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExpressionWarning {
    pub field_ref: String,
    pub warning: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    observed_generation: i64,
    type_checking: TypeChecking,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TypeChecking {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expression_warnings: Vec<ExpressionWarning>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Seen {
    status: SeenStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SeenStatus {
    observed_generation: i64,
}

/// Keeps the status of policies as a task of `server`.
pub fn follow(server: &Arc<Server>) {
    let Some(cache) = server.handler.cache(GROUP, &POLICIES.resource) else {
        return;
    };
    let (env, reader) = (server.handler.env.clone(), server.reader());
    let server = Arc::downgrade(server);
    env.tasks.clone().spawn("admission-policy-status", async move {
        while let Ok(mut watcher) = cache.watch(Selection::default(), 0, None) {
            while let Some(item) = watcher.next().await {
                let Some(server) = server.upgrade() else { return };
                let Item::Event(_, event) = item else { continue };
                let Some(held) = cache.get("", &event.key) else {
                    continue;
                };
                if let Err(status) = sync(&server, &reader, held.hub()).await
                    && !status.is_conflict()
                    && !status.is_not_found()
                {
                    tracing::warn!(policy = %event.key, %status, "the status of an admission policy");
                }
            }
            env.clock.sleep(PAUSE).await;
        }
    });
}

async fn sync(server: &Arc<Server>, reader: &Reader, policy: &Object) -> Result<(), Status> {
    let seen: Seen = policy.view().map_err(Status::internal)?;
    if policy.generation() <= seen.status.observed_generation {
        return Ok(());
    }
    let view: PolicyView = policy.view().map_err(Status::internal)?;
    let status = Written {
        observed_generation: policy.generation(),
        type_checking: TypeChecking {
            expression_warnings: check(&view.spec, reader),
        },
    };
    let status = serde_json::to_vec(&status).map_err(Status::internal)?;
    let body = crate::splice::set(&policy.to_json(), "status", Some(&status)).map_err(Status::internal)?;
    let place = server
        .handler
        .places
        .find(&POLICIES, "", policy.name(), "status")?;
    let user = Arc::new(User::new("system:apiserver", &["system:masters"]));
    let call = Call {
        attributes: Server::attributes(&user, "update", &place),
        validation: Validation::Ignore,
        field_manager: "validatingadmissionpolicy-status".to_owned(),
        ..Call::default()
    };
    server.handler.update(&place, &call, &body).await.map(drop)
}

/// What is wrong with the expressions for the kinds that the policy names.
pub(super) fn check(spec: &PolicySpec, reader: &Reader) -> Vec<ExpressionWarning> {
    let kinds = kinds(spec, reader);
    let params = spec.param_kind.as_ref().and_then(|kind| {
        let (group, version) = kind
            .api_version
            .rsplit_once('/')
            .unwrap_or(("", &kind.api_version));
        shape(&gvk(group, version, &kind.kind), reader)
    });
    let compilers: Vec<(Gvk, Compiler)> = kinds
        .into_iter()
        .filter_map(|kind| {
            let shape = shape(&kind, reader)?;
            Some((kind, compiler(spec, &shape, params.as_ref())))
        })
        .collect();
    let mut warnings = Vec::new();
    let mut look = |source: &str, field: String| {
        let found = compilers.iter().filter_map(|(kind, compiler)| {
            let issues = Program::compile(source, compiler.plain()).err()?;
            Some(format!("{}: {}\n", named(kind), Issue::join(&issues)))
        });
        let found: Vec<String> = found.collect();
        if !found.is_empty() {
            warnings.push(ExpressionWarning {
                field_ref: field,
                warning: found.join("\n"),
            });
        }
    };
    for (index, rule) in spec.validations.iter().enumerate() {
        let at = |part: &str| format!("spec.validations[{index}].{part}");
        look(&rule.expression, at("expression"));
        if !rule.message_expression.is_empty() {
            look(&rule.message_expression, at("messageExpression"));
        }
    }
    warnings
}

fn compiler(spec: &PolicySpec, object: &Arc<Shape>, params: Option<&Arc<Shape>>) -> Compiler {
    let extras = Extras {
        params: spec.param_kind.is_some(),
        authorizer: true,
        mutation: false,
    };
    let with = |made: Environment| {
        let made = made.shaped("object", object).shaped("oldObject", object);
        match params {
            Some(params) => made.shaped("params", params),
            None => made,
        }
    };
    let mut compiler = Compiler::of(with(environment(extras)), with(environment(extras)));
    for variable in &spec.variables {
        // What is wrong with a variable shows where it is named.
        let _ = compiler.variable(&variable.name, &variable.expression);
    }
    compiler
}

/// The kinds that the rules name in full, sorted.
fn kinds(spec: &PolicySpec, reader: &Reader) -> BTreeSet<Gvk> {
    let mut kinds = BTreeSet::new();
    for rule in &spec.match_constraints.resource_rules {
        let wild = |list: &[String]| list.iter().any(|name| name.contains('*'));
        if wild(&rule.api_groups) || wild(&rule.api_versions) {
            continue;
        }
        for group in &rule.api_groups {
            for version in &rule.api_versions {
                let plain = rule.resources.iter().filter(|name| !name.contains(['*', '/']));
                for resource in plain {
                    let found = reader.of_resource(group, version, resource);
                    kinds.extend(found.map(|cache| gvk(group, version, cache.row.kind)));
                    if kinds.len() == MOST {
                        return kinds;
                    }
                }
            }
        }
    }
    kinds
}

fn gvk(group: &str, version: &str, kind: &str) -> Gvk {
    Gvk {
        group: group.to_owned().into(),
        version: version.to_owned().into(),
        kind: kind.to_owned().into(),
    }
}

/// The type of a kind; none if it has none.
fn shape(kind: &Gvk, reader: &Reader) -> Option<Arc<Shape>> {
    let (cache, version) = reader.of_kind(&kind.group, &kind.version, &kind.kind)?;
    match cache.custom() {
        Some(custom) => {
            let schema = custom.versions.get(version)?.schema.as_ref()?;
            Shape::of(schema, &kind.kind, true)
        }
        None => schema::cel_shape(&kind.group, &kind.version, &kind.kind),
    }
}

/// As upstream prints a kind.
fn named(kind: &Gvk) -> String {
    match &*kind.group {
        "" => format!("/{}, Kind={}", kind.version, kind.kind),
        group => format!("{group}/{}, Kind={}", kind.version, kind.kind),
    }
}
