//! What a part is: its name, its flags, its configuration kind, and how it starts.

use super::config::{self, ConfigKind};
use anyhow::{Result, bail};
use component::{
    Env,
    flags::{self, Flag, FlagError, Settings},
    gates::Gates,
};
use futures::future::BoxFuture;

/// The version of Kubernetes that this binary is.
pub const VERSION: &str = concat!("v1.37.0+ferrokube.", env!("CARGO_PKG_VERSION"));

/// A flag of which only some values are taken, and why no others.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// The flag.
    pub flag: &'static str,
    /// The values; each element of a list is one.
    pub values: &'static [&'static str],
    /// Why there are no others.
    pub why: &'static str,
}

impl Choice {
    /// A choice.
    pub const fn new(flag: &'static str, values: &'static [&'static str], why: &'static str) -> Self {
        Self { flag, values, why }
    }
}

/// Starts a part in the task tree of the first environment; when it returns, the part runs until the tree stops. The
/// second one stops after the first: for what the part stands on.
pub type Start = fn(Settings, Env, Env) -> BoxFuture<'static, Result<()>>;

/// A part of the system that can run alone.
#[derive(Clone, Copy)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// Its flags.
    pub tables: &'static [&'static [Flag]],
    /// Flags of which only some values are taken.
    pub choices: &'static [Choice],
    /// The kind of its configuration file, if it takes one.
    pub config: Option<ConfigKind>,
    /// How it starts.
    pub start: Start,
}

impl Part {
    /// Its settings: flags over drop-ins over the file over defaults.
    pub fn settings(&self, args: &[String]) -> Result<Settings> {
        let args: Vec<String> = args.iter().flat_map(|arg| long(arg)).collect();
        let mut settings = flags::parse(self.tables, &args, &[])?;
        if let Some(kind) = self.config {
            let fields = config::read(
                settings.text("config"),
                settings.text("config-dir"),
                kind,
                self.tables,
            )?;
            settings = flags::parse(self.tables, &args, &fields)?;
        }
        for choice in self.choices {
            choice.check(&settings)?;
        }
        Gates::parse(&settings.map("feature-gates")).map_err(anyhow::Error::msg)?;
        Ok(settings)
    }

    /// The text of `--help`.
    pub fn help(&self, error: &FlagError) -> String {
        format!("Usage: ferrokube {} [flags]\n\nFlags:\n{error}", self.name)
    }
}

impl Choice {
    fn check(&self, settings: &Settings) -> Result<()> {
        let given = settings.list(self.flag);
        let given = if given.is_empty() {
            vec![String::new()]
        } else {
            given
        };
        match given.iter().find(|value| !self.values.contains(&value.as_str())) {
            Some(value) => bail!("--{}={value} is not supported: {}", self.flag, self.why),
            None => Ok(()),
        }
    }
}

/// pflag's short names.
fn long(arg: &str) -> Vec<String> {
    match arg {
        "-h" => vec!["--help".to_owned()],
        "-v" => vec!["--v".to_owned()],
        _ => match arg.strip_prefix("-v") {
            Some(level) if !level.is_empty() => {
                vec![format!("--v={}", level.strip_prefix('=').unwrap_or(level))]
            }
            _ => vec![arg.to_owned()],
        },
    }
}
