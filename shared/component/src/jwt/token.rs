//! A token, taken apart and not yet believed.

use super::{Algorithm, PublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// Longer tokens are not looked at.
const MAX_LENGTH: usize = 16 * 1024;

/// A token in its compact form. Nothing of it is verified but what [`Token::is_signed_by`] says.
pub struct Token<'a> {
    text: &'a str,
    algorithm: String,
    key_id: String,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Header {
    alg: String,
    kid: String,
    crit: Option<serde::de::IgnoredAny>,
}

impl<'a> Token<'a> {
    /// Takes `token` apart.
    ///
    /// # Errors
    /// It is none: what is wrong.
    pub fn parse(token: &'a str) -> Result<Self, String> {
        if token.len() > MAX_LENGTH {
            return Err(format!("token of {} bytes is too large", token.len()));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("compact JWS format must have three parts".to_owned());
        };
        let part = |text: &str| {
            BASE64
                .decode(text)
                .map_err(|error| format!("token is not base64: {error}"))
        };
        let known: Header = object(&part(header)?).map_err(|error| format!("token header: {error}"))?;
        if known.crit.is_some() {
            return Err("token header: unsupported crit header".to_owned());
        }
        Ok(Self {
            text: &token[..header.len() + 1 + claims.len()],
            algorithm: known.alg,
            key_id: known.kid,
            claims: part(claims)?,
            signature: part(signature)?,
        })
    }

    /// The algorithm by which it says it is signed, if that is one of those that can be.
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::named(&self.algorithm)
    }

    /// The name of that algorithm, whatever it is.
    pub fn algorithm_name(&self) -> &str {
        &self.algorithm
    }

    /// The id of the key that it says it is signed with; may be empty.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Whether it is signed with that key.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.algorithm()
            .is_some_and(|of| key.verifies(of, self.text.as_bytes(), &self.signature))
    }

    /// What it claims.
    ///
    /// # Errors
    /// The claims are not of that form.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, String> {
        object(&self.claims).map_err(|error| format!("token claims: {error}"))
    }
}

/// The `iss` of a token, unverified: whose it says it is.
pub fn unverified_issuer(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Issuer {
        #[serde(default)]
        iss: String,
    }
    if token.len() > MAX_LENGTH {
        return None;
    }
    let mut parts = token.split('.');
    let (_, claims) = (parts.next()?, parts.next()?);
    parts.next()?;
    if parts.next().is_some() {
        return None;
    }
    let claims = BASE64.decode(claims).ok()?;
    object::<Issuer>(&claims).ok().map(|of| of.iss)
}

/// What is an object; a list of the values of its fields is none.
fn object<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err("it is no object".to_owned());
    }
    serde_json::from_slice(text).map_err(|error| error.to_string())
}

/// A time in seconds, which may have a fraction (RFC 7519, NumericDate).
///
/// # Errors
/// It is no number that is a time.
pub fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    // Times beyond any that there will be are as good as those.
    const FAR: f64 = 253_402_300_799.0;
    let seconds = f64::deserialize(deserializer)?;
    if !seconds.is_finite() {
        return Err(serde::de::Error::custom("it is no time"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is bounded")]
    Ok(seconds.clamp(-FAR, FAR) as i64)
}

/// One text, or a list of them (RFC 7519, `aud`).
///
/// # Errors
/// It is neither.
pub fn audiences<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audiences {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Option::<Audiences>::deserialize(deserializer)? {
        Some(Audiences::One(one)) => vec![one],
        Some(Audiences::Many(many)) => many,
        None => Vec::new(),
    })
}
