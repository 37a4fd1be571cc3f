//! Running cargo with its output shown as it comes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use e2e::artifacts;
use serde::Deserialize;

use super::tally::{Reader, Tally};

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(artifacts::root());
    command
}

/// Runs a cargo command that passes or fails as a whole.
pub fn check(arguments: &[&str]) -> Result<Tally> {
    println!("cargo {}", arguments.join(" "));
    let status = cargo(arguments).status().context("start cargo")?;
    ensure!(status.success(), "cargo {} failed", arguments.join(" "));
    Ok(Tally::default())
}

/// Runs `cargo test` and counts; both of its output streams are read as one, so that results stand under their program.
pub fn test(arguments: &[&str], filter: Option<&str>, variables: &[(&str, PathBuf)]) -> Result<Tally> {
    let words: Vec<&str> = ["test"].iter().chain(arguments).copied().chain(filter).collect();
    println!("cargo {}", words.join(" "));
    let (output, input) = std::io::pipe()?;
    let mut command = cargo(&words);
    command
        .envs(variables.iter().cloned())
        .stdout(input.try_clone()?)
        .stderr(input);
    let mut child = command.spawn().context("start cargo")?;
    // The command holds the writing end of the pipe; the end of the output is seen when it is gone.
    drop(command);
    let mut reader = Reader::default();
    let mut screen = std::io::stdout();
    for line in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(screen, "{line}")?;
        reader.line(&line);
    }
    Ok(reader.close(child.wait()?.success()))
}

/// What cargo says of a thing that it built; of its messages, only the part that is needed.
#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
}

/// Builds the product and gives the path of its binary.
pub fn build_ferrokube(release: bool) -> Result<PathBuf> {
    let mut arguments = vec!["build", "--package", "ferrokube", "--bin", "ferrokube"];
    arguments.extend(release.then_some("--release"));
    println!("cargo {}", arguments.join(" "));
    arguments.push("--message-format=json-render-diagnostics");
    let mut command = cargo(&arguments);
    command.stderr(std::process::Stdio::inherit());
    let output = command.output().context("start cargo")?;
    ensure!(output.status.success(), "the build failed");
    let messages = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let messages = messages.filter_map(|line| serde_json::from_slice::<Message>(line).ok());
    let mut built = messages
        .filter(|message| message.reason == "compiler-artifact")
        .filter_map(|m| m.executable);
    built.next_back().context("cargo named no binary")
}
