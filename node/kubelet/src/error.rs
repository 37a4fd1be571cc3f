//! What can go wrong.

/// Why the kubelet could not do something.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or is away.
    #[error(transparent)]
    Api(#[from] api::Status),
    /// The runtime refused.
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    /// The machine refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
