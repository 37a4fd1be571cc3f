//! Types of an expression, and what its names and calls mean.

mod made;

use crate::{
    ast::{Ast, Id, Kind, Literal},
    environment::Environment,
    functions::{Library, REGISTRY, compile_regex},
    issue::Issue,
    pattern::Pattern,
    shape::Kind as ShapeKind,
    types::{Known, Type},
    value::time,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What a node refers to.
#[derive(Clone, Debug, Default)]
pub(crate) enum Meaning {
    #[default]
    None,
    /// The variable of a macro, by its depth.
    Local(usize),
    /// The variable of the environment, by its place.
    Global(usize),
    /// A type by its name.
    Type(Type),
    /// One of these overloads, by the types of the arguments; called on no value even if it looks so, when `plain`.
    Call { overloads: Vec<usize>, plain: bool },
}

/// A tree with its types and meanings.
#[derive(Debug)]
pub(crate) struct Checked {
    pub ast: Ast,
    pub types: Vec<Type>,
    pub meanings: Vec<Meaning>,
    /// Fields of variables that are read, dotted.
    pub used: BTreeSet<String>,
    /// The literals that are regular expressions.
    pub patterns: BTreeMap<Id, Arc<Pattern>>,
}

/// Most errors that are shown.
const MOST_ISSUES: usize = 30;

struct Checker<'e> {
    source: &'e str,
    environment: &'e Environment,
    ast: Ast,
    types: Vec<Type>,
    meanings: Vec<Meaning>,
    scopes: Vec<(Arc<str>, Type)>,
    known: Known,
    issues: Vec<Issue>,
    used: BTreeSet<String>,
    patterns: BTreeMap<Id, Arc<Pattern>>,
}

/// Finds the types of `ast`.
pub(crate) fn check(source: &str, ast: Ast, environment: &Environment) -> Result<Checked, Vec<Issue>> {
    let count = ast.nodes.len();
    let root = ast.root;
    let mut checker = Checker {
        source,
        environment,
        ast,
        types: vec![Type::Error; count],
        meanings: vec![Meaning::None; count],
        scopes: Vec::new(),
        known: Known::default(),
        issues: Vec::new(),
        used: BTreeSet::new(),
        patterns: BTreeMap::new(),
    };
    checker.node(root);
    checker.literals();
    checker.patterns();
    if !checker.issues.is_empty() {
        checker.issues.sort_by_key(|issue| (issue.line, issue.column));
        checker.issues.dedup();
        return Err(checker.issues);
    }
    let types = checker
        .types
        .iter()
        .map(|ty| checker.known.resolve(ty, true))
        .collect();
    Ok(Checked {
        ast: checker.ast,
        types,
        meanings: checker.meanings,
        used: checker.used,
        patterns: checker.patterns,
    })
}

impl Checker<'_> {
    fn fail(&mut self, at: usize, message: impl Into<String>) {
        if self.issues.len() >= MOST_ISSUES {
            return;
        }
        self.issues.push(Issue::new(self.source, at, message));
    }

    fn show(&self, ty: &Type) -> Type {
        self.known.resolve(ty, true)
    }

    fn node(&mut self, id: Id) -> Type {
        let (at, kind) = (self.ast.nodes[id].at, self.ast.nodes[id].kind.clone());
        let ty = match &kind {
            Kind::Literal(literal) => literal_type(literal),
            Kind::Ident(name) => self.ident(id, at, name),
            Kind::Select {
                operand,
                field,
                test,
                optional,
            } => self.select(id, at, *operand, field, *test, *optional),
            Kind::Call {
                function,
                target,
                args,
            } => self.call(id, at, function, *target, args),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { name, fields } => self.object(at, name, fields),
            Kind::Fold {
                fold,
                range,
                first,
                second,
                filter,
                body,
            } => self.fold(*fold, *range, (first, second.as_ref()), *filter, *body),
            Kind::Bind { name, .. } if !name.starts_with('@') && !self.environment.has(Library::Bindings) => {
                self.fail(at, "undeclared reference to 'cel' (in container '')");
                Type::Error
            }
            Kind::Bind { name, init, body } => {
                let init = self.node(*init);
                self.scoped(name, init, *body)
            }
            Kind::OptMap {
                target,
                name,
                body,
                flat,
            } => self.opt_map(at, *target, name, *body, *flat),
        };
        self.types[id] = ty.clone();
        ty
    }

    fn scoped(&mut self, name: &Arc<str>, ty: Type, body: Id) -> Type {
        self.scopes.push((name.clone(), ty));
        let ty = self.node(body);
        self.scopes.pop();
        ty
    }

    fn ident(&mut self, id: Id, at: usize, name: &str) -> Type {
        if let Some(ty) = self.name(id, name) {
            return ty;
        }
        self.fail(at, format!("undeclared reference to '{name}' (in container '')"));
        Type::Error
    }

    fn name(&mut self, id: Id, name: &str) -> Option<Type> {
        let local = self.scopes.iter().rposition(|(local, _)| &**local == name);
        if let Some(depth) = local {
            self.meanings[id] = Meaning::Local(depth);
            return Some(self.scopes[depth].1.clone());
        }
        let bare = name.strip_prefix('.').unwrap_or(name);
        if let Some(place) = self.environment.place(bare) {
            self.meanings[id] = Meaning::Global(place);
            self.used.insert(bare.to_owned());
            return Some(self.environment.variables[place].1.clone());
        }
        let ty = type_name(bare)?;
        self.meanings[id] = Meaning::Type(ty.clone());
        Some(Type::Type(Arc::new(ty)))
    }

    /// The dotted name that `id` is, if its first part is no variable of a macro.
    fn dotted(&self, id: Id) -> Option<String> {
        match &self.ast.nodes[id].kind {
            Kind::Ident(name) if !self.scopes.iter().any(|(local, _)| local == name) => {
                Some(name.trim_start_matches('.').to_owned())
            }
            Kind::Select {
                operand,
                field,
                test: false,
                optional: false,
            } => Some(format!("{}.{field}", self.dotted(*operand)?)),
            _ => None,
        }
    }

    fn select(
        &mut self,
        id: Id,
        at: usize,
        operand: Id,
        field: &Arc<str>,
        test: bool,
        optional: bool,
    ) -> Type {
        let dotted = self.dotted(operand).map(|before| format!("{before}.{field}"));
        if let Some(name) = &dotted
            && !test
            && !optional
            && let Some(ty) = self.name(id, name)
        {
            return ty;
        }
        let operand = self.node(operand);
        let operand = self.known.resolve(&operand, false);
        if let Some(name) = dotted {
            self.used.insert(name);
        }
        let (inner, wrapped) = match &operand {
            Type::Optional(inner) => ((**inner).clone(), true),
            other => (other.clone(), false),
        };
        let ty = match &inner {
            Type::Map(pair) => pair.1.clone(),
            Type::Struct(shape) => self.field(at, shape, field),
            Type::Open(_) => Type::Dyn,
            Type::Var(_) => {
                self.known.fits(&inner, &Type::Dyn);
                Type::Dyn
            }
            other if other.is_dyn() => Type::Dyn,
            other => {
                let message = format!("type '{other}' does not support field selection");
                self.fail(at, message);
                Type::Error
            }
        };
        if test {
            Type::Bool
        } else if wrapped || optional {
            Type::optional(ty)
        } else {
            ty
        }
    }

    fn field(&mut self, at: usize, shape: &crate::shape::Shape, field: &str) -> Type {
        if let ShapeKind::Object(fields) = &shape.kind
            && let Some(found) = fields.get(field)
        {
            return found.shape.of_type();
        }
        self.fail(at, format!("undefined field '{field}'"));
        Type::Error
    }

    fn call(&mut self, id: Id, at: usize, function: &str, target: Option<Id>, args: &[Id]) -> Type {
        let mut types: Vec<Type> = args.iter().map(|arg| self.node(*arg)).collect();
        let mut member = target.is_some();
        let mut name = function.trim_start_matches('.').to_owned();
        if let Some(target) = target {
            let qualified = self.dotted(target).map(|before| format!("{before}.{function}"));
            match qualified.filter(|name| !REGISTRY.named(name).is_empty() && self.has(name)) {
                Some(qualified) => {
                    name = qualified;
                    member = false;
                }
                None => types.insert(0, self.node(target)),
            }
        }
        if !self.has(&name) {
            self.fail(at, format!("undeclared reference to '{name}' (in container '')"));
            return Type::Error;
        }
        if matches!(name.as_str(), "_&&_" | "_||_") {
            return self.logical(id, &name, args, &types);
        }
        let plain = target.is_some() && !member;
        self.resolve(id, at, &name, &types, member, plain)
    }

    /// Whether the environment has a function of that name.
    fn has(&self, name: &str) -> bool {
        let overloads = REGISTRY.named(name).iter();
        overloads
            .into_iter()
            .any(|overload| self.environment.has(REGISTRY.overloads[*overload].library))
    }

    fn logical(&mut self, id: Id, name: &str, args: &[Id], types: &[Type]) -> Type {
        for (arg, ty) in args.iter().zip(types) {
            self.want(*arg, ty, &Type::Bool);
        }
        let overloads = REGISTRY.named(name).to_vec();
        self.meanings[id] = Meaning::Call {
            overloads,
            plain: true,
        };
        Type::Bool
    }

    /// An error unless `ty` fits `wanted`.
    fn want(&mut self, id: Id, ty: &Type, wanted: &Type) {
        if !self.known.fits(ty, wanted) {
            let message = format!(
                "expected type '{}' but found '{}'",
                self.show(wanted),
                self.show(ty)
            );
            self.fail(self.ast.nodes[id].at, message);
        }
    }

    fn resolve(&mut self, id: Id, at: usize, name: &str, args: &[Type], member: bool, plain: bool) -> Type {
        let mut result: Option<Type> = None;
        let mut found = Vec::new();
        for place in REGISTRY.named(name) {
            let overload = &REGISTRY.overloads[*place];
            if overload.member != member
                || overload.params.len() != args.len()
                || !self.environment.has(overload.library)
            {
                continue;
            }
            let (params, returned) = if overload.generic || has_param(&overload.result) {
                self.instance(&overload.params, &overload.result)
            } else {
                (overload.params.clone(), overload.result.clone())
            };
            if !self.known.fit_all(args, &params) {
                continue;
            }
            found.push(*place);
            let returned = self.known.resolve(&returned, false);
            result = Some(match result {
                None => returned,
                Some(before) if matches!(before, Type::Dyn) || before == returned => before,
                Some(_) => Type::Dyn,
            });
        }
        self.meanings[id] = Meaning::Call {
            overloads: found,
            plain,
        };
        if let Some(result) = result {
            return result;
        }
        let shown: Vec<String> = args.iter().map(|ty| self.show(ty).to_string()).collect();
        let signature = match shown.split_first() {
            Some((target, rest)) if member => format!("{target}.({})", rest.join(", ")),
            _ => format!("({})", shown.join(", ")),
        };
        if !args.iter().any(|ty| matches!(ty, Type::Error)) {
            self.fail(
                at,
                format!("found no matching overload for '{name}' applied to '{signature}'"),
            );
        }
        Type::Error
    }

    /// A signature with fresh types for its letters.
    fn instance(&mut self, params: &[Type], result: &Type) -> (Vec<Type>, Type) {
        let mut letters = Vec::new();
        let params = params
            .iter()
            .map(|ty| fill(&mut self.known, ty, &mut letters))
            .collect();
        let result = fill(&mut self.known, result, &mut letters);
        (params, result)
    }

    fn join(&mut self, id: Id, before: Option<Type>, ty: Type) -> Type {
        let Some(before) = before else {
            return ty;
        };
        if self.known.fits(&before, &ty) {
            return self.known.general(&before, &ty);
        }
        self.want(id, &ty, &before);
        Type::Error
    }

    /// Texts that are read when it runs are read now.
    fn literals(&mut self) {
        let mut wrong = Vec::new();
        for node in &self.ast.nodes {
            let Kind::Call {
                function,
                target,
                args,
            } = &node.kind
            else {
                continue;
            };
            let Some(Kind::Literal(Literal::String(text))) =
                args.last().map(|arg| &self.ast.nodes[*arg].kind)
            else {
                continue;
            };
            let at = args.last().map_or(node.at, |arg| self.ast.nodes[*arg].at);
            match (&**function, target, args.len()) {
                ("duration", None, 1) if time::duration(text).is_err() => {
                    wrong.push((at, "invalid duration argument"))
                }
                ("timestamp", None, 1) if time::timestamp(text).is_err() => {
                    wrong.push((at, "invalid timestamp argument"));
                }
                _ => {}
            }
        }
        for (at, message) in wrong {
            self.fail(at, message);
        }
    }

    /// Patterns that are literals are read once. What is wrong with one of another function than `matches` is told when it
    /// runs.
    fn patterns(&mut self) {
        let mut wrong = Vec::new();
        for node in &self.ast.nodes {
            let Kind::Call {
                function,
                target,
                args,
            } = &node.kind
            else {
                continue;
            };
            let place = match (&**function, target) {
                ("matches" | "find" | "findAll", Some(_)) => 0,
                ("matches", None) | ("replace" | "extract" | "extractAll", Some(_)) => 1,
                _ => continue,
            };
            let Some(&id) = args.get(place) else { continue };
            let Kind::Literal(Literal::String(text)) = &self.ast.nodes[id].kind else {
                continue;
            };
            match compile_regex(text) {
                Ok(regex) => {
                    let text = text.clone();
                    self.patterns.insert(id, Arc::new(Pattern { text, regex }));
                }
                Err(_) if &**function == "matches" => wrong.push(self.ast.nodes[id].at),
                Err(_) => {}
            }
        }
        for at in wrong {
            self.fail(at, "invalid matches argument");
        }
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}

/// A type by the name that it has in expressions.
fn type_name(name: &str) -> Option<Type> {
    let any = Type::Dyn;
    Some(match name {
        "list" => Type::list(any),
        "map" => Type::map(Type::Dyn, any),
        "optional_type" => Type::optional(any),
        "type" => Type::Type(Arc::new(any)),
        "timestamp" | "duration" | "null" | "A" | "B" | "K" | "V" | "T" | "dyn" => return None,
        name if name.contains(['(', ' ']) => return None,
        name => Type::parse(name)?,
    })
}

fn has_param(ty: &Type) -> bool {
    match ty {
        Type::Param(_) => true,
        Type::List(of) | Type::Optional(of) | Type::Type(of) => has_param(of),
        Type::Map(pair) => has_param(&pair.0) || has_param(&pair.1),
        _ => false,
    }
}

fn fill(known: &mut Known, ty: &Type, letters: &mut Vec<(u8, Type)>) -> Type {
    match ty {
        Type::Param(letter) => match letters.iter().find(|(known, _)| known == letter) {
            Some((_, ty)) => ty.clone(),
            None => {
                let fresh = known.fresh();
                letters.push((*letter, fresh.clone()));
                fresh
            }
        },
        Type::List(of) => Type::list(fill(known, of, letters)),
        Type::Optional(of) => Type::optional(fill(known, of, letters)),
        Type::Type(of) => Type::Type(Arc::new(fill(known, of, letters))),
        Type::Map(pair) => Type::map(fill(known, &pair.0, letters), fill(known, &pair.1, letters)),
        other => other.clone(),
    }
}
