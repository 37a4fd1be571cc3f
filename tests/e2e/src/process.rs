//! Running other programs: with their output taken, and an error that shows what they said.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// What a finished program left.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit code; 128 plus the number of the signal that ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a program to its end, with `input` on its standard input.
pub fn run(command: &mut Command, input: &str) -> Result<Output> {
    use std::os::unix::process::ExitStatusExt as _;
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("start {}", shown(command)))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading its input breaks the pipe; its exit code says more than that.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child
        .wait_with_output()
        .with_context(|| format!("wait for {}", shown(command)))?;
    Ok(Output {
        code: output
            .status
            .code()
            .unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs a program and gives its standard output; an exit code other than 0 is an error with what it printed.
pub fn output(command: &mut Command) -> Result<String> {
    let done = run(command, "")?;
    if done.code != 0 {
        bail!(
            "{} ended with {}:\n{}{}",
            shown(command),
            done.code,
            done.stdout,
            done.stderr
        );
    }
    Ok(done.stdout)
}

/// The command line, as a person would write it.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Where a program lies on `PATH` (and where Debian keeps the administrator's programs), if it is installed.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let places = path.split(':').chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"]);
    places
        .map(|place| PathBuf::from(place).join(program))
        .find(|file| file.is_file())
}
