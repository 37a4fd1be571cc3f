//! The values of selectable fields: mostly the text at the path, `false` or `0` where upstream counts what is not
//! there, and a few that come from other places.

use crate::Row;
use api::Object;

struct Special {
    group: &'static str,
    kind: &'static str,
    path: &'static str,
    /// Where the value is, the first that has one.
    from: &'static [&'static str],
    /// The value if none has one.
    absent: &'static str,
}

const fn special(
    group: &'static str,
    kind: &'static str,
    path: &'static str,
    from: &'static [&'static str],
    absent: &'static str,
) -> Special {
    Special {
        group,
        kind,
        path,
        from,
        absent,
    }
}

static SPECIAL: &[Special] = &[
    special(
        "",
        "Event",
        "source",
        &["source.component", "reportingComponent"],
        "",
    ),
    special("", "Node", "spec.unschedulable", &["spec.unschedulable"], "false"),
    special("", "Pod", "spec.hostNetwork", &["spec.hostNetwork"], "false"),
    special(
        "",
        "ReplicationController",
        "status.replicas",
        &["status.replicas"],
        "0",
    ),
    special("apps", "ReplicaSet", "status.replicas", &["status.replicas"], "0"),
    special("batch", "Job", "status.successful", &["status.succeeded"], "0"),
];

/// Names of fields in another group that serves the same objects, by the names they start with.
static ALIASES: &[(&str, &str, &str)] = &[
    ("Event", "regarding.", "involvedObject."),
    ("Event", "reportingController", "reportingComponent"),
];

impl Row {
    /// The stored form's name of a field that a selector names.
    pub fn field_name(&self, path: &str) -> String {
        let alias = ALIASES
            .iter()
            .find(|(kind, name, _)| *kind == self.kind && self.group.is_empty() && path.starts_with(name));
        match alias {
            Some((_, name, stored)) => path.replacen(name, stored, 1),
            None => path.to_owned(),
        }
    }

    /// The value of the selectable field `path`.
    pub fn selected<'a>(&self, object: &'a Object, path: &str) -> &'a str {
        match path {
            "metadata.name" => return object.name(),
            "metadata.namespace" => return object.namespace(),
            _ => {}
        }
        let plain = |path: &str| {
            let index = self.fields.iter().position(|field| *field == path);
            index.map_or("", |index| object.field(index))
        };
        let special = |s: &&Special| s.path == path && s.kind == self.kind && s.group == self.group;
        let Some(special) = SPECIAL.iter().find(special) else {
            return plain(path);
        };
        let values = special.from.iter().map(|path| plain(path));
        values
            .into_iter()
            .find(|value| !value.is_empty())
            .unwrap_or(special.absent)
    }
}
