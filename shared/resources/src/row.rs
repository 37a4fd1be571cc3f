//! The row: all that the rest of the system knows of a resource.

use crate::{apiextensions::Custom, cells};
use api::{Gvk, Gvr, Object, Status, field};
use bytes::Bytes;
use jiff::Timestamp;
use std::{collections::BTreeMap, sync::Arc};

/// A resource. The one handler of the API server serves every resource from such a row; a custom resource fills the
/// same row from its schema.
#[derive(Debug)]
pub struct Row {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Plural name, as in URLs.
    pub plural: &'static str,
    /// Singular name.
    pub singular: &'static str,
    /// Short names of kubectl.
    pub short_names: &'static [&'static str],
    /// Categories, such as `all`.
    pub categories: &'static [&'static str],
    /// Objects live in namespaces.
    pub namespaced: bool,
    /// Served versions, the preferred one first.
    pub versions: &'static [Version],
    /// Versions that are served only when `--runtime-config` says so.
    pub on_demand: &'static [Version],
    /// The version that is stored: the hub all others convert to and from.
    pub hub: &'static str,
    /// Key prefix in the store, such as `/registry/services/specs`.
    pub prefix: &'static str,
    /// Verbs of the resource itself, in discovery's order. Empty: the usual eight.
    pub verbs: &'static [&'static str],
    /// Subresources.
    pub subresources: &'static [Subresource],
    /// Paths of the selectable fields beside `metadata.name` and `metadata.namespace`.
    pub fields: &'static [&'static str],
    /// The index in `fields` by which watchers are indexed.
    pub trigger: Option<usize>,
    /// Columns of the table that kubectl prints.
    pub columns: &'static [Column],
    /// Cells of one object, one a column.
    pub cells: fn(&Object, Timestamp) -> Vec<Cell>,
    /// The write function of the kind: `write::<K>`.
    pub write: fn(&WriteRequest<'_>) -> Result<Written, Status>,
    /// PUT makes an object that is not there.
    pub create_on_update: bool,
    /// PUT may leave out the version that it replaces.
    pub unconditional: bool,
    /// Whether and how long an object lingers when it is deleted.
    pub grace: fn(&Object, Option<i64>) -> Option<i64>,
    /// Whether a deleted object stays although its grace period and its `metadata.finalizers` are over (a Namespace,
    /// until its `spec.finalizers` are gone).
    pub lingers: fn(&Object) -> bool,
    /// How its writes are acknowledged and whether they expire.
    pub keeping: Keeping,
    /// Where `/scale` finds its numbers.
    pub scale: Option<ScalePaths>,
    /// The propagation policy when a delete names none: `Background` or, for old kinds, `Orphan`.
    pub propagation: &'static str,
}

/// From the JSON of one version to the JSON of another.
pub type Convert = fn(&[u8]) -> Result<Vec<u8>, Status>;

/// A served version.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// Group, if another than the row's (Events are served in two groups); `None`: the row's.
    pub group: Option<&'static str>,
    /// Version name.
    pub name: &'static str,
    /// From this version to the hub. `None`: the identity but for `apiVersion`.
    pub to_hub: Option<Convert>,
    /// From the hub (stored bytes) to this version. `None`: the identity but for `apiVersion`.
    pub from_hub: Option<Convert>,
}

/// A subresource, for discovery and routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subresource {
    /// Name, such as `status`.
    pub name: &'static str,
    /// Group, version and kind of its body; empty group, version and kind: the resource's own.
    pub kind: (&'static str, &'static str, &'static str),
    /// Verbs, in discovery's order.
    pub verbs: &'static [&'static str],
}

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// `string`, `integer`, `date`, …
    pub kind: &'static str,
    /// `name` for the name column.
    pub format: &'static str,
    /// 0: always shown; 1: wide only.
    pub priority: i32,
    /// For a person.
    pub description: &'static str,
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// Text.
    Text(String),
    /// A number.
    Int(i64),
    /// Yes or no.
    Bool(bool),
    /// A number that may have a fraction.
    Number(f64),
    /// There is nothing to show.
    Nothing,
}

/// How writes of a resource are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// On disk before they are acknowledged.
    Durable,
    /// Acknowledged from memory on a single server (Leases).
    Volatile,
    /// The same, and gone after an hour (Events).
    Expiring,
}

/// Paths of the numbers behind `/scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// Wished replicas.
    pub spec_replicas: &'static str,
    /// Counted replicas.
    pub status_replicas: &'static str,
    /// The label selector object.
    pub selector: &'static str,
}

/// Which write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// POST.
    Create,
    /// PUT, or the result of a PATCH.
    Update,
    /// PUT or PATCH of `/status`: only the status (and what belongs to it) is taken.
    Status,
    /// PUT or PATCH of another subresource that takes the whole object, such as `finalize`, `ephemeralcontainers`; and
    /// `delete`, the write of an object that was marked as being deleted but must stay a while.
    Subresource(&'static str),
}

/// What `write::<K>` is given. It is pure: time and randomness are in here.
pub struct WriteRequest<'a> {
    /// Which write.
    pub op: Op,
    /// The object, as JSON in the hub version.
    pub body: &'a [u8],
    /// The object as it is stored; `None` for a create.
    pub old: Option<&'a Object>,
    /// Namespace of the URL; empty for cluster-scoped.
    pub namespace: &'a str,
    /// Name of the URL; for a create, the final name (a `generateName` is resolved before).
    pub name: &'a str,
    /// A new UID, used by a create.
    pub uid: &'a str,
    /// Now.
    pub now: Timestamp,
    /// Who asks.
    pub user: Requester<'a>,
    /// What admission may look at.
    pub cluster: &'a dyn Cluster,
    /// The definition of a custom resource, and which of its versions the body and the old object are in.
    pub custom: Option<(&'a Custom, usize)>,
    /// Only as far as others have a say: the body that is answered is the object with its defaults, and what the kind's
    /// own admission adds, for those who may change it before it is prepared and validated. Of built-in kinds only.
    pub for_admission: bool,
}

/// Who asks for a write, as far as an object may keep it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Requester<'a> {
    /// Name.
    pub name: &'a str,
    /// UID; empty when there is none.
    pub uid: &'a str,
    /// Groups.
    pub groups: &'a [String],
    /// What else the authenticator knows; none is nothing.
    pub extra: Option<&'a BTreeMap<String, Vec<String>>>,
}

impl std::fmt::Debug for WriteRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WriteRequest({:?} {}/{})", self.op, self.namespace, self.name)
    }
}

/// What `write::<K>` answers. Managed fields are neither given to it nor answered: the handler keeps them.
#[derive(Debug)]
pub struct Written {
    /// The object to store: canonical JSON in the hub version, without resourceVersion.
    pub body: Bytes,
    /// The object as the client meant it, defaulted, before admission and allocation added to it: of this the client
    /// owns the fields. `None`: as `body`.
    pub meant: Option<Bytes>,
    /// Warnings for the client.
    pub warnings: Vec<String>,
}

/// What kinds may ask of the cluster while they are written: reads from memory, and allocations that the handler gives
/// back when the write fails.
pub trait Cluster {
    /// An object, by row (plural and group) and key.
    fn get(&self, resource: &Gvr, namespace: &str, name: &str) -> Option<Arc<Object>>;
    /// All objects of a cluster-scoped resource, or of one namespace.
    fn list(&self, resource: &Gvr, namespace: &str) -> Vec<Arc<Object>>;
    /// The fields whose feature gates are off; none: no gate is.
    fn disabled(&self) -> Option<&schema::Disabled> {
        None
    }
    /// Whether an admission plugin is on, of those that are part of how kinds are written.
    fn admits(&self, _plugin: &str) -> bool {
        true
    }
    /// The families of addresses that Services can have, the usual one first.
    fn families(&self) -> Vec<&'static str> {
        vec!["IPv4"]
    }
    /// Takes a ClusterIP of a family: the wished one, or any; or says why not.
    fn allocate_ip(&self, family: &str, wished: Option<&str>) -> Result<String, String>;
    /// Takes a node port: the wished one, or any; or says why not.
    fn allocate_node_port(&self, wished: Option<u16>) -> Result<u16, String>;
}

/// Why a kind cannot have what it would take.
#[derive(Clone, Debug)]
pub enum Refused {
    /// A field is wrong.
    Field(field::Error),
    /// There is nothing left to take.
    Whole(Status),
}

impl From<field::Error> for Refused {
    fn from(error: field::Error) -> Self {
        Self::Field(error)
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self::Whole(status)
    }
}

/// `/status`.
pub const STATUS: Subresource = Subresource {
    name: "status",
    kind: ("", "", ""),
    verbs: &["get", "patch", "update"],
};
/// `/scale`.
pub const SCALE: Subresource = Subresource {
    name: "scale",
    kind: ("autoscaling", "v1", "Scale"),
    verbs: &["get", "patch", "update"],
};

const V1: &[Version] = &[Version::same("v1")];

impl Version {
    /// A version whose bytes are the hub's.
    pub const fn same(name: &'static str) -> Self {
        Self {
            group: None,
            name,
            to_hub: None,
            from_hub: None,
        }
    }
}

impl Row {
    /// A row with the usual values, to be completed: namespaced, stored as `v1`, name and date as columns, gone at
    /// once when deleted.
    pub const fn usual(
        group: &'static str,
        kind: &'static str,
        plural: &'static str,
        singular: &'static str,
        write: fn(&WriteRequest<'_>) -> Result<Written, Status>,
    ) -> Self {
        Self {
            group,
            kind,
            plural,
            singular,
            short_names: &[],
            categories: &[],
            namespaced: true,
            versions: V1,
            on_demand: &[],
            hub: "v1",
            prefix: "",
            verbs: &[],
            subresources: &[],
            fields: &[],
            trigger: None,
            columns: &[cells::NAME, cells::CREATED],
            cells: cells::name_and_date,
            write,
            create_on_update: false,
            unconditional: true,
            grace: |_, _| None,
            lingers: |_| false,
            keeping: Keeping::Durable,
            scale: None,
            propagation: "Background",
        }
    }

    /// The hub's group, version and resource.
    pub fn gvr(&self) -> Gvr {
        Gvr::new(self.group, self.hub, self.plural)
    }

    /// The hub's group, version and kind.
    pub fn gvk(&self) -> Gvk {
        Gvk::new(self.group, self.hub, self.kind)
    }

    /// The served version of `group` and `name`.
    pub fn version(&self, group: &str, name: &str) -> Option<&'static Version> {
        self.versions
            .iter()
            .find(|v| v.name == name && v.group.unwrap_or(self.group) == group)
    }

    /// The subresource `name`.
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// The key in the store.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        if self.namespaced {
            format!("{}/{namespace}/{name}", self.prefix)
        } else {
            format!("{}/{name}", self.prefix)
        }
    }
}
