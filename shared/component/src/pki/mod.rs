//! The cluster's PKI: one CA, made at first start and replaced in time; leaves that are issued from it, kept in a folder and renewed while
//! the process runs. Keys are ECDSA P-256.

mod asking;
mod authority;
mod leaf;
mod rotation;
#[cfg(test)]
mod stories;
mod tls;
mod unverified;

pub use asking::asking_server_config;
pub use authority::{Authority, PkiError};
pub use leaf::{Leaf, Purpose};
pub use rotation::Rotation;
pub use tls::{Rotating, client_certificate, client_config, client_verifier, server_config};
pub use unverified::unverified_client_config;
