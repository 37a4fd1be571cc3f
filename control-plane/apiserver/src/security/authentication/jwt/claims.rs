//! What a token claims.
#![expect(
    clippy::disallowed_types,
    reason = "claims are JSON of any form, for expressions"
)]

use component::jwt::{audiences, numeric_date};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value as Json};

/// The claims that are the same for all issuers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Standard {
    pub iss: String,
    #[serde(deserialize_with = "audiences")]
    pub aud: Vec<String>,
    #[serde(deserialize_with = "date")]
    pub exp: Option<i64>,
    #[serde(deserialize_with = "date")]
    pub nbf: Option<i64>,
}

fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    numeric_date(deserializer).map(Some)
}

/// All claims.
#[derive(Debug)]
pub(super) struct Claims(pub Json);

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> de::Visitor<'de> for Once {
            type Value = Map<String, Json>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut claims = Map::new();
                while let Some((name, value)) = access.next_entry::<String, Json>()? {
                    if claims.contains_key(&name) {
                        return Err(de::Error::custom(format!("claim {name:?} is there twice")));
                    }
                    claims.insert(name, value);
                }
                Ok(claims)
            }
        }
        deserializer
            .deserialize_map(Once)
            .map(|claims| Self(Json::Object(claims)))
    }
}

impl Claims {
    fn get(&self, name: &str) -> Option<&Json> {
        self.0.get(name)
    }

    /// Whether there is that claim.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A claim that is a text.
    pub fn text(&self, name: &str) -> Result<&str, String> {
        match self.get(name) {
            Some(Json::String(text)) => Ok(text),
            Some(_) => Err("it is not a string".to_owned()),
            None => Err("claim not present".to_owned()),
        }
    }

    /// A claim that is a text or a list of texts; none when it is not there.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<String>>, String> {
        let wrong = || "it is neither a string nor a list of strings".to_owned();
        match self.get(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(vec![text.clone()])),
            Some(Json::Array(items)) => {
                let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
                texts.collect::<Option<_>>().map(Some).ok_or_else(wrong)
            }
            Some(_) => Err(wrong()),
        }
    }

    /// Whether the claim `email_verified` lets the claim `email` count.
    pub fn email_is_verified(&self) -> Result<(), String> {
        match self.get("email_verified") {
            None | Some(Json::Bool(true)) => Ok(()),
            Some(Json::Bool(false)) => Err("oidc: email not verified".to_owned()),
            Some(_) => Err("oidc: parse 'email_verified' claim: it is not a bool".to_owned()),
        }
    }

    /// Whether the claim is somewhere else.
    pub fn is_elsewhere(&self, name: &str) -> bool {
        !self.has(name)
            && self
                .get("_claim_names")
                .is_some_and(|names| names.get(name).is_some())
    }
}
