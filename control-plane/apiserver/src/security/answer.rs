//! What a guard says: most know at once, some must ask another server first.

use futures::future::BoxFuture;

/// An answer that is there, or one that is waited for.
pub enum Answer<T> {
    /// It is known.
    Now(T),
    /// Another server is being asked.
    Later(BoxFuture<'static, T>),
}

impl<T> Answer<T> {
    /// The answer, when it is there.
    pub async fn get(self) -> T {
        match self {
            Self::Now(answer) => answer,
            Self::Later(answer) => answer.await,
        }
    }

    /// The answer, if it is known.
    pub fn now(self) -> Option<T> {
        match self {
            Self::Now(answer) => Some(answer),
            Self::Later(_) => None,
        }
    }
}

impl<T: Send + 'static> Answer<T> {
    /// What `then` makes of the answer.
    pub fn map<U>(self, then: impl FnOnce(T) -> U + Send + 'static) -> Answer<U> {
        match self {
            Self::Now(answer) => Answer::Now(then(answer)),
            Self::Later(answer) => Answer::Later(Box::pin(async move { then(answer.await) })),
        }
    }
}

impl<T> From<T> for Answer<T> {
    fn from(answer: T) -> Self {
        Self::Now(answer)
    }
}
