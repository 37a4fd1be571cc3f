//! `ferrokube stop`.

use crate::{cli::PlaceArgs, place::Place};
use anyhow::{Context, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::path::Path;

/// How long a cluster may take to stop.
const LIMIT: Timespec = Timespec {
    tv_sec: 60,
    tv_nsec: 0,
};

/// Stops the cluster and waits until it ended.
pub fn run(args: &PlaceArgs) -> Result<()> {
    if stop(&args.data_dir)? {
        println!("stopped; containers live on");
    } else {
        println!("no cluster runs on {}", args.data_dir.display());
    }
    Ok(())
}

/// Stops the process that holds the lock of `dir`. False when there is none.
pub fn stop(dir: &Path) -> Result<bool> {
    if !dir.exists() || Place::lock(dir).is_ok() {
        return Ok(false);
    }
    let running = Place::running(dir).context("the process that runs here does not say its pid")?;
    let pid = Pid::from_raw(running.pid).context("the process that runs here does not say its pid")?;
    // A pidfd names the process, not its number: nobody else can be hit.
    let process =
        pidfd_open(pid, PidfdFlags::empty()).with_context(|| format!("no process {}", running.pid))?;
    pidfd_send_signal(&process, Signal::TERM)
        .with_context(|| format!("cannot signal process {}", running.pid))?;
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    if poll(&mut ended, Some(&LIMIT))? == 0 {
        bail!("process {} did not stop within {} s", running.pid, LIMIT.tv_sec);
    }
    Ok(true)
}
