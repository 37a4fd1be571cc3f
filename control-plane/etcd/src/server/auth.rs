//! The Auth service.

use super::{Member, Tokens, failure::failed, who::Credentials};
use crate::replica::auth::{Auth as Table, AuthError, Change, Who, has_no_password};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use etcd_proto::etcdserverpb::{self as pb, auth_server::Auth};
use tonic::{Request, Response, Status, async_trait};

/// Characters of a token, and how many it has before the index.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LENGTH: usize = 16;

impl Member {
    async fn change<T>(&self, request: Request<T>, change: impl FnOnce(T) -> Change) -> Result<(), Status> {
        let who = self.who(&Credentials::of(&request)).await.map_err(failed)?;
        let change = change(request.into_inner());
        self.replica().change(&who, change).await.map_err(failed)
    }

    /// What the table says, as of now, to who may know.
    async fn told<T, A>(
        &self,
        request: Request<T>,
        may: impl FnOnce(&Table, &Who, &T) -> Result<(), AuthError>,
        tell: impl FnOnce(&Table, &T) -> Result<A, AuthError>,
    ) -> Result<A, Status> {
        self.replica().linearizable().await.map_err(failed)?;
        let credentials = Credentials::of(&request);
        let request = request.into_inner();
        self.judged(&credentials, |auth, who| may(auth, who, &request))
            .await?;
        tell(&self.replica().auth(), &request).map_err(|error| failed(error.into()))
    }

    /// The hash of a password, as the log holds it.
    async fn hashed(&self, password: String) -> Result<String, Status> {
        let cost = self.settings().bcrypt_cost;
        let mut salt = [0; 16];
        self.0.env.random.fill(&mut salt);
        let hashing = move || bcrypt::non_truncating_hash_with_salt(password, cost, salt);
        let hashed = self.0.env.tasks.blocking(hashing).await;
        let hashed = hashed.ok_or_else(|| failed(crate::replica::Failure::Stopped))?;
        let hashed = hashed.map_err(|error| match error {
            bcrypt::BcryptError::Truncation(_) => Status::unknown("bcrypt: password length exceeds 72 bytes"),
            error => Status::unknown(format!("bcrypt: {error}")),
        })?;
        Ok(STANDARD.encode(hashed.format_for_version(bcrypt::Version::TwoA)))
    }

    /// Whether the password is the user's; the revision of the table that says so.
    async fn check_password(&self, name: &str, password: &str) -> Result<u64, Status> {
        let auth = self.replica().auth();
        let refused = |error: AuthError| failed(error.into());
        if !auth.is_enabled() {
            return Err(refused(AuthError::NotEnabled));
        }
        let user = auth.user(name).map_err(|_| refused(AuthError::Failed))?;
        if has_no_password(user) {
            return Err(refused(AuthError::NoPasswordUser));
        }
        let (hash, password) = (user.password.clone(), password.to_owned());
        let checking = move || {
            let hash = std::str::from_utf8(&hash).ok()?;
            bcrypt::verify(password, hash).ok().filter(|good| *good)
        };
        match self.0.env.tasks.blocking(checking).await.flatten() {
            Some(_) => Ok(auth.revision()),
            None => Err(refused(AuthError::Failed)),
        }
    }

    async fn token_of(&self, name: &str, password: &str) -> Result<String, Status> {
        self.replica().linearizable().await.map_err(failed)?;
        loop {
            let revision = self.check_password(name, password).await?;
            let who = Who {
                user: name.to_owned(),
                revision,
            };
            let token = match &self.settings().tokens {
                Tokens::Jwt(jwt) => {
                    let signed = jwt.sign(&who, self.0.env.clock.wall());
                    signed.map_err(|error| failed(error.into()))?
                }
                Tokens::Simple => {
                    let given = self.replica().give_token(name, &self.prefix()).await;
                    given.map_err(failed)?
                }
            };
            if self.replica().auth().revision() == revision {
                return Ok(token);
            }
            tracing::info!("users or roles were changed while a password was checked; it is checked again");
        }
    }

    fn prefix(&self) -> String {
        let letter = |_| {
            let at = self.0.env.random.below(LETTERS.len() as u64) as usize;
            char::from(LETTERS[at])
        };
        (0..LENGTH).map(letter).collect()
    }
}

/// The methods that change users and roles, each with its request, its answer and the change.
macro_rules! service {
    ($($method:ident($request:ident) -> $response:ident = $change:ident,)*; $($rest:item)*) => {
        #[async_trait]
        impl Auth for Member {
            $(async fn $method(
                &self,
                request: Request<pb::$request>,
            ) -> Result<Response<pb::$response>, Status> {
                self.change(request, Change::$change).await?;
                Ok(Response::new(pb::$response { header: self.header_now() }))
            })*
            $($rest)*
        }
    };
}

service! {
    auth_enable(AuthEnableRequest) -> AuthEnableResponse = Enable,
    auth_disable(AuthDisableRequest) -> AuthDisableResponse = Disable,
    user_delete(AuthUserDeleteRequest) -> AuthUserDeleteResponse = UserDelete,
    user_grant_role(AuthUserGrantRoleRequest) -> AuthUserGrantRoleResponse = UserGrant,
    user_revoke_role(AuthUserRevokeRoleRequest) -> AuthUserRevokeRoleResponse = UserRevoke,
    role_add(AuthRoleAddRequest) -> AuthRoleAddResponse = RoleAdd,
    role_delete(AuthRoleDeleteRequest) -> AuthRoleDeleteResponse = RoleDelete,
    role_grant_permission(AuthRoleGrantPermissionRequest) -> AuthRoleGrantPermissionResponse = RoleGrant,
    role_revoke_permission(AuthRoleRevokePermissionRequest) -> AuthRoleRevokePermissionResponse = RoleRevoke,
    ;

    async fn auth_status(
        &self,
        request: Request<pb::AuthStatusRequest>,
    ) -> Result<Response<pb::AuthStatusResponse>, Status> {
        let may = |auth: &Table, who: &Who, _: &_| auth.may_all(who);
        let (enabled, auth_revision) = self
            .told(request, may, |auth, _| Ok((auth.is_enabled(), auth.revision())))
            .await?;
        Ok(Response::new(pb::AuthStatusResponse {
            header: self.header_now(),
            enabled,
            auth_revision,
        }))
    }

    async fn authenticate(
        &self,
        request: Request<pb::AuthenticateRequest>,
    ) -> Result<Response<pb::AuthenticateResponse>, Status> {
        let pb::AuthenticateRequest { name, password } = request.into_inner();
        let token = self.token_of(&name, &password).await?;
        Ok(Response::new(pb::AuthenticateResponse {
            header: self.header_now(),
            token,
        }))
    }

    async fn user_add(
        &self,
        mut request: Request<pb::AuthUserAddRequest>,
    ) -> Result<Response<pb::AuthUserAddResponse>, Status> {
        let new = request.get_mut();
        new.hashed_password = match new.options {
            Some(options) if options.no_password => String::new(),
            _ => self.hashed(std::mem::take(&mut new.password)).await?,
        };
        new.password.clear();
        self.change(request, Change::UserAdd).await?;
        Ok(Response::new(pb::AuthUserAddResponse {
            header: self.header_now(),
        }))
    }

    async fn user_change_password(
        &self,
        mut request: Request<pb::AuthUserChangePasswordRequest>,
    ) -> Result<Response<pb::AuthUserChangePasswordResponse>, Status> {
        let new = request.get_mut();
        if !new.password.is_empty() {
            new.hashed_password = self.hashed(std::mem::take(&mut new.password)).await?;
        }
        self.change(request, Change::UserPassword).await?;
        Ok(Response::new(pb::AuthUserChangePasswordResponse {
            header: self.header_now(),
        }))
    }

    async fn user_get(
        &self,
        request: Request<pb::AuthUserGetRequest>,
    ) -> Result<Response<pb::AuthUserGetResponse>, Status> {
        let may = |auth: &Table, who: &Who, asked: &pb::AuthUserGetRequest| {
            auth.may_all(who).or_else(|error| match asked.name == who.user {
                true => Ok(()),
                false => Err(error),
            })
        };
        let tell = |auth: &Table, asked: &pb::AuthUserGetRequest| Ok(auth.user(&asked.name)?.roles.clone());
        let roles = self.told(request, may, tell).await?;
        Ok(Response::new(pb::AuthUserGetResponse {
            header: self.header_now(),
            roles,
        }))
    }

    async fn user_list(
        &self,
        request: Request<pb::AuthUserListRequest>,
    ) -> Result<Response<pb::AuthUserListResponse>, Status> {
        let may = |auth: &Table, who: &Who, _: &_| auth.may_all(who);
        let tell = |auth: &Table, _: &_| Ok(auth.users().map(|user| text(&user.name)).collect());
        let users = self.told(request, may, tell).await?;
        Ok(Response::new(pb::AuthUserListResponse {
            header: self.header_now(),
            users,
        }))
    }

    async fn role_get(
        &self,
        request: Request<pb::AuthRoleGetRequest>,
    ) -> Result<Response<pb::AuthRoleGetResponse>, Status> {
        let may = |auth: &Table, who: &Who, asked: &pb::AuthRoleGetRequest| {
            auth.may_all(who).or_else(|error| match auth.has_role(&who.user, &asked.role) {
                true => Ok(()),
                false => Err(error),
            })
        };
        let tell = |auth: &Table, asked: &pb::AuthRoleGetRequest| Ok(auth.role(&asked.role)?.key_permission.clone());
        let perm = self.told(request, may, tell).await?;
        Ok(Response::new(pb::AuthRoleGetResponse {
            header: self.header_now(),
            perm,
        }))
    }

    async fn role_list(
        &self,
        request: Request<pb::AuthRoleListRequest>,
    ) -> Result<Response<pb::AuthRoleListResponse>, Status> {
        let may = |auth: &Table, who: &Who, _: &_| auth.may_all(who);
        let tell = |auth: &Table, _: &_| Ok(auth.roles().map(|role| text(&role.name)).collect());
        let roles = self.told(request, may, tell).await?;
        Ok(Response::new(pb::AuthRoleListResponse {
            header: self.header_now(),
            roles,
        }))
    }
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
