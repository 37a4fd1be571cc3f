//! Network namespaces without a name: gone with the last handle, also when a test fails.

use std::{fs::File, os::fd::AsRawFd, process::Command};

pub(crate) struct Netns(File);

impl Netns {
    pub(crate) fn new() -> Self {
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
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
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
    pub(crate) fn sh(&self, script: &str) -> String {
        let output = self.run(|| Command::new("sh").args(["-ec", script]).output().expect("sh"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{script}\n{text}{errors}");
        text
    }
}
