//! Tokens that say themselves who their user is, signed by a key that all members have.

use crate::replica::auth::{AuthError, Who};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use component::{
    flags::parse_duration,
    jwt::{Algorithm, Key, PublicKey, Token},
};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
        RsaKeyPair,
    },
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use std::{fs, sync::Arc, time::Duration};

/// How long a token lives if nothing else is said.
const TTL: Duration = Duration::from_secs(300);

/// What tokens are given to users.
#[derive(Clone, Default)]
pub enum Tokens {
    /// Such as the members know.
    #[default]
    Simple,
    /// Such as are signed.
    Jwt(Arc<Jwt>),
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Simple => "simple",
            Self::Jwt(_) => "jwt",
        })
    }
}

/// Why `--auth-token` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// It is no kind of tokens, or an option is none.
    #[error("auth: invalid auth options: {0}")]
    Options(String),
    /// There is no such method, or tokens cannot be signed by it.
    #[error(
        "auth: invalid auth signature method: {0:?} is none of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, or not that of the key"
    )]
    Method(String),
    /// A key cannot be read.
    #[error("{0}: {1}")]
    Key(String, String),
    /// There is none.
    #[error("auth: missing key data")]
    MissingKey,
    /// They do not belong together.
    #[error("auth: public and private keys don't match")]
    KeyMismatch,
}

impl Tokens {
    /// Of a text such as `simple` or `jwt,pub-key=FILE,priv-key=FILE,sign-method=RS256,ttl=10m`.
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        let (kind, options) = text.split_once(',').unwrap_or((text, ""));
        match kind {
            "simple" | "" => Ok(Self::Simple),
            "jwt" => Ok(Self::Jwt(Arc::new(Jwt::parse(options)?))),
            other => Err(TokensError::Options(other.to_owned())),
        }
    }
}

/// Signs and verifies tokens.
pub struct Jwt {
    keys: Keys,
    ttl: Duration,
}

/// What tokens are signed and verified with.
enum Keys {
    /// A secret that all members have, and the method.
    Secret(hmac::Key, String),
    /// A pair of keys.
    Pair {
        /// Without it tokens are only verified.
        private: Option<Private>,
        public: PublicKey,
        algorithm: Algorithm,
    },
}

/// A private key.
enum Private {
    /// By the method that is usual for such keys.
    Usual(Key),
    /// By another one for RSA.
    Rsa(Box<RsaKeyPair>, &'static dyn RsaEncoding),
}

/// The methods with a secret.
const SECRET: [(&str, hmac::Algorithm); 3] = [
    ("HS256", hmac::HMAC_SHA256),
    ("HS384", hmac::HMAC_SHA384),
    ("HS512", hmac::HMAC_SHA512),
];

/// How RSA signs by the methods that are not usual.
fn encoding(algorithm: Algorithm) -> Option<&'static dyn RsaEncoding> {
    Some(match algorithm {
        Algorithm::RS384 => &RSA_PKCS1_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_SHA512,
        Algorithm::PS256 => &RSA_PSS_SHA256,
        Algorithm::PS384 => &RSA_PSS_SHA384,
        Algorithm::PS512 => &RSA_PSS_SHA512,
        _ => return None,
    })
}

impl Private {
    /// The key of a text that signs by a method, and its public half.
    fn read(text: &str, algorithm: Algorithm) -> Result<Option<(Self, PublicKey)>, String> {
        let key = Key::from_pem(text)?;
        let public = key.public().clone();
        if public.algorithm() == algorithm {
            return Ok(Some((Self::Usual(key), public)));
        }
        let Some(by) = encoding(algorithm).filter(|_| public.algorithm() == Algorithm::RS256) else {
            return Ok(None);
        };
        let der = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| error.to_string())?;
        let pair = match &der {
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            der => RsaKeyPair::from_pkcs8(der.secret_der()),
        };
        let pair = pair.map_err(|error| error.to_string())?;
        Ok(Some((Self::Rsa(Box::new(pair), by), public)))
    }
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
}

/// What is signed of a token.
fn text(method: &str, claims: &Claims) -> Result<String, String> {
    let header = Header {
        alg: method,
        typ: "JWT",
    };
    let header = serde_json::to_vec(&header).map_err(|error| error.to_string())?;
    let claims = serde_json::to_vec(claims).map_err(|error| error.to_string())?;
    Ok(format!("{}.{}", BASE64.encode(header), BASE64.encode(claims)))
}

#[derive(Serialize, Deserialize)]
struct Claims {
    username: String,
    revision: u64,
    exp: i64,
}

fn read(path: &str) -> Result<String, TokensError> {
    fs::read_to_string(path).map_err(|error| TokensError::Key(path.to_owned(), error.to_string()))
}

impl Jwt {
    fn parse(options: &str) -> Result<Self, TokensError> {
        let (mut public, mut private, mut method, mut ttl) = (None, None, "", TTL);
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let bad = || TokensError::Options(option.to_owned());
            match option.split_once('=').ok_or_else(bad)? {
                ("pub-key", path) => public = Some(path),
                ("priv-key", path) => private = Some(path),
                ("sign-method", name) => method = name,
                ("ttl", text) => ttl = parse_duration(text).ok_or_else(bad)?,
                _ => return Err(bad()),
            }
        }
        let keys = match SECRET.iter().find(|(name, _)| *name == method) {
            Some((name, by)) => {
                let secret = read(private.ok_or(TokensError::MissingKey)?)?;
                if secret.is_empty() {
                    return Err(TokensError::MissingKey);
                }
                Keys::Secret(hmac::Key::new(*by, secret.as_bytes()), (*name).to_owned())
            }
            None => Keys::pair(method, public, private)?,
        };
        Ok(Self { keys, ttl })
    }

    /// A token of a user.
    pub fn sign(&self, who: &Who, now: jiff::Timestamp) -> Result<String, AuthError> {
        let claims = Claims {
            username: who.user.clone(),
            revision: who.revision,
            exp: now.as_second().saturating_add_unsigned(self.ttl.as_secs()),
        };
        let signed = match &self.keys {
            Keys::Pair { private: None, .. } => return Err(AuthError::VerifyOnly),
            keys => keys.sign(&claims),
        };
        signed.map_err(|why| {
            tracing::warn!(why, "a token could not be signed");
            AuthError::InvalidToken
        })
    }

    /// Whose token it is, if it is good.
    pub fn user(&self, token: &str, now: jiff::Timestamp) -> Option<Who> {
        let claims = self.keys.verify(token)?;
        (claims.exp > now.as_second()).then_some(Who {
            user: claims.username,
            revision: claims.revision,
        })
    }
}

impl Keys {
    fn pair(method: &str, public: Option<&str>, private: Option<&str>) -> Result<Self, TokensError> {
        let bad = || TokensError::Method(method.to_owned());
        let algorithm = Algorithm::named(method).ok_or_else(bad)?;
        let public = public
            .map(|path| {
                let keys = PublicKey::read_all(&read(path)?);
                let first = keys.and_then(|keys| keys.into_iter().next().ok_or_else(|| "no key".to_owned()));
                first.map_err(|why| TokensError::Key(path.to_owned(), why))
            })
            .transpose()?;
        let own = private
            .map(|path| {
                let found = Private::read(&read(path)?, algorithm);
                found
                    .map_err(|why| TokensError::Key(path.to_owned(), why))?
                    .ok_or_else(bad)
            })
            .transpose()?;
        let (private, own) = own.unzip();
        if let (Some(own), Some(given)) = (&own, &public)
            && own != given
        {
            return Err(TokensError::KeyMismatch);
        }
        Ok(Self::Pair {
            private,
            public: public.or(own).ok_or(TokensError::MissingKey)?,
            algorithm,
        })
    }

    fn sign(&self, claims: &Claims) -> Result<String, String> {
        let (text, signature) = match self {
            Self::Secret(key, method) => {
                let text = text(method, claims)?;
                let signature = hmac::sign(key, text.as_bytes()).as_ref().to_vec();
                (text, signature)
            }
            Self::Pair { private: None, .. } => return Err("there is no private key".to_owned()),
            Self::Pair {
                private: Some(Private::Usual(key)),
                ..
            } => return key.sign(claims),
            Self::Pair {
                private: Some(Private::Rsa(pair, by)),
                algorithm,
                ..
            } => {
                let text = text(algorithm.name(), claims)?;
                let mut signature = vec![0; pair.public().modulus_len()];
                let signed = pair.sign(*by, &SystemRandom::new(), text.as_bytes(), &mut signature);
                signed.map_err(|error| error.to_string())?;
                (text, signature)
            }
        };
        Ok(format!("{text}.{}", BASE64.encode(signature)))
    }

    /// What a token claims, if it is signed as it must be.
    fn verify(&self, text: &str) -> Option<Claims> {
        let token = Token::parse(text).ok()?;
        let good = match self {
            Self::Secret(key, method) => {
                let (signed, signature) = text.rsplit_once('.')?;
                let signature = BASE64.decode(signature).ok()?;
                token.algorithm_name() == method && hmac::verify(key, signed.as_bytes(), &signature).is_ok()
            }
            Self::Pair {
                public, algorithm, ..
            } => token.algorithm() == Some(*algorithm) && token.is_signed_by(public),
        };
        good.then(|| token.claims().ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{path::Path, process::Command};

    fn openssl(words: &str) {
        let done = Command::new("openssl").args(words.split(' ')).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    fn parse(text: &str) -> Result<Arc<Jwt>, TokensError> {
        match Tokens::parse(text)? {
            Tokens::Jwt(jwt) => Ok(jwt),
            Tokens::Simple => panic!("{text}"),
        }
    }

    fn keys(dir: &Path) -> impl Fn(&str) -> String {
        let path = |name: &str| dir.join(name).display().to_string();
        openssl(&format!("genrsa -traditional -out {} 2048", path("rsa1")));
        openssl(&format!("genrsa -out {} 2048", path("rsa8")));
        for (name, curve) in [("p256", "P-256"), ("p384", "P-384"), ("p521", "P-521")] {
            let options = format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{curve}");
            openssl(&format!("{options} -out {}", path(name)));
        }
        for name in ["rsa1", "rsa8", "p256", "p384", "p521"] {
            openssl(&format!("pkey -in {0} -pubout -out {0}.pub", path(name)));
        }
        fs::write(path("secret"), "a secret that all members have").unwrap();
        fs::write(path("other"), "another secret").unwrap();
        fs::write(path("empty"), "").unwrap();
        path
    }

    #[test]
    fn tokens_are_signed_by_every_method_of_etcd() {
        let dir = tempfile::tempdir().unwrap();
        let path = keys(dir.path());
        let who = Who {
            user: "ann".to_owned(),
            revision: 7,
        };
        let now: jiff::Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let mut known = Vec::new();
        for (method, name) in [
            ("HS256", "secret"),
            ("HS384", "secret"),
            ("HS512", "secret"),
            ("HS512", "other"),
            ("RS256", "rsa1"),
            ("RS384", "rsa1"),
            ("RS512", "rsa8"),
            ("PS256", "rsa8"),
            ("PS384", "rsa8"),
            ("PS512", "rsa1"),
            ("ES256", "p256"),
            ("ES384", "p384"),
            ("ES512", "p521"),
        ] {
            let signing = parse(&format!(
                "jwt,priv-key={},sign-method={method},ttl=1m",
                path(name)
            ))
            .unwrap();
            let token = signing.sign(&who, now).unwrap();
            assert_eq!(Token::parse(&token).unwrap().algorithm_name(), method);
            let verifying = if method.starts_with("HS") {
                signing
            } else {
                let public = path(&format!("{name}.pub"));
                let verifying = parse(&format!("jwt,pub-key={public},sign-method={method}")).unwrap();
                assert_eq!(verifying.sign(&who, now), Err(AuthError::VerifyOnly));
                verifying
            };
            let later = now + jiff::SignedDuration::from_secs(60);
            assert_eq!(verifying.user(&token, later), None, "{method}");
            known.push((method, verifying, token));
        }
        for (at, (method, verifying, _)) in known.iter().enumerate() {
            for (of, (other, _, token)) in known.iter().enumerate() {
                let found = verifying.user(token, now);
                assert_eq!(found.as_ref() == Some(&who), at == of, "{method} {other}");
            }
        }
    }

    #[test]
    fn a_key_signs_by_the_methods_of_its_kind() {
        let dir = tempfile::tempdir().unwrap();
        let path = keys(dir.path());
        for (method, private, public, why) in [
            ("ES256", "rsa8", None, "auth: invalid auth signature method"),
            ("RS384", "p256", None, "auth: invalid auth signature method"),
            ("ES384", "p256", None, "auth: invalid auth signature method"),
            ("HS256", "empty", None, "auth: missing key data"),
            (
                "RS512",
                "rsa8",
                Some("rsa1.pub"),
                "auth: public and private keys don't match",
            ),
        ] {
            let mut text = format!("jwt,sign-method={method},priv-key={}", path(private));
            if let Some(public) = public {
                text += &format!(",pub-key={}", path(public));
            }
            let error = parse(&text).err().unwrap().to_string();
            assert!(error.starts_with(why), "{text}: {error}");
        }
        let error = parse(&format!("jwt,sign-method=HS256,pub-key={}", path("secret")))
            .err()
            .unwrap();
        assert_eq!(error.to_string(), "auth: missing key data");
    }
}
