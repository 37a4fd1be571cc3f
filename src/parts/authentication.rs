//! The ways to say who one is, as kube-apiserver's flags say.

use super::tls;
use anyhow::{Context, Result, anyhow, bail};
use apiserver::security::{
    Asking,
    authentication::{
        self, Anonymous, AuthenticationConfiguration, ClaimMappings, ClaimValidationRule, Files, Issuer,
        Issuers, JwtAuthenticator, Mapping, OIDC_ALGORITHMS, PasswordFile, TokenFile, TokenWebhook,
    },
};
use component::{
    Env,
    flags::Settings,
    jwt::{Algorithm, PublicKey},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The bounds of `--service-account-max-token-expiration`.
const LONGEST: std::ops::RangeInclusive<Duration> = Duration::from_secs(3600)..=Duration::from_secs(1 << 32);

/// The issuers of tokens of service accounts, the one that signs first.
pub fn issuers(settings: &Settings) -> Result<Vec<String>> {
    let issuers = settings.list("service-account-issuer");
    if issuers.is_empty() {
        bail!("service-account-issuer is a required flag");
    }
    for (at, issuer) in issuers.iter().enumerate() {
        if issuers[..at].contains(issuer) {
            bail!("service-account-issuer {issuer:?} is already specified");
        }
    }
    Ok(issuers)
}

/// Reads the flags, and the files that they name.
pub fn read(settings: &Settings, env: &Env) -> Result<authentication::Settings> {
    let own = issuers(settings)?;
    let mut audiences = settings.list("api-audiences");
    if audiences.is_empty() {
        audiences.clone_from(&own);
    }
    let (issuers, anonymous) = others(settings, &own, env)?;
    let path =
        |flag: &str| Some(PathBuf::from(settings.text(flag))).filter(|path| !path.as_os_str().is_empty());
    let jwks_uri = settings.text("service-account-jwks-uri");
    if !jwks_uri.is_empty() && !jwks_uri.starts_with("https://") {
        bail!("service-account-jwks-uri requires https scheme, parsed as: {jwks_uri}");
    }
    Ok(authentication::Settings {
        keys: keys(settings)?,
        longest: longest(settings)?,
        extend: settings.bool("service-account-extend-token-expiration"),
        jwks_uri: jwks_uri.to_owned(),
        token_file: parsed(settings, "token-auth-file", TokenFile::parse)?,
        passwords: parsed(settings, "basic-auth-file", |path, text| {
            PasswordFile::parse(path, text, env)
        })?,
        bootstrap_tokens: settings.bool("enable-bootstrap-token-auth"),
        issuers,
        webhook: webhook(settings, audiences, env)?,
        anonymous,
        files: Files {
            client_ca: path("client-ca-file"),
            request_header_ca: path("requestheader-client-ca-file"),
        },
    })
}

/// The same for a cluster in one process, whose tokens are of `issuer`; `flags` are those of kube-apiserver.
pub fn of_cluster(issuer: &str, flags: &[String], env: &Env) -> Result<authentication::Settings> {
    let own = std::iter::once(format!("--service-account-issuer={issuer}"));
    let flags: Vec<String> = own.chain(flags.iter().cloned()).collect();
    let settings = component::flags::parse(&[super::flags::KUBE_APISERVER_SECURITY], &flags, &[])?;
    read(&settings, env)
}

/// What is made of the file that a flag names, if it names one.
fn parsed<T>(
    settings: &Settings,
    flag: &str,
    parse: impl FnOnce(&str, &str) -> Result<T, String>,
) -> Result<Option<Arc<T>>> {
    let Some(text) = tls::optional_file(settings, flag)? else {
        return Ok(None);
    };
    let made = parse(settings.text(flag), &text).map_err(|why| anyhow!("--{flag}: {why}"))?;
    Ok(Some(Arc::new(made)))
}

fn keys(settings: &Settings) -> Result<Vec<PublicKey>> {
    let mut keys = Vec::new();
    for path in settings.list("service-account-key-file") {
        let text = fs::read_to_string(&path)
            .with_context(|| format!("--service-account-key-file: cannot read {path}"))?;
        let read = PublicKey::read_all(&text);
        keys.extend(read.map_err(|why| anyhow!("--service-account-key-file: {path}: {why}"))?);
    }
    Ok(keys)
}

fn longest(settings: &Settings) -> Result<Option<Duration>> {
    let longest = settings.duration("service-account-max-token-expiration");
    if longest.is_zero() {
        return Ok(None);
    }
    if !LONGEST.contains(&longest) {
        bail!("the service-account-max-token-expiration must be between 1 hour and 2^32 seconds");
    }
    Ok(Some(longest))
}

fn webhook(settings: &Settings, audiences: Vec<String>, env: &Env) -> Result<Option<Arc<TokenWebhook>>> {
    const FLAG: &str = "authentication-token-webhook-config-file";
    let path = settings.text(FLAG);
    if path.is_empty() {
        return Ok(None);
    }
    let refused = |why: String| anyhow!("--{FLAG}: {why}");
    let asking = Asking::kubeconfig(Path::new(path), env).map_err(refused)?;
    let version = settings.text("authentication-token-webhook-version");
    let life = settings.duration("authentication-token-webhook-cache-ttl");
    TokenWebhook::new(asking, version, life, audiences, env)
        .map(Some)
        .map_err(refused)
}

/// Other issuers, of a file or of flags, and requests without credentials.
fn others(settings: &Settings, own: &[String], env: &Env) -> Result<(Option<Arc<Issuers>>, Anonymous)> {
    let mut anonymous = Anonymous {
        enabled: settings.bool("anonymous-auth"),
        conditions: Vec::new(),
    };
    let allowed = settings
        .list("authorization-mode")
        .iter()
        .any(|mode| mode == "AlwaysAllow");
    if anonymous.enabled && allowed {
        tracing::warn!(
            "AnonymousAuth is not allowed with the AlwaysAllow authorizer. Resetting AnonymousAuth to false"
        );
        anonymous.enabled = false;
    }
    let by_flags = by_flags(settings)?;
    let path = settings.text("authentication-config");
    if path.is_empty() {
        let Some((configuration, algorithms)) = by_flags else {
            return Ok((None, anonymous));
        };
        let issuers = Issuers::new(configuration, &algorithms, own, env).map_err(anyhow::Error::msg)?;
        return Ok((Some(issuers), anonymous));
    }
    if OIDC_FLAGS.iter().any(|flag| settings.is_given(flag)) {
        bail!("authentication-config file and oidc-* flags are mutually exclusive");
    }
    let text = tls::file(settings, "authentication-config")?;
    let refused = |why: String| anyhow!("--authentication-config: {path}: {why}");
    let configuration = AuthenticationConfiguration::parse(&text)
        .map_err(|why| refused(format!("failed to load authentication configuration: {why}")))?;
    if let Some(said) = &configuration.anonymous {
        if settings.is_given("anonymous-auth") {
            bail!(
                "anonymous: Forbidden: --anonymous-auth flag cannot be set when anonymous field is configured in \
                 authentication configuration file"
            );
        }
        anonymous = said.clone();
    }
    let issuers = Issuers::new(configuration, &OIDC_ALGORITHMS, own, env).map_err(refused)?;
    let file = PathBuf::from(path);
    issuers.keep(text, Box::new(move || fs::read_to_string(&file)));
    Ok((Some(issuers), anonymous))
}

const OIDC_FLAGS: [&str; 9] = [
    "oidc-ca-file",
    "oidc-client-id",
    "oidc-groups-claim",
    "oidc-groups-prefix",
    "oidc-issuer-url",
    "oidc-required-claim",
    "oidc-signing-algs",
    "oidc-username-claim",
    "oidc-username-prefix",
];

/// The issuer that the flags name, and how it signs.
fn by_flags(settings: &Settings) -> Result<Option<(AuthenticationConfiguration, Vec<Algorithm>)>> {
    let (url, client) = (settings.text("oidc-issuer-url"), settings.text("oidc-client-id"));
    let given = OIDC_FLAGS.iter().any(|flag| settings.is_given(flag));
    if !settings.text("authentication-config").is_empty() {
        return Ok(None);
    }
    if url.is_empty() || client.is_empty() {
        if given {
            bail!(
                "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set"
            );
        }
        return Ok(None);
    }
    let claim = settings.text("oidc-username-claim");
    let prefix = match settings.text("oidc-username-prefix") {
        "-" => String::new(),
        "" if claim != "email" => format!("{url}#"),
        prefix => prefix.to_owned(),
    };
    let groups = match settings.text("oidc-groups-claim") {
        "" => Mapping::default(),
        claim => Mapping {
            claim: claim.to_owned(),
            prefix: Some(settings.text("oidc-groups-prefix").to_owned()),
            ..Mapping::default()
        },
    };
    let required = settings.map("oidc-required-claim").into_iter();
    let mut algorithms = Vec::new();
    for name in settings.list("oidc-signing-algs") {
        let known = Algorithm::named(&name);
        algorithms.push(known.with_context(|| format!("oidc: unsupported signing alg: {name:?}"))?);
    }
    let jwt = JwtAuthenticator {
        issuer: Issuer {
            url: url.to_owned(),
            audiences: vec![client.to_owned()],
            certificate_authority: tls::optional_file(settings, "oidc-ca-file")?.unwrap_or_default(),
            ..Issuer::default()
        },
        claim_mappings: ClaimMappings {
            username: Mapping {
                claim: claim.to_owned(),
                prefix: Some(prefix),
                ..Mapping::default()
            },
            groups,
            ..ClaimMappings::default()
        },
        claim_validation_rules: required
            .map(|(claim, required_value)| ClaimValidationRule {
                claim,
                required_value,
                ..ClaimValidationRule::default()
            })
            .collect(),
        ..JwtAuthenticator::default()
    };
    let configuration = AuthenticationConfiguration {
        jwt: vec![jwt],
        ..AuthenticationConfiguration::default()
    };
    Ok(Some((configuration, algorithms)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::flags::KUBE_APISERVER_SECURITY;

    fn told(args: &[String]) -> String {
        let settings = match component::flags::parse(&[KUBE_APISERVER_SECURITY], args, &[]) {
            Ok(settings) => settings,
            Err(error) => return error.to_string(),
        };
        match read(&settings, &Env::system()) {
            Ok(_) => "taken".to_owned(),
            Err(error) => format!("{error:#}"),
        }
    }

    #[tokio::test]
    async fn flags_that_do_not_fit_together_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let good = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n";
        let empty = file("empty.yaml", good);
        let open = file(
            "open.yaml",
            &format!("{good}anonymous: {{enabled: true, conditions: [{{path: /livez}}]}}\n"),
        );
        let wrong = file(
            "wrong.yaml",
            &format!("{good}jwt: [{{issuer: {{url: 'http://a'}}}}]\n"),
        );
        let none = file("none", "");
        let tokens = file("tokens", "secret,ann,1\n");
        let bad = file("bad", "secret,ann\n");
        let kubeconfig = file("kubeconfig", "current-context: a\n");
        let oidc = "--oidc-issuer-url=https://a.example --oidc-client-id=me";
        for (flags, why) in [
            (String::new(), "taken"),
            (oidc.to_owned(), "taken"),
            (
                format!("{oidc} --oidc-signing-algs=ES256,RS256 --oidc-groups-claim=g"),
                "taken",
            ),
            (
                format!("{oidc} --oidc-signing-algs=HS256"),
                "oidc: unsupported signing alg: \"HS256\"",
            ),
            (
                format!("{oidc} --oidc-ca-file=/nonexistent"),
                "--oidc-ca-file: cannot read",
            ),
            (
                "--oidc-client-id=me".to_owned(),
                "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set",
            ),
            (
                "--oidc-issuer-url=http://a --oidc-client-id=me".to_owned(),
                "invalid authentication configuration: jwt[0].issuer.url: Invalid value: \"http://a\": URL scheme must be https",
            ),
            (format!("--authentication-config={empty}"), "taken"),
            (format!("--authentication-config={open}"), "taken"),
            (
                format!("--authentication-config={empty} {oidc}"),
                "authentication-config file and oidc-* flags are mutually exclusive",
            ),
            (
                format!("--authentication-config={open} --anonymous-auth=true"),
                "anonymous: Forbidden: --anonymous-auth flag cannot be set when anonymous field is configured",
            ),
            (
                format!("--authentication-config={wrong}"),
                "--authentication-config: ",
            ),
            (
                format!("--authentication-config={none}"),
                "--authentication-config: ",
            ),
            (
                "--authentication-config=/nonexistent".to_owned(),
                "--authentication-config: cannot read",
            ),
            (format!("--token-auth-file={tokens}"), "taken"),
            (
                format!("--token-auth-file={bad}"),
                "--token-auth-file: token file '",
            ),
            (
                format!("--basic-auth-file={tokens}"),
                "--basic-auth-file: password file '",
            ),
            (
                format!("--service-account-key-file={none}"),
                "--service-account-key-file: ",
            ),
            (
                "--service-account-max-token-expiration=30m".to_owned(),
                "the service-account-max-token-expiration must be between 1 hour and 2^32 seconds",
            ),
            ("--service-account-max-token-expiration=2h".to_owned(), "taken"),
            (
                "--service-account-jwks-uri=http://a".to_owned(),
                "service-account-jwks-uri requires https scheme, parsed as: http://a",
            ),
            (
                "--service-account-issuer=a --service-account-issuer=a".to_owned(),
                "service-account-issuer \"a\" is already specified",
            ),
            (
                "--service-account-issuer=a --service-account-issuer=b".to_owned(),
                "taken",
            ),
            (
                format!("--authentication-token-webhook-config-file={kubeconfig}"),
                "--authentication-token-webhook-config-file: ",
            ),
        ] {
            let args: Vec<String> = flags.split_whitespace().map(str::to_owned).collect();
            let said = told(&args);
            assert!(said.starts_with(why), "{flags}: {said}");
        }
    }
}
