//! Who asks: the user of a token, or whom the client's certificate names.

use super::{Member, Tokens, failure::failed};
use crate::replica::{
    Failure,
    auth::{Auth, AuthError, Who},
};
use http::HeaderMap;
use std::sync::Arc;
use tonic::{Request, Status};

/// The metadata that hold a token; the second is how one comes through the JSON gateway.
const TOKEN: [&str; 2] = ["token", "authorization"];

/// The common name of the certificate that a connection's client showed.
#[derive(Clone, Debug)]
pub struct ClientName(pub Arc<str>);

/// How a client says who it is.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    token: Option<String>,
    name: Option<Arc<str>>,
}

impl Credentials {
    /// Those of a request.
    pub fn of<T>(request: &Request<T>) -> Self {
        let metadata = request.metadata();
        let token = TOKEN.iter().find_map(|key| metadata.get(*key)?.to_str().ok());
        Self::new(token, request.extensions().get())
    }

    /// Those of requests with this head, on the connection of a client with that name.
    pub fn of_head(headers: &HeaderMap, name: Option<&ClientName>) -> Self {
        let token = TOKEN.iter().find_map(|key| headers.get(*key)?.to_str().ok());
        Self::new(token, name)
    }

    fn new(token: Option<&str>, name: Option<&ClientName>) -> Self {
        Self {
            token: token.map(|token| token.strip_prefix("Bearer ").unwrap_or(token).to_owned()),
            name: name.map(|name| name.0.clone()),
        }
    }
}

impl Member {
    /// Who asks, if that is known without looking at who it says it is: nobody is asked.
    pub(super) fn anybody(&self) -> Option<Who> {
        (!self.replica().auth().is_enabled()).then(Who::default)
    }

    /// Who has these credentials; nobody if none are given, or nobody is asked.
    pub(super) async fn who(&self, credentials: &Credentials) -> Result<Who, Failure> {
        let auth = self.replica().auth();
        if !auth.is_enabled() {
            return Ok(Who::default());
        }
        if let Some(token) = &credentials.token {
            return match &self.settings().tokens {
                Tokens::Simple => {
                    let user = self.replica().user_of(token).await?;
                    Ok(self.known(user))
                }
                Tokens::Jwt(jwt) => Ok(jwt
                    .user(token, self.0.env.clock.wall())
                    .ok_or(AuthError::InvalidToken)?),
            };
        }
        match &credentials.name {
            Some(name) if self.settings().client_names => Ok(self.known(name.to_string())),
            _ => Ok(Who::default()),
        }
    }

    /// A user as of now.
    fn known(&self, user: String) -> Who {
        Who {
            user,
            revision: self.replica().auth().revision(),
        }
    }

    /// Judges a request by the users and roles as they are, and gives who asks.
    pub(super) async fn judged(
        &self,
        credentials: &Credentials,
        judge: impl FnOnce(&Auth, &Who) -> Result<(), AuthError>,
    ) -> Result<Who, Status> {
        let who = self.who(credentials).await.map_err(failed)?;
        judge(&self.replica().auth(), &who).map_err(|error| failed(error.into()))?;
        Ok(who)
    }

    /// An error unless who asks may do everything.
    pub(super) async fn root_only<T>(&self, request: &Request<T>) -> Result<(), Status> {
        self.judged(&Credentials::of(request), Auth::may_all)
            .await
            .map(drop)
    }

    /// An error if who asks does not say who it is, and must.
    pub(super) async fn no_stranger<T>(&self, request: &Request<T>) -> Result<(), Status> {
        self.judged(&Credentials::of(request), Auth::must_say)
            .await
            .map(drop)
    }

    /// An error if users or roles were changed while a request of `who` was answered.
    pub(super) fn still(&self, who: &Who) -> Result<(), Status> {
        match who.revision {
            0 => Ok(()),
            revision if revision == self.replica().auth().revision() => Ok(()),
            _ => Err(failed(AuthError::OldRevision.into())),
        }
    }
}
