//! What follows from tables of field facts: patches, pruning, unknown fields, OpenAPI. Pure.
