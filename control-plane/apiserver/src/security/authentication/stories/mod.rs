//! Stories of authentication: what is taken, and what is refused.

mod bad_input;
mod certificates;
mod files;
mod issuers;
mod site;
mod taken;
mod webhook;

use crate::security::{
    Settings,
    stories::{Guarded, guarded_by, key, log::Log, settings},
};
use component::{Clock, Env};
use http::{Request, request::Parts};
use rustls::pki_types::CertificateDer;

/// What the server says to a request: the user, `anonymous`, or the code of the refusal. A refusal says `Unauthorized` and
/// no more to who asks; why stands in the log.
pub async fn told(guarded: &Guarded, headers: &[(&str, &str)], chain: &[CertificateDer<'static>]) -> String {
    let log = Log::keep();
    let answer = guarded
        .security
        .authn
        .authenticate(&parts(headers), chain)
        .get()
        .await;
    match answer {
        Ok(Some(user)) => user.name,
        Ok(None) => "anonymous".to_owned(),
        Err(_) => {
            let said = log.said();
            let why = said.split_once("unable to authenticate the request error=");
            let nothing = headers.is_empty() && chain.is_empty();
            assert!(
                nothing || why.is_some_and(|(_, why)| why.len() > 4),
                "no cause in the log: {said:?}"
            );
            "401".to_owned()
        }
    }
}

/// What it says to a bearer token.
pub async fn bearer(guarded: &Guarded, token: &str) -> String {
    // What cannot stand in a header is not sent.
    let header = format!("Bearer {token}");
    match http::HeaderValue::from_str(&header) {
        Ok(_) => told(guarded, &[("authorization", &header)], &[]).await,
        Err(_) => "401".to_owned(),
    }
}

/// Why a token is not good, as a TokenReview tells it; the user's name if it is.
pub async fn review(guarded: &Guarded, token: &str) -> String {
    match guarded.security.authn.token(token, &[]).get().await {
        Ok(Some((user, _))) => user.name,
        Ok(None) => String::new(),
        Err(refusal) => refusal.why,
    }
}

fn parts(headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::get("/api");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// Time of the machine, by which the sockets of tests work.
pub fn outside() -> Env {
    Env {
        clock: Clock::system(),
        ..Env::simulated(5)
    }
}

/// A server whose ways are changed by `change`.
pub async fn server(env: &Env, change: impl FnOnce(&mut Settings)) -> Guarded {
    let mut made = settings(env, &key());
    change(&mut made);
    guarded_by(made).await
}
