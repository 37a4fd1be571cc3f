//! Running cargo with its output shown as it comes.

use std::fs;
use std::io::{BufRead as _, BufReader, PipeReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use e2e::{artifacts, kernel};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use super::tally::{Reader, Tally};

/// How long a command may say nothing: longer than any crate compiles.
const SILENCE: Duration = Duration::from_secs(600);

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
    let mut command = cargo(&words);
    command.envs(variables.iter().cloned());
    follow(command, SILENCE)
}

/// Runs a command, shows its output and counts.
fn follow(mut command: Command, silence: Duration) -> Result<Tally> {
    let (output, input) = std::io::pipe()?;
    command.stdout(input.try_clone()?).stderr(input);
    let mut child = command.spawn().context("start it")?;
    // The command holds the writing end of the pipe; the end of the output is seen when it is gone.
    drop(command);
    let pipe = fs::read_link(format!("/proc/self/fd/{}", output.as_raw_fd()))?;
    let pid = child.id();
    let (said, heard) = mpsc::channel();
    let saying = said.clone();
    thread::spawn(move || read(output, &saying));
    thread::spawn(move || said.send(Heard::Exit(child.wait())));
    listen(&heard, pid, &pipe, silence)
}

/// What is heard of a command that runs.
enum Heard {
    Line,
    End(std::io::Result<Reader>),
    Exit(std::io::Result<ExitStatus>),
}

/// Waits until a command and its output have ended. What is silent for too long is killed, so that the others get their turn
/// and its tests count as failed.
fn listen(heard: &Receiver<Heard>, pid: u32, pipe: &Path, silence: Duration) -> Result<Tally> {
    let (mut reader, mut success) = (None, None);
    let mut until = Instant::now() + silence;
    loop {
        if let (Some(reader), Some(success)) = (&mut reader, success) {
            return Ok(std::mem::take::<Reader>(reader).close(success));
        }
        match heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Heard::Line) if success.is_none() => until = Instant::now() + silence,
            Ok(Heard::Line) => {}
            Ok(Heard::End(read)) => reader = Some(read?),
            Ok(Heard::Exit(status)) => {
                success = Some(status?.success());
                // What the tests started and did not stop holds the pipe open, so that its end may never come.
                until = Instant::now() + Duration::from_secs(10);
            }
            Err(_) if success.is_some() => {
                bail!("still running after its test: {}", holders(pipe).join(", "))
            }
            Err(_) => {
                for silent in kernel::descendants_of(pid) {
                    println!(
                        "killed, silent for {} s: {}",
                        silence.as_secs(),
                        kernel::command_line(silent)
                    );
                    // It may have ended by itself meanwhile.
                    let _ = Pid::from_raw(silent.cast_signed()).map(|pid| kill_process(pid, Signal::KILL));
                }
                until = Instant::now() + silence;
            }
        }
    }
}

/// Shows the output as it comes and counts.
fn read(output: PipeReader, said: &Sender<Heard>) {
    let read = || {
        let mut reader = Reader::default();
        let mut screen = std::io::stdout();
        for line in BufReader::new(output).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            writeln!(screen, "{line}")?;
            reader.line(&line);
            // Who listens may have given up.
            let _ = said.send(Heard::Line);
        }
        Ok(reader)
    };
    let end = read();
    let _ = said.send(Heard::End(end));
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
    fn what_is_silent_for_too_long_is_killed_and_has_failed() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 54323 & wait $!; exit 1"]);
        let tally = follow(command, Duration::from_millis(500)).unwrap();
        assert_eq!((tally.passed, tally.failed > 0), (0, true), "{tally:?}");
    }

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
