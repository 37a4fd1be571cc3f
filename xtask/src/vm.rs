//! `cargo xtask vm`: runs the pod tests of the container runtime in QEMU, on Debian's kernel, where cgroups are version 2. It is
//! not part of CI: the machine is emulated, and takes about five minutes.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use e2e::{artifacts, process};

use crate::{apt, tools::Scratch};

/// What has to be installed: a program, its package, and what for.
const NEEDS: &[(&str, &str, &str)] = &[
    ("qemu-system-x86_64", "qemu-system-x86", "the machine"),
    ("cpio", "cpio", "its file system"),
    ("busybox", "busybox-static", "its programs"),
];

/// The emulated machine ends after so many seconds, whatever it is at.
const LIMIT: &str = "900";

/// A file system of its own first: the root cannot be pivoted away from the initial one.
const FIRST: &str = "#!/bin/busybox sh
/bin/busybox mkdir -p /new
/bin/busybox mount -t tmpfs -o size=1500m new /new
for each in /*; do [ $each = /new ] || /bin/busybox cp -a $each /new/; done
exec /bin/busybox switch_root /new /second
";

/// What to run.
#[derive(clap::Args)]
pub struct Options {
    /// Only tests whose name contains this.
    #[arg(default_value = "pods::")]
    filter: String,
}

/// Runs the tests; true if all passed.
pub fn run(options: &Options) -> Result<bool> {
    apt::install(NEEDS)?;
    let (kernel, modules) = kernel()?;
    let (test, hook) = programs()?;
    let scratch = Scratch::new("vm")?;
    let root = scratch.0.join("root");
    fill(&root, &modules, &test, &hook, &options.filter)?;
    let image = scratch.0.join("initrd");
    let pack = format!("find . | cpio --quiet -o -H newc | gzip -1 > {}", image.display());
    process::output(Command::new("sh").args(["-c", &pack]).current_dir(&root))?;
    boot(&kernel, &image)
}

/// Debian's kernel and the folder of its modules, from the cache.
fn kernel() -> Result<(PathBuf, PathBuf)> {
    let folder = artifacts::cache().join("vm");
    if !folder.join("boot").exists() {
        let said = process::output(Command::new("apt-cache").args(["depends", "linux-image-amd64"]))?;
        let package = said
            .split_whitespace()
            .find(|word| word.starts_with("linux-image-") && *word != "linux-image-amd64");
        let package = BTreeSet::from([package
            .context("linux-image-amd64 depends on no kernel")?
            .to_owned()]);
        fs::create_dir_all(&folder)?;
        for file in apt::download(&package, &folder)? {
            apt::unpack(&file, &folder)?;
        }
    }
    let only = |folder: &Path, start: &str| -> Result<PathBuf> {
        let entries = fs::read_dir(folder)?
            .filter_map(Result::ok)
            .map(|entry| entry.path());
        let mut found = entries.filter(|path| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with(start))
        });
        found
            .next()
            .with_context(|| format!("no {start} in {}", folder.display()))
    };
    let modules = only(&folder.join("lib/modules"), "")?;
    Ok((only(&folder.join("boot"), "vmlinuz")?, modules))
}

/// The runtime's test program, and the program that its supervisors run.
fn programs() -> Result<(PathBuf, PathBuf)> {
    let mut build = Command::new("cargo");
    build.args([
        "test",
        "--package",
        "runtime",
        "--test",
        "runtime",
        "--no-run",
        "--message-format=json",
    ]);
    let said = process::output(build.stderr(Stdio::inherit()))?;
    let name = |line: &str| {
        line.split("\"executable\":\"")
            .nth(1)?
            .split('"')
            .next()
            .map(PathBuf::from)
    };
    let programs: Vec<PathBuf> = said.lines().filter_map(name).collect();
    let find = |wanted: &dyn Fn(&str) -> bool| {
        programs
            .iter()
            .find(|path| path.file_name().is_some_and(|n| wanted(&n.to_string_lossy())))
            .cloned()
    };
    let hook = find(&|name| name == "runtime-hook").context("cargo made no runtime-hook")?;
    let test = find(&|name| name.starts_with("runtime-") && name != "runtime-hook");
    Ok((test.context("cargo made no test program of runtime")?, hook))
}

/// Lays the machine's files out. Programs stand where they were built, for they know each other by path.
fn fill(root: &Path, modules: &Path, test: &Path, hook: &Path, filter: &str) -> Result<()> {
    for folder in [
        "bin",
        "dev",
        "etc/ssl/certs",
        "proc",
        "run",
        "sys",
        "tmp",
        "usr/bin",
        "var/lib",
    ] {
        fs::create_dir_all(root.join(folder))?;
    }
    let place = |from: &Path, to: &Path| -> Result<()> {
        let to = root.join(to.strip_prefix("/").unwrap_or(to));
        fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
        fs::copy(from, &to).with_context(|| format!("copy {}", from.display()))?;
        Ok(())
    };
    let busybox = process::find("busybox").context("no busybox")?;
    place(&busybox, Path::new("/bin/busybox"))?;
    place(&busybox, &busybox)?;
    place(
        &modules.join("kernel/fs/overlayfs/overlay.ko"),
        Path::new("/overlay.ko"),
    )?;
    place(
        Path::new("/etc/ssl/certs/ca-certificates.crt"),
        Path::new("/etc/ssl/certs/ca-certificates.crt"),
    )?;
    for program in [test, hook] {
        place(program, program)?;
        let inside = root.join(program.strip_prefix("/").unwrap_or(program));
        process::output(Command::new("strip").arg(inside))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    let second = format!(
        "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /dev/mqueue; mount -t devpts devpts /dev/pts
mount -t tmpfs tmp /tmp; mount -t tmpfs run /run; mount -t cgroup2 cgroup2 /sys/fs/cgroup
insmod /overlay.ko
ip link set lo up
echo \"Linux $(uname -r), cgroup v2 with $(cat /sys/fs/cgroup/cgroup.controllers)\"
{} --test-threads=1 {filter}
poweroff -f
",
        test.display()
    );
    for (name, text) in [("init", FIRST), ("second", &second)] {
        let path = root.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Runs the machine and shows what it prints; true if the tests passed.
fn boot(kernel: &Path, image: &Path) -> Result<bool> {
    let mut qemu = Command::new("timeout");
    qemu.args([
        LIMIT,
        "qemu-system-x86_64",
        "-accel",
        "tcg",
        "-cpu",
        "max",
        "-m",
        "3072",
        "-smp",
        "2",
    ]);
    qemu.args([
        "-nographic",
        "-no-reboot",
        "-net",
        "none",
        "-append",
        "console=ttyS0 panic=-1 quiet rdinit=/init",
    ]);
    qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(image);
    let mut machine = qemu
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("start QEMU")?;
    let out = machine.stdout.take().context("QEMU has no output")?;
    let mut passed = None;
    for line in BufReader::new(out).lines() {
        let line = line?;
        println!("{line}");
        if line.contains("test result: ") {
            passed = Some(line.contains("test result: ok"));
        }
    }
    machine.wait()?;
    match passed {
        Some(passed) => Ok(passed),
        None => bail!("the machine ended before the tests did"),
    }
}
