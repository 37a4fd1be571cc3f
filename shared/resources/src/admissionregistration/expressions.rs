//! The expressions of policies and conditions, judged when they are written.

use crate::{meta, names};
use api::{field, field::Error};
use cel::admission::{Compiler, Extras, Wanted, is_identifier};
use k8s_openapi::api::admissionregistration::v1::{AuditAnnotation, Mutation, Validation, Variable};

/// Longest expression of an annotation, in bytes.
const LONGEST_ANNOTATION: usize = 5 * 1024;

/// What is wrong with the expression of a condition; `params`: it may name them.
pub(super) fn condition(source: &str, params: bool, path: String, errors: &mut Vec<Error>) {
    let compiler = Compiler::new(Extras {
        params,
        authorizer: true,
        mutation: false,
    });
    let source = source.trim();
    if let Err(why) = cel::admission::compile(source, compiler.plain(), Wanted::Bool) {
        errors.push(Error::invalid(path, source, why));
    }
}

/// Judges the expressions of one policy.
pub(super) struct Judge<'e> {
    compiler: Compiler,
    errors: &'e mut Vec<Error>,
}

impl<'e> Judge<'e> {
    pub(super) fn new(params: bool, mutation: bool, errors: &'e mut Vec<Error>) -> Self {
        let compiler = Compiler::new(Extras {
            params,
            authorizer: true,
            mutation,
        });
        Self { compiler, errors }
    }

    fn tell<T>(&mut self, path: String, source: &str, made: Result<T, String>) {
        if let Err(why) = made {
            self.errors.push(Error::invalid(path, source, why));
        }
    }

    /// What is wrong with the variables; those that are in order may be named from here on.
    pub(super) fn variables(&mut self, list: &[Variable]) {
        for (i, variable) in list.iter().enumerate() {
            let path = field::index("spec.variables", i);
            let (name, source) = (variable.name.as_str(), variable.expression.as_str());
            let at = |part: &str| field::child(&path, part);
            if name.trim().is_empty() {
                self.errors
                    .push(Error::required(at("name"), "name is not specified"));
            } else if !is_identifier(name) {
                let why = "name is not a valid CEL identifier";
                self.errors.push(Error::invalid(at("name"), name, why));
            }
            if source.trim().is_empty() {
                let why = "expression is not specified";
                self.errors.push(Error::required(at("expression"), why));
            } else {
                let made = self.compiler.variable(name, source);
                self.tell(at("expression"), source, made);
            }
        }
    }

    /// What is wrong with the expressions and words of a validation.
    pub(super) fn validation(&mut self, rule: &Validation, path: &str) {
        let at = |part: &str| field::child(path, part);
        if !rule.expression.trim().is_empty() {
            let made = self.compiler.compile(&rule.expression, Wanted::Bool);
            self.tell(at("expression"), &rule.expression, made);
        }
        let says = rule.message_expression.as_deref().unwrap_or_default();
        if !says.trim().is_empty() {
            let made = self.compiler.message(says);
            self.tell(at("messageExpression"), says, made);
        } else if !says.is_empty() {
            let why = "must be non-empty if specified";
            self.errors
                .push(Error::invalid(at("messageExpression"), says, why));
        }
        let message = rule.message.as_deref().unwrap_or_default();
        let why = match message.trim() {
            "" if !message.is_empty() => "message must be non-empty if specified",
            text if text.contains(['\n', '\r']) => "message must not contain line breaks",
            _ => return,
        };
        self.errors.push(Error::invalid(at("message"), message, why));
    }

    /// What is wrong with the annotations of the policy `name`.
    pub(super) fn annotations(&mut self, name: &str, list: &[AuditAnnotation]) {
        for (i, annotation) in list.iter().enumerate() {
            let path = field::index("spec.auditAnnotations", i);
            let at = |part: &str| field::child(&path, part);
            if name.is_empty() {
                let why = "requires metadata.name be non-empty";
                self.errors.push(Error::invalid(at("key"), &annotation.key, why));
            } else {
                let key = format!("{name}/{}", annotation.key);
                meta::invalid(self.errors, &at("key"), &key, names::qualified_name(&key));
            }
            if list[..i].iter().any(|other| other.key == annotation.key) {
                self.errors.push(Error::duplicate(at("key"), &annotation.key));
            }
            let source = annotation.value_expression.trim();
            if source.is_empty() {
                let why = "valueExpression is not specified";
                self.errors.push(Error::required(at("valueExpression"), why));
            } else if source.len() > LONGEST_ANNOTATION {
                let why = format!("must not exceed {LONGEST_ANNOTATION} bytes in length");
                self.errors.push(Error::required(at("valueExpression"), why));
            } else {
                let made = self.compiler.compile(source, Wanted::TextOrNull);
                self.tell(at("valueExpression"), &annotation.value_expression, made);
            }
        }
    }

    /// What is wrong with the expression of a mutation.
    pub(super) fn mutation(&mut self, of: &Mutation, path: &str) {
        let patch = of.json_patch.as_ref().and_then(|of| of.expression.as_deref());
        let apply = of
            .apply_configuration
            .as_ref()
            .and_then(|of| of.expression.as_deref());
        let (name, source, wanted) = if of.patch_type == "JSONPatch" {
            ("jsonPatch.expression", patch, Wanted::Patch)
        } else {
            ("applyConfiguration.expression", apply, Wanted::Object)
        };
        let path = field::child(path, name);
        match source.unwrap_or_default() {
            "" => self
                .errors
                .push(Error::required(path, "expression is not specified")),
            source => {
                let made = self.compiler.compile(source, wanted);
                self.tell(path, source, made);
            }
        }
    }
}
