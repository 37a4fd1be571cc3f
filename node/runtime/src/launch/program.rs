//! The last steps before the container's program: user, capabilities, filters, and the program itself.

use super::{Process, capabilities, user};
use crate::seccomp;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::{
    ffi::CString,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Becomes the process. Returns only when it cannot, with the reason in runc's words.
pub(super) fn become_process(process: &Process, warn: &mut dyn FnMut(String)) -> Result<(), String> {
    let user = user::resolve(process)?;
    let mut env = process.env.clone();
    let has = |env: &[(String, String)], name: &str| env.iter().any(|(key, _)| key == name);
    if !has(&env, "PATH") {
        env.push(("PATH".to_owned(), DEFAULT_PATH.to_owned()));
    }
    if !has(&env, "HOME") {
        env.push(("HOME".to_owned(), user.home.clone()));
    }
    for fd in 0..3 {
        // Programs of other users reopen /dev/stdout; descriptors that have no owner to change are fine as they are.
        let _ = nix::unistd::fchown(borrow(fd), Some(Uid::from_raw(user.uid)), None);
    }
    working_dir(process)?;
    let said = |what: &'static str| move |error: io::Error| format!("{what}: {error}");

    let allowed = bounding(process, warn).map_err(said("drop bounding capabilities"))?;
    if process.no_new_privs {
        rustix::thread::set_no_new_privs(true).map_err(|e| said("set no_new_privs")(e.into()))?;
    } else {
        // Without no_new_privs a filter needs the capabilities that go away next.
        process
            .seccomp
            .iter()
            .try_for_each(install)
            .map_err(said("install seccomp filter"))?;
    }
    rustix::thread::set_keep_capabilities(true).map_err(|e| said("keep capabilities")(e.into()))?;
    let groups: Vec<Gid> = user.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    setgroups(&groups).map_err(|e| said("setgroups")(e.into()))?;
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    setresgid(gid, gid, gid).map_err(|e| said("setgid")(e.into()))?;
    setresuid(uid, uid, uid).map_err(|e| said("setuid")(e.into()))?;
    let sets = CapabilitySets {
        effective: allowed,
        permitted: allowed,
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, sets).map_err(|e| said("set capabilities")(e.into()))?;

    let path = env
        .iter()
        .rev()
        .find(|(key, _)| key == "PATH")
        .map(|(_, path)| path.as_str())
        .unwrap_or_default();
    let name = process.args.first().map(String::as_str).unwrap_or_default();
    let program = look_up(name, path)?;
    if process.no_new_privs {
        process
            .seccomp
            .iter()
            .try_for_each(install)
            .map_err(said("install seccomp filter"))?;
    }
    Err(execute(&program, &process.args, &env))
}

fn working_dir(process: &Process) -> Result<(), String> {
    let cwd = if process.cwd.is_empty() { "/" } else { &process.cwd };
    let enter = || {
        if !Path::new(cwd).exists() {
            fs::create_dir_all(cwd)?;
        }
        std::env::set_current_dir(cwd)
    };
    enter().map_err(|error| {
        format!(
            "chdir to cwd ({cwd:?}) set in config.json failed: {}",
            plain(&error)
        )
    })
}

/// Cuts the bounding set to what the process may have; returns what it gets.
fn bounding(process: &Process, warn: &mut dyn FnMut(String)) -> io::Result<CapabilitySet> {
    let wanted = capabilities::bits(&process.capabilities);
    let own = rustix::thread::capabilities(None)?.permitted.bits();
    if wanted & !own != 0 {
        let names = capabilities::names(wanted & !own).join(", ");
        warn(format!(
            "capabilities that the runtime itself lacks are left out: {names}"
        ));
    }
    for number in 0..64u64 {
        if wanted & (1 << number) == 0 && !drop_bounding(number)? {
            break;
        }
    }
    Ok(CapabilitySet::from_bits_retain(wanted & own))
}

/// Drops one capability from the bounding set; false when the kernel does not know it.
fn drop_bounding(number: u64) -> io::Result<bool> {
    #[expect(
        unsafe_code,
        reason = "prctl(2) by number: newer kernels have capabilities that we cannot name"
    )]
    // SAFETY: the call takes numbers only.
    let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
    match (result, io::Error::last_os_error()) {
        (0, _) => Ok(true),
        (_, error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        (_, error) => Err(error),
    }
}

fn install(program: &seccomp::Program) -> io::Result<()> {
    let mut code: Vec<libc::sock_filter> = program
        .iter()
        .map(|(code, jt, jf, k)| libc::sock_filter {
            code: *code,
            jt: *jt,
            jf: *jf,
            k: *k,
        })
        .collect();
    let filter = libc::sock_fprog {
        len: code.len() as u16,
        filter: code.as_mut_ptr(),
    };
    #[expect(unsafe_code, reason = "seccomp(2) has no safe wrapper")]
    // SAFETY: the pointer is to a live program whose length is given with it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const filter,
        )
    };
    if result != 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The program's path, in the words of Go's `exec.LookPath`.
fn look_up(name: &str, path: &str) -> Result<PathBuf, String> {
    if name.contains('/') {
        let full = PathBuf::from(name);
        return match executable(&full) {
            Ok(()) => Ok(full),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(format!("exec: {name:?}: permission denied"))
            }
            Err(error) => Err(format!("exec: {name:?}: stat {name}: {}", plain(&error))),
        };
    }
    let mut denied = false;
    for dir in path.split(':') {
        let full = Path::new(if dir.is_empty() { "." } else { dir }).join(name);
        match executable(&full) {
            Ok(()) if !name.is_empty() => return Ok(full),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => denied = true,
            _ => {}
        }
    }
    if denied {
        return Err(format!("exec: {name:?}: permission denied"));
    }
    Err(format!("exec: {name:?}: executable file not found in $PATH"))
}

fn executable(path: &Path) -> io::Result<()> {
    let meta = fs::metadata(path)?;
    if meta.is_dir() || meta.permissions().mode() & 0o111 == 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

fn execute(program: &Path, args: &[String], env: &[(String, String)]) -> String {
    let strings = |texts: Vec<String>| texts.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
    let prepared = (
        CString::new(program.as_os_str().as_encoded_bytes()),
        strings(args.to_vec()),
        strings(env.iter().map(|(key, value)| format!("{key}={value}")).collect()),
    );
    let (Ok(path), Ok(args), Ok(env)) = prepared else {
        return "exec: an argument or a variable has a NUL byte".to_owned();
    };
    let Err(error) = nix::unistd::execve(&path, &args, &env);
    format!("exec {}: {}", program.display(), plain(&error.into()))
}

/// The error as Go says it: `no such file or directory`.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_lowercase().chain(chars).collect())
        .unwrap_or_default()
}

fn borrow(fd: i32) -> std::os::fd::BorrowedFd<'static> {
    #[expect(unsafe_code, reason = "the standard streams of a launch child")]
    // SAFETY: descriptors 0 to 2 were set up just before and are never closed in this process.
    unsafe {
        std::os::fd::BorrowedFd::borrow_raw(fd)
    }
}
