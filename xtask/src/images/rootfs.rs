//! The contents of the layers: files of Debian packages, and the little that packages leave to their install scripts.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use e2e::process;

use crate::apt;

/// Packages that serve to install others, or that nothing in an image calls.
const LEAVE: &[&str] = &[
    "cdebconf",
    "debconf",
    "dpkg",
    "gawk",
    "init-system-helpers",
    "install-info",
    "iproute2",
    "mawk",
    "perl",
    "tar",
];

/// What a Debian image has for a person who looks around in it.
const BASE: &[&str] = &[
    "base-files",
    "base-passwd",
    "bash",
    "coreutils",
    "dash",
    "grep",
    "hostname",
    "sed",
];

/// The server, and its module for TCP and UDP streams.
const NGINX: &[&str] = &["nginx-light", "libnginx-mod-stream"];

/// Folders of packages that an image does not need.
const UNUSED: &[&str] = &[
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
];

/// The layers, as folders.
pub struct Layers {
    pub base: PathBuf,
    pub nginx: PathBuf,
    pub busybox: PathBuf,
}

impl Layers {
    /// Fetches and unpacks the packages of every layer below `scratch`.
    pub fn build(scratch: &Path) -> Result<Layers> {
        let base_packages = apt::closure(BASE, LEAVE)?;
        let nginx_packages = &apt::closure(NGINX, LEAVE)? - &base_packages;
        let layers = Layers {
            base: scratch.join("base"),
            nginx: scratch.join("nginx"),
            busybox: scratch.join("busybox"),
        };
        unpack(&base_packages, scratch, &layers.base)?;
        finish_base(&layers.base)?;
        unpack(&nginx_packages, scratch, &layers.nginx)?;
        finish_nginx(&layers.nginx)?;
        unpack(&[String::from("busybox-static")].into(), scratch, &layers.busybox)?;
        finish_busybox(&layers.busybox)?;
        check(scratch, &layers)?;
        Ok(layers)
    }
}

/// The layer on top of nginx: the site of the public image, with a marker of the version, and Debian's own site whited out.
pub fn site(scratch: &Path, version: &str) -> Result<PathBuf> {
    let root = scratch.join(format!("site-{}", version.replace('.', "-")));
    let html = root.join("usr/share/nginx/html");
    write(&html.join("index.html"), INDEX)?;
    write(&html.join("version"), &format!("{version}\n"))?;
    write(&root.join("etc/nginx/conf.d/default.conf"), SITE)?;
    write(&root.join("etc/nginx/sites-enabled/.wh.default"), "")?;
    Ok(root)
}

const INDEX: &str = "<!DOCTYPE html>\n<html>\n<head>\n<title>Welcome to nginx!</title>\n</head>\n<body>\n\
                     <h1>Welcome to nginx!</h1>\n</body>\n</html>\n";

const SITE: &str = "server {\n    listen 80;\n    server_name localhost;\n    location / {\n        \
                    root /usr/share/nginx/html;\n        index index.html;\n    }\n}\n";

fn write(file: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(file.parent().context("a file without a folder")?)?;
    fs::write(file, text).with_context(|| format!("write {}", file.display()))
}

fn unpack(packages: &BTreeSet<String>, scratch: &Path, root: &Path) -> Result<()> {
    for name in ["bin", "sbin", "lib", "lib64"] {
        fs::create_dir_all(root.join("usr").join(name))?;
        symlink(format!("usr/{name}"), root.join(name))?;
    }
    for file in apt::download(packages, &scratch.join("packages"))? {
        apt::unpack(&file, root)?;
    }
    for name in UNUSED {
        let _ = fs::remove_dir_all(root.join(name));
    }
    Ok(())
}

fn finish_base(root: &Path) -> Result<()> {
    for name in ["passwd", "group"] {
        fs::copy(
            root.join("usr/share/base-passwd").join(format!("{name}.master")),
            root.join("etc").join(name),
        )?;
    }
    write(
        &root.join("etc/nsswitch.conf"),
        "passwd: files\ngroup: files\nhosts: files dns\n",
    )?;
    for name in ["dev", "proc", "run", "sys", "tmp", "root"] {
        fs::create_dir_all(root.join(name))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    if !root.join("bin/sh").exists() {
        symlink("dash", root.join("bin/sh"))?;
    }
    Ok(())
}

/// As the public image has it: logs go to the container's output.
fn finish_nginx(root: &Path) -> Result<()> {
    let log = root.join("var/log/nginx");
    fs::create_dir_all(&log)?;
    symlink("/dev/stdout", log.join("access.log"))?;
    symlink("/dev/stderr", log.join("error.log"))?;
    fs::create_dir_all(root.join("var/lib/nginx"))?;
    let enabled = root.join("etc/nginx/sites-enabled");
    fs::create_dir_all(&enabled)?;
    symlink("/etc/nginx/sites-available/default", enabled.join("default")).context("enable Debian's site")
}

/// As the public image has it: one program, and a hard link to it for each of its commands.
fn finish_busybox(root: &Path) -> Result<()> {
    let program = root.join("bin/busybox");
    for name in process::output(Command::new(&program).arg("--list"))?
        .lines()
        .filter(|name| *name != "busybox")
    {
        fs::hard_link(&program, root.join("bin").join(name)).with_context(|| format!("link {name}"))?;
    }
    write(
        &root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    )?;
    write(&root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
    for name in ["dev", "home", "proc", "root", "sys", "tmp", "var"] {
        fs::create_dir_all(root.join(name))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).context("open /tmp")
}

/// Runs the programs in the root that the layers make together.
fn check(scratch: &Path, layers: &Layers) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let whole = scratch.join("whole");
    for layer in [&layers.base, &layers.nginx, &site(scratch, "check")?] {
        let script = r#"set -e; mkdir -p "$1"; tar -C "$0" -c . | tar -C "$1" -x --keep-directory-symlink"#;
        process::output(
            Command::new("bash")
                .args(["-o", "pipefail", "-c", script])
                .arg(layer)
                .arg(&whole),
        )?;
    }
    fs::remove_file(whole.join("etc/nginx/sites-enabled/default"))?;
    fs::remove_file(whole.join("etc/nginx/sites-enabled/.wh.default"))?;
    write(&whole.join("dev/null"), "")?;
    let inside = |root: &Path, command: &[&str]| {
        process::run(Command::new("chroot").arg(root).args(command), "").map(|done| (done.code, done.stderr))
    };
    for (root, command) in [
        (&whole, &["nginx", "-t"][..]),
        (&whole, &["sh", "-c", "ls / | grep -q etc && id www-data"]),
        (&layers.busybox, &["wget", "--help"]),
        (&layers.busybox, &["sh", "-c", "true"]),
    ] {
        let (code, stderr) = inside(root, command)?;
        ensure!(code == 0, "{command:?} in the image ended with {code}: {stderr}");
    }
    Ok(())
}
