//! What a supervisor does before it serves: namespaces, shared memory, kernel parameters, socket, signals.

use super::serve::Supervisor;
use crate::{
    cgroup, launch,
    record::{self, SUPERVISOR, SupervisorRecord},
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::{
        prctl,
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
        socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket},
        stat::{Mode, umask},
    },
    unistd::{sethostname, setsid},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
};

/// Enters the sandbox described in `dir`.
pub(super) fn enter(dir: &Path) -> Result<Supervisor, String> {
    let said = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let record: SupervisorRecord = record::read(&dir.join(SUPERVISOR))
        .map_err(said("read supervisor record"))?
        .ok_or_else(|| format!("{} has no {SUPERVISOR}", dir.display()))?;
    setsid().map_err(|e| said("setsid")(e.into()))?;
    prctl::set_child_subreaper(true).map_err(|e| said("become subreaper")(e.into()))?;
    umask(Mode::from_bits_truncate(0o022));
    cgroup::join(&record.cgroups).map_err(said("join cgroup"))?;
    quiet_streams(dir).map_err(said("open supervisor log"))?;
    if let Err(error) = fs::write("/proc/self/oom_score_adj", "-998") {
        // Stderr is the supervisor's log: that is where the record of it belongs.
        eprintln!(
            "oom_score_adj -998 cannot be set, the supervisor may be killed for want of memory: {error}"
        );
    }
    namespaces(&record)?;
    for (name, value) in &record.sysctls {
        // A slash stands for a dot in a part, as in `net.ipv4.conf.eth0/100.forwarding`.
        let file: String = name
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect();
        let path = Path::new("/proc/sys").join(file);
        fs::write(&path, value).map_err(|error| format!("sysctl {name}={value}: {error}"))?;
    }
    let pause = if record.share_process_namespace {
        Some(launch::start_pause().map_err(said("make process namespace"))?)
    } else {
        None
    };
    let signals = signals().map_err(said("signalfd"))?;
    let listener = listen_at(&record.socket).map_err(said("listen"))?;
    forget_code();
    Ok(Supervisor::new(listener, signals, record.socket, pause))
}

fn quiet_streams(dir: &Path) -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .open(dir.join("supervisor.log"))?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&log)?;
    Ok(())
}

fn namespaces(record: &SupervisorRecord) -> Result<(), String> {
    let mut flags = CloneFlags::empty();
    flags.set(CloneFlags::CLONE_NEWNET, record.netns.is_some());
    flags.set(CloneFlags::CLONE_NEWIPC, !record.host_ipc);
    flags.set(CloneFlags::CLONE_NEWUTS, !record.hostname.is_empty());
    unshare(flags).map_err(|error| format!("unshare namespaces: {error}"))?;
    if !record.hostname.is_empty() {
        sethostname(&record.hostname).map_err(|error| format!("set host name: {error}"))?;
    }
    if let Some(netns) = &record.netns {
        loopback_up().map_err(|error| format!("bring up lo: {error}"))?;
        File::create(netns).map_err(|error| format!("{}: {error}", netns.display()))?;
        let none = None::<&str>;
        mount(Some("/proc/self/ns/net"), netns, none, MsFlags::MS_BIND, none)
            .map_err(|error| format!("bind network namespace: {error}"))?;
    }
    if let Some(shm) = &record.shm {
        fs::create_dir_all(shm).map_err(|error| format!("{}: {error}", shm.display()))?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(
            Some("shm"),
            shm,
            Some("tmpfs"),
            flags,
            Some("mode=1777,size=65536k"),
        )
        .map_err(|error| format!("mount shared memory: {error}"))?;
    }
    Ok(())
}

fn loopback_up() -> io::Result<()> {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: (libc::IFF_UP | libc::IFF_RUNNING) as i16,
        },
    };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    #[expect(unsafe_code, reason = "SIOCSIFFLAGS")]
    // SAFETY: the pointer is to a live `ifreq`, which is what this request reads.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn signals() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        set.add(signal);
    }
    set.thread_block()?;
    Ok(SignalFd::with_flags(
        &set,
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?)
}

fn listen_at(path: &Path) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    let _ = fs::remove_file(path);
    let old = umask(Mode::from_bits_truncate(0o077));
    let bound = bind(listener.as_raw_fd(), &UnixAddr::new(path)?);
    umask(old);
    bound?;
    listen(&listener, Backlog::new(64).map_err(io::Error::from)?)?;
    Ok(listener)
}

/// Lets go of the program pages that only the setup needed; those that the loop needs come back by themselves.
fn forget_code() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    // Only code: read-only data may have been relocated at the start.
    for line in maps
        .lines()
        .filter(|line| line.contains(" r-xp ") && line.contains("memfd:"))
    {
        let Some((start, end)) = line.split(' ').next().and_then(|range| range.split_once('-')) else {
            continue;
        };
        let parse = |text| usize::from_str_radix(text, 16);
        let (Ok(start), Ok(end)) = (parse(start), parse(end)) else {
            continue;
        };
        #[expect(unsafe_code, reason = "madvise on this program's own read-only file mappings")]
        // SAFETY: the pages are unmodified pages of a sealed file; when touched again they are mapped again as they were.
        unsafe {
            libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED);
        }
    }
    let _ = io::stderr().flush();
}
