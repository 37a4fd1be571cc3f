//! Documents about the API: made once, when first asked for.

use super::discovery::{self, Listed, Served, Shown};
use crate::{
    aggregate::{Aggregator, Known},
    handler::{Index, Places},
};
use resources::Custom;
use schema::{GroupVersion, ResourceInfo};
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

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

/// All documents, as of one state of what is served.
pub struct Documents {
    /// What is served.
    pub served: Vec<Served>,
    /// What is served here and by other servers, in the order of discovery.
    pub shown: Vec<Shown>,
    /// The numbers of that state.
    number: (u64, u64),
    /// What other servers answer.
    elsewhere: Arc<Known>,
    core: OnceLock<Document>,
    groups: OnceLock<Document>,
    /// In the order of `served`.
    v3: Vec<GroupDocument>,
    index: OnceLock<Document>,
    older: OnceLock<Vec<(String, Document)>>,
    v2: OnceLock<Document>,
    v2_protobuf: OnceLock<Document>,
}

/// The v3 document of one group and version.
struct GroupDocument {
    path: String,
    /// The definitions that it shows: while they are the same, so is the document.
    customs: Vec<Arc<Custom>>,
    document: Arc<OnceLock<Document>>,
}

impl Documents {
    /// Of `index`. What is as in `before` is not made again.
    pub fn new(index: &Index, elsewhere: &Arc<Known>, before: Option<&Self>) -> Self {
        let served = discovery::served(index);
        let known: HashMap<&str, &GroupDocument> = before
            .iter()
            .flat_map(|before| &before.v3)
            .map(|document| (document.path.as_str(), document))
            .collect();
        let v3 = served.iter().map(|served| {
            let path = path(served);
            let of = served
                .resources
                .iter()
                .filter_map(|listed| listed.custom.as_ref());
            let customs: Vec<Arc<Custom>> = of.map(|(custom, _)| custom.clone()).collect();
            let same = known.get(path.as_str()).filter(|known| {
                known
                    .customs
                    .iter()
                    .map(Arc::as_ptr)
                    .eq(customs.iter().map(Arc::as_ptr))
            });
            let document = same.map_or_else(Arc::default, |known| known.document.clone());
            GroupDocument {
                path,
                customs,
                document,
            }
        });
        Self {
            v3: v3.collect(),
            shown: discovery::shown(&served, elsewhere),
            served,
            number: (index.number, elsewhere.number),
            elsewhere: elsewhere.clone(),
            core: OnceLock::new(),
            groups: OnceLock::new(),
            index: OnceLock::new(),
            older: OnceLock::new(),
            v2: OnceLock::new(),
            v2_protobuf: OnceLock::new(),
        }
    }

    /// Aggregated discovery of `/api` or `/apis`.
    pub fn aggregated(&self, core: bool) -> &Document {
        let cell = if core { &self.core } else { &self.groups };
        cell.get_or_init(|| Document::new(discovery::aggregated(&self.served, &self.shown, core)))
    }

    fn v3(&self, place: usize) -> &Document {
        self.v3[place].document.get_or_init(|| {
            let served = &self.served[place];
            let resources = infos(served);
            let group = GroupVersion {
                group: served.group,
                version: served.version,
                resources: &resources,
            };
            Document::new(schema::openapi_v3(RELEASE, &group))
        })
    }

    /// `/openapi/v3/PATH`, such as `apis/apps/v1`.
    pub fn openapi_v3(&self, path: &str) -> Option<&Document> {
        if let Some(place) = self.v3.iter().position(|document| document.path == path) {
            return Some(self.v3(place));
        }
        let mut older = self.older().iter();
        older.find(|(of, _)| of == path).map(|(_, document)| document)
    }

    /// Of other servers that speak OpenAPI v2 only, by their paths.
    fn older(&self) -> &[(String, Document)] {
        self.older.get_or_init(|| {
            let documents = self.elsewhere.elsewhere().filter_map(|there| {
                let found = there.found.filter(|found| found.openapi.is_none())?;
                let text = schema::openapi_v3_of(&found.openapi_v2.as_ref()?.text)?;
                let path = format!("apis/{}/{}", there.group, there.version);
                Some((path, Document::new(text)))
            });
            documents.collect()
        })
    }

    /// `/openapi/v3`.
    pub fn openapi_index(&self) -> &Document {
        self.index.get_or_init(|| {
            let hashes = self
                .v3
                .iter()
                .enumerate()
                .map(|(place, document)| (document.path.clone(), self.v3(place).hash.as_str()));
            let there = self.elsewhere.elsewhere().filter_map(|there| {
                let hash = there.found?.openapi.as_deref()?;
                Some((format!("apis/{}/{}", there.group, there.version), hash))
            });
            let older = self.older().iter();
            let older = older.map(|(path, document)| (path.clone(), document.hash.as_str()));
            Document::new(schema::openapi_v3_index(hashes.chain(there).chain(older)))
        })
    }

    /// `/openapi/v2`.
    pub fn openapi_v2(&self) -> &Document {
        self.v2
            .get_or_init(|| self.of_all(|groups| schema::openapi_v2(RELEASE, groups, self.parts())))
    }

    /// `/openapi/v2` in the form that kubectl asks for.
    pub fn openapi_v2_protobuf(&self) -> &Document {
        self.v2_protobuf
            .get_or_init(|| self.of_all(|groups| schema::openapi_v2_protobuf(RELEASE, groups, self.parts())))
    }

    /// What other servers say of their versions in OpenAPI v2.
    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let found = self.elsewhere.elsewhere().filter_map(|there| there.found);
        found.filter_map(|found| Some(found.openapi_v2.as_ref()?.text.as_slice()))
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

/// The documents as of now; they are made when someone asks after a change.
#[derive(Default)]
pub struct Library(RwLock<Option<Arc<Documents>>>);

impl Library {
    /// Of what is served now.
    pub fn documents(&self, places: &Places, aggregator: &Aggregator) -> Arc<Documents> {
        let (index, known) = (places.index(), aggregator.known());
        let is_new = |held: &Documents| held.number.0 >= index.number && held.number.1 >= known.number;
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(documents) = held.as_ref().filter(|held| is_new(held)) {
            return documents.clone();
        }
        let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match slot.as_ref() {
            // Another was faster.
            Some(documents) if is_new(documents) => documents.clone(),
            before => {
                let documents = Arc::new(Documents::new(&index, &known, before.map(Arc::as_ref)));
                *slot = Some(documents.clone());
                documents
            }
        }
    }
}

fn path(served: &Served) -> String {
    let of = GroupVersion {
        group: served.group,
        version: served.version,
        resources: &[],
    };
    of.path()
}

fn infos(served: &Served) -> Vec<ResourceInfo<'_>> {
    served.resources.iter().map(Listed::info).collect()
}
