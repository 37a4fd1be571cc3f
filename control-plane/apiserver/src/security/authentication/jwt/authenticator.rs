//! One issuer.

use super::{
    claims::{Claims, Standard},
    config::JwtAuthenticator,
    expression::of_user,
    metrics::Numbers,
    provider::Provider,
    validate::Compiled,
};
use crate::security::{
    Answer, Known, User,
    authentication::{
        cache::{Cache, Digested, digest},
        known,
        service_account::quoted,
    },
};
use component::{
    Env,
    jwt::{Algorithm, Token, unverified_issuer},
};
use futures::FutureExt;
use std::{sync::Arc, time::Duration};

/// A token that was good is good for so long, as upstream.
const GOOD: Duration = Duration::from_secs(10);
/// Clocks of issuers may be ahead by so much, as upstream, in seconds.
const AHEAD: i64 = 300;

/// Takes the tokens of one issuer.
pub(super) struct Authenticator(Arc<Inner>);

struct Inner {
    config: JwtAuthenticator,
    compiled: Compiled,
    algorithms: Vec<Algorithm>,
    provider: Arc<Provider>,
    good: Cache<Digested, User>,
    numbers: Arc<Numbers>,
    env: Env,
}

impl Authenticator {
    /// Takes tokens signed by `algorithms`; the provider is looked for from now on.
    pub fn new(
        config: &JwtAuthenticator,
        compiled: Compiled,
        algorithms: &[Algorithm],
        env: &Env,
    ) -> Result<Self, String> {
        let issuer = &config.issuer;
        let discovery = issuer.discovery_url.as_deref().filter(|url| !url.is_empty());
        let numbers = Arc::new(Numbers::new(&issuer.url, env));
        let ca = &issuer.certificate_authority;
        let provider = Provider::new(&issuer.url, discovery, ca, numbers.clone(), env)?;
        let provider = Arc::new(provider);
        Provider::find(&provider);
        Ok(Self(Arc::new(Inner {
            config: config.clone(),
            compiled,
            algorithms: algorithms.to_vec(),
            provider,
            good: Cache::new(env.clock.clone()),
            numbers,
            env: env.clone(),
        })))
    }

    /// Whether the provider was found.
    pub fn is_ready(&self) -> bool {
        self.0.provider.is_found()
    }

    /// The issuer.
    pub fn issuer(&self) -> &str {
        &self.0.config.issuer.url
    }

    /// Whose the token is.
    pub fn token(&self, token: &str) -> Answer<Known> {
        let issuer = unverified_issuer(token);
        // Google's tokens leave out the scheme.
        let issuer = issuer.map(|of| match of.as_str() {
            "accounts.google.com" => "https://accounts.google.com".to_owned(),
            _ => of,
        });
        if issuer.as_deref() != Some(self.issuer()) {
            return Ok(None).into();
        }
        let key = digest(token, &[]);
        if let Some(user) = self.0.good.get(&key) {
            return known(user).into();
        }
        let (numbers, begun) = (self.0.numbers.clone(), self.0.env.clock.now());
        match self.judged(token, key) {
            Answer::Now(known) => {
                numbers.judged(&known, begun);
                known.into()
            }
            Answer::Later(later) => {
                let told = later.inspect(move |known| numbers.judged(known, begun));
                Answer::Later(told.boxed())
            }
        }
    }

    /// The same of a token that is not known yet.
    fn judged(&self, token: &str, key: Digested) -> Answer<Known> {
        if !self.is_ready() {
            return Err("oidc: authenticator not initialized".into()).into();
        }
        let (keys, seen) = self.0.provider.keys();
        match self.0.verify(token, &keys) {
            Ok(claims) => self.0.finish(key, &claims).into(),
            Err(Why::Key) => {
                let (inner, token) = (self.0.clone(), token.to_owned());
                let later = async move {
                    let failed =
                        |why: String| format!("oidc: verify token: failed to verify signature: {why}");
                    inner.provider.look(seen).await.map_err(failed)?;
                    let (keys, _) = inner.provider.keys();
                    match inner.verify(&token, &keys) {
                        Ok(claims) => inner.finish(key, &claims),
                        Err(Why::Key) => Err(failed("failed to verify id token signature".to_owned()).into()),
                        Err(Why::Bad(why)) => Err(why.into()),
                    }
                };
                Answer::Later(later.boxed())
            }
            Err(Why::Bad(why)) => Err(why.into()).into(),
        }
    }
}

/// Why a token is not good.
enum Why {
    /// None of the keys signed it; there may be others.
    Key,
    Bad(String),
}

impl Inner {
    fn verify(&self, token: &str, keys: &[component::jwt::PublicKey]) -> Result<Claims, Why> {
        let bad = |why: String| Why::Bad(format!("oidc: verify token: {why}"));
        let token = Token::parse(token).map_err(|why| bad(format!("oidc: malformed jwt: {why}")))?;
        let standard: Standard = token
            .claims()
            .map_err(|why| bad(format!("oidc: failed to unmarshal claims: {why}")))?;
        self.check(&standard).map_err(bad)?;
        if !token.algorithm().is_some_and(|of| self.algorithms.contains(&of)) {
            let expected: Vec<String> = self.algorithms.iter().map(|of| of.name().to_owned()).collect();
            return Err(bad(format!(
                "oidc: id token signed with unsupported algorithm, expected {} got {:?}",
                quoted(&expected),
                token.algorithm_name()
            )));
        }
        let id = token.key_id();
        let mut fitting = keys.iter().filter(|key| id.is_empty() || key.id() == id);
        if !fitting.any(|key| token.is_signed_by(key)) {
            return Err(Why::Key);
        }
        let claims = token.claims::<Claims>();
        claims.map_err(|why| Why::Bad(format!("oidc: parse claims: {why}")))
    }

    fn check(&self, claims: &Standard) -> Result<(), String> {
        let (issuer, now) = (&self.config.issuer, self.env.clock.wall().as_second());
        let google = claims.iss == "accounts.google.com" && issuer.url == "https://accounts.google.com";
        if claims.iss != issuer.url && !google {
            return Err(format!(
                "oidc: id token issued by a different provider, expected {:?} got {:?}",
                issuer.url, claims.iss
            ));
        }
        if !claims
            .aud
            .iter()
            .any(|audience| issuer.audiences.contains(audience))
        {
            let expected = match issuer.audiences.as_slice() {
                [only] => format!("{only:?}"),
                many => format!("in {}", quoted(many)),
            };
            return Err(format!(
                "oidc: expected audience {expected} got {}",
                quoted(&claims.aud)
            ));
        }
        let expiry = claims.exp.unwrap_or_default();
        if expiry <= now {
            let at = jiff::Timestamp::from_second(expiry).unwrap_or_default();
            return Err(format!("oidc: token is expired (Token Expiry: {at})"));
        }
        if claims.nbf.is_some_and(|from| from > now + AHEAD) {
            let from = claims
                .nbf
                .and_then(|from| jiff::Timestamp::from_second(from).ok());
            return Err(format!(
                "oidc: current time {} before the nbf (not before) time: {}",
                self.env.clock.wall(),
                from.unwrap_or_default()
            ));
        }
        Ok(())
    }

    fn finish(&self, key: Digested, claims: &Claims) -> Known {
        let user = self.user(claims)?;
        self.good.put(key, user.clone(), GOOD);
        known(user)
    }

    /// The user that the claims are mapped to, if all rules hold.
    fn user(&self, claims: &Claims) -> Result<User, String> {
        let (mappings, compiled) = (&self.config.claim_mappings, &self.compiled);
        let failed = |what: &str| {
            let what = what.to_owned();
            move |why: String| format!("oidc: error evaluating {what} claim expression: {why}")
        };
        let name = match &compiled.username {
            Some(expression) => expression
                .text(&claims.0, "username")
                .map_err(failed("username"))?,
            None => self.username(claims)?,
        };
        if name.is_empty() {
            return Err("oidc: the username is empty".to_owned());
        }
        let uid = match &compiled.uid {
            Some(expression) => expression.text(&claims.0, "uid").map_err(failed("uid"))?,
            None if mappings.uid.claim.is_empty() => String::new(),
            None => {
                let claim = &mappings.uid.claim;
                let uid = claims.text(claim);
                uid.map_err(|why| format!("oidc: parse uid claim {claim:?}: {why}"))?
                    .to_owned()
            }
        };
        let groups = match &compiled.groups {
            Some(expression) => expression.texts(&claims.0).map_err(failed("group"))?,
            None => self.groups(claims)?,
        };
        let mut extra = std::collections::BTreeMap::new();
        for (key, expression) in &compiled.extra {
            let values = expression.texts(&claims.0).map_err(failed("extra"))?;
            if !values.is_empty() {
                extra.insert(key.clone(), values);
            }
        }
        let user = User {
            name,
            uid,
            groups,
            extra,
            ..User::default()
        };
        self.rules(claims, &user)?;
        Ok(user)
    }

    fn username(&self, claims: &Claims) -> Result<String, String> {
        let mapping = &self.config.claim_mappings.username;
        let name = claims
            .text(&mapping.claim)
            .map_err(|why| format!("oidc: parse username claims {:?}: {why}", mapping.claim))?;
        if mapping.claim == "email" {
            claims.email_is_verified()?;
        }
        if name.is_empty() {
            return Ok(String::new());
        }
        Ok(format!("{}{name}", mapping.prefix.as_deref().unwrap_or_default()))
    }

    fn groups(&self, claims: &Claims) -> Result<Vec<String>, String> {
        let mapping = &self.config.claim_mappings.groups;
        if mapping.claim.is_empty() {
            return Ok(Vec::new());
        }
        if claims.is_elsewhere(&mapping.claim) {
            return Err("oidc: could not expand distributed claims: they are not supported".to_owned());
        }
        let groups = claims
            .texts(&mapping.claim)
            .map_err(|why| format!("oidc: parse groups claim {:?}: {why}", mapping.claim))?;
        let prefix = mapping.prefix.as_deref().unwrap_or_default();
        let groups = groups.unwrap_or_default().into_iter();
        Ok(groups.map(|group| format!("{prefix}{group}")).collect())
    }

    fn rules(&self, claims: &Claims, user: &User) -> Result<(), String> {
        let rules = self.config.claim_validation_rules.iter();
        for rule in rules.filter(|rule| !rule.claim.is_empty()) {
            let (claim, want) = (&rule.claim, &rule.required_value);
            if !claims.has(claim) {
                return Err(format!("oidc: required claim {claim} not present in ID token"));
            }
            let got = claims
                .text(claim)
                .map_err(|why| format!("oidc: parse claim {claim}: {why}"))?;
            if got != want {
                return Err(format!(
                    "oidc: required claim {claim} value does not match. Got = {got}, want = {want}"
                ));
            }
        }
        for (rule, message) in &self.compiled.claim_rules {
            rule.holds(&claims.0, message)
                .map_err(|why| format!("oidc: error evaluating claim validation expression: {why}"))?;
        }
        if self.compiled.user_rules.is_empty() {
            return Ok(());
        }
        let seen = of_user(user);
        for (rule, message) in &self.compiled.user_rules {
            rule.holds(&seen, message)
                .map_err(|why| format!("oidc: error evaluating user info validation rule: {why}"))?;
        }
        Ok(())
    }
}
