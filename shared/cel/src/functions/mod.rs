//! The functions: a table a library, each row with the signature that the checker reads and the code that runs.

mod authz;
mod encoders;
mod lists;
mod math;
pub(crate) mod named;
pub(crate) mod network;
mod operators;
mod optional;
mod print;
mod quantity;
mod regexes;
pub(crate) mod semver;
mod sets;
mod standard;
mod strings;
mod times;
pub(crate) mod urls;

use crate::{
    budget::Budget,
    stop::Stop,
    types::{Type, split},
    value::Value,
};
use std::{collections::BTreeMap, sync::LazyLock};

pub(crate) use regexes::compile as compile_regex;

/// What a function does.
pub(crate) type Run = for<'a> fn(&[Value<'a>], &mut Budget) -> Result<Value<'a>, Stop>;

/// Name (with a dot before it if it is called on a value), name of the overload, signature, code.
pub(crate) struct Row(pub &'static str, pub &'static str, pub &'static str, pub Run);

/// A group of functions that an environment has or has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Library {
    /// Operators, conversions and what the language itself has.
    Standard,
    /// Texts.
    Strings,
    /// Lists: upstream's own and Kubernetes'.
    Lists,
    /// Lists as sets.
    Sets,
    /// Optional values.
    Optional,
    /// `find` and `findAll`.
    Regex,
    /// URLs.
    Urls,
    /// Addresses and networks.
    Network,
    /// Quantities.
    Quantity,
    /// Named formats.
    Format,
    /// Versions.
    Semver,
    /// The authorizer.
    Authorizer,
    /// `jsonpatch.escapeKey`, `JSONPatch{}` and `Object{}`.
    Mutation,
    /// Numbers; not in Kubernetes' own environment.
    Math,
    /// Base64; not in Kubernetes' own environment.
    Encoders,
    /// `regex.replace` and its kin; not in Kubernetes' own environment.
    RegexExtended,
    /// `cel.bind`; not in Kubernetes' own environment.
    Bindings,
}

/// The libraries of Kubernetes' own environment.
pub(crate) const KUBERNETES: &[Library] = &[
    Library::Standard,
    Library::Strings,
    Library::Lists,
    Library::Sets,
    Library::Optional,
    Library::Regex,
    Library::Urls,
    Library::Network,
    Library::Quantity,
    Library::Format,
    Library::Semver,
    Library::Authorizer,
];

const TABLES: &[(Library, &[Row])] = &[
    (Library::Standard, operators::ROWS),
    (Library::Standard, standard::ROWS),
    (Library::Standard, times::ROWS),
    (Library::Strings, strings::ROWS),
    (Library::Lists, lists::ROWS),
    (Library::Sets, sets::ROWS),
    (Library::Optional, optional::ROWS),
    (Library::Regex, regexes::ROWS),
    (Library::RegexExtended, regexes::EXTENDED),
    (Library::Urls, urls::ROWS),
    (Library::Network, network::ROWS),
    (Library::Quantity, quantity::ROWS),
    (Library::Format, named::ROWS),
    (Library::Semver, semver::ROWS),
    (Library::Authorizer, authz::ROWS),
    (Library::Mutation, authz::MUTATION),
    (Library::Math, math::ROWS),
    (Library::Encoders, encoders::ROWS),
];

/// A row as the checker wants it.
pub(crate) struct Overload {
    pub name: &'static str,
    pub id: &'static str,
    pub member: bool,
    pub params: Vec<Type>,
    pub result: Type,
    pub run: Run,
    pub library: Library,
    /// Whether there are letters in the signature.
    pub generic: bool,
}

/// All overloads, and where those of a name are.
pub(crate) struct Registry {
    pub overloads: Vec<Overload>,
    names: BTreeMap<&'static str, Vec<usize>>,
}

impl Registry {
    pub fn named(&self, name: &str) -> &[usize] {
        self.names.get(name).map_or(&[], Vec::as_slice)
    }
}

pub(crate) static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut overloads = Vec::new();
    let mut names: BTreeMap<&'static str, Vec<usize>> = BTreeMap::new();
    for (library, rows) in TABLES {
        for Row(name, id, signature, run) in *rows {
            let bare = name.strip_prefix('.').unwrap_or(name);
            let (params, result) = signature.split_once("->").unwrap_or(("", signature));
            // An unknown name would be an error of the tables; a test reads them all.
            let read = |text: &&str| Type::parse(text).unwrap_or(Type::Error);
            names.entry(bare).or_default().push(overloads.len());
            let params: Vec<Type> = split(params).iter().map(read).collect();
            let result = read(&result);
            overloads.push(Overload {
                name: bare,
                id,
                member: bare.len() < name.len(),
                generic: signature.contains(['A', 'B', 'K', 'V', 'T']) && params.iter().any(has_params),
                params,
                result,
                run: *run,
                library: *library,
            });
        }
    }
    Registry { overloads, names }
});

fn has_params(ty: &Type) -> bool {
    match ty {
        Type::Param(_) => true,
        Type::List(of) | Type::Optional(of) | Type::Type(of) => has_params(of),
        Type::Map(pair) => has_params(&pair.0) || has_params(&pair.1),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_can_be_read_and_every_overload_has_its_own_name() {
        let mut ids = std::collections::BTreeSet::new();
        for overload in &REGISTRY.overloads {
            assert!(!overload.params.contains(&Type::Error), "{}", overload.id);
            assert!(overload.result != Type::Error, "{}", overload.id);
            assert!(ids.insert(overload.id), "{}", overload.id);
        }
    }
}
