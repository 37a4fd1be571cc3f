//! Documents about the API: made once, when first asked for.

use super::discovery::{self, Listed, Served};
use resources::Row;
use schema::{GroupVersion, ResourceInfo};
use std::sync::OnceLock;

/// The version of the API that the types are of.
pub const RELEASE: &str = "v1.37.0";
/// `gitVersion`.
pub const VERSION: &str = concat!("v1.37.0+ferrokube.", env!("CARGO_PKG_VERSION"));

/// A document and the hash that clients keep it by.
pub struct Document {
    /// JSON, or protobuf.
    pub text: Vec<u8>,
    /// Its hash.
    pub hash: String,
}

impl Document {
    fn new(text: Vec<u8>) -> Self {
        let hash = schema::openapi_hash(&text);
        Self { text, hash }
    }
}

/// All documents.
pub struct Documents {
    /// What is served.
    pub served: Vec<Served>,
    core: OnceLock<Document>,
    groups: OnceLock<Document>,
    v3: OnceLock<Vec<(String, Document)>>,
    index: OnceLock<Document>,
    v2: OnceLock<Document>,
    v2_protobuf: OnceLock<Document>,
}

impl Documents {
    /// Of `rows`.
    pub fn new(rows: &[&'static Row]) -> Self {
        Self {
            served: discovery::served(rows),
            core: OnceLock::new(),
            groups: OnceLock::new(),
            v3: OnceLock::new(),
            index: OnceLock::new(),
            v2: OnceLock::new(),
            v2_protobuf: OnceLock::new(),
        }
    }

    /// Aggregated discovery of `/api` or `/apis`.
    pub fn aggregated(&self, core: bool) -> &Document {
        let cell = if core { &self.core } else { &self.groups };
        cell.get_or_init(|| Document::new(discovery::aggregated(&self.served, core)))
    }

    fn all_v3(&self) -> &[(String, Document)] {
        self.v3.get_or_init(|| {
            let one = |served: &Served| {
                let resources = infos(served);
                let group = GroupVersion {
                    group: served.group,
                    version: served.version,
                    resources: &resources,
                };
                (group.path(), Document::new(schema::openapi_v3(RELEASE, &group)))
            };
            self.served.iter().map(one).collect()
        })
    }

    /// `/openapi/v3/PATH`, such as `apis/apps/v1`.
    pub fn openapi_v3(&self, path: &str) -> Option<&Document> {
        self.all_v3()
            .iter()
            .find(|(p, _)| p == path)
            .map(|(_, document)| document)
    }

    /// `/openapi/v3`.
    pub fn openapi_index(&self) -> &Document {
        self.index.get_or_init(|| {
            let hashes = self
                .all_v3()
                .iter()
                .map(|(path, document)| (path.clone(), document.hash.as_str()));
            Document::new(schema::openapi_v3_index(hashes))
        })
    }

    /// `/openapi/v2`.
    pub fn openapi_v2(&self) -> &Document {
        self.v2
            .get_or_init(|| self.of_all(|groups| schema::openapi_v2(RELEASE, groups)))
    }

    /// `/openapi/v2` in the form that kubectl asks for.
    pub fn openapi_v2_protobuf(&self) -> &Document {
        self.v2_protobuf
            .get_or_init(|| self.of_all(|groups| schema::openapi_v2_protobuf(RELEASE, groups)))
    }

    fn of_all(&self, write: impl Fn(&[GroupVersion<'_>]) -> Vec<u8>) -> Document {
        let infos: Vec<Vec<ResourceInfo<'_>>> = self.served.iter().map(infos).collect();
        let group = |(served, resources): (&Served, _)| GroupVersion {
            group: served.group,
            version: served.version,
            resources,
        };
        let groups: Vec<GroupVersion<'_>> = self
            .served
            .iter()
            .zip(infos.iter().map(Vec::as_slice))
            .map(group)
            .collect();
        Document::new(write(&groups))
    }
}

fn infos(served: &Served) -> Vec<ResourceInfo<'_>> {
    served.resources.iter().map(Listed::info).collect()
}

/// `/version`.
pub fn version() -> Vec<u8> {
    format!(
        r#"{{"major":"1","minor":"37","gitVersion":"{VERSION}","gitCommit":"","gitTreeState":"clean","buildDate":"1970-01-01T00:00:00Z","goVersion":"none","compiler":"rustc","platform":"linux/{}"}}"#,
        match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }
    )
    .into_bytes()
}
