//! The tree of an expression, in one arena: no node owns another, so no tree is too deep to drop or to copy.

use std::sync::Arc;

/// A place in the arena.
pub(crate) type Id = usize;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
}

/// What a macro over a range makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    All,
    Exists,
    ExistsOne,
    /// A list of the bodies.
    List,
    /// A list of the elements for which the body holds.
    Filter,
    /// A map of the keys to the bodies.
    Map,
    /// A map of the entries that the bodies are.
    Entries,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: Id,
    pub value: Id,
    pub optional: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub at: usize,
    pub name: Arc<str>,
    pub value: Id,
    pub optional: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Literal(Literal),
    Ident(Arc<str>),
    Select {
        operand: Id,
        field: Arc<str>,
        test: bool,
        optional: bool,
    },
    Call {
        function: Arc<str>,
        target: Option<Id>,
        args: Vec<Id>,
    },
    List(Vec<(Id, bool)>),
    Map(Vec<Entry>),
    Struct {
        name: Arc<str>,
        fields: Vec<Field>,
    },
    Fold {
        fold: Fold,
        range: Id,
        first: Arc<str>,
        second: Option<Arc<str>>,
        filter: Option<Id>,
        body: Id,
    },
    Bind {
        name: Arc<str>,
        init: Id,
        body: Id,
    },
    /// `optMap`, and `optFlatMap` if flat.
    OptMap {
        target: Id,
        name: Arc<str>,
        body: Id,
        flat: bool,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The byte of the source that errors of this node point to.
    pub at: usize,
    pub kind: Kind,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Ast {
    pub nodes: Vec<Node>,
    pub root: Id,
}

impl Ast {
    pub fn add(&mut self, at: usize, kind: Kind) -> Id {
        self.nodes.push(Node { at, kind });
        self.nodes.len() - 1
    }

    pub fn call(&mut self, at: usize, function: &str, args: Vec<Id>) -> Id {
        let function = function.into();
        let target = None;
        self.add(
            at,
            Kind::Call {
                function,
                target,
                args,
            },
        )
    }
}
