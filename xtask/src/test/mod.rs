//! `cargo xtask test`: everything that CI runs, in the order of how soon it can fail, with a summary at the end.

mod cargo;
mod tally;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use e2e::{artifacts, process};

use crate::{apt, images, tidy, tools};
use tally::Tally;

/// Looks at the targets of `fuzz/`.
const FUZZ: &[&str] = &[
    "check",
    "--locked",
    "--manifest-path",
    "fuzz/Cargo.toml",
    "--target-dir",
    "target",
];

/// What to run.
#[derive(clap::Args)]
pub struct Options {
    /// Only checks, unit and integration tests.
    #[arg(long, conflicts_with = "e2e")]
    unit: bool,
    /// Only the end-to-end stories.
    #[arg(long)]
    e2e: bool,
    /// Run the stories against the dev build.
    #[arg(long)]
    no_release: bool,
    /// Only tests and stories whose name contains this; skips format, tidy and clippy.
    filter: Option<String>,
}

/// A stage that ran.
struct Stage {
    name: &'static str,
    took: Duration,
    tally: Tally,
}

/// Runs the stages that the options ask for; true if nothing failed.
pub fn run(options: &Options) -> Result<bool> {
    apt::install(apt::NEEDS)?;
    components()?;
    let mut stages = Vec::new();
    let mut stage = |name: &'static str, work: &mut dyn FnMut() -> Result<Tally>| {
        println!("\n=== {name}");
        let start = Instant::now();
        let tally = work().unwrap_or_else(|error| {
            println!("error: {error:#}");
            Tally::failure(format!(
                "{name}: {}",
                error.to_string().lines().next().unwrap_or_default()
            ))
        });
        println!("=== {name}: {:.1} s", start.elapsed().as_secs_f64());
        stages.push(Stage {
            name,
            took: start.elapsed(),
            tally,
        });
    };
    if !options.e2e && options.filter.is_none() {
        stage("format", &mut || cargo::check(&["fmt", "--all", "--check"]));
        stage("tidy", &mut tidy_stage);
        stage("clippy", &mut || {
            cargo::check(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
        });
        // A workspace of its own: nothing else would see that a target, or its lock file, fell behind.
        stage("fuzz targets", &mut || cargo::check(FUZZ));
    }
    if !options.e2e {
        let filter = options.filter.as_deref();
        stage("unit and integration tests", &mut || {
            cargo::test(
                &["--workspace", "--exclude", "e2e", "--no-fail-fast"],
                filter,
                &[],
            )
        });
    }
    if !options.unit {
        let mut binary = None;
        let name = if options.no_release {
            "dev build"
        } else {
            "release build"
        };
        stage(name, &mut || {
            cargo::build("ferrokube", !options.no_release).map(|path| {
                binary = Some(path);
                Tally::default()
            })
        });
        stage("end-to-end tests", &mut || {
            stories(binary.clone(), options.filter.as_deref())
        });
    }
    Ok(close(&stages))
}

/// Builds the release binary of a package.
pub fn build_release(package: &str) -> Result<PathBuf> {
    cargo::build(package, true)
}

fn tidy_stage() -> Result<Tally> {
    let complaints = tidy::complaints(&artifacts::root())?;
    complaints.iter().for_each(|complaint| println!("{complaint}"));
    match complaints.len() {
        0 => Ok(Tally::default()),
        count => bail!("{count} complaints"),
    }
}

/// The end-to-end stories, with all that they need.
fn stories(binary: Option<PathBuf>, filter: Option<&str>) -> Result<Tally> {
    let binary = binary.context("no binary to test: its build failed")?;
    if !rustix::process::geteuid().is_root() {
        bail!(
            "THE END-TO-END TESTS DID NOT RUN: they make network namespaces and containers, which needs root"
        );
    }
    tools::ensure()?;
    images::ensure()?;
    // Backtraces tell the line of the story that failed.
    cargo::test(
        &["--package", "e2e"],
        filter,
        &[("FERROKUBE", binary), ("RUST_LIB_BACKTRACE", "1".into())],
    )
}

/// rustfmt and clippy, which a minimal toolchain lacks.
fn components() -> Result<()> {
    for (command, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if process::run(Command::new("cargo").args([command, "--version"]), "")?.code == 0 {
            continue;
        }
        println!("installing with rustup: {component}");
        process::output(Command::new("rustup").args(["component", "add", component]))
            .with_context(|| format!("cargo {command} is missing: install {component}"))?;
    }
    Ok(())
}

/// Prints the summary; the counts stand alone on the last line.
fn close(stages: &[Stage]) -> bool {
    let sum = stages
        .iter()
        .fold(Tally::default(), |sum, stage| sum.plus(&stage.tally));
    println!("\n=== summary");
    for stage in stages {
        let Tally { passed, failed, .. } = &stage.tally;
        let counts = if passed + failed > 0 {
            format!("{passed} passed, {failed} failed")
        } else {
            "ok".to_owned()
        };
        println!(
            "{:<28} {:>8.1} s   {counts}",
            stage.name,
            stage.took.as_secs_f64()
        );
    }
    for failure in &sum.failures {
        println!("FAILED {failure}");
    }
    println!("{} passed, {} failed", sum.passed, sum.failed);
    sum.failed == 0
}
