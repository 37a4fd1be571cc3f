//! `ferrokube hash-password`: a password becomes what `--basic-auth-file` holds of it.

use anyhow::{Context, Result, bail};
use apiserver::security::authentication::hash;
use component::Random;
use std::io;

/// Reads a password, one line of standard input, and prints its hash.
pub fn run() -> Result<()> {
    let mut line = String::new();
    io::stdin().read_line(&mut line).context("standard input")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("give the password as a line of standard input");
    }
    println!("{}", hash(password, &Random::system()));
    Ok(())
}
