//! What can go wrong on the wire.

/// Why a stream broke.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A message without a channel number.
    #[error("empty message")]
    Empty,
    /// A channel that the protocol does not have.
    #[error("unknown channel {0}")]
    Channel(u8),
    /// The other end broke the protocol.
    #[error("{0}")]
    Protocol(String),
    /// The connection broke.
    #[error(transparent)]
    Socket(#[from] Box<tokio_tungstenite::tungstenite::Error>),
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<tokio_tungstenite::tungstenite::Error> for Error {
    fn from(error: tokio_tungstenite::tungstenite::Error) -> Self {
        Self::Socket(Box::new(error))
    }
}
