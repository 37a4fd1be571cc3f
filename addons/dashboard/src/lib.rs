//! The dashboard: the cluster in a browser, over the API with the rights of the person who looks. It never has rights of
//! its own.
//!
//! This crate holds nothing yet: it keeps the dashboard's place in the architecture until the add-ons are built.
