//! Whether a configuration makes sense, in upstream's words
//! (`apiserver/pkg/apis/apiserver/validation`), and its expressions, compiled.

use super::{
    config::{
        AuthenticationConfiguration, ClaimMappings, ClaimValidationRule, Issuer, JwtAuthenticator, Mapping,
    },
    expression::{About, Expression},
};
use api::field::{Error, child, index};
use std::collections::BTreeSet;

/// So many issuers there may be.
const MOST: usize = 64;

/// The expressions of an issuer.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    pub username: Option<Expression>,
    pub groups: Option<Expression>,
    pub uid: Option<Expression>,
    pub extra: Vec<(String, Expression)>,
    /// With what is said when one does not hold.
    pub claim_rules: Vec<(Expression, String)>,
    pub user_rules: Vec<(Expression, String)>,
}

/// The expressions of all issuers, or all that is wrong. `own` are the issuers that are this server.
pub(super) fn validate(
    configuration: &AuthenticationConfiguration,
    own: &[String],
) -> Result<Vec<Compiled>, Vec<Error>> {
    let count = configuration.jwt.len();
    let mut errors = Vec::new();
    if count > MOST {
        let detail = format!("must have at most {MOST} items");
        return Err(vec![Error::invalid("jwt", count, detail)]);
    }
    let (mut urls, mut discoveries, mut all) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for (at, jwt) in configuration.jwt.iter().enumerate() {
        let path = index("jwt", at);
        all.push(of_issuer(jwt, own, &path, &mut errors));
        let issuer = &jwt.issuer;
        if !urls.insert(&issuer.url) {
            errors.push(Error::duplicate(child(&path, "issuer.url"), &issuer.url));
        }
        if let Some(url) = issuer.discovery_url.as_ref().filter(|url| !url.is_empty())
            && !discoveries.insert(url)
        {
            errors.push(Error::duplicate(child(&path, "issuer.discoveryURL"), url));
        }
    }
    if let Some(anonymous) = &configuration.anonymous
        && !anonymous.enabled
        && !anonymous.conditions.is_empty()
    {
        let paths: Vec<_> = anonymous.conditions.iter().map(|of| of.path.as_str()).collect();
        let detail = "enabled should be set to true when conditions are defined";
        errors.push(Error::invalid("anonymous.conditions", paths, detail));
    }
    if errors.is_empty() { Ok(all) } else { Err(errors) }
}

fn of_issuer(jwt: &JwtAuthenticator, own: &[String], path: &str, errors: &mut Vec<Error>) -> Compiled {
    let mut compiled = Compiled::default();
    issuer(&jwt.issuer, own, &child(path, "issuer"), errors);
    let rules = child(path, "claimValidationRules");
    claim_rules(&jwt.claim_validation_rules, &rules, &mut compiled, errors);
    let mappings = child(path, "claimMappings");
    claim_mappings(&jwt.claim_mappings, &mappings, &mut compiled, errors);
    let mut seen = BTreeSet::new();
    for (at, rule) in jwt.user_validation_rules.iter().enumerate() {
        let path = child(&index(&child(path, "userValidationRules"), at), "expression");
        if rule.expression.is_empty() {
            errors.push(Error::required(path, ""));
        } else if !seen.insert(&rule.expression) {
            errors.push(Error::duplicate(path, &rule.expression));
        } else if let Some(made) = compile(&rule.expression, About::User, true, path, errors) {
            compiled.user_rules.push((made, rule.message.clone()));
        }
    }
    compiled
}

fn compile(
    source: &str,
    about: About,
    rule: bool,
    path: String,
    errors: &mut Vec<Error>,
) -> Option<Expression> {
    Expression::new(source, about, rule)
        .map_err(|why| errors.push(Error::invalid(path, source, why)))
        .ok()
}

fn issuer(issuer: &Issuer, own: &[String], path: &str, errors: &mut Vec<Error>) {
    let at = child(path, "url");
    if issuer.url.is_empty() {
        errors.push(Error::required(at, ""));
    } else {
        if own.contains(&issuer.url) {
            let mut own = own.to_vec();
            own.sort();
            let detail = format!(
                "URL must not overlap with disallowed issuers: [{}]",
                own.join(" ")
            );
            errors.push(Error::invalid(at.clone(), &issuer.url, detail));
        }
        url(&issuer.url, at, errors);
    }
    if let Some(discovery) = issuer.discovery_url.as_ref().filter(|url| !url.is_empty()) {
        let at = child(path, "discoveryURL");
        let bare = |text: &str| text.trim_end_matches('/').to_owned();
        if !issuer.url.is_empty() && bare(&issuer.url) == bare(discovery) {
            let detail = "discoveryURL must be different from URL";
            errors.push(Error::invalid(at.clone(), discovery, detail));
        }
        url(discovery, at, errors);
    }
    audiences(issuer, path, errors);
    let ca = &issuer.certificate_authority;
    if !ca.is_empty() && component::pki::client_config(ca, None).is_err() | !ca.contains("BEGIN CERTIFICATE")
    {
        let detail = "data does not contain any valid RSA or ECDSA certificates";
        errors.push(Error::invalid(
            child(path, "certificateAuthority"),
            "<omitted>",
            detail,
        ));
    }
    if !issuer.egress_selector_type.is_empty() {
        let at = child(path, "egressSelectorType");
        let value = &issuer.egress_selector_type;
        let detail = if matches!(value.as_str(), "controlplane" | "cluster") {
            "egress selector is not supported when no egress selector is configured"
        } else {
            "egress selector must be either controlplane or cluster"
        };
        errors.push(Error::invalid(at, value, detail));
    }
}

fn url(text: &str, path: String, errors: &mut Vec<Error>) {
    let (rest, fragment) = text.split_once('#').map_or((text, ""), |(rest, f)| (rest, f));
    let uri: http::Uri = match rest.parse() {
        Ok(uri) => uri,
        Err(error) => {
            errors.push(Error::invalid(path, text, format!("parse {text:?}: {error}")));
            return;
        }
    };
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    for (wrong, detail) in [
        (uri.scheme_str() != Some("https"), "URL scheme must be https"),
        (
            authority.contains('@'),
            "URL must not contain a username or password",
        ),
        (
            uri.query().is_some_and(|query| !query.is_empty()),
            "URL must not contain a query",
        ),
        (!fragment.is_empty(), "URL must not contain a fragment"),
    ] {
        if wrong {
            errors.push(Error::invalid(path.clone(), text, detail));
        }
    }
}

fn audiences(issuer: &Issuer, path: &str, errors: &mut Vec<Error>) {
    let at = child(path, "audiences");
    let policy = &issuer.audience_match_policy;
    let policy_at = child(path, "audienceMatchPolicy");
    let mut seen = BTreeSet::new();
    for (place, audience) in issuer.audiences.iter().enumerate() {
        let at = index(&at, place);
        if audience.is_empty() {
            errors.push(Error::required(at.clone(), ""));
        }
        if !seen.insert(audience) {
            errors.push(Error::duplicate(at, audience));
        }
    }
    match issuer.audiences.len() {
        0 => errors.push(Error::required(
            at.clone(),
            format!("at least one {at} is required"),
        )),
        1 if !policy.is_empty() && policy != "MatchAny" => {
            let detail = "audienceMatchPolicy must be empty or MatchAny for single audience";
            errors.push(Error::invalid(policy_at, policy, detail));
        }
        2.. if policy != "MatchAny" => {
            let detail = "audienceMatchPolicy must be MatchAny for multiple audiences";
            errors.push(Error::invalid(policy_at, policy, detail));
        }
        _ => {}
    }
}

fn claim_rules(rules: &[ClaimValidationRule], path: &str, compiled: &mut Compiled, errors: &mut Vec<Error>) {
    let (mut claims, mut expressions) = (BTreeSet::new(), BTreeSet::new());
    for (at, rule) in rules.iter().enumerate() {
        let path = index(path, at);
        match (rule.claim.is_empty(), rule.expression.is_empty()) {
            (false, false) => {
                let detail = "claim and expression can't both be set";
                errors.push(Error::invalid(path, &rule.claim, detail));
            }
            (true, true) => errors.push(Error::required(path, "claim or expression is required")),
            (false, true) => {
                if !rule.message.is_empty() {
                    let detail = "may not be specified when claim is set";
                    errors.push(Error::invalid(child(&path, "message"), &rule.message, detail));
                }
                if !claims.insert(&rule.claim) {
                    errors.push(Error::duplicate(child(&path, "claim"), &rule.claim));
                }
            }
            (true, false) => {
                if !rule.required_value.is_empty() {
                    let detail = "may not be specified when expression is set";
                    let at = child(&path, "requiredValue");
                    errors.push(Error::invalid(at, &rule.required_value, detail));
                }
                let at = child(&path, "expression");
                if !expressions.insert(&rule.expression) {
                    errors.push(Error::duplicate(at, &rule.expression));
                } else if let Some(made) = compile(&rule.expression, About::Claims, true, at, errors) {
                    compiled.claim_rules.push((made, rule.message.clone()));
                }
            }
        }
    }
}

fn claim_mappings(mappings: &ClaimMappings, path: &str, compiled: &mut Compiled, errors: &mut Vec<Error>) {
    compiled.username = mapping(&mappings.username, child(path, "username"), true, errors);
    compiled.groups = mapping(&mappings.groups, child(path, "groups"), false, errors);
    let uid = &mappings.uid;
    if !uid.expression.is_empty() {
        if uid.claim.is_empty() {
            let at = child(path, "uid.expression");
            compiled.uid = compile(&uid.expression, About::Claims, false, at, errors);
        } else {
            let detail = "claim and expression can't both be set";
            errors.push(Error::invalid(child(path, "uid"), "", detail));
        }
    }
    extra(mappings, path, compiled, errors);
    let uses =
        |expression: &Option<Expression>, claim| expression.as_ref().is_some_and(|of| of.uses_claim(claim));
    let verified = uses(&compiled.username, "email_verified")
        || compiled
            .extra
            .iter()
            .any(|(_, of)| of.uses_claim("email_verified"))
        || compiled
            .claim_rules
            .iter()
            .any(|(of, _)| of.uses_claim("email_verified"));
    if uses(&compiled.username, "email") && !verified {
        let detail = "claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression";
        let at = child(path, "username.expression");
        errors.push(Error::invalid(at, &mappings.username.expression, detail));
    }
}

fn mapping(mapping: &Mapping, path: String, needed: bool, errors: &mut Vec<Error>) -> Option<Expression> {
    match (mapping.claim.is_empty(), mapping.expression.is_empty()) {
        (false, false) => {
            let detail = "claim and expression can't both be set";
            errors.push(Error::invalid(path, "", detail));
        }
        (true, true) if needed => errors.push(Error::required(path, "claim or expression is required")),
        (true, true) => {}
        (true, false) => {
            if let Some(prefix) = &mapping.prefix {
                let detail = "may not be specified when expression is set";
                errors.push(Error::invalid(child(&path, "prefix"), prefix, detail));
            }
            let at = child(&path, "expression");
            return compile(&mapping.expression, About::Claims, false, at, errors);
        }
        (false, true) => {
            if mapping.prefix.is_none() {
                let detail = "prefix is required when claim is set. It can be set to an empty string to disable prefixing";
                errors.push(Error::required(child(&path, "prefix"), detail));
            }
        }
    }
    None
}

fn extra(mappings: &ClaimMappings, path: &str, compiled: &mut Compiled, errors: &mut Vec<Error>) {
    let mut seen = BTreeSet::new();
    for (at, of) in mappings.extra.iter().enumerate() {
        let path = index(&child(path, "extra"), at);
        let key = child(&path, "key");
        if let Some(detail) = not_prefixed(&of.key) {
            errors.push(if of.key.is_empty() {
                Error::required(key.clone(), "")
            } else {
                Error::invalid(key.clone(), &of.key, detail)
            });
        }
        if of.key != of.key.to_lowercase() {
            errors.push(Error::invalid(key.clone(), &of.key, "must be lowercase"));
        }
        let domain = of.key.split_once('/').map_or("", |(domain, _)| domain);
        let reserved = |name: &str| domain == name || domain.ends_with(&format!(".{name}"));
        if reserved("kubernetes.io") || reserved("k8s.io") {
            let detail = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use";
            errors.push(Error::invalid(key.clone(), &of.key, detail));
        }
        if !seen.insert(&of.key) {
            errors.push(Error::duplicate(key, &of.key));
            continue;
        }
        let at = child(&path, "valueExpression");
        if of.value_expression.is_empty() {
            errors.push(Error::required(at, ""));
        } else if let Some(made) = compile(&of.value_expression, About::Claims, false, at, errors) {
            compiled.extra.push((of.key.clone(), made));
        }
    }
}

/// Why a key does not stand under a domain.
pub fn not_prefixed(key: &str) -> Option<&'static str> {
    let Some((domain, path)) = key.split_once('/') else {
        return Some("must be a domain-prefixed path (such as \"acme.io/foo\")");
    };
    if !api::valid_dns_subdomain(domain) {
        return Some(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
        );
    }
    let good = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@%/".contains(c);
    (path.is_empty() || !path.chars().all(good)).then_some("Invalid path")
}
