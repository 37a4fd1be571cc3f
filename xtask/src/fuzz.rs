//! `cargo xtask fuzz`: runs a target of `fuzz/` for a while. It needs no other toolchain: libFuzzer comes with its crate, and
//! the counters it looks at are put in by flags of the stable compiler.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use e2e::artifacts;

/// What `cargo fuzz` gives, without a sanitizer: the code has no `unsafe` to look at.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";

#[derive(clap::Args)]
pub struct Options {
    /// Name of a file in `fuzz/targets`, without its ending.
    target: String,
    /// How long.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// `cargo xtask fuzz TARGET --seconds N`. What it learns stays in `target/fuzz/corpus`; what it finds is written beside.
pub fn run(options: &Options) -> Result<bool> {
    let (root, target) = (artifacts::root(), &options.target);
    let manifest = root.join("fuzz/Cargo.toml");
    let known = root.join(format!("fuzz/targets/{target}.rs")).is_file();
    ensure!(known, "no fuzz/targets/{target}.rs");
    let out = root.join("target/fuzz");
    let built = Command::new("cargo")
        .args([
            "build",
            "--release",
            "--locked",
            "--bin",
            target,
            "--manifest-path",
        ])
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&out)
        .env("RUSTFLAGS", FLAGS)
        .status()
        .context("run cargo")?;
    if !built.success() {
        return Ok(false);
    }
    let (corpus, findings) = (out.join("corpus").join(target), out.join("findings").join(target));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&findings)?;
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut run = Command::new(out.join(triple).join("release").join(target));
    run.arg(&corpus);
    let seeds = root.join("fuzz/seeds").join(target);
    if seeds.is_dir() {
        run.arg(seeds);
    }
    let ran = run
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .arg(format!("-max_total_time={}", options.seconds))
        .args([
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-max_len=4096",
            "-print_final_stats=1",
        ])
        .status()
        .context("run the target")?;
    Ok(ran.success())
}
