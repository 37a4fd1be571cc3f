//! The three kinds of patch.

mod json;
mod merge;
mod strategic;

pub use json::{MAX_OPERATIONS, json_patch};
pub use merge::merge_patch;
pub use strategic::strategic_merge;

/// A patch that cannot be applied: each kind is one HTTP answer of upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// 400 `BadRequest` with this message.
    #[error("{0}")]
    BadRequest(String),
    /// 413 `RequestEntityTooLarge` with this message.
    #[error("{0}")]
    TooLarge(String),
    /// 422 `Invalid`; upstream keeps this text to itself and says
    /// `the server rejected our request due to an error in our request`.
    #[error("{0}")]
    Unprocessable(String),
    /// 500 `InternalError` with this message: upstream gives no code to these.
    #[error("{0}")]
    Internal(String),
}
