//! This program again: the runtime's applets, and the sealed copy that supervisors run from.

use crate::supervisor;
use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};
use std::{
    ffi::OsString,
    fs::File,
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

/// A part of the program that runs in a process of its own: its arguments in, its exit code out.
pub type Applet = fn(Vec<OsString>) -> i32;

/// What the runtime runs in processes of its own: name, and what does it. A binary that links this crate must call
/// [`hook`] before anything else.
pub fn applets() -> &'static [(&'static str, Applet)] {
    &[("ferrokube-pod", supervisor::main)]
}

/// Runs the applet that this process was started as (by the name it was given, its `argv[0]`); its exit code. `None` when
/// it was not started as one.
pub fn hook() -> Option<i32> {
    let mut args = std::env::args_os();
    let name = args.next()?;
    let (_, applet) = applets().iter().find(|(applet, _)| *applet == name)?;
    Some(applet(args.collect()))
}

/// A sealed copy of a program in memory: nobody can write it, not even a container that finds it as its own
/// `/proc/self/exe`. Its pages are shared by all that run it.
#[derive(Debug)]
pub(crate) struct Sealed(OwnedFd);

impl Sealed {
    /// Copies the program at `path`.
    pub(crate) fn copy(path: &Path) -> io::Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let executable = flags | MFdFlags::from_bits_retain(libc::MFD_EXEC);
        // Kernels before 6.3 do not know the flag and need none.
        let memory = memfd_create(c"ferrokube", executable).or_else(|_| memfd_create(c"ferrokube", flags))?;
        let mut memory = File::from(memory);
        io::copy(&mut File::open(path)?, &mut memory)?;
        let seals =
            SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
        fcntl(&memory, FcntlArg::F_ADD_SEALS(seals))?;
        Ok(Self(memory.into()))
    }

    /// A path at which a child of this process can execute it.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}
