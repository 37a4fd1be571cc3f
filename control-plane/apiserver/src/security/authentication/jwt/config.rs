//! `AuthenticationConfiguration` of `apiserver.config.k8s.io`: the issuers whose tokens are taken, and anonymous requests.

use super::super::anonymous::Anonymous;
use serde::Deserialize;

const GROUP: &str = "apiserver.config.k8s.io";
const KIND: &str = "AuthenticationConfiguration";

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AuthenticationConfiguration {
    /// Its version.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// The issuers.
    pub jwt: Vec<JwtAuthenticator>,
    /// Requests without credentials; none: as the flag says.
    pub anonymous: Option<Anonymous>,
}

/// An issuer, and what its tokens say.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct JwtAuthenticator {
    /// Who.
    pub issuer: Issuer,
    /// What must hold of claims.
    pub claim_validation_rules: Vec<ClaimValidationRule>,
    /// How claims become a user.
    pub claim_mappings: ClaimMappings,
    /// What must hold of the user.
    pub user_validation_rules: Vec<UserValidationRule>,
}

/// Who issues tokens.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Issuer {
    /// The `iss` of its tokens.
    pub url: String,
    /// Where its configuration is, when that is not under `url`.
    #[serde(rename = "discoveryURL")]
    pub discovery_url: Option<String>,
    /// The CA of its server, PEM; empty: those of the host.
    pub certificate_authority: String,
    /// For whom its tokens are.
    pub audiences: Vec<String>,
    /// `MatchAny`.
    pub audience_match_policy: String,
    /// Through which network it is reached.
    pub egress_selector_type: String,
}

/// A claim that must have a value, or an expression that must hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ClaimValidationRule {
    /// The claim.
    pub claim: String,
    /// Its value.
    pub required_value: String,
    /// The expression.
    pub expression: String,
    /// What is said when it does not hold.
    pub message: String,
}

/// An expression about the user that must hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserValidationRule {
    /// The expression.
    pub expression: String,
    /// What is said when it does not hold.
    pub message: String,
}

/// How claims become a user.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimMappings {
    /// Its name.
    pub username: Mapping,
    /// Its groups.
    pub groups: Mapping,
    /// Its UID.
    pub uid: ClaimOrExpression,
    /// What else is known of it.
    pub extra: Vec<ExtraMapping>,
}

/// A claim with what is put before it, or an expression.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// The claim.
    pub claim: String,
    /// What is put before it.
    pub prefix: Option<String>,
    /// The expression.
    pub expression: String,
}

/// A claim, or an expression.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimOrExpression {
    /// The claim.
    pub claim: String,
    /// The expression.
    pub expression: String,
}

/// An attribute of the user.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExtraMapping {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value_expression: String,
}

impl AuthenticationConfiguration {
    /// Reads the text of a file, YAML or JSON. It is not yet known whether it makes sense.
    ///
    /// # Errors
    /// It is not of this kind, or has fields that are unknown or there twice.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("empty config data".to_owned());
        }
        let json = schema::yaml_to_json(text.as_bytes())?;
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Head {
            api_version: String,
            kind: String,
        }
        let head: Head = serde_json::from_slice(&json).map_err(|error| error.to_string())?;
        let version = head
            .api_version
            .strip_prefix(GROUP)
            .and_then(|rest| rest.strip_prefix('/'));
        if head.kind.is_empty() {
            return Err("Object 'Kind' is missing".to_owned());
        }
        if head.kind != KIND || !matches!(version, Some("v1" | "v1beta1" | "v1alpha1")) {
            return Err(format!(
                "no kind {:?} is registered for version {:?}",
                head.kind, head.api_version
            ));
        }
        serde_json::from_slice(&json).map_err(|error| format!("strict decoding error: {error}"))
    }
}
