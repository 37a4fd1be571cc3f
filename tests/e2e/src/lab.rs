//! A machine for one cluster: network, mount and process namespaces of its own, on a small network with a registry and a
//! name server on it, and no way out. All of it hangs on two processes and goes with them, also when the tests are killed.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::registry::Registry;
use crate::resolver::Resolver;
use crate::{artifacts, kernel, process, wait};

/// The address of the machine, which a node takes for its own.
pub const NODE: &str = "10.99.0.2";
/// The other end of the network, where the registry is and where the default route leads.
pub const LAN: &str = "10.99.0.1";
/// The registry's port.
const REGISTRY_PORT: u16 = 5000;

/// The public registries that it stands for.
const MIRRORED: &[&str] = &["docker.io", "registry.k8s.io", "quay.io", "us-docker.pkg.dev"];

/// What the first process of the machine does: it makes the places private where a node writes, and then takes in orphans.
const INIT: &str = r#"
set -e
mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns /run/lab/folder
mount --bind "$0" /run/lab/folder
for place in etc opt var/lib var/log; do
    mkdir -p "/run/lab/upper/$place" "/run/lab/overlay/$place"
    mount -t overlay -o "lowerdir=/$place,upperdir=/run/lab/upper/$place,workdir=/run/lab/overlay/$place" overlay "/$place"
done
mount --bind /run/lab/folder "$0"
rm -f /etc/resolv.conf
echo "nameserver 10.99.0.1" > /etc/resolv.conf
ip link set lo up
touch "$0/made"
while :; do sleep 1000 & wait $!; done
"#;

/// The machine; it ends, with all that runs in it, when this is dropped.
#[derive(Debug)]
pub struct Lab {
    folder: PathBuf,
    holder: Child,
    lan_holder: Child,
    init: u32,
    registry: Option<Registry>,
    resolver: Option<Resolver>,
    cgroups_before: BTreeSet<PathBuf>,
    mounts_before: BTreeSet<String>,
}

impl Lab {
    /// Makes the machine and starts the registry. To be called from a thread that outlives the machine: it is bound to it.
    pub fn new() -> Result<Lab> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        ensure!(
            rustix::process::geteuid().is_root(),
            "the lab makes namespaces and mounts, which needs root"
        );
        let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = artifacts::target().join("labs").join(name);
        fs::create_dir_all(folder.join("home"))?;
        let cgroups_before = kernel::cgroups();
        let holder = held(&[
            "--net",
            "--mount",
            "--pid",
            "--mount-proc",
            "--propagation",
            "private",
        ])
        .args(["sh", "-c", INIT])
        .arg(&folder)
        .stderr(fs::File::create(folder.join("init.log"))?)
        .spawn()
        .context("make namespaces with unshare")?;
        let lan_holder = held(&["--net"]).args(["sleep", "infinity"]).spawn()?;
        let mut lab = Lab {
            folder,
            holder,
            lan_holder,
            init: 0,
            registry: None,
            resolver: None,
            cgroups_before,
            mounts_before: BTreeSet::new(),
        };
        lab.connect()
            .with_context(|| fs::read_to_string(lab.folder.join("init.log")).unwrap_or_default())?;
        Ok(lab)
    }

    fn connect(&mut self) -> Result<()> {
        let limit = Duration::from_secs(20);
        let made = self.folder.join("made");
        let ended = wait::until("the namespaces of the lab", limit, || {
            Ok(if made.exists() {
                Some(None)
            } else {
                self.holder.try_wait()?.map(Some)
            })
        })?;
        ensure!(ended.is_none(), "the first process of the lab ended");
        let init = |holder: u32| wait::until("a first process", limit, || Ok(kernel::child_of(holder)));
        self.init = init(self.holder.id())?;
        let lan = init(self.lan_holder.id())?;
        let lan_ip = |words: &str| in_network(lan, words);
        let node_ip = |words: &str| in_network(self.init, words);
        node_ip(&format!("ip link add lan0 type veth peer name lan0 netns {lan}"))?;
        for (ip, address) in [(&lan_ip as &dyn Fn(&str) -> Result<()>, LAN), (&node_ip, NODE)] {
            ip("ip link set lo up")?;
            ip(&format!("ip address add {address}/24 dev lan0"))?;
            ip("ip link set lan0 up")?;
        }
        node_ip(&format!("ip route add default via {LAN}"))?;
        let address = SocketAddr::new(LAN.parse()?, REGISTRY_PORT);
        let enter = ["nsenter", "--target", &lan.to_string(), "--net"].map(String::from);
        let storage = artifacts::images().join("storage");
        ensure!(
            storage.exists(),
            "no images in {}: run `cargo xtask images`",
            artifacts::images().display()
        );
        self.registry = Some(Registry::start(
            address,
            &storage,
            &self.folder.join("registry"),
            &enter,
        )?);
        self.resolver = Some(Resolver::start(LAN, lan)?);
        fs::write(self.registries(), self.registries_text())?;
        self.mounts_before = kernel::mounts(self.init);
        Ok(())
    }

    /// A folder of the machine, the same inside and outside.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file that names the registry as a mirror of the public ones, and one registry that does not answer.
    pub fn registries(&self) -> PathBuf {
        self.folder.join("registries.yaml")
    }

    fn registries_text(&self) -> String {
        let mirror =
            |name: &str, port: u16| format!("  {name}:\n    endpoint:\n      - http://{LAN}:{port}\n");
        let mirrors = MIRRORED.iter().map(|name| mirror(name, REGISTRY_PORT));
        let dead = mirror("dead.example", REGISTRY_PORT + 1);
        format!("mirrors:\n{}{dead}", mirrors.collect::<String>())
    }

    /// A command in all namespaces of the machine.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.init.to_string(), "--net", "--mount", "--pid"])
            .arg(program);
        command
            .env("HOME", self.folder.join("home"))
            .env_remove("KUBECONFIG")
            .current_dir("/");
        command
    }

    /// A command in the network of the machine, and else outside of it.
    pub fn network_command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.init.to_string(), "--net"])
            .arg(program);
        command.env("HOME", self.folder.join("home"));
        command
    }

    /// The processes of the machine, without those of pods and without its first one and that one's clock.
    pub fn processes(&self) -> Vec<u32> {
        let own = |pid: &u32| *pid != self.init && kernel::command_line(*pid) != "sleep 1000";
        kernel::peers_of(self.init).into_iter().filter(own).collect()
    }

    /// The processes in pods: those of the machine that are in a pid namespace of their own.
    pub fn containers(&self) -> Vec<u32> {
        let peers = kernel::peers_of(self.init);
        kernel::descendants_of(self.init)
            .into_iter()
            .filter(|pid| !peers.contains(pid))
            .collect()
    }

    /// The control groups for pods that did not stand here before the machine was made.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        kernel::cgroups()
            .difference(&self.cgroups_before)
            .cloned()
            .collect()
    }

    /// The mounts of the machine, beside those that it was made with.
    pub fn mounts(&self) -> Vec<String> {
        kernel::mounts(self.init)
            .difference(&self.mounts_before)
            .cloned()
            .collect()
    }

    /// The names of the network devices, beside those that the machine was made with.
    pub fn links(&self) -> Result<Vec<String>> {
        let said = process::output(self.network_command("ip").args(["-brief", "link"]))?;
        let names = said.lines().filter_map(|line| line.split([' ', '@']).next());
        Ok(names
            .filter(|name| !["lo", "lan0"].contains(name))
            .map(str::to_owned)
            .collect())
    }

    /// The packet filter's rules, as nft prints them.
    pub fn rules(&self) -> Result<String> {
        process::output(self.network_command("nft").args(["list", "ruleset"]))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.registry = None;
        self.resolver = None;
        let members = kernel::peers_of(self.init);
        for holder in [&mut self.holder, &mut self.lan_holder] {
            let _ = holder.kill();
            let _ = holder.wait();
        }
        let gone = || {
            Ok(members
                .iter()
                .all(|pid| !Path::new(&format!("/proc/{pid}")).exists())
                .then_some(()))
        };
        if self.init != 0
            && let Err(error) = wait::until("the lab's processes to end", Duration::from_secs(20), gone)
        {
            eprintln!("{error:#}");
        }
        // Those that are below come later in the order, so that the reverse removes the leaves first. What another cluster
        // uses just now is not empty and stays.
        for group in self.cgroups().iter().rev() {
            let _ = fs::remove_dir(group);
        }
        if std::env::var("KEEP_LAB").is_err() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The start of a command that holds new namespaces until this thread ends.
fn held(namespaces: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "unshare", "--fork", "--kill-child"])
        .args(namespaces);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn in_network(member: u32, words: &str) -> Result<()> {
    let words = words.split(' ');
    process::output(
        Command::new("nsenter")
            .args(["--target", &member.to_string(), "--net"])
            .args(words),
    )
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(command: &mut Command, words: &str) -> String {
        process::output(command.args(words.split(' '))).unwrap()
    }

    #[test]
    fn a_lab_has_a_network_with_a_registry_and_no_way_out() {
        let lab = Lab::new().unwrap();
        let registry = "/dev/tcp/10.99.0.1/5000";
        let ask = format!("exec 3<>{registry}; printf 'GET /v2/_catalog HTTP/1.0\r\n\r\n' >&3; cat <&3");
        let catalog = wait::until("the registry to answer", Duration::from_secs(20), || {
            process::output(lab.network_command("bash").arg("-c").arg(&ask)).map(Some)
        });
        assert!(catalog.unwrap().contains("library/nginx"));
        assert!(says(&mut lab.network_command("ip"), "route").contains("default via 10.99.0.1"));
        // Only its own devices are there, so that nothing leads out.
        assert_eq!(lab.links().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_lab_keeps_what_is_written_to_itself_and_leaves_nothing() {
        let lab = Lab::new().unwrap();
        let folder = lab.folder().to_path_buf();
        let script = "mkdir -p /etc/cni/net.d /opt/cni/bin /var/lib/ferrokube/store; sleep 54321 & mount -t tmpfs x /mnt";
        process::output(
            lab.command("setsid")
                .args(["sh", "-c", &format!("({script}) >/dev/null 2>&1")]),
        )
        .unwrap();
        assert_eq!(lab.mounts(), ["/mnt"]);
        process::output(lab.command("ls").arg("/var/lib/ferrokube/store")).unwrap();
        assert!(!Path::new("/etc/cni").exists() && !Path::new("/var/lib/ferrokube").exists());
        let sleeper = lab.processes();
        assert_eq!(
            sleeper
                .iter()
                .map(|pid| kernel::command_line(*pid))
                .collect::<Vec<_>>(),
            ["sleep 54321"]
        );
        drop(lab);
        assert!(!folder.exists());
        assert!(
            !sleeper
                .iter()
                .any(|pid| Path::new(&format!("/proc/{pid}")).exists())
        );
    }
}
