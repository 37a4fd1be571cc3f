//! What ImagePolicyWebhook is told.

use serde::Deserialize;
use std::{path::Path, time::Duration};

const MINUTE: u64 = 60_000;

/// The plugin's part of the file. Times of 0 are the usual ones; answers are not kept for a time of -1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Configuration {
    /// Who is asked.
    #[serde(rename = "kubeConfigFile")]
    pub kube_config_file: String,
    /// How long a yes is kept, in seconds.
    #[serde(rename = "allowTTL")]
    pub allow_ttl: i64,
    /// How long a no is kept, in seconds.
    #[serde(rename = "denyTTL")]
    pub deny_ttl: i64,
    /// How long to wait before asking again, in milliseconds.
    #[serde(rename = "retryBackoff")]
    pub retry_backoff: i64,
    /// What to do when there is no answer.
    #[serde(rename = "defaultAllow")]
    pub default_allow: bool,
}

/// The time that `value` says in units of `scale` milliseconds.
fn time(value: i64, scale: u64, usual: u64, least: u64, most: u64) -> Result<Duration, String> {
    let millis = match value {
        -1 => 0,
        0 => usual,
        value => {
            let millis = u64::try_from(value).unwrap_or(0).saturating_mul(scale);
            if millis < least || millis > most {
                let [least, most] = [least, most].map(Duration::from_millis);
                let got = i128::from(value) * i128::from(scale);
                return Err(format!(
                    "valid value is between {least:?} and {most:?}, got {got}ms"
                ));
            }
            millis
        }
    };
    Ok(Duration::from_millis(millis))
}

impl Configuration {
    /// Says what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        self.times()?;
        if self.kube_config_file.is_empty() {
            return Err("kubeConfigFile is needed".to_owned());
        }
        let read = client::kubeconfig::read(Path::new(&self.kube_config_file), None);
        read.map(drop).map_err(|error| error.to_string())
    }

    fn times(&self) -> Result<[Duration; 3], String> {
        Ok([
            time(self.allow_ttl, 1000, 5 * MINUTE, 1000, 30 * MINUTE)?,
            time(self.deny_ttl, 1000, MINUTE / 2, 1000, 30 * MINUTE)?,
            time(self.retry_backoff, 1, 500, 1, 5 * MINUTE)?,
        ])
    }

    fn checked(&self) -> [Duration; 3] {
        self.times().unwrap_or_default()
    }

    /// How long a yes is kept.
    pub fn allow_ttl(&self) -> Duration {
        self.checked()[0]
    }

    /// How long a no is kept.
    pub fn deny_ttl(&self) -> Duration {
        self.checked()[1]
    }

    /// How long to wait before asking again.
    pub fn retry_backoff(&self) -> Duration {
        self.checked()[2]
    }
}
