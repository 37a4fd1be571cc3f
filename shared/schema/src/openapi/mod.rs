//! OpenAPI documents made from the table: v3 with one document a group and version, and v2 in one. Structure only; no prose.

mod connect;
mod merge;
mod messages;
mod newer;
mod operations;
mod paths;
mod prose;
mod protobuf;
mod roots;
mod schemas;
#[cfg(test)]
mod tests;

pub use merge::openapi_v2_part;
pub use newer::openapi_v3_of;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha512};

use crate::{
    document::write,
    structural::Published,
    table::{TypeRef, type_named, type_of},
};

/// A resource or subresource as discovery lists it.
#[derive(Clone, Copy, Debug)]
pub struct ResourceInfo<'a> {
    /// Plural name, with the subresource behind it: `deployments`, `deployments/scale`.
    pub name: &'a str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Group of the kind; differs from the resource's group for subresources such as `scale` and `eviction`.
    pub group: &'a str,
    /// Version of the kind.
    pub version: &'a str,
    /// Kind of the bodies.
    pub kind: &'a str,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verbs: &'a [&'a str],
    /// How the kind of the resource is shown, if it is a custom one.
    pub custom: Option<&'a Published>,
}

/// The resources of one group and version.
#[derive(Clone, Copy, Debug)]
pub struct GroupVersion<'a> {
    /// Group; empty for the core group.
    pub group: &'a str,
    /// Version.
    pub version: &'a str,
    /// Resources and subresources.
    pub resources: &'a [ResourceInfo<'a>],
}

impl GroupVersion<'_> {
    /// `api/v1`, `apis/apps/v1`: its key in the index, and its place behind `/openapi/v3/`.
    pub fn path(&self) -> String {
        if self.group.is_empty() {
            format!("api/{}", self.version)
        } else {
            format!("apis/{}/{}", self.group, self.version)
        }
    }
}

/// Which OpenAPI: they differ in where schemas stand and how parameters and bodies are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    V2,
    V3,
}

impl Dialect {
    fn reference(self, name: &str) -> Value {
        match self {
            Self::V2 => json!({ "$ref": format!("#/definitions/{name}") }),
            Self::V3 => json!({ "$ref": format!("#/components/schemas/{name}") }),
        }
    }
}

/// The document at `/openapi/v3/apis/GROUP/VERSION`; `release` is the version of the API, such as `v1.37.0`.
pub fn openapi_v3(release: &str, group: &GroupVersion<'_>) -> Vec<u8> {
    let mut document = Document::new(Dialect::V3);
    document.add(group);
    write(&json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": release },
        "paths": document.paths,
        "components": { "schemas": document.schemas(), "securitySchemes": token() },
        "security": [{ "BearerToken": [] }],
    }))
}

/// The document at `/openapi/v2`, as JSON, with the parts that [`openapi_v2_part`] found at other servers.
pub fn openapi_v2<'a>(
    release: &str,
    groups: &[GroupVersion<'_>],
    others: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<u8> {
    write(&merged(release, groups, others))
}

/// The document at `/openapi/v2`, as protobuf: a `Document` of gnostic's `openapi.v2`.
pub fn openapi_v2_protobuf<'a>(
    release: &str,
    groups: &[GroupVersion<'_>],
    others: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<u8> {
    protobuf::write(&merged(release, groups, others))
}

fn merged<'a>(
    release: &str,
    groups: &[GroupVersion<'_>],
    others: impl IntoIterator<Item = &'a [u8]>,
) -> Value {
    let mut document = v2(release, groups);
    others
        .into_iter()
        .for_each(|part| merge::add(&mut document, part));
    document
}

fn v2(release: &str, groups: &[GroupVersion<'_>]) -> Value {
    let mut document = Document::new(Dialect::V2);
    groups.iter().for_each(|group| document.add(group));
    roots::all(&mut document, groups);
    json!({
        "swagger": "2.0",
        "info": { "title": "Kubernetes", "version": release },
        "paths": document.paths,
        "definitions": document.schemas(),
        "security": [{ "BearerToken": [] }],
        "securityDefinitions": token(),
    })
}

/// How clients say who they are.
fn token() -> Value {
    json!({ "BearerToken": {
        "type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication",
    } })
}

/// The hash by which clients cache a document, which is its `ETag` too.
pub fn openapi_hash(document: &[u8]) -> String {
    Sha512::digest(document)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect()
}

/// The document at `/openapi/v3`: for each path such as `apis/apps/v1` where its document is, by the hash of that.
pub fn openapi_v3_index<'a>(documents: impl IntoIterator<Item = (String, &'a str)>) -> Vec<u8> {
    let entry = |(path, hash): (String, &str)| {
        let url = format!("/openapi/v3/{path}?hash={hash}");
        (path, json!({ "serverRelativeURL": url }))
    };
    let paths: Map<String, Value> = documents.into_iter().map(entry).collect();
    write(&json!({ "paths": paths }))
}

struct Document {
    dialect: Dialect,
    paths: Map<String, Value>,
    /// The types that the paths refer to.
    types: BTreeSet<TypeRef>,
    /// Kinds that the table does not know: group, version, kind.
    others: BTreeSet<(String, String, String)>,
    /// Schemas of custom kinds and their lists, by name.
    customs: Map<String, Value>,
}

impl Document {
    fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            paths: Map::new(),
            types: BTreeSet::new(),
            others: BTreeSet::new(),
            customs: Map::new(),
        }
    }

    fn add(&mut self, group: &GroupVersion<'_>) {
        roots::version(self, group);
        for resource in group.resources {
            if let Some(custom) = resource.custom.filter(|_| !resource.name.contains('/')) {
                self.custom(resource, custom);
            }
            paths::add(self, group, resource);
        }
    }

    /// Adds the schemas of a custom kind and of its lists.
    fn custom(&mut self, resource: &ResourceInfo<'_>, custom: &Published) {
        let (group, version) = (resource.group, resource.version);
        let (meta, list_meta) = (self.meta("ObjectMeta"), self.meta("ListMeta"));
        let name = schemas::other_name(group, version, resource.kind);
        let mut schema = custom.schema(&meta, self.dialect == Dialect::V2);
        schema["x-kubernetes-group-version-kind"] = json!([schemas::gvk(group, version, resource.kind)]);
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (name, property) in properties.into_iter().flatten() {
            if let Some(text) = prose::of("", true, name) {
                *property = prose::described(self.dialect, property.take(), text);
            }
        }
        let list = json!({
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": { "type": "string" },
                "items": { "type": "array", "items": self.dialect.reference(&name) },
                "kind": { "type": "string" },
                "metadata": list_meta,
            },
            "x-kubernetes-group-version-kind": [schemas::gvk(group, version, &custom.list_kind)],
        });
        let list_name = schemas::other_name(group, version, &custom.list_kind);
        self.customs.insert(name, schema);
        self.customs.insert(list_name, list);
    }

    /// A reference to the schema of a kind.
    fn kind(&mut self, group: &str, version: &str, kind: &str) -> Value {
        if let Some(ty) = type_of(group, version, kind) {
            self.types.insert(ty);
            return self.dialect.reference(ty.name());
        }
        self.others
            .insert((group.to_owned(), version.to_owned(), kind.to_owned()));
        self.dialect.reference(&schemas::other_name(group, version, kind))
    }

    /// A reference to the schema of a type of `meta/v1`.
    fn meta(&mut self, name: &str) -> Value {
        let name = format!("io.k8s.apimachinery.pkg.apis.meta.v1.{name}");
        self.types.extend(type_named(&name));
        self.dialect.reference(&name)
    }

    /// All schemas that the paths refer to, and those that these refer to.
    fn schemas(&self) -> Map<String, Value> {
        let mut schemas = schemas::reachable(self.dialect, &self.types, &self.others);
        schemas.extend(self.customs.clone());
        schemas
    }
}
