//! What expressions of admission may name: the policies' and the webhooks' conditions.

use crate::{Environment, Issue, Library, Program, Shape, Type};
use std::sync::{Arc, LazyLock};

const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
const RESOURCE_CHECK: &str = "kubernetes.authorization.ResourceCheck";

/// The shape of `request`.
pub static REQUEST: LazyLock<Arc<Shape>> = LazyLock::new(|| {
    let text = || Type::String;
    let kind = object("kubernetes.GroupVersionKind", &["group", "version", "kind"]);
    let resource = object(
        "kubernetes.GroupVersionResource",
        &["group", "version", "resource"],
    );
    let texts = Type::list(Type::String);
    let user = Shape::object_of(
        "kubernetes.UserInfo",
        [
            ("username", text()),
            ("uid", text()),
            ("groups", texts.clone()),
            ("extra", Type::map(Type::String, texts)),
        ],
    );
    Shape::object_of(
        "kubernetes.AdmissionRequest",
        [
            ("kind", kind.of_type()),
            ("resource", resource.of_type()),
            ("subResource", text()),
            ("requestKind", kind.of_type()),
            ("requestResource", resource.of_type()),
            ("requestSubResource", text()),
            ("name", text()),
            ("namespace", text()),
            ("operation", text()),
            ("userInfo", user.of_type()),
            ("dryRun", Type::Bool),
            ("options", Type::Dyn),
        ],
    )
});

/// The shape of `namespaceObject`.
pub static NAMESPACE: LazyLock<Arc<Shape>> = LazyLock::new(|| {
    let (text, texts) = (|| Type::String, || Type::list(Type::String));
    let labels = || Type::map(Type::String, Type::String);
    let metadata = Shape::object_of(
        "kubernetes.NamespaceMetadata",
        [
            ("name", text()),
            ("generateName", text()),
            ("namespace", text()),
            ("labels", labels()),
            ("annotations", labels()),
            ("UID", text()),
            ("creationTimestamp", Type::Timestamp),
            ("deletionGracePeriodSeconds", Type::Int),
            ("deletionTimestamp", Type::Timestamp),
            ("generation", Type::Int),
            ("resourceVersion", text()),
            ("finalizers", texts()),
        ],
    );
    let spec = Shape::object_of("kubernetes.NamespaceSpec", [("finalizers", texts())]);
    let condition = Shape::object_of(
        "kubernetes.NamespaceCondition",
        [
            ("status", text()),
            ("type", text()),
            ("lastTransitionTime", Type::Timestamp),
            ("message", text()),
            ("reason", text()),
        ],
    );
    let conditions = Type::list(condition.of_type());
    let status = Shape::object_of(
        "kubernetes.NamespaceStatus",
        [("conditions", conditions), ("phase", text())],
    );
    Shape::object_of(
        "kubernetes.Namespace",
        [
            ("metadata", metadata.of_type()),
            ("spec", spec.of_type()),
            ("status", status.of_type()),
        ],
    )
});

fn object(name: &str, texts: &[&'static str]) -> Arc<Shape> {
    Shape::object_of(name, texts.iter().map(|field| (*field, Type::String)))
}

/// What an expression of admission has beside `object`, `oldObject`, `request` and `namespaceObject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// `params`.
    pub params: bool,
    /// `authorizer` and `authorizer.requestResource`.
    pub authorizer: bool,
    /// `Object{}` and `JSONPatch{}`.
    pub mutation: bool,
}

/// The environment of an expression of admission.
pub fn environment(extras: Extras) -> Environment {
    let mut made = Environment::kubernetes()
        .variable("object", Type::Dyn)
        .variable("oldObject", Type::Dyn)
        .variable("request", REQUEST.of_type())
        .variable("namespaceObject", NAMESPACE.of_type());
    if extras.params {
        made = made.variable("params", Type::Dyn);
    }
    if extras.authorizer {
        let named = |name: &'static str| Type::parse(name).unwrap_or(Type::Dyn);
        made = made
            .variable("authorizer", named(AUTHORIZER))
            .variable("authorizer.requestResource", named(RESOURCE_CHECK));
    }
    if extras.mutation {
        made = made.with(Library::Mutation);
    }
    made
}

/// What an expression must give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Anything.
    Any,
    /// A bool.
    Bool,
    /// A string.
    Text,
    /// A string or null.
    TextOrNull,
    /// `Object{}`.
    Object,
    /// A list of `JSONPatch{}`.
    Patch,
}

impl Wanted {
    /// Why `ty` is not wanted.
    fn refuse(self, ty: &Type) -> Option<String> {
        let only = |wanted: &str| {
            let found = ty.to_string();
            (found != wanted).then(|| format!("must evaluate to {wanted} but got {found}"))
        };
        match self {
            Self::Any => None,
            Self::Bool => only("bool"),
            Self::Text => only("string"),
            Self::Object => only("Object"),
            Self::Patch => only("list(JSONPatch)"),
            Self::TextOrNull if matches!(ty, Type::String | Type::Null) => None,
            Self::TextOrNull => Some(format!("must evaluate to one of [string null_type] but got {ty}")),
        }
    }
}

/// Compiles an expression that must give what is wanted.
///
/// # Errors
/// Why it is none, in upstream's words.
pub fn compile(source: &str, environment: &Environment, wanted: Wanted) -> Result<Program, String> {
    let program = Program::compile(source, environment)
        .map_err(|issues| format!("compilation failed: {}", Issue::join(&issues)))?;
    match wanted.refuse(program.result_type()) {
        Some(why) => Err(why),
        None => Ok(program),
    }
}

/// The environment of a policy's expressions, as its variables become known.
#[derive(Clone, Debug)]
pub struct Compiler {
    base: Environment,
    /// Without the authorizer, for those who say why.
    quiet: Environment,
    variables: Vec<(String, Type)>,
}

impl Compiler {
    /// With no variables yet.
    pub fn new(extras: Extras) -> Self {
        let quiet = Extras {
            authorizer: false,
            ..extras
        };
        Self::of(environment(extras), environment(quiet))
    }

    /// Over environments of one's own: for expressions, and for those who say why.
    pub fn of(base: Environment, quiet: Environment) -> Self {
        let variables = Vec::new();
        let mut made = Self {
            base,
            quiet,
            variables,
        };
        made.declare();
        made
    }

    fn declare(&mut self) {
        let fields = || {
            let fields = self.variables.iter();
            fields.map(|(name, ty)| (name.as_str(), ty.clone()))
        };
        let ty = Shape::object_of("kubernetes.variables", fields()).of_type();
        self.base = self.base.clone().variable("variables", ty.clone());
        self.quiet = self.quiet.clone().variable("variables", ty);
    }

    /// The environment as it is now.
    pub fn plain(&self) -> &Environment {
        &self.base
    }

    /// Compiles an expression.
    ///
    /// # Errors
    /// Why it is none.
    pub fn compile(&self, source: &str, wanted: Wanted) -> Result<Program, String> {
        compile(source, &self.base, wanted)
    }

    /// Compiles a `messageExpression`.
    ///
    /// # Errors
    /// Why it is none.
    pub fn message(&self, source: &str) -> Result<Program, String> {
        compile(source, &self.quiet, Wanted::Text)
    }

    /// Compiles a variable, which those that follow may name.
    ///
    /// # Errors
    /// Why it is none; those that follow may name it all the same.
    pub fn variable(&mut self, name: &str, source: &str) -> Result<Program, String> {
        let made = self.compile(source, Wanted::Any);
        let ty = made
            .as_ref()
            .map_or(Type::Dyn, |program| program.result_type().clone());
        self.variables.push((name.to_owned(), ty));
        self.declare();
        made
    }
}

/// Whether `name` is an identifier of the language.
pub fn is_identifier(name: &str) -> bool {
    let mut letters = name.chars();
    let first = letters.next();
    first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !crate::escape::is_word(name)
}
