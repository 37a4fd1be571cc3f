//! What a plugin is given.

use crate::{
    audit::{Layer, Record},
    handler::{Call, Place},
    security::{self, Remark, User},
};
use api::{Gvk, Gvr, Object, Status};
use bytes::Bytes;
use client::DeleteOptions;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object, or what is asked for by a POST.
    Create,
    /// A changed object: PUT, PATCH, apply.
    Update,
    /// An object goes.
    Delete,
    /// A connection: exec, attach, port-forward, proxy.
    Connect,
}

impl Operation {
    /// As upstream writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// What plugins have to say beside yes and no. One a request.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    warnings: Vec<String>,
    annotations: Vec<(String, String)>,
    record: Option<Arc<Record>>,
}

impl Notes {
    /// Notes that go to the audit record of a request as well, if it has one.
    pub fn of(record: Option<Arc<Record>>) -> Self {
        Self(Mutex::new(Noted {
            record,
            ..Noted::default()
        }))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Noted) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A warning for the client, whether the request succeeds or not. The same is told once.
    pub fn warn(&self, warning: impl Into<String>) {
        let warning = warning.into();
        self.with(|noted| {
            if !noted.warnings.contains(&warning) {
                noted.warnings.push(warning);
            }
        });
    }

    /// An annotation of the audit event. The first of a key stays.
    pub fn annotate(&self, key: impl Into<String>, value: impl Into<String>) {
        let (key, value) = (key.into(), value.into());
        self.with(|noted| {
            if let Some(record) = &noted.record {
                record.annotate(&key, &value);
            }
            if noted.annotations.iter().all(|(known, _)| *known != key) {
                noted.annotations.push((key, value));
            }
        });
    }

    /// The same, if the audit event has the content of the request.
    pub fn annotate_content(&self, key: impl Into<String>, value: impl Into<String>) {
        let has = |noted: &mut Noted| noted.record.as_ref().is_none_or(|record| record.has_content());
        if self.with(has) {
            self.annotate(key, value);
        }
    }

    /// What finding out who somebody is has to say.
    pub fn authenticated(&self, remarks: &[Remark], warnings: &[String]) {
        for (key, told) in remarks {
            self.annotate(*key, told);
        }
        warnings.iter().for_each(|warning| self.warn(warning));
    }

    /// Does a part of the way of the request, of which its audit record is told how long it took.
    pub async fn during<T>(&self, layer: Layer, work: impl Future<Output = T>) -> T {
        match self.with(|noted| noted.record.clone()) {
            Some(record) => record.during(layer, work).await,
            None => work.await,
        }
    }

    /// What others have noted, too.
    pub fn add(&self, other: &Self) {
        let warnings = other.take_warnings();
        warnings.into_iter().for_each(|warning| self.warn(warning));
        let annotations = other.annotations();
        annotations
            .into_iter()
            .for_each(|(key, value)| self.annotate(key, value));
    }

    /// The warnings, which are told only once.
    pub fn take_warnings(&self) -> Vec<String> {
        self.with(|noted| std::mem::take(&mut noted.warnings))
    }

    /// The annotations for audit.
    pub fn annotations(&self) -> Vec<(String, String)> {
        self.with(|noted| noted.annotations.clone())
    }
}

/// What a plugin is given of a request.
pub struct Attributes<'a> {
    /// Who asks, dry run, notes.
    pub call: &'a Call,
    /// What is done.
    pub operation: Operation,
    /// The resource in the version of the request; none for reviews, which are not stored.
    pub place: Option<&'a Place>,
    /// What the object is, in the version of the request. It is not the resource's own kind for some subresources
    /// (Scale, Eviction, Binding, TokenRequest) and connections (PodExecOptions, …).
    pub kind: Gvk,
    /// The object's name; empty when the server is to make it.
    pub name: &'a str,
    /// The object: none for a delete. In the stored version if it is of the resource's own kind; a custom resource is
    /// in the version of the request while the mutating phase lasts.
    pub object: Option<Arc<Object>>,
    /// What is stored now, in the stored version; none for a create or a connection.
    pub old: Option<Arc<Object>>,
    /// The options of a delete; those of other writes are in the call.
    pub delete: Option<&'a DeleteOptions>,
    /// What the mutating phase knows of its first round.
    pub rounds: Rounds,
    /// Makes whole what comes from elsewhere: what the kind does not know is dropped, defaults are set.
    pub normal: Option<Normal<'a>>,
}

/// From an object as others left it to one as it is decoded, of the same form.
pub type Normal<'a> = &'a (dyn Fn(Bytes) -> Result<Bytes, Status> + Send + Sync);

/// The mutating phase has a second round if a later plugin changed what an earlier one had seen.
#[derive(Debug, Default)]
pub struct Rounds {
    /// It is the second.
    pub second: bool,
    /// A second is wanted.
    pub wanted: bool,
    /// Of webhooks.
    pub webhooks: Asked,
    /// Of policies.
    pub policies: Asked,
}

/// Whom a plugin has asked.
#[derive(Debug, Default)]
pub struct Asked {
    /// Those that may be asked again, asked since the last change.
    pub before: BTreeSet<String>,
    /// Those to be asked again, since the object was changed after them.
    pub again: BTreeSet<String>,
    /// The object as the plugin left it.
    pub left: Option<Arc<Object>>,
}

impl Asked {
    /// The object has changed: who saw it before is asked again.
    pub fn changed(&mut self) {
        self.again.append(&mut self.before);
    }

    /// Whether others have changed the object since the plugin left it.
    pub fn outdated(&self, now: Option<&Arc<Object>>) -> bool {
        let body = |object: &Arc<Object>| object.body().clone();
        self.left.as_ref().map(body) != now.map(body)
    }
}

impl Attributes<'_> {
    /// Who asks.
    pub fn user(&self) -> &Arc<User> {
        &self.call.attributes.user
    }

    /// The request as it was authorized: group, version, resource, subresource, namespace.
    pub fn request(&self) -> &security::Attributes {
        &self.call.attributes
    }

    /// The resource in the version of the request.
    pub fn gvr(&self) -> Gvr {
        let request = self.request();
        Gvr {
            group: request.group.clone().into(),
            version: request.version.clone().into(),
            resource: request.resource.clone().into(),
        }
    }

    /// Whether it is about `resource` of `group` itself, not a subresource.
    pub fn is(&self, group: &str, resource: &str) -> bool {
        let request = self.request();
        request.group == group && request.resource == resource && request.subresource.is_empty()
    }

    /// The object's name as far as there is one: what refusals call it by.
    pub fn object_name(&self) -> &str {
        let object = self.object.as_deref().or(self.old.as_deref());
        let own = object.map(Object::name).filter(|name| !name.is_empty());
        own.unwrap_or(if self.name.is_empty() {
            "Unknown"
        } else {
            self.name
        })
    }

    /// Refuses it, with the reason in words.
    pub fn forbidden(&self, why: &str) -> Status {
        Status::forbidden(&self.gvr(), self.object_name(), why)
    }

    /// Warnings and annotations go here.
    pub fn notes(&self) -> &Notes {
        &self.call.notes
    }

    /// Sets an object that comes from elsewhere.
    pub fn set_foreign(&mut self, body: Bytes) -> Result<(), Status> {
        let body = self.normal.map_or(Ok(body.clone()), |normal| normal(body))?;
        self.set_object(body)
    }

    /// Sets another object: in the mutating phase only. `body` is in the form that `object` has.
    pub fn set_object(&mut self, body: Bytes) -> Result<(), Status> {
        let fields = self.place.map_or(&[][..], |place| place.row().fields);
        let version = self.object.as_ref().map_or(0, |object| object.resource_version());
        let object = Object::parse_any(body, fields).map_err(Status::internal)?;
        self.object = Some(Arc::new(object.at(version)));
        Ok(())
    }
}
