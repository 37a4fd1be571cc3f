//! Entering network namespaces: always on a thread of its own that ends after the work, never on one that others use.

use crate::spec::{Failure, code};
use std::{fs::File, path::Path};

/// Opens a namespace by its path.
pub(crate) fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| {
        let text = format!("failed to open netns {:?}: {error}", path.display().to_string());
        Failure::new(code::UNKNOWN_CONTAINER, text)
    })
}

/// Runs `work` in a network namespace and waits for it.
pub(crate) fn within<T: Send>(
    namespace: &File,
    work: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    std::thread::scope(|scope| {
        let enter = || {
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)
                .map_err(|error| Failure::internal("entering the network namespace", error))?;
            work()
        };
        let thread = std::thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, enter);
        let thread =
            thread.map_err(|error| Failure::internal("a thread for the network namespace", error))?;
        thread.join().unwrap_or_else(|_| {
            Err(Failure::new(
                code::INTERNAL,
                "the work in the network namespace panicked",
            ))
        })
    })
}

/// Writes a kernel parameter of the calling thread's network namespace; true if it is there and could be set.
pub(crate) fn sysctl(name: &str, value: &str) -> bool {
    std::fs::write(Path::new("/proc/sys/net").join(name), value).is_ok()
}
