//! Other clients than kubectl, those that mean harm among them; and that every resource is explained.

use std::path::Path;

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;
use e2e::{artifacts, process};

use crate::containers::script_pod;
use crate::expect::{has, same};
use crate::pod::{inside, until_ready};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    the_python_client_works,
    garbage_on_connections_is_answered,
    every_resource_is_explained,
];

const PYTHON: &str = include_str!("python.py");
const GARBAGE: &str = include_str!("garbage.py");

/// Runs a program in Python in the network of the cluster, and gives what it prints.
fn python(c: &Cluster, program: &str) -> Result<String> {
    let mut command = c.lab.network_command("timeout");
    command
        .args(["120", "python3", "-", &c.namespace])
        .env("KUBECONFIG", c.kubeconfig())
        .env("PYTHONPATH", artifacts::tool("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let done = process::run(&mut command, program)?;
    ensure!(done.code == 0, "{}{}", done.stdout, done.stderr);
    Ok(done.stdout)
}

/// A pod with a shell.
fn start(c: &Cluster) -> Result<()> {
    c.apply(&script_pod("shell", "Always", "echo started; exec sleep 3600"))?;
    until_ready(c, "shell")
}

fn the_python_client_works(c: &mut Cluster) -> Result<()> {
    start(c)?;
    same(python(c, PYTHON)?, "done\n")
}

fn garbage_on_connections_is_answered(c: &mut Cluster) -> Result<()> {
    start(c)?;
    // The keys of the client, as the program reads them.
    let config = c.kubectl("config view --raw --output json")?;
    let file = Path::new(&c.lab.folder()).join("kubeconfig.json");
    std::fs::write(&file, config)?;
    let program = GARBAGE.replace("KUBECONFIG.json", &file.to_string_lossy());
    let before = c.pid()?;
    same(python(c, &program)?, "done\n")?;
    same(c.pid()?, before)?;
    same(inside(c, "shell", "echo alive")?, "alive\n")
}

fn every_resource_is_explained(c: &mut Cluster) -> Result<()> {
    let all = c.kubectl("api-resources --output wide --no-headers")?;
    let mut count = 0;
    for line in all.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let version = line
            .split_whitespace()
            .find(|word| word.ends_with("v1") || word.contains("/v"));
        let version = version.unwrap_or("v1");
        // What is only created has the types of its request.
        let said = c.kubectl_words(&["explain", name, "--recursive", "--api-version", version], "")?;
        has(
            &said,
            &[
                "KIND: ",
                "VERSION: ",
                "FIELDS:",
                "apiVersion\t<string>",
                "kind\t<string>",
            ],
        )?;
        ensure!(!said.contains("<unknown"), "{name}: {said}");
        count += 1;
    }
    ensure!(count > 50, "only {count} resources:\n{all}");
    Ok(())
}
