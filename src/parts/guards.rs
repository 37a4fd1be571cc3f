//! The API server's authorizers as its flags say.

use anyhow::{Context, Result, anyhow, bail};
use apiserver::{
    Reader,
    admission::Guard,
    security::{
        Authorizer, Escalation, Rbac, Security,
        authorization::{
            Abac, Configuration, Configured, Connection, Maker, Mode, Reloading, WebhookSettings,
        },
    },
};
use component::{Env, flags::Settings};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// How long a webhook that flags name may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The flags that an `AuthorizationConfiguration` takes the place of.
const OLD: [&str; 6] = [
    "authorization-mode",
    "authorization-policy-file",
    "authorization-webhook-config-file",
    "authorization-webhook-version",
    "authorization-webhook-cache-authorized-ttl",
    "authorization-webhook-cache-unauthorized-ttl",
];

/// Who decides about requests.
pub struct Deciders {
    configuration: Configuration,
    abac: Option<Arc<Abac>>,
    /// The file that is followed, and what it said.
    file: Option<(PathBuf, Vec<u8>)>,
    env: Env,
}

/// Reads the flags, and the files that they name.
///
/// # Errors
/// Upstream's words.
pub fn read(settings: &Settings, env: &Env) -> Result<Deciders> {
    let policy = settings.text("authorization-policy-file");
    let path = settings.text("authorization-config");
    let (configuration, file) = if path.is_empty() {
        (of_flags(settings)?, None)
    } else {
        if OLD.iter().any(|flag| settings.is_given(flag)) {
            bail!(
                "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* \
                 flags are defined"
            );
        }
        let path = PathBuf::from(path);
        let text =
            std::fs::read(&path).with_context(|| format!("--authorization-config: {}", path.display()))?;
        let configuration =
            Configuration::parse(&text).map_err(|why| anyhow!("--authorization-config: {why}"))?;
        (configuration, Some((path, text)))
    };
    let abac = if configuration.has(Mode::Abac) {
        if policy.is_empty() {
            bail!("authorization-mode ABAC's authorization policy file not passed");
        }
        let text = std::fs::read_to_string(policy).with_context(|| format!("open {policy}"))?;
        Some(Arc::new(Abac::parse(policy, &text).map_err(anyhow::Error::msg)?))
    } else {
        None
    };
    Ok(Deciders {
        configuration,
        abac,
        file,
        env: env.clone(),
    })
}

fn of_flags(settings: &Settings) -> Result<Configuration> {
    let (policy, webhook) = (
        settings.text("authorization-policy-file"),
        settings.text("authorization-webhook-config-file"),
    );
    let names = settings.list("authorization-mode");
    let mut authorizers: Vec<Configured> = Vec::new();
    for name in &names {
        let mode = Mode::parse(name);
        let mode = mode.ok_or_else(|| anyhow!("authorization-mode {name:?} is not a valid mode"))?;
        if authorizers.iter().any(|known| known.mode == mode) {
            let list: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
            let list = list.join(" ");
            bail!("authorization-mode [{list}] has mode specified more than once");
        }
        authorizers.push(match mode {
            Mode::Webhook => of_webhook(settings, webhook)?,
            mode => Configured::plain(mode),
        });
    }
    let configuration = Configuration { authorizers };
    if configuration.authorizers.is_empty() {
        bail!("at least one authorization-mode must be passed");
    }
    if !policy.is_empty() && !configuration.has(Mode::Abac) {
        bail!("cannot specify --authorization-policy-file without mode ABAC");
    }
    if !webhook.is_empty() && !configuration.has(Mode::Webhook) {
        bail!("cannot specify --authorization-webhook-config-file without mode Webhook");
    }
    Ok(configuration)
}

fn of_webhook(settings: &Settings, file: &str) -> Result<Configured> {
    if file.is_empty() {
        bail!("authorization-mode Webhook's authorization config file not passed");
    }
    let version = settings.text("authorization-webhook-version");
    let webhook = WebhookSettings::of_flags(
        Connection::Kubeconfig(PathBuf::from(file)),
        version,
        settings.duration("authorization-webhook-cache-authorized-ttl"),
        settings.duration("authorization-webhook-cache-unauthorized-ttl"),
        PATIENCE,
    );
    Ok(Configured {
        mode: Mode::Webhook,
        name: "default".to_owned(),
        webhook: Some(webhook.map_err(anyhow::Error::msg)?),
    })
}

impl Deciders {
    /// The standard guards with these authorizers.
    ///
    /// # Errors
    /// The kubeconfig of a webhook cannot be used.
    pub fn fit(self, mut security: Security, reader: &Reader) -> Result<Security, String> {
        let rbac = Arc::new(Rbac::new(reader.clone()));
        let maker = Maker {
            reader: reader.clone(),
            rbac: rbac.clone(),
            abac: self.abac,
            env: self.env,
        };
        // Nobody gains anything by a role that nobody asks.
        let roles = self.configuration.has(Mode::Rbac);
        let authorizer: Arc<dyn Authorizer> = match self.file {
            None => Arc::new(maker.chain(&self.configuration)?),
            Some((path, seen)) => {
                let reloading = Reloading::new(maker, self.configuration)?;
                reloading.follow(Box::new(move || std::fs::read(&path)), seen);
                reloading
            }
        };
        security.admission = match roles {
            true => vec![Guard::Elsewhere(Escalation::new(rbac, authorizer.clone()))],
            false => Vec::new(),
        };
        security.authz = authorizer;
        Ok(security)
    }
}
