//! Running cargo with its output shown as it comes.

use std::fs;
use std::io::{BufRead as _, BufReader, PipeReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::{artifacts, kernel};
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
    let pipe = fs::read_link(format!("/proc/self/fd/{}", output.as_raw_fd()))?;
    let (said, ended) = mpsc::channel();
    thread::spawn(move || said.send(read(output)));
    let status = child.wait()?;
    // What the tests started and did not stop holds the pipe open, so that its end may never come.
    let reader = ended
        .recv_timeout(Duration::from_secs(10))
        .with_context(|| format!("still running after its test: {}", holders(&pipe).join(", ")))??;
    Ok(reader.close(status.success()))
}

/// Shows the output as it comes and counts.
fn read(output: PipeReader) -> std::io::Result<Reader> {
    let mut reader = Reader::default();
    let mut screen = std::io::stdout();
    for line in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(screen, "{line}")?;
        reader.line(&line);
    }
    Ok(reader)
}

/// The command lines of the other processes that have this pipe open.
fn holders(pipe: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let holds = |pid: &u32| {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
        let mut targets = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        *pid != std::process::id() && targets.any(|target| target == pipe)
    };
    pids.filter(holds)
        .map(|pid| format!("{pid} {}", kernel::command_line(pid)))
        .collect()
}

/// What cargo says of a thing that it built; of its messages, only the part that is needed.
#[derive(Deserialize)]
struct Message {
    reason: String,
    executable: Option<PathBuf>,
}

/// Builds a program of the workspace and gives the path of its binary.
pub fn build(package: &str, release: bool) -> Result<PathBuf> {
    let mut arguments = vec!["build", "--package", package, "--bin", package];
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

#[cfg(test)]
mod tests {
    use super::*;
    use e2e::wait;

    #[test]
    fn who_holds_a_pipe_is_named() {
        let (output, input) = std::io::pipe().unwrap();
        let pipe = fs::read_link(format!("/proc/self/fd/{}", output.as_raw_fd())).unwrap();
        let mut sleeper = Command::new("sleep").arg("54322").stdout(input).spawn().unwrap();
        // Children of other tests may hold it for a moment, until they are programs of their own.
        let named = format!("{} sleep 54322", sleeper.id());
        wait::until("the sleeper to be named", Duration::from_secs(10), || {
            Ok(holders(&pipe).contains(&named).then_some(()))
        })
        .unwrap();
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
}
