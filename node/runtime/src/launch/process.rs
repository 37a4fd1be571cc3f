//! Births: the first process of a container, a command in it, and the process that keeps a shared process namespace.
//! All are children of the supervisor in the end, so that it alone reaps them.

use super::{Note, Process, Spec, mounts, program, terminal};
use crate::{cgroup, protocol, record};
use nix::{
    sched::{CloneFlags, setns, unshare},
    sys::{
        prctl,
        signal::{SigSet, SigmaskHow, Signal, sigprocmask},
        socket::{AddressFamily, SockFlag, SockType, socketpair},
    },
    unistd::setsid,
};
use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

/// The standard streams of a new process, its ends. `None`: it opens a terminal and sends it.
pub(crate) type Stdio = Option<[OwnedFd; 3]>;

/// A container's first process to start.
pub(crate) struct Init<'a> {
    /// The container's folder.
    pub dir: &'a Path,
    /// Its cgroup.
    pub cgroups: &'a [PathBuf],
    /// The process that keeps the sandbox's process namespace, if it has one.
    pub pid_namespace_of: Option<i32>,
    /// In the host's process namespace.
    pub host_pid: bool,
}

/// A command to run in a container.
pub(crate) struct Exec<'a> {
    /// The container's folder.
    pub dir: &'a Path,
    /// Its cgroup.
    pub cgroups: &'a [PathBuf],
    /// Its first process.
    pub init: i32,
    /// Program and arguments.
    pub command: Vec<String>,
    /// With a terminal.
    pub tty: bool,
}

/// A birth under way.
pub(crate) struct Started {
    /// The child; it may only be the one that makes the process proper, whose number then comes as [`Note::Pid`].
    pub child: i32,
    /// The child is the process proper.
    pub direct: bool,
    /// Where [`Note`]s come from.
    pub notes: OwnedFd,
}

/// Starts a container's first process.
pub(crate) fn start_init(init: &Init<'_>, stdio: Stdio) -> io::Result<Started> {
    let mut flags = libc::CLONE_NEWNS;
    if init.pid_namespace_of.is_none() && !init.host_pid {
        flags |= libc::CLONE_NEWPID;
    }
    born(init.pid_namespace_of.is_none(), flags, |teller| {
        if let Some(keeper) = init.pid_namespace_of {
            join_namespaces(keeper, CloneFlags::CLONE_NEWPID)?;
            become_sibling(libc::CLONE_NEWNS, teller)?;
        }
        run_init(init, stdio, teller)
    })
}

/// Starts a command in a container.
pub(crate) fn start_exec(exec: &Exec<'_>, stdio: Stdio) -> io::Result<Started> {
    born(false, 0, |teller| {
        let spec = read_spec(exec.dir)?;
        let joined = cgroup::join(exec.cgroups);
        joined.map_err(|error| format!("join cgroup: {error}"))?;
        adjust_oom_score(spec.process.oom_score_adj, teller);
        let flags = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP;
        join_namespaces(exec.init, flags)?;
        become_sibling(0, teller)?;
        let mut process = spec.process;
        process.args.clone_from(&exec.command);
        process.tty = exec.tty;
        prepare_signals()?;
        streams(stdio, teller, false)?;
        finish(&process, teller)
    })
}

/// Starts the process that keeps a process namespace and reaps its orphans. It ends with the supervisor.
pub(crate) fn start_pause() -> io::Result<i32> {
    let Some(child) = clone(libc::CLONE_NEWPID)? else {
        let _ = prctl::set_pdeathsig(Signal::SIGKILL);
        close_all();
        let all = SigSet::all();
        let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&all), None);
        loop {
            // Only SIGCHLD means something to it.
            let _ = all.wait();
            while nix::sys::wait::waitpid(None, Some(nix::sys::wait::WaitPidFlag::WNOHANG))
                .is_ok_and(|status| status.pid().is_some())
            {}
        }
    };
    Ok(child)
}

/// Clones a child that runs `life` and tells what went wrong; it never returns from here.
fn born(
    direct: bool,
    flags: libc::c_int,
    life: impl FnOnce(BorrowedFd<'_>) -> Result<(), String>,
) -> io::Result<Started> {
    let pair = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?;
    let (notes, teller) = pair;
    let Some(child) = clone(flags)? else {
        drop(notes);
        if let Err(message) = life(teller.as_fd()) {
            let _ = protocol::send(teller.as_fd(), &Note::Failed(message), &[]);
        }
        leave(1);
    };
    Ok(Started { child, direct, notes })
}

fn run_init(init: &Init<'_>, stdio: Stdio, teller: BorrowedFd<'_>) -> Result<(), String> {
    prepare_signals()?;
    cgroup::join(init.cgroups).map_err(|error| format!("join cgroup: {error}"))?;
    let spec = read_spec(init.dir)?;
    adjust_oom_score(spec.process.oom_score_adj, teller);
    unshare(CloneFlags::CLONE_NEWCGROUP).map_err(|error| format!("unshare cgroup namespace: {error}"))?;
    mounts::enter(&spec, init.dir)?;
    streams(stdio, teller, true)?;
    finish(&spec.process, teller)
}

fn finish(process: &Process, teller: BorrowedFd<'_>) -> Result<(), String> {
    close_on_exec();
    program::become_process(process, &mut |text| {
        drop(protocol::send(teller, &Note::Warning(text), &[]))
    })
}

fn read_spec(dir: &Path) -> Result<Spec, String> {
    let spec =
        record::read(&dir.join(record::SPEC)).map_err(|error| format!("read container spec: {error}"))?;
    spec.ok_or_else(|| "the container has no spec".to_owned())
}

/// Gives the process its standard streams, or a terminal of its own.
fn streams(stdio: Stdio, teller: BorrowedFd<'_>, console: bool) -> Result<(), String> {
    let said = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    setsid().map_err(|e| said("setsid")(e.into()))?;
    let ends = match stdio {
        Some(ends) => ends,
        None => {
            let (master, slave, number) = terminal::open().map_err(said("open terminal"))?;
            protocol::send(teller, &Note::Terminal, &[master.as_raw_fd()]).map_err(said("send terminal"))?;
            terminal::control(slave.as_fd()).map_err(said("control terminal"))?;
            if console {
                mounts::console(number)?;
            }
            let copy = || slave.try_clone().map_err(said("copy terminal"));
            [copy()?, copy()?, slave]
        }
    };
    for (end, number) in ends.iter().zip(0..) {
        duplicate(end.as_raw_fd(), number).map_err(said("set standard streams"))?;
    }
    Ok(())
}

/// The supervisor reads its signals from a descriptor and Rust ignores SIGPIPE: a program expects neither.
fn prepare_signals() -> Result<(), String> {
    let restore = || {
        #[expect(unsafe_code, reason = "signal(2)")]
        // SAFETY: the default action is no handler of ours.
        unsafe {
            nix::sys::signal::signal(Signal::SIGPIPE, nix::sys::signal::SigHandler::SigDfl)?;
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
    };
    restore().map_err(|error: nix::Error| format!("restore signals: {error}"))
}

fn adjust_oom_score(score: i32, teller: BorrowedFd<'_>) {
    if let Err(error) = fs::write("/proc/self/oom_score_adj", score.to_string()) {
        let text = format!("oom_score_adj {score} cannot be set: {error}");
        let _ = protocol::send(teller, &Note::Warning(text), &[]);
    }
}

fn join_namespaces(of: i32, flags: CloneFlags) -> Result<(), String> {
    let pid = rustix::process::Pid::from_raw(of).ok_or_else(|| "no such process".to_owned())?;
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
    let pidfd = pidfd.map_err(|error| format!("open process {of}: {error}"))?;
    setns(pidfd, flags).map_err(|error| format!("join namespaces of process {of}: {error}"))
}

/// Goes on as a new child of the supervisor, in the process namespace just joined.
fn become_sibling(flags: libc::c_int, teller: BorrowedFd<'_>) -> Result<(), String> {
    match clone(flags | libc::CLONE_PARENT) {
        Ok(None) => Ok(()),
        Ok(Some(pid)) => {
            let told = protocol::send(teller, &Note::Pid(pid), &[]);
            leave(i32::from(told.is_err()));
        }
        Err(error) => Err(format!("clone: {error}")),
    }
}

/// As fork, with flags. `None` in the child.
fn clone(flags: libc::c_int) -> io::Result<Option<i32>> {
    let flags = libc::c_long::from(flags | libc::SIGCHLD);
    #[expect(unsafe_code, reason = "clone with flags that fork does not have")]
    // SAFETY: without CLONE_VM and with no stack given this is fork; the supervisor has one thread, so no lock can be
    // held in the child.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match pid {
        0 => Ok(None),
        pid if pid > 0 => Ok(Some(pid as i32)),
        _ => Err(io::Error::last_os_error()),
    }
}

fn leave(code: i32) -> ! {
    #[expect(
        unsafe_code,
        reason = "a forked child must not run the supervisor's exit handlers"
    )]
    // SAFETY: ends the process.
    unsafe {
        libc::_exit(code)
    }
}

fn duplicate(from: i32, to: i32) -> io::Result<()> {
    #[expect(unsafe_code, reason = "dup2 onto the standard streams of a launch child")]
    // SAFETY: takes numbers only; nothing in this process owns descriptors 0 to 2.
    let result = unsafe { libc::dup2(from, to) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Closes all but the standard streams, of which others may wait for the end.
fn close_all() {
    #[expect(unsafe_code, reason = "close_range has no safe wrapper")]
    // SAFETY: the caller is a forked child that goes on without any descriptor it inherited.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0);
    }
}

/// Nothing but the standard streams goes over to the program.
fn close_on_exec() {
    #[expect(unsafe_code, reason = "close_range has no safe wrapper")]
    // SAFETY: takes numbers only; marks descriptors, closes none.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}
