//! What follows from tables of field facts: unknown fields and wrong types, pruning, patches, YAML and protobuf bodies,
//! OpenAPI. Pure: text in, text out. It never looks at what is special about any one kind, and never reads a file or a
//! clock: the tables of facts are compiled in, made by `cargo xtask schema` from upstream's published OpenAPI document and
//! protobuf files.
#![expect(
    clippy::disallowed_types,
    reason = "DOM values live here: patches and pruning change documents of any type"
)]

pub mod apply;
mod body;
mod cbor;
mod check;
mod document;
mod gated;
mod older;
mod openapi;
mod patch;
mod protobuf;
mod prune;
mod structural;
mod syntax;
mod table;
mod time;
mod yaml;

pub use body::{TypeMeta, mishandled, type_meta, undecodable, unreadable};
pub use cbor::{
    CborError, cbor_body, cbor_frame, cbor_list, cbor_to_json, is_cbor, json_to_cbor, json_to_item,
};
pub use check::{Finding, Findings, MAX_DEPTH, TypeError, check, check_untyped};
pub use gated::{Disabled, GATED, Gated};
pub use older::modern;
pub use openapi::{
    GroupVersion, ResourceInfo, openapi_hash, openapi_v2, openapi_v2_part, openapi_v2_protobuf, openapi_v3,
    openapi_v3_index, openapi_v3_of,
};
pub use patch::{MAX_OPERATIONS, PatchError, json_patch, merge_patch, strategic_merge};
pub use protobuf::{
    ProtobufError, has_protobuf, is_protobuf, json_to_message, json_to_protobuf, protobuf_body,
    protobuf_frame, protobuf_list, protobuf_to_json, put_protobuf_item, stored_protobuf_to_json,
};
pub use prune::{canonical, prune};
pub use structural::{
    Additional, Instance, JsonPath, Published, Rule, Rules, StrictInstance, Structural, Verdict, cel_shape,
};
pub use syntax::SyntaxError;
pub use table::{Field, Shape, ShapeRef, TypeRef, type_named, type_of, types};
pub use yaml::{json_to_yaml, yaml_to_json};
