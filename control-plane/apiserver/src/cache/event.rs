//! A change of one object, and its encoded frames.

use super::Held;
use api::Encoding;
use bytes::Bytes;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The type of a watch event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// New, or newly matching.
    Added,
    /// Changed.
    Modified,
    /// Gone, or no longer matching.
    Deleted,
}

impl Kind {
    /// As on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// The shape in which a reader wants objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// As they are.
    #[default]
    Object,
    /// Metadata only.
    Partial,
    /// As rows of a table.
    Table(Include),
}

/// What a table row carries of its object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// Metadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

/// The text in which a reader wants objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Text {
    /// JSON.
    #[default]
    Json,
    /// YAML.
    Yaml,
    /// Upstream's protobuf form.
    Protobuf,
    /// CBOR.
    Cbor,
}

impl Text {
    /// The encoding that it is, if it is no text.
    pub fn encoding(self) -> Option<Encoding> {
        match self {
            Self::Protobuf => Some(Encoding::Protobuf),
            Self::Cbor => Some(Encoding::Cbor),
            Self::Json | Self::Yaml => None,
        }
    }
}

type FrameKey = (Kind, usize, Shape, Text);

/// A change of one object at one revision. Watchers share it and its frames.
#[derive(Debug)]
pub struct Event {
    /// When.
    pub revision: u64,
    /// `namespace/name`, or `name`.
    pub key: Arc<str>,
    /// As it is now; none: deleted.
    pub new: Option<Held>,
    /// As it was; none: created.
    pub old: Option<Held>,
    last: OnceLock<Option<Held>>,
    frames: Mutex<Vec<(FrameKey, Bytes)>>,
}

impl Event {
    /// A change.
    pub fn new(revision: u64, key: Arc<str>, new: Option<Held>, old: Option<Held>) -> Self {
        Self {
            revision,
            key,
            new,
            old,
            last: OnceLock::new(),
            frames: Mutex::default(),
        }
    }

    /// What an event of `kind` shows: the object as it is now; for a deletion as it was last, at this revision.
    pub fn held(&self, kind: Kind) -> Option<&Held> {
        match kind {
            Kind::Deleted => self
                .last
                .get_or_init(|| self.old.as_ref().map(|old| old.at(self.revision)))
                .as_ref(),
            Kind::Added | Kind::Modified => self.new.as_ref(),
        }
    }

    /// The encoded frame, made once by `make` for all watchers of the same version and form.
    pub fn frame(
        &self,
        kind: Kind,
        version: usize,
        (shape, text): (Shape, Text),
        make: impl FnOnce(&Held) -> Bytes,
    ) -> Bytes {
        let key = (kind, version, shape, text);
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, frame)) = frames.iter().find(|(k, _)| *k == key) {
            return frame.clone();
        }
        let frame = self.held(kind).map(make).unwrap_or_default();
        frames.push((key, frame.clone()));
        frame
    }

    /// Bytes that it keeps in memory, about.
    pub fn size(&self) -> usize {
        self.old.as_ref().map_or(0, Held::size) + 200
    }
}
