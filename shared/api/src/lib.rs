//! The vocabulary of Kubernetes in Rust: objects, headers, statuses, quantities, selectors and decision records. No tokio, no I/O.
