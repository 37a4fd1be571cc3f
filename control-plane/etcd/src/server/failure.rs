//! etcd's own codes and messages.

use crate::Error;
use tonic::{Code, Status};

/// What a request is refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    EmptyKey,
    ValueProvided,
    LeaseProvided,
    TooManyOps,
    DuplicateKey,
    TooLarge,
    NoSpace,
    LeaseNotFound,
    LeaseTtlTooLarge,
    MemberNotFound,
    MemberNotLearner,
    MemberUrls,
    OneMember,
    BadTransferee,
    NoLeader,
    SessionExpired,
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let (code, message) = match refusal {
            Refusal::EmptyKey => (Code::InvalidArgument, "key is not provided"),
            Refusal::ValueProvided => (Code::InvalidArgument, "value is provided"),
            Refusal::LeaseProvided => (Code::InvalidArgument, "lease is provided"),
            Refusal::TooManyOps => (Code::InvalidArgument, "too many operations in txn request"),
            Refusal::DuplicateKey => (Code::InvalidArgument, "duplicate key given in txn request"),
            Refusal::TooLarge => (Code::InvalidArgument, "request is too large"),
            Refusal::NoSpace => (Code::ResourceExhausted, "mvcc: database space exceeded"),
            Refusal::LeaseNotFound => (Code::NotFound, "requested lease not found"),
            Refusal::LeaseTtlTooLarge => (Code::OutOfRange, "too large lease TTL"),
            Refusal::MemberNotFound => (Code::NotFound, "member not found"),
            Refusal::MemberNotLearner => (Code::FailedPrecondition, "can only promote a learner member"),
            Refusal::MemberUrls => (Code::InvalidArgument, "given member URLs are invalid"),
            Refusal::OneMember => (
                Code::FailedPrecondition,
                "re-configuration failed due to not enough started members",
            ),
            Refusal::BadTransferee => (Code::FailedPrecondition, "bad leader transferee"),
            Refusal::NoLeader => return Status::unknown("election: no leader"),
            Refusal::SessionExpired => return Status::unknown("election: session expired"),
        };
        Status::new(code, format!("etcdserver: {message}"))
    }
}

/// The status of an error of the store.
pub fn status(error: Error) -> Status {
    let (code, message) = match error {
        Error::Compacted(_) => (Code::OutOfRange, "mvcc: required revision has been compacted"),
        Error::Future(_) => (Code::OutOfRange, "mvcc: required revision is a future revision"),
        Error::LeaseExists => (Code::FailedPrecondition, "lease already exists"),
        Error::KeyNotFound => (Code::InvalidArgument, "key not found"),
        Error::LeaseNotFound => return Refusal::LeaseNotFound.into(),
        Error::DuplicateKey => return Refusal::DuplicateKey.into(),
        Error::TooLarge(_) => return Refusal::TooLarge.into(),
        Error::Unavailable(why) if why.contains("No space left") => return Refusal::NoSpace.into(),
        Error::Unavailable(why) => return Status::unavailable(format!("etcdserver: {why}")),
        Error::Unknown(why) => return Status::unavailable(format!("etcdserver: request timed out: {why}")),
    };
    Status::new(code, format!("etcdserver: {message}"))
}
