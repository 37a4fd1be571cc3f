//! Network namespaces without a name: gone with the last handle, also when a test fails.

#![expect(clippy::expect_used, reason = "a test without its namespace has failed")]

use std::{fs::File, os::fd::AsRawFd, process::Command};

/// Such a namespace.
#[derive(Debug)]
pub struct Netns(File);

impl Netns {
    /// Makes one, with a loopback that is up.
    #[expect(clippy::new_without_default, reason = "making one acts on the machine")]
    pub fn new() -> Self {
        let made = std::thread::scope(|scope| {
            let enter = || {
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
                    .expect("a network namespace (as root)");
                File::open("/proc/thread-self/ns/net").expect("its handle")
            };
            scope
                .spawn(enter)
                .join()
                .expect("the thread that makes the namespace")
        });
        let namespace = Self(made);
        namespace.sh("ip link set lo up");
        namespace
    }

    /// A path that `ip link set … netns PATH` takes.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Does `work` in it, on a thread of its own.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let enter = || {
                nix::sched::setns(&self.0, nix::sched::CloneFlags::CLONE_NEWNET)
                    .expect("entering the namespace");
                work()
            };
            scope.spawn(enter).join().expect("the work in the namespace")
        })
    }

    /// Runs a shell script; its output.
    pub fn sh(&self, script: &str) -> String {
        let output = self.run(|| Command::new("sh").args(["-ec", script]).output().expect("sh"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{script}\n{text}{errors}");
        text
    }
}
