//! Flags of a part that `up` takes too: the rows of a table become clap's arguments.

use super::flags::{KUBE_APISERVER_AUDIT, KUBELET_EVICTION, SNAPSHOTS};
use clap::{Arg, ArgMatches, Command};
use component::flags::{Flag, FlagError, Kind, Settings, parse};

/// What `up` has of the parts.
const TABLES: &[&[Flag]] = &[KUBE_APISERVER_AUDIT, SNAPSHOTS, KUBELET_EVICTION];

/// The flags of the tables that were given, as they would be written.
#[derive(Clone, Debug, Default)]
pub struct Given(Vec<String>);

fn rows() -> impl Iterator<Item = &'static Flag> {
    TABLES.iter().flat_map(|table| table.iter())
}

impl Given {
    /// What those of one table say.
    ///
    /// # Errors
    /// One of them makes no sense.
    pub fn settings(&self, table: &'static [Flag]) -> Result<Settings, FlagError> {
        let of = |flag: &&String| {
            let name = flag.trim_start_matches('-').split('=').next();
            table.iter().any(|row| Some(row.name) == name)
        };
        let given: Vec<String> = self.0.iter().filter(of).cloned().collect();
        parse(&[table], &given, &[])
    }
}

impl clap::FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Self::default();
        given.update_from_arg_matches(matches)?;
        Ok(given)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let given = rows().filter_map(|flag| {
            let value = matches.get_one::<String>(flag.name)?;
            Some(format!("--{}={value}", flag.name))
        });
        self.0 = given.collect();
        Ok(())
    }
}

impl clap::Args for Given {
    fn augment_args(command: Command) -> Command {
        let args = rows().map(|flag| {
            let arg = Arg::new(flag.name)
                .long(flag.name)
                .help(flag.help)
                .hide(flag.name.contains("-batch-") || flag.name.contains("-truncate-"));
            match flag.kind {
                Kind::Bool => arg
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true"),
                _ => arg.value_name("VALUE"),
            }
        });
        command.args(args)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
