//! PodTolerationRestriction: the pods of a namespace have its default tolerations, and no others than it allows
//! (upstream `plugin/pkg/admission/podtolerationrestriction`).

use super::{Attributes, Operation, Parts, Plugin, change::Change, tolerations};
use crate::Reader;
use api::{Gvr, Status, Toleration, quota};
use serde::Deserialize;

const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");
const DEFAULTS: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
const ALLOWED: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";

/// `podtolerationrestriction.admission.k8s.io/v1alpha1 Configuration`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    /// For namespaces that name none.
    pub default: Vec<Toleration>,
    /// What is allowed where the namespace does not say.
    pub whitelist: Vec<Toleration>,
}

impl Configuration {
    /// Says what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        for (list, of) in [("default", &self.default), ("whitelist", &self.whitelist)] {
            for (at, one) in of.iter().enumerate() {
                let wrong = |field: &str, value: &str, known: &str| {
                    format!(
                        "invalid config: podtolerationrestriction.{list}[{at}].{field}: Unsupported value: {value:?}: supported values: {known}"
                    )
                };
                if !["", "Equal", "Exists"].contains(&one.operator.as_str()) {
                    return Err(wrong("operator", &one.operator, r#""Equal", "Exists""#));
                }
                if !["", "NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&one.effect.as_str()) {
                    let known = r#""NoSchedule", "PreferNoSchedule", "NoExecute""#;
                    return Err(wrong("effect", &one.effect, known));
                }
            }
        }
        Ok(())
    }
}

/// The plugin.
pub struct PodTolerationRestriction {
    reader: Reader,
    configuration: Configuration,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    tolerations: Vec<Toleration>,
}

impl PodTolerationRestriction {
    /// The plugin.
    pub fn new(parts: &Parts) -> Self {
        Self {
            reader: parts.reader.clone(),
            configuration: parts.configuration.pod_toleration_restriction.clone(),
        }
    }

    /// What an annotation of the namespace says; none without it.
    fn said(&self, namespace: &str, annotation: &str) -> Result<Option<Vec<Toleration>>, Status> {
        let object = self.reader.get(&NAMESPACES, "", namespace);
        match object.and_then(|object| object.annotation(annotation)) {
            None => Ok(None),
            Some(text) if text.is_empty() => Ok(Some(Vec::new())),
            Some(text) => serde_json::from_str(&text).map(Some).map_err(Status::internal),
        }
    }

    fn check(&self, request: &Attributes<'_>, own: &[Toleration]) -> Result<(), Status> {
        let said = self.said(&request.request().namespace, ALLOWED)?;
        let scope = if said.is_some() { "namespace" } else { "cluster" };
        let allowed = said.unwrap_or_else(|| self.configuration.whitelist.clone());
        if tolerations::are_allowed(own, &allowed) {
            return Ok(());
        }
        let why = format!(
            "pod tolerations (possibly merged with namespace default tolerations) conflict with its {scope} whitelist"
        );
        // Upstream's error of this is no status of its own.
        Err(Status {
            message: why,
            reason: String::new(),
            details: None,
            ..Status::internal("")
        })
    }
}

fn concerns(request: &Attributes<'_>) -> bool {
    request.is("", "pods") && matches!(request.operation, Operation::Create | Operation::Update)
}

fn own(request: &Attributes<'_>) -> Result<Vec<Toleration>, Status> {
    let pod: Option<Pod> = request
        .object
        .as_ref()
        .map(|o| o.view())
        .transpose()
        .map_err(Status::internal)?;
    Ok(pod.unwrap_or_default().spec.tolerations)
}

impl Plugin for PodTolerationRestriction {
    fn mutates(&self, request: &Attributes<'_>) -> bool {
        concerns(request)
    }

    fn admit(&self, request: &mut Attributes<'_>) -> Result<(), Status> {
        let own = own(request)?;
        let mut more = Vec::new();
        if request.operation == Operation::Create {
            let said = self.said(&request.request().namespace, DEFAULTS)?;
            more = said.unwrap_or_else(|| self.configuration.default.clone());
        }
        let item = request
            .object
            .as_deref()
            .and_then(|pod| quota::Item::new("", "pods", pod));
        let scope = quota::Term {
            scope_name: "NotBestEffort".to_owned(),
            ..quota::Term::default()
        };
        if item.is_some_and(|pod| pod.is_within(&scope)) {
            more.push(Toleration {
                key: "node.kubernetes.io/memory-pressure".to_owned(),
                operator: "Exists".to_owned(),
                effect: "NoSchedule".to_owned(),
                ..Toleration::default()
            });
        }
        let merged = if more.is_empty() {
            own.clone()
        } else {
            tolerations::merged(&own, &more)
        };
        self.check(request, &merged)?;
        let mut change = Change::default();
        if merged != own {
            change.set("/spec/tolerations", &merged)?;
        }
        change.apply(request)
    }

    fn validates(&self, request: &Attributes<'_>) -> bool {
        concerns(request)
    }

    fn validate(&self, request: &Attributes<'_>) -> Result<(), Status> {
        self.check(request, &own(request)?)
    }
}
