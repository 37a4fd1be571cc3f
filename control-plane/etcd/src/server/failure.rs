//! etcd's own codes and messages.

use crate::{
    Error,
    replica::{Failure, MemberError, auth::AuthError},
};
use tonic::{Code, Status};

/// What a request is refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    EmptyKey,
    KeyNotFound,
    ValueProvided,
    LeaseProvided,
    TooManyOps,
    DuplicateKey,
    TooLarge,
    NoSpace,
    LeaseNotFound,
    LeaseTtlTooLarge,
    MemberUrls,
    NoLeader,
    SessionExpired,
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let (code, message) = match refusal {
            Refusal::EmptyKey => (Code::InvalidArgument, "key is not provided"),
            Refusal::KeyNotFound => (Code::InvalidArgument, "key not found"),
            Refusal::ValueProvided => (Code::InvalidArgument, "value is provided"),
            Refusal::LeaseProvided => (Code::InvalidArgument, "lease is provided"),
            Refusal::TooManyOps => (Code::InvalidArgument, "too many operations in txn request"),
            Refusal::DuplicateKey => (Code::InvalidArgument, "duplicate key given in txn request"),
            Refusal::TooLarge => (Code::InvalidArgument, "request is too large"),
            Refusal::NoSpace => (Code::ResourceExhausted, "mvcc: database space exceeded"),
            Refusal::LeaseNotFound => (Code::NotFound, "requested lease not found"),
            Refusal::LeaseTtlTooLarge => (Code::OutOfRange, "too large lease TTL"),
            Refusal::MemberUrls => (Code::InvalidArgument, "given member URLs are invalid"),
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

/// The status of what users and roles forbid.
fn refused(error: AuthError) -> Status {
    use AuthError as E;
    let code = match error {
        E::RootUserNotExist
        | E::RootRoleNotExist
        | E::UserExists
        | E::UserNotFound
        | E::RoleExists
        | E::RoleNotFound
        | E::RoleNotGranted
        | E::PermissionNotGranted
        | E::NotEnabled => Code::FailedPrecondition,
        E::UserEmpty
        | E::RoleEmpty
        | E::Failed
        | E::PermissionNotGiven
        | E::InvalidManagement
        | E::OldRevision => Code::InvalidArgument,
        E::Denied => Code::PermissionDenied,
        E::InvalidToken => Code::Unauthenticated,
        // etcd has no code for these.
        E::NoPasswordUser | E::VerifyOnly => return Status::unknown(error.to_string()),
    };
    Status::new(code, format!("etcdserver: {error}"))
}

/// A status in the words of gRPC for Go, which etcd puts into some answers.
pub fn spelled(status: &Status) -> String {
    let code = super::calls::spelled(status.code());
    format!("rpc error: code = {code} desc = {}", status.message())
}

/// The status of a failure of a member.
pub fn failed(failure: Failure) -> Status {
    let code = match &failure {
        Failure::Store(error) => return status(error.clone()),
        Failure::Auth(error) => return refused(*error),
        Failure::Member(MemberError::NotFound | MemberError::Removed) => {
            return Status::not_found(format!("etcdserver: {}", MemberError::NotFound));
        }
        Failure::Member(_)
        | Failure::NotLeader
        | Failure::BadTransferee
        | Failure::NotEnoughStarted
        | Failure::LearnerNotReady => Code::FailedPrecondition,
        Failure::TooMany => Code::ResourceExhausted,
        Failure::Corrupt => Code::DataLoss,
        Failure::TimedOut
        | Failure::LeaderFailed
        | Failure::TransferTimedOut
        | Failure::NoLeader
        | Failure::Stopped
        | Failure::Unhealthy
        | Failure::Learner => Code::Unavailable,
    };
    Status::new(code, format!("etcdserver: {failure}"))
}
