//! Stories of the authorizers beside Node and RBAC.
