//! What the flags of audit say.

use std::{path::PathBuf, time::Duration};

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `--audit-policy-file`; none: nothing is told.
    pub policy_file: Option<PathBuf>,
    /// `--audit-log-*`; none without a path.
    pub log: Option<LogSettings>,
    /// `--audit-webhook-*`; none without a kubeconfig.
    pub webhook: Option<WebhookSettings>,
}

/// How events are given on.
#[derive(Clone, Debug, PartialEq)]
pub enum Mode {
    /// By a queue.
    Batch(Batch),
    /// Requests wait for their events.
    Blocking,
    /// And one whose arrival cannot be told is refused.
    BlockingStrict,
}

/// A queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch {
    /// So many events wait at most.
    pub buffer_size: usize,
    /// So many are given on together at most.
    pub max_size: usize,
    /// For so long is waited for more.
    pub max_wait: Duration,
    /// So many batches a second, and at once; none: as many as come.
    pub throttle: Option<(f64, u32)>,
    /// Whether the next batch goes before the one before it has arrived.
    pub several: bool,
}

/// What is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncate {
    /// Bytes of a batch.
    pub max_batch_size: usize,
    /// Bytes of an event.
    pub max_event_size: usize,
}

/// What a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Words.
    Legacy,
    /// An Event as JSON.
    Json,
}

/// The log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSettings {
    /// The file; `-`: standard output.
    pub path: PathBuf,
    /// Its lines.
    pub format: Format,
    /// Days that old files are kept; 0: for ever.
    pub max_age: u64,
    /// How many old files are kept; 0: all.
    pub max_backups: usize,
    /// Megabytes of a file; 0: no end.
    pub max_size: u64,
    /// Whether old files are compressed.
    pub compress: bool,
    /// How.
    pub mode: Mode,
    /// What is too large; none: nothing.
    pub truncate: Option<Truncate>,
}

/// The webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookSettings {
    /// Its kubeconfig.
    pub config_file: PathBuf,
    /// How long to wait before the second try.
    pub initial_backoff: Duration,
    /// How.
    pub mode: Mode,
    /// What is too large; none: nothing.
    pub truncate: Option<Truncate>,
}

impl Settings {
    /// Whether they can be gone by.
    ///
    /// # Errors
    /// Upstream's words.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(of) = &self.log {
            check("log", &of.mode, of.truncate)?;
        }
        if let Some(of) = &self.webhook {
            check("webhook", &of.mode, of.truncate)?;
        }
        Ok(())
    }
}

fn check(plugin: &str, mode: &Mode, truncate: Option<Truncate>) -> Result<(), String> {
    let positive = |what: &str, value: String, good: bool| match good {
        true => Ok(()),
        false => Err(format!("invalid audit {what}  {value}, must be a positive number").replace("  ", " ")),
    };
    if let Mode::Batch(batch) = mode {
        let of = |what: &str| format!("batch {plugin} {what}");
        positive(
            &of("buffer size"),
            batch.buffer_size.to_string(),
            batch.buffer_size > 0,
        )?;
        positive(
            &of("max batch size"),
            batch.max_size.to_string(),
            batch.max_size > 0,
        )?;
        if let Some((qps, burst)) = batch.throttle {
            positive(&of("throttle QPS"), qps.to_string(), qps > 0.0)?;
            positive(&of("throttle burst"), burst.to_string(), burst > 0)?;
        }
    }
    if let Some(of) = truncate {
        let size = of.max_event_size;
        positive(
            &format!("truncate {plugin} max event size"),
            size.to_string(),
            size > 0,
        )?;
        if of.max_batch_size < size {
            return Err(format!(
                "invalid audit truncate {plugin} max batch size {}, must be greater than max event size ({size})",
                of.max_batch_size
            ));
        }
    }
    Ok(())
}
