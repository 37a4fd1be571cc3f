//! Each part of the system alone: the same code as in one process, over TLS against the others.

mod apiserver;
pub mod audit;
pub mod authentication;
mod config;
mod controllers;
pub mod dial;
mod dns;
mod etcd;
pub mod flags;
pub mod given;
mod guards;
pub mod kubelet;
mod leader;
pub mod pages;
mod part;
mod process;
mod proxy;
mod scheduler;
pub mod snapshots;
mod store;
#[cfg(test)]
mod stories;
mod tls;
mod trust;
mod way;
mod webhook;

use ::component::flags::FlagError;
use anyhow::{Result, bail};
use part::Part;

pub use etcd::initial_cluster;

/// The parts.
const PARTS: &[Part] = &[
    apiserver::PART,
    scheduler::PART,
    controllers::PART,
    kubelet::PART,
    proxy::PART,
    dns::PART,
    etcd::PART,
];

/// Runs the part `name` until it is told to stop.
pub fn run(name: &str, args: &[String]) -> Result<()> {
    let Some(part) = PARTS.iter().find(|part| part.name == name) else {
        let names: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
        bail!(
            "there is no command {name:?}; see ferrokube --help (parts that run alone: {})",
            names.join(", ")
        );
    };
    let settings = match part.settings(args) {
        Ok(settings) => settings,
        Err(error) => match error.downcast_ref() {
            Some(help @ FlagError::Help(_)) => {
                println!("{}", part.help(help));
                return Ok(());
            }
            _ => return Err(error),
        },
    };
    if settings.bool("version") {
        println!("Kubernetes {}", part::VERSION);
        return Ok(());
    }
    process::run(part, settings)
}
