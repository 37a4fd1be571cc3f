//! The multi-call binary: reads settings, builds, runs, drains. It alone knows all boxes; it joins them and never does
//! the work of one.
//!
//! Started by the runtime as a pod's supervisor or container launcher, or by name as a CNI plugin, it is that and
//! nothing else; these come first, for they must stay small.

mod address;
mod build_info;
mod certificates;
mod cli;
mod cluster;
mod control_plane;
mod dial;
mod encryption;
mod kubectl;
mod node;
mod parts;
mod password;
mod place;
mod plugin;
mod progress;
mod remove;
mod settings;
mod snapshot;
mod stop;
mod threads;
mod up;
mod why;

use clap::Parser;
use cli::{Cli, Verb};
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = runtime::hook().or_else(plugin::hook) {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let done = match Cli::parse().verb {
        Verb::Up(args) => up::run(*args),
        Verb::Stop(args) => stop::run(&args),
        Verb::Rm(args) => remove::run(&args),
        Verb::Certificate(args) => certificates::run(&args),
        Verb::Snapshot(args) => snapshot::run(&args),
        Verb::Why(args) => why::run(&args),
        Verb::HashPassword => password::run(),
        Verb::Part(args) => args
            .split_first()
            .map_or(Ok(()), |(name, args)| parts::run(name, args)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ferrokube: {error:#}");
            ExitCode::FAILURE
        }
    }
}
