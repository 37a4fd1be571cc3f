//! The supervisor: one process a pod sandbox. It holds the sandbox's namespaces by being in them, is the parent of all
//! containers, owns their streams, writes their logs, and records their ends. One thread, one poll loop, little memory.

mod birth;
mod container;
mod log;
mod serve;
mod setup;

pub(crate) use serve::non_blocking;

use nix::unistd::{ForkResult, fork};
use std::{
    ffi::OsString,
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
};

/// What a supervisor says to the process that waits for it, when it is ready.
const READY: &str = "ready";

/// The applet: `ferrokube-pod DIR`, the sandbox's folder with its `supervisor.json`. Returns when the supervisor, a
/// process of its own, listens; or with 1 and the reason on stderr.
pub(crate) fn main(args: Vec<OsString>) -> i32 {
    let Some(dir) = args.first().map(PathBuf::from) else {
        eprintln!("usage: ferrokube-pod DIR");
        return 2;
    };
    let answer = begin(&dir).unwrap_or_else(|error| error.to_string());
    if answer == READY {
        return 0;
    }
    eprintln!(
        "{}",
        if answer.is_empty() {
            "the supervisor died"
        } else {
            &answer
        }
    );
    1
}

fn begin(dir: &Path) -> std::io::Result<String> {
    let (from, to) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let (mut from, mut to) = (File::from(from), File::from(to));
    #[expect(unsafe_code, reason = "fork, to become a daemon")]
    // SAFETY: this process has one thread, so the child may do what it likes.
    let forked = unsafe { fork() }?;
    if let ForkResult::Parent { .. } = forked {
        drop(to);
        let mut answer = String::new();
        from.read_to_string(&mut answer)?;
        return Ok(answer);
    }
    drop(from);
    let ready = setup::enter(dir);
    let told = to.write_all(
        ready
            .as_ref()
            .map_or_else(|error| error.as_str(), |_| READY)
            .as_bytes(),
    );
    drop(to);
    let code = match ready {
        Ok(_) if told.is_err() => 1,
        Ok(supervisor) => supervisor.serve(),
        Err(_) => 1,
    };
    std::process::exit(code)
}
