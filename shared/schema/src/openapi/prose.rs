//! What the fields are for that every object has, in a sentence each: what `kubectl explain` prints of them.

use serde_json::{Value, json};

use super::Dialect;

/// Fields of objects.
const OBJECT: &[(&str, &str)] = &[
    (
        "apiVersion",
        "APIVersion defines the group and version in which this object is written.",
    ),
    ("kind", "Kind is the type of this object, as the API names it."),
    ("metadata", "Standard object's metadata."),
];

/// Fields of `ObjectMeta`.
const META: &[(&str, &str)] = &[
    (
        "annotations",
        "Annotations are keys and values that tools keep with the object; nothing is selected by them.",
    ),
    (
        "creationTimestamp",
        "CreationTimestamp is a timestamp of the server: when the object was created.",
    ),
    (
        "deletionGracePeriodSeconds",
        "Seconds that the object is given to end in order once its deletion was asked for.",
    ),
    (
        "deletionTimestamp",
        "DeletionTimestamp is the time from which on the object may be gone; set by a delete that has to wait.",
    ),
    (
        "finalizers",
        "Names of those who have something to do before the object may go. It goes when the list is empty.",
    ),
    (
        "generateName",
        "GenerateName is the beginning of a name that the server completes when no name is given.",
    ),
    (
        "generation",
        "A number that grows with each change of what is wished for.",
    ),
    (
        "labels",
        "Labels are keys and values by which objects are organized and selected.",
    ),
    (
        "managedFields",
        "ManagedFields says which manager of the object set which fields, for server-side apply.",
    ),
    (
        "name",
        "Name is unique among the objects of a kind in a namespace.",
    ),
    ("namespace", "Namespace is the space in which the name is unique."),
    (
        "ownerReferences",
        "Objects that this one depends on: it is collected when all of them are gone.",
    ),
    (
        "resourceVersion",
        "The version of the object in the store, to be compared for equality only: it guards writes and begins watches.",
    ),
    ("selfLink", "SelfLink is not filled any more."),
    (
        "uid",
        "UID tells this object from all others that ever had its name.",
    ),
];

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// What the field of a type is for; `is_object`: the type is a kind of objects.
pub(super) fn of(ty: &str, is_object: bool, field: &str) -> Option<&'static str> {
    let table = match ty {
        OBJECT_META => META,
        _ if is_object => OBJECT,
        _ => return None,
    };
    table
        .iter()
        .find(|(name, _)| *name == field)
        .map(|(_, text)| *text)
}

/// `schema` with a description.
pub(super) fn described(dialect: Dialect, schema: Value, text: &str) -> Value {
    // In v3 nothing may stand beside a reference.
    let mut schema = match dialect {
        Dialect::V3 if schema.get("$ref").is_some() => json!({ "allOf": [schema] }),
        _ => schema,
    };
    schema["description"] = json!(text);
    schema
}
