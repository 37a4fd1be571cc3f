//! Why users and roles are refused something, in etcd's words.

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Nobody could undo it.
    #[error("root user does not exist")]
    RootUserNotExist,
    /// The same.
    #[error("root user does not have root role")]
    RootRoleNotExist,
    /// There is such a user.
    #[error("user name already exists")]
    UserExists,
    /// No name is given; or nobody says who asks.
    #[error("user name is empty")]
    UserEmpty,
    /// There is no such user.
    #[error("user name not found")]
    UserNotFound,
    /// There is such a role.
    #[error("role name already exists")]
    RoleExists,
    /// There is no such role.
    #[error("role name not found")]
    RoleNotFound,
    /// No name is given.
    #[error("role name is empty")]
    RoleEmpty,
    /// It is not the user that it says it is.
    #[error("authentication failed, invalid user ID or password")]
    Failed,
    /// The user has none.
    #[error("auth: authentication failed, password was given for no password user")]
    NoPasswordUser,
    /// What is to be granted is missing.
    #[error("permission not given")]
    PermissionNotGiven,
    /// The user may not.
    #[error("permission denied")]
    Denied,
    /// The user has not that role.
    #[error("role is not granted to the user")]
    RoleNotGranted,
    /// The role has not that permission.
    #[error("permission is not granted to the role")]
    PermissionNotGranted,
    /// Nobody is asked who they are.
    #[error("authentication is not enabled")]
    NotEnabled,
    /// Nobody has that token, or no longer.
    #[error("invalid auth token")]
    InvalidToken,
    /// It would lock everybody out, or makes no sense.
    #[error("invalid auth management")]
    InvalidManagement,
    /// Users or roles were changed since the token was given.
    #[error("revision of auth store is old")]
    OldRevision,
    /// This member has only the public key.
    #[error("auth: token signing attempted with verify-only key")]
    VerifyOnly,
}
