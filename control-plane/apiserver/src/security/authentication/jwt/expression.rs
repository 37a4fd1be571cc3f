//! Expressions about claims and users.
#![expect(clippy::disallowed_types, reason = "expressions read JSON values")]

use crate::security::User;
use cel::{Bindings, Budget, Environment, EvalError, Issue, PER_CALL_LIMIT, Program, Shape, Type, Value};
use serde_json::{Value as Json, json};
use std::sync::{Arc, LazyLock};

/// The shape of `user`.
static USER: LazyLock<Arc<Shape>> = LazyLock::new(|| {
    let texts = || Type::list(Type::String);
    Shape::object_of(
        "kubernetes.UserInfo",
        [
            ("username", Type::String),
            ("uid", Type::String),
            ("groups", texts()),
            ("extra", Type::map(Type::String, texts())),
        ],
    )
});

/// What an expression is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// `claims`.
    Claims,
    /// `user`.
    User,
}

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Expression {
    pub source: String,
    program: Program,
    about: About,
}

impl Expression {
    /// Compiles `source`; a rule must be a bool.
    ///
    /// # Errors
    /// It does not compile: why, in upstream's words.
    pub fn new(source: &str, about: About, rule: bool) -> Result<Self, String> {
        let base = Environment::kubernetes();
        let environment = match about {
            About::Claims => base.variable("claims", Type::map(Type::String, Type::Dyn)),
            About::User => base.variable("user", USER.of_type()),
        };
        let program = Program::compile(source, &environment)
            .map_err(|issues| format!("compilation failed: {}", Issue::join(&issues)))?;
        if rule && program.result_type().to_string() != "bool" {
            return Err("must evaluate to bool".to_owned());
        }
        Ok(Self {
            source: source.to_owned(),
            program,
            about,
        })
    }

    /// Whether it names the claim `name` as a field of `claims`.
    pub fn uses_claim(&self, name: &str) -> bool {
        self.about == About::Claims && selects(&self.source, name)
    }

    fn evaluate(&self, value: &Json) -> Result<Json, String> {
        let (name, shape) = match self.about {
            About::Claims => ("claims", None),
            About::User => ("user", Some(&**USER)),
        };
        let bindings = Bindings::new().with(name, Value::json(value, shape));
        let mut budget = Budget::new(PER_CALL_LIMIT);
        let told =
            |why: &dyn std::fmt::Display| format!("expression '{}' resulted in error: {why}", self.source);
        let value = self
            .program
            .evaluate(&bindings, &mut budget)
            .map_err(|error| match error {
                EvalError::BudgetExhausted => told(&"operation cancelled: actual cost limit exceeded"),
                error => told(&error),
            })?;
        value.to_json(1 << 20).map_err(|why| told(&why))
    }

    /// A text.
    pub fn text(&self, claims: &Json, what: &str) -> Result<String, String> {
        match self.evaluate(claims)? {
            Json::String(text) => Ok(text),
            _ => Err(format!("{what} claim expression must return a string")),
        }
    }

    /// A text, or a list of them; those that are empty are left out.
    pub fn texts(&self, claims: &Json) -> Result<Vec<String>, String> {
        let wrong = || Err("expression must return a string or a list of strings".to_owned());
        let items = match self.evaluate(claims)? {
            Json::Null => return Ok(Vec::new()),
            Json::Array(items) => items,
            text => vec![text],
        };
        let mut texts = Vec::new();
        for item in items {
            match item {
                Json::String(text) if text.is_empty() => {}
                Json::String(text) => texts.push(text),
                _ => return wrong(),
            }
        }
        Ok(texts)
    }

    /// Whether it holds; if not, `message` is said.
    pub fn holds(&self, value: &Json, message: &str) -> Result<(), String> {
        match self.evaluate(value)? {
            Json::Bool(true) => Ok(()),
            Json::Bool(false) => Err(format!(
                "validation expression '{}' failed: {message}",
                self.source
            )),
            _ => Err("validation expression must return a boolean".to_owned()),
        }
    }
}

/// A user as expressions see it.
pub(super) fn of_user(user: &User) -> Json {
    json!({"username": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra})
}

/// Whether `source` has `claims.NAME` or `claims.?NAME` outside of texts.
fn selects(source: &str, name: &str) -> bool {
    let source = without_texts(source);
    let word = |c: char| c.is_alphanumeric() || c == '_';
    source.match_indices("claims").any(|(at, found)| {
        let before = source[..at].chars().next_back();
        let field = source[at + found.len()..].trim_start().strip_prefix('.');
        let field = field.map(|rest| rest.trim_start().trim_start_matches('?').trim_start());
        let rest = field.and_then(|rest| rest.strip_prefix(name));
        !before.is_some_and(|c| word(c) || c == '.')
            && rest.is_some_and(|rest| !rest.chars().next().is_some_and(word))
    })
}

/// The source with its texts left out.
fn without_texts(source: &str) -> String {
    let mut out = String::new();
    let mut letters = source.chars();
    while let Some(letter) = letters.next() {
        out.push(letter);
        if letter == '"' || letter == '\'' {
            while let Some(inside) = letters.next() {
                match inside {
                    '\\' => drop(letters.next()),
                    end if end == letter => break,
                    _ => {}
                }
            }
        }
    }
    out
}
