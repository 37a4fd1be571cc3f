//! Pod.

mod bind;
mod cells;
mod containers;
mod defaults;
mod env;
mod ephemeral;
mod probes;
mod qos;
mod resize;
mod restart_rules;
pub(crate) mod template;
mod update;
pub(super) mod validation;
pub(super) mod volumes;
pub(crate) mod warnings;
mod whole;

use crate::{
    Row, STATUS, Subresource, WriteRequest,
    admission::{default_toleration_seconds, priority, service_account},
    encode,
    write::{Kind, write},
};
use api::{Object, Status, field::Error, scan};
pub use bind::bind;
use k8s_openapi::api::core::v1::{Pod, PodStatus};

const fn stream(name: &'static str, options: &'static str) -> Subresource {
    Subresource {
        name,
        kind: ("", "v1", options),
        verbs: &["create", "get"],
    }
}

pub(crate) static ROW: Row = Row {
    short_names: &["po"],
    categories: &["all"],
    prefix: "/registry/pods",
    subresources: &[
        stream("attach", "PodAttachOptions"),
        Subresource {
            name: "binding",
            kind: ("", "v1", "Binding"),
            verbs: &["create"],
        },
        Subresource {
            name: "ephemeralcontainers",
            ..STATUS
        },
        Subresource {
            name: "eviction",
            kind: ("policy", "v1", "Eviction"),
            verbs: &["create"],
        },
        stream("exec", "PodExecOptions"),
        Subresource {
            name: "log",
            kind: ("", "v1", "Pod"),
            verbs: &["get"],
        },
        stream("portforward", "PodPortForwardOptions"),
        Subresource {
            name: "proxy",
            kind: ("", "v1", "PodProxyOptions"),
            verbs: &["create", "delete", "get", "patch", "update"],
        },
        Subresource {
            name: "resize",
            ..STATUS
        },
        STATUS,
    ],
    fields: &[
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ],
    trigger: Some(0),
    columns: cells::COLUMNS,
    cells: cells::row_cells,
    grace,
    ..Row::usual("", "Pod", "pods", "pod", write::<Pod>)
};

impl Kind for Pod {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        defaults::spec(spec);
        defaults::pod(spec);
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        let spec = self.spec.get_or_insert_default();
        self.status = Some(PodStatus {
            phase: Some("Pending".to_owned()),
            qos_class: Some(qos::class(spec).to_owned()),
            conditions: defaults::gated(spec),
            ..PodStatus::default()
        });
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
        update::keep_admitted(self, old);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
        self.metadata
            .owner_references
            .clone_from(&old.metadata.owner_references);
        let qos = old.status.as_ref().and_then(|status| status.qos_class.clone());
        let status = self.status.get_or_insert_default();
        status.qos_class = qos;
        update::agree(status);
    }

    fn prepare_subresource(&mut self, name: &str, old: &Self) {
        match name {
            "resize" => resize::prepare(self, old),
            _ => ephemeral::prepare(self, old),
        }
    }

    fn validate_subresource(&self, name: &str, old: &Self, errors: &mut Vec<Error>) {
        match (name, &self.spec, &old.spec) {
            ("resize", ..) => resize::validate(self, old, errors),
            (_, Some(new), Some(old)) => ephemeral::validate(new, old, errors),
            _ => {}
        }
    }

    fn admit(&mut self, old: Option<&Self>, request: &WriteRequest<'_>) -> Result<(), Status> {
        if old.is_some() {
            Ok(())
        } else {
            service_account::admit(self, request)?;
            priority::admit(self, request)?;
            default_toleration_seconds::admit(self, request);
            Ok(())
        }
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        validation::pod(self, errors);
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        update::validate(self, old, errors);
    }

    fn validate_status(&self, old: &Self, errors: &mut Vec<Error>) {
        update::validate_status(self, old, errors);
    }

    fn warnings(&self) -> Vec<String> {
        self.spec
            .as_ref()
            .map(|spec| warnings::of(spec, "spec"))
            .unwrap_or_default()
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }
}

/// How long a deleted pod stays: as long as it says or is asked, unless nothing of it runs.
fn grace(object: &Object, wished: Option<i64>) -> Option<i64> {
    let own = || {
        scan::scalar(object.body(), "spec.terminationGracePeriodSeconds")
            .ok()?
            .parse::<i64>()
            .ok()
    };
    let ended = matches!(object.field(5), "Succeeded" | "Failed");
    let seconds = match wished.or_else(own).unwrap_or_default() {
        _ if object.field(0).is_empty() || ended => 0,
        negative if negative < 0 => 1,
        seconds => seconds,
    };
    Some(seconds).filter(|&seconds| seconds > 0)
}
