//! Audit as kube-apiserver's flags say.

use super::{flags::KUBE_APISERVER_AUDIT, given::Given};
use anyhow::{Context, Result, bail};
use apiserver::audit::{self, Audit, Batch, Format, LogSettings, Mode, Truncate, WebhookSettings};
use component::{Env, flags::Settings};
use std::{path::PathBuf, sync::Arc};

/// Opens the back ends; none: nothing is told.
///
/// # Errors
/// Upstream's words.
pub fn open(settings: &Settings, env: &Env) -> Result<Option<Arc<Audit>>> {
    let file =
        |flag: &str| Some(PathBuf::from(settings.text(flag))).filter(|path| !path.as_os_str().is_empty());
    let log = file("audit-log-path")
        .map(|path| log(settings, path))
        .transpose()?;
    let webhook = file("audit-webhook-config-file");
    let webhook = webhook.map(|path| webhook_of(settings, path)).transpose()?;
    let settings = audit::Settings {
        policy_file: file("audit-policy-file"),
        log,
        webhook,
    };
    Audit::open(&settings, env).map_err(anyhow::Error::msg)
}

/// The same for a cluster in one process, which was given these flags.
///
/// # Errors
/// As [`open`].
pub fn of_cluster(given: &Given, env: &Env) -> Result<Option<Arc<Audit>>> {
    open(&given.settings(KUBE_APISERVER_AUDIT)?, env)
}

fn count(settings: &Settings, flag: &str) -> Result<u64> {
    let value = settings.int(flag);
    u64::try_from(value).with_context(|| format!("--{flag} {value} can't be a negative number"))
}

fn log(settings: &Settings, path: PathBuf) -> Result<LogSettings> {
    let format = match settings.text("audit-log-format") {
        "json" => Format::Json,
        "legacy" => Format::Legacy,
        other => bail!("invalid audit log format {other}, allowed formats are \"legacy,json\""),
    };
    Ok(LogSettings {
        path,
        format,
        max_age: count(settings, "audit-log-maxage")?,
        max_backups: usize::try_from(count(settings, "audit-log-maxbackup")?)?,
        max_size: count(settings, "audit-log-maxsize")?,
        compress: settings.bool("audit-log-compress"),
        mode: mode(settings, "log")?,
        truncate: truncate(settings, "log")?,
    })
}

fn webhook_of(settings: &Settings, config_file: PathBuf) -> Result<WebhookSettings> {
    let old = "audit-webhook-batch-initial-backoff";
    let flag = if settings.is_given(old) {
        old
    } else {
        "audit-webhook-initial-backoff"
    };
    Ok(WebhookSettings {
        config_file,
        initial_backoff: settings.duration(flag),
        mode: mode(settings, "webhook")?,
        truncate: truncate(settings, "webhook")?,
    })
}

fn mode(settings: &Settings, plugin: &str) -> Result<Mode> {
    let flag = |name: &str| format!("audit-{plugin}-{name}");
    let version = settings.text(&flag("version"));
    if version != "audit.k8s.io/v1" {
        bail!("invalid group version, allowed versions are [\"audit.k8s.io/v1\"]");
    }
    Ok(match settings.text(&flag("mode")) {
        "blocking" => Mode::Blocking,
        "blocking-strict" => Mode::BlockingStrict,
        "batch" => {
            let size = |name: &str| settings.int(&flag(name)).try_into().unwrap_or_default();
            let text = settings.text(&flag("batch-throttle-qps"));
            let qps: f64 = text
                .parse()
                .with_context(|| format!("invalid argument {text:?} for --{}", flag("batch-throttle-qps")))?;
            let burst = settings
                .int(&flag("batch-throttle-burst"))
                .try_into()
                .unwrap_or_default();
            let throttle = settings.bool(&flag("batch-throttle-enable"));
            Mode::Batch(Batch {
                buffer_size: size("batch-buffer-size"),
                max_size: size("batch-max-size"),
                max_wait: settings.duration(&flag("batch-max-wait")),
                throttle: throttle.then_some((qps, burst)),
                several: plugin == "webhook",
            })
        }
        other => {
            bail!("invalid audit {plugin} mode {other}, allowed modes are \"batch,blocking,blocking-strict\"")
        }
    })
}

fn truncate(settings: &Settings, plugin: &str) -> Result<Option<Truncate>> {
    let flag = |name: &str| format!("audit-{plugin}-truncate-{name}");
    if !settings.bool(&flag("enabled")) {
        return Ok(None);
    }
    let size = |name: &str| usize::try_from(settings.int(&flag(name))).unwrap_or_default();
    Ok(Some(Truncate {
        max_batch_size: size("max-batch-size"),
        max_event_size: size("max-event-size"),
    }))
}
