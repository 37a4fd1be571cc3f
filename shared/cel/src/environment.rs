//! What an expression may name: variables, types and libraries.

use crate::{
    functions::{KUBERNETES, Library},
    shape::Shape,
    types::Type,
};
use std::{collections::BTreeSet, sync::Arc};

/// The fields of `JSONPatch{}`.
const JSON_PATCH: &[(&str, Type)] = &[
    ("op", Type::String),
    ("path", Type::String),
    ("from", Type::String),
    ("value", Type::Dyn),
];

/// Variables with their types, and libraries. Programs are compiled against one.
#[derive(Clone, Debug)]
pub struct Environment {
    pub(crate) variables: Vec<(String, Type)>,
    libraries: BTreeSet<Library>,
    shapes: Vec<(String, Arc<Shape>)>,
    root: Option<Arc<Shape>>,
}

impl Environment {
    /// Kubernetes' libraries, and no variables.
    pub fn kubernetes() -> Self {
        Self {
            variables: Vec::new(),
            libraries: KUBERNETES.iter().copied().collect(),
            shapes: Vec::new(),
            root: None,
        }
    }

    /// With one more library.
    #[must_use]
    pub fn with(mut self, library: Library) -> Self {
        self.libraries.insert(library);
        self
    }

    /// With the variable `name`. Its name may be dotted, as `variables.x` is.
    #[must_use]
    pub fn variable(mut self, name: &str, ty: Type) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), ty));
        self
    }

    /// With a variable of a schema. The first one is the root by which sizes are estimated.
    #[must_use]
    pub fn shaped(mut self, name: &str, shape: &Arc<Shape>) -> Self {
        self.root.get_or_insert_with(|| shape.clone());
        self.variable(name, shape.of_type()).sized(name, shape)
    }

    /// A list or map has its type here and its sizes in its shape, so the shape is kept beside.
    fn sized(mut self, name: &str, shape: &Arc<Shape>) -> Self {
        self.shapes.retain(|(known, _)| known != name);
        self.shapes.push((name.to_owned(), shape.clone()));
        self
    }

    pub(crate) fn shape(&self, place: usize) -> Option<Arc<Shape>> {
        let name = &self.variables.get(place)?.0;
        let own = self.shapes.iter().find(|(known, _)| known == name);
        own.map(|(_, shape)| shape.clone()).or_else(|| self.root.clone())
    }

    pub(crate) fn root(&self) -> Option<Arc<Shape>> {
        self.root.clone()
    }

    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.variables.iter().position(|(known, _)| known == name)
    }

    pub(crate) fn has(&self, library: Library) -> bool {
        self.libraries.contains(&library)
    }

    /// The fields of objects that an expression makes by `name`; any fields if there is no list.
    pub(crate) fn object(&self, name: &str) -> Option<Option<&'static [(&'static str, Type)]>> {
        if !self.has(Library::Mutation) {
            return None;
        }
        match name {
            "JSONPatch" => Some(Some(JSON_PATCH)),
            name if name == "Object" || name.starts_with("Object.") => Some(None),
            _ => None,
        }
    }
}
