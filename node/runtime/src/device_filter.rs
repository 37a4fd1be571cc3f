//! The device rules of cgroup version 2: a small BPF program on the group, of the same effect as the version 1 list.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::Path,
};

const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// Access in the high half of the context's first word: 1 mknod, 2 read, 4 write. Kind in the low half: 1 block, 2
/// character.
const MKNOD: i32 = 1;
const CHARACTER: i32 = 2;

/// Character devices that may be opened: null, zero, full, random, urandom, tty, ptmx, and all pseudo terminals.
const DEVICES: [(i32, Option<i32>); 8] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(2)),
    (136, None),
];

/// One instruction: code, registers (source in the high half), offset, constant.
type Instruction = (u8, u8, i16, i32);

const EXIT: Instruction = (0x95, 0, 0, 0);
const DENY: Instruction = (0xb7, 0, 0, 0);
const ALLOW: Instruction = (0xb7, 0, 0, 1);

/// Jumps over `count` instructions unless register `register` equals `value`.
const fn skip_unless(register: u8, value: i32, count: i16) -> Instruction {
    (0x55, register, count, value)
}

fn program() -> Vec<Instruction> {
    let mut code = vec![
        (0x61, 0x12, 0, 0),      // r2 = kind and access
        (0x61, 0x14, 4, 0),      // r4 = major
        (0x61, 0x15, 8, 0),      // r5 = minor
        (0xbf, 0x23, 0, 0),      // r3 = r2
        (0x57, 0x03, 0, 0xffff), // r3 &= 0xffff: kind
        (0x77, 0x02, 0, 16),     // r2 >>= 16: access
        // Making a node needs a capability and opens nothing.
        skip_unless(2, MKNOD, 2),
        ALLOW,
        EXIT,
        skip_unless(3, CHARACTER, 1),
        (0x05, 0, 2, 0),
        DENY,
        EXIT,
    ];
    for (major, minor) in DEVICES {
        code.push(skip_unless(4, major, if minor.is_some() { 3 } else { 2 }));
        code.extend(minor.map(|minor| skip_unless(5, minor, 2)));
        code.extend([ALLOW, EXIT]);
    }
    code.extend([DENY, EXIT]);
    code
}

#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    rest: [u64; 14],
}

#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    rest: [u64; 14],
}

/// Puts the rules on the group with the folder `dir`.
pub(crate) fn attach(dir: &Path) -> io::Result<()> {
    let group = File::open(dir)?;
    let code = encode();
    let load = Load {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: (code.len() / 8) as u32,
        instructions: code.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..Load::default()
    };
    let program = own(bpf(PROG_LOAD, &load)?);
    let attach = Attach {
        target: group.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
        ..Attach::default()
    };
    bpf(PROG_ATTACH, &attach).map(drop)
}

fn encode() -> Vec<u8> {
    let program = program();
    let mut bytes = Vec::with_capacity(program.len() * 8);
    for (code, registers, offset, constant) in program {
        // The kernel has the destination in the low half.
        bytes.extend([code, registers]);
        bytes.extend(offset.to_le_bytes());
        bytes.extend(constant.to_le_bytes());
    }
    bytes
}

fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<i32> {
    #[expect(unsafe_code, reason = "bpf(2) has no safe wrapper")]
    // SAFETY: the pointer and size are those of a live `repr(C)` value; what it points to outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes as *const T, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as i32)
    }
}

fn own(fd: i32) -> OwnedFd {
    #[expect(unsafe_code, reason = "a descriptor that bpf(2) has just made")]
    // SAFETY: the kernel has just made this descriptor for this process; it is wrapped exactly once.
    unsafe {
        OwnedFd::from_raw_fd(fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup;
    use std::fs;

    /// The version 2 hierarchy takes device programs even where version 1 has the controllers.
    #[test]
    fn a_disk_cannot_be_opened_and_null_can() {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let unified = mounts
            .lines()
            .find(|line| line.contains(" - cgroup2 "))
            .expect("a cgroup2 mount");
        let dir =
            Path::new(unified.split(' ').nth(4).unwrap()).join(format!("filter-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let attached = attach(&dir);
        let run = |path: &str| {
            let script = format!(
                "echo $$ > {}/cgroup.procs && exec head -c 1 {path} > /dev/null",
                dir.display()
            );
            std::process::Command::new("sh")
                .args(["-c", &script])
                .output()
                .unwrap()
                .status
                .success()
        };
        let (null, kmsg) = (run("/dev/zero"), run("/dev/kmsg"));
        assert_eq!(cgroup::processes(&dir), Vec::<i32>::new());
        fs::remove_dir(&dir).unwrap();
        attached.unwrap();
        assert!(null && !kmsg, "zero {null}, kmsg {kmsg}");
    }
}
