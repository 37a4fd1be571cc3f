//! An object as the cache holds it: the stored form and, where they differ, its other served versions.

use crate::encryption::SEALED;
use api::{Object, ObjectError};
use bytes::Bytes;
use resources::{Custom, Row, Version};
use std::sync::{Arc, OnceLock};

/// One stored object in all its served versions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Held {
    hub: Arc<Object>,
    /// The value in the store, where the hub is not it: another version is stored, or defaults were added.
    stored: Option<Bytes>,
    /// Its other forms; none when the hub is the only one.
    forms: Option<Arc<Forms>>,
}

#[derive(Debug)]
struct Forms {
    /// One a served version, in the row's order; each is made when it is first wanted.
    made: Box<[OnceLock<Arc<Object>>]>,
    row: &'static Row,
    custom: Option<Arc<Custom>>,
}

/// A stored value as JSON, and as it is if it is not that: upstream's API server writes protobuf and CBOR.
fn plain(body: Bytes) -> Result<(Bytes, Option<Bytes>), ObjectError> {
    let json = if schema::is_protobuf(&body) {
        schema::stored_protobuf_to_json(&body).map_err(|error| error.to_string())
    } else if schema::is_cbor(&body) {
        schema::cbor_to_json(&body).map_err(|error| error.to_string())
    } else if body.starts_with(SEALED) {
        // No key opened it on its way here.
        Err("no matching prefix found".to_owned())
    } else {
        return Ok((body, None));
    };
    Ok((json.map_err(ObjectError::Form)?.into(), Some(body)))
}

impl Held {
    /// Reads a stored value of a built-in resource, which may be of an older version than what is stored now.
    pub fn parse(row: &'static Row, body: Bytes, revision: u64) -> Result<Self, ObjectError> {
        let (json, mut stored) = plain(body)?;
        let mut hub = Object::parse(json, revision, row.fields)?;
        if let Some(text) = newer(row, &hub)? {
            stored = stored.or_else(|| Some(hub.body().clone()));
            hub = Object::parse(text.into(), revision, row.fields)?;
        }
        Ok(Self {
            hub: Arc::new(hub),
            stored,
            forms: forms(row, None),
        })
    }

    /// Reads a stored value of a custom resource, which may be of an older version or schema.
    pub fn parse_custom(custom: &Arc<Custom>, body: Bytes, revision: u64) -> Result<Self, ObjectError> {
        let row = custom.row;
        let (body, stored) = plain(body)?;
        let raw = Object::parse(body.clone(), revision, row.fields)?;
        let of = custom.version_of(raw.api_version());
        let shaped = match of {
            Some(version) if version == custom.hub || custom.webhook.is_some() => {
                custom.shaped(version, &body)
            }
            // Of a version that is known no more, only its name can be said.
            _ => custom
                .renamed(custom.hub, &body)
                .and_then(|body| custom.shaped(custom.hub, &body)),
        };
        let hub = match shaped {
            Ok(shaped) if shaped != body => Object::parse(shaped.into(), revision, row.fields)?,
            Ok(_) => raw,
            Err(error) => {
                tracing::error!(resource = %row.gvr(), key = %raw.key(), error, "not in shape");
                raw
            }
        };
        Ok(Self {
            stored: stored.or_else(|| (*hub.body() != body).then_some(body)),
            hub: Arc::new(hub),
            forms: forms(row, Some(custom)),
        })
    }

    /// An object that is in the wanted version already.
    pub fn single(object: Arc<Object>) -> Self {
        Self {
            hub: object,
            stored: None,
            forms: None,
        }
    }

    /// The stored form.
    pub fn hub(&self) -> &Arc<Object> {
        &self.hub
    }

    /// The value in the store.
    pub fn stored(&self) -> &Bytes {
        self.stored.as_ref().unwrap_or_else(|| self.hub.body())
    }

    /// The form of the served version number `index`.
    pub fn version(&self, index: usize) -> &Arc<Object> {
        let Some((forms, form)) = self
            .forms
            .as_ref()
            .and_then(|forms| Some((forms, forms.made.get(index)?)))
        else {
            return &self.hub;
        };
        form.get_or_init(|| match &forms.custom {
            Some(custom) => rename(custom, index, &self.hub),
            None => convert(forms.row, &forms.row.versions[index], &self.hub),
        })
    }

    /// Whether [`Held::version`] has that form, or can make it alone: not if a webhook has to.
    pub fn has(&self, index: usize) -> bool {
        let Some(forms) = &self.forms else { return true };
        let Some(custom) = forms.custom.as_ref().filter(|custom| custom.webhook.is_some()) else {
            return true;
        };
        let same = custom
            .versions
            .get(index)
            .is_none_or(|v| v.api_version == self.hub.api_version());
        same || forms.made.get(index).is_none_or(|form| form.get().is_some())
    }

    /// Sets a form that a webhook made.
    pub fn put(&self, index: usize, object: Object) {
        if let Some(form) = self.forms.as_ref().and_then(|forms| forms.made.get(index)) {
            let _ = form.set(Arc::new(object));
        }
    }

    /// The same at another revision, as a deletion shows it.
    pub fn at(&self, revision: u64) -> Self {
        let at = |object: &Arc<Object>| Arc::new(object.at(revision));
        let forms = self.forms.as_ref().map(|forms| {
            let made = forms.made.iter().map(|form| match form.get() {
                Some(object) => OnceLock::from(at(object)),
                None => OnceLock::new(),
            });
            Arc::new(Forms {
                made: made.collect(),
                row: forms.row,
                custom: forms.custom.clone(),
            })
        });
        Self {
            hub: at(&self.hub),
            stored: self.stored.clone(),
            forms,
        }
    }

    /// Bytes that it keeps in memory, about.
    pub fn size(&self) -> usize {
        let forms = self.forms.as_ref().map_or(0, |forms| {
            let made = forms.made.iter().filter_map(OnceLock::get);
            made.map(|object| object.body().len()).sum()
        });
        let stored = self.stored.as_ref().map_or(0, Bytes::len);
        self.hub.body().len() + stored + forms + 400
    }
}

fn forms(row: &'static Row, custom: Option<&Arc<Custom>>) -> Option<Arc<Forms>> {
    let only_hub = match row.versions {
        [] => true,
        [one] => one.name == row.hub,
        _ => false,
    };
    (!only_hub).then(|| {
        Arc::new(Forms {
            made: row.versions.iter().map(|_| OnceLock::new()).collect(),
            row,
            custom: custom.cloned(),
        })
    })
}

/// Versions that have other fields than those that followed, and are served no more.
const OTHER_FIELDS: [&str; 1] = ["resource.k8s.io/v1beta1"];

/// An object that is stored in another version than the row's, in that one.
fn newer(row: &'static Row, stored: &Object) -> Result<Option<Vec<u8>>, ObjectError> {
    let (group, version) = stored
        .api_version()
        .split_once('/')
        .unwrap_or(("", stored.api_version()));
    if (group, version) == (row.group, row.hub) || stored.api_version().is_empty() {
        return Ok(None);
    }
    if let Some(text) = schema::modern(stored.api_version(), stored.kind(), stored.body()) {
        return Ok(Some(text));
    }
    let mut versions = row.versions.iter();
    if let Some(of) = versions.find(|version| api_version(row, version) == stored.api_version())
        && let Some(to_hub) = of.to_hub
    {
        return to_hub(stored.body())
            .map(Some)
            .map_err(|status| ObjectError::Form(status.message));
    }
    let known = schema::has_protobuf(stored.api_version(), row.kind);
    if !known || OTHER_FIELDS.contains(&stored.api_version()) {
        return Err(ObjectError::Form(format!(
            "no kind {:?} is registered for version {:?}",
            row.kind,
            stored.api_version()
        )));
    }
    let mut text = Vec::new();
    stored.at(0).write_json(Some(&row.gvk().api_version()), &mut text);
    Ok(Some(text))
}

/// `hub` under the name of another version, without what that version does not name.
fn rename(custom: &Custom, index: usize, hub: &Arc<Object>) -> Arc<Object> {
    let Some(version) = custom.versions.get(index) else {
        return hub.clone();
    };
    if hub.api_version() == version.api_version {
        return hub.clone();
    }
    if custom.webhook.is_some() {
        tracing::error!(resource = %custom.row.gvr(), key = %hub.key(), "shown before it was converted");
        return hub.clone();
    }
    let renamed = custom.renamed(index, hub.body());
    parsed(custom.row, hub, &version.api_version, renamed)
}

/// `hub` in the served version `version`. A conversion that fails is told and leaves the stored form, since an object
/// may not vanish.
fn convert(row: &'static Row, version: &'static Version, hub: &Arc<Object>) -> Arc<Object> {
    let wanted = api_version(row, version);
    let text = match version.from_hub {
        Some(from_hub) => from_hub(hub.body()),
        None if hub.api_version() == wanted => return hub.clone(),
        None => {
            let mut text = Vec::new();
            hub.at(0).write_json(Some(&wanted), &mut text);
            Ok(text)
        }
    };
    parsed(row, hub, &wanted, text.map_err(|status| status.message))
}

fn parsed(row: &'static Row, hub: &Arc<Object>, wanted: &str, text: Result<Vec<u8>, String>) -> Arc<Object> {
    let parsed = text.and_then(|text| {
        Object::parse(text.into(), hub.resource_version(), row.fields).map_err(|error| error.to_string())
    });
    parsed.map_or_else(
        |error| {
            tracing::error!(resource = %row.gvr(), key = %hub.key(), version = %wanted, error, "conversion failed");
            hub.clone()
        },
        Arc::new,
    )
}

/// `group/version` of a served version.
pub fn api_version(row: &Row, version: &Version) -> String {
    match version.group.unwrap_or(row.group) {
        "" => version.name.to_owned(),
        group => format!("{group}/{}", version.name),
    }
}
