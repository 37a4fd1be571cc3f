//! Selectable fields of custom resources.

use api::field::{self, Error};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::SelectableField;
use schema::Structural;

/// How many a version may have.
const MOST: usize = 8;

/// The rules for them; `same`: they are as they were before.
pub(super) fn validate(
    fields: &[SelectableField],
    schema: &Structural,
    same: bool,
    path: &str,
    errors: &mut Vec<Error>,
) {
    let mut seen: Vec<&str> = Vec::new();
    for (index, selectable) in fields.iter().enumerate() {
        let at = field::child(&field::index(path, index), "jsonPath");
        let value = selectable.json_path.as_str();
        if value.is_empty() {
            errors.push(Error::required(at, ""));
            continue;
        }
        let found = match schema.at(value) {
            Ok(found) => found,
            Err(why) => {
                errors.push(Error::invalid(at, value, format!("is an invalid path: {why}")));
                continue;
            }
        };
        if value == ".metadata" || value.starts_with(".metadata.") {
            errors.push(Error::invalid(&at, value, "must not point to fields in metadata"));
        }
        if !["string", "boolean", "integer"].contains(&found.type_name()) {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.push(Error::invalid(&at, value, why));
        }
        if seen.contains(&value) {
            errors.push(Error::duplicate(at, value));
        } else {
            seen.push(value);
        }
    }
    if seen.len() > MOST && !same {
        errors.push(Error {
            kind: field::ErrorType::TooMany,
            field: path.to_owned(),
            value: seen.len().to_string(),
            detail: format!("must have at most {MOST} items"),
        });
    }
}
