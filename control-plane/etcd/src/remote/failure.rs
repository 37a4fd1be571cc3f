//! What a gRPC status of etcd means to us.

use crate::{Error, Revision};
use std::error::Error as _;
use tonic::{Code, Status};

/// What kind of request it was that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A read at a revision; 0: the newest.
    Read(Revision),
    /// A write of so many bytes.
    Write(usize),
}

/// Whether the request certainly reached nobody who would do it, or only reads: then another endpoint may be asked.
pub fn may_be_asked_again(status: &Status, request: Request) -> bool {
    let lost = matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal
    );
    match request {
        Request::Read(_) => lost,
        Request::Write(_) => lost && not_done(status),
    }
}

/// Whether nothing was done, certainly.
fn not_done(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        // hyper calls canceled what it never gave to a connection.
        let unsent = error
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_canceled);
        if unsent || error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    // Said before the request is proposed to the members.
    [
        "etcdserver: no leader",
        "etcdserver: not capable",
        "etcdserver: server stopped",
    ]
    .iter()
    .any(|message| status.message() == *message)
}

/// The error that a status is.
pub fn error(status: &Status, request: Request) -> Error {
    let message = status.message();
    match (status.code(), request) {
        (Code::OutOfRange, _) if message.contains("compacted") => Error::Compacted(0),
        (Code::OutOfRange, Request::Read(revision)) if message.contains("future") => Error::Future(revision),
        (Code::NotFound, _) if message.contains("lease not found") => Error::LeaseNotFound,
        (Code::InvalidArgument, Request::Write(bytes)) if message.contains("too large") => {
            Error::TooLarge(bytes)
        }
        (_, Request::Write(_)) if lost(status.code()) && !not_done(status) => Error::Unknown(text(status)),
        _ => Error::Unavailable(text(status)),
    }
}

fn lost(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal
    )
}

/// The message, with what lies below it when etcd did not say it.
fn text(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcds_answers_are_our_errors() {
        let compacted = Status::out_of_range("etcdserver: mvcc: required revision has been compacted");
        assert!(matches!(error(&compacted, Request::Read(3)), Error::Compacted(_)));
        let future = Status::out_of_range("etcdserver: mvcc: required revision is a future revision");
        assert!(matches!(error(&future, Request::Read(3)), Error::Future(3)));
        let lease = Status::not_found("etcdserver: requested lease not found");
        assert!(matches!(error(&lease, Request::Write(1)), Error::LeaseNotFound));
        let large = Status::invalid_argument("etcdserver: request is too large");
        assert!(matches!(error(&large, Request::Write(9)), Error::TooLarge(9)));
        let full = Status::resource_exhausted("etcdserver: mvcc: database space exceeded");
        assert!(matches!(error(&full, Request::Write(9)), Error::Unavailable(_)));
    }

    #[test]
    fn a_write_whose_answer_was_lost_is_not_sent_again() {
        let timed_out = Status::unavailable("etcdserver: request timed out");
        assert!(matches!(error(&timed_out, Request::Write(1)), Error::Unknown(_)));
        assert!(!may_be_asked_again(&timed_out, Request::Write(1)));
        assert!(may_be_asked_again(&timed_out, Request::Read(0)));
        let leaderless = Status::unavailable("etcdserver: no leader");
        assert!(matches!(
            error(&leaderless, Request::Write(1)),
            Error::Unavailable(_)
        ));
        assert!(may_be_asked_again(&leaderless, Request::Write(1)));
    }
}
