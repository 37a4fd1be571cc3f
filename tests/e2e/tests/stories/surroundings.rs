//! What a pod is given beside volumes: names and resolvers, namespaces, kernel parameters, groups, and the credentials of
//! registries.

use std::fs;
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, ensure};
use e2e::artifacts;
use e2e::cluster::Cluster;

use crate::expect::{has, same};
use crate::pod::{inside, sleeper, start, until_event, until_ready};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    a_pod_has_names_and_resolvers,
    the_hosts_namespaces_are_shared,
    kernel_parameters_are_set_or_refused,
    groups_and_filters_are_as_asked,
    a_guarded_registry_wants_a_secret,
];

const NAMES: &str = "  hostname: first
  subdomain: group
  setHostnameAsFQDN: true
  hostAliases: [{ip: 192.0.2.7, hostnames: [db, db.example]}]
  dnsConfig: {nameservers: [192.0.2.53], searches: [example.org], options: [{name: ndots, value: '2'}, {name: edns0}]}
";

fn a_pod_has_names_and_resolvers(c: &mut Cluster) -> Result<()> {
    let space = c.namespace.clone();
    start(c, "named", "", NAMES)?;
    let full = format!("first.group.{space}.svc.cluster.local");
    same(
        inside(c, "named", "hostname; cat /etc/hostname")?,
        format!("{full}\n{full}\n"),
    )?;
    let address = c.value("pod named", ".status.podIP")?;
    let hosts = inside(c, "named", "cat /etc/hosts")?;
    ensure!(
        hosts.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"),
        "{hosts}"
    );
    has(
        &hosts,
        &[
            &format!("{address}\t{full}\tfirst\n"),
            "\n# Entries added by HostAliases.\n192.0.2.7\tdb\tdb.example\n",
        ],
    )?;
    same(
        inside(c, "named", "cat /etc/resolv.conf")?,
        format!(
            "nameserver 10.96.0.10\nnameserver 192.0.2.53\nsearch {space}.svc.cluster.local svc.cluster.local cluster.local \
             example.org\noptions ndots:2 edns0\n"
        ),
    )?;
    start(c, "plain", "", "  dnsPolicy: Default\n")?;
    same(
        inside(c, "plain", "cat /etc/resolv.conf")?,
        "nameserver 10.99.0.1\n",
    )?;
    let own =
        "  dnsPolicy: None\n  dnsConfig: {nameservers: [192.0.2.1]}\n  hostnameOverride: another.name\n";
    start(c, "own", "", own)?;
    same(
        inside(c, "own", "cat /etc/resolv.conf; hostname")?,
        "nameserver 192.0.2.1\nanother.name\n",
    )?;
    let long = "a".repeat(60);
    let spec = format!("  hostname: h\n  subdomain: {long}\n  setHostnameAsFQDN: true\n");
    c.apply(&sleeper("toolong", "", &spec))?;
    until_event(c, "toolong", &["is too long (64 characters is the max"])?;
    c.apply(&sleeper("users", "", "  hostUsers: false\n"))?;
    until_event(c, "users", &["does not support user namespaces"])
}

const SHARED: &str = "  hostNetwork: true
  hostPID: true
  hostIPC: true
  dnsPolicy: ClusterFirstWithHostNet
";

fn the_hosts_namespaces_are_shared(c: &mut Cluster) -> Result<()> {
    start(c, "shares", "", SHARED)?;
    same(c.value("pod shares", ".status.podIP")?, "10.99.0.2")?;
    has(&inside(c, "shares", "ip address show lan0")?, &["10.99.0.2/24"])?;
    has(&inside(c, "shares", "ps -o args")?, &["ferrokube"])?;
    has(
        &inside(c, "shares", "cat /etc/hosts")?,
        &["# Kubernetes-managed hosts file (host network).\n"],
    )?;
    has(
        &inside(c, "shares", "cat /etc/resolv.conf")?,
        &["nameserver 10.96.0.10\n"],
    )?;
    let pair =
        "  - {name: other, image: busybox:1.28, command: [sleep, '31417']}\n  shareProcessNamespace: true\n";
    start(c, "together", "", pair)?;
    let seen = c.kubectl_words(&["exec", "together", "-c", "main", "--", "ps", "-o", "args"], "")?;
    has(&seen, &["sleep 3600", "sleep 31417"])
}

fn kernel_parameters_are_set_or_refused(c: &mut Cluster) -> Result<()> {
    let sysctl = |name: &str, value: &str| {
        format!("  securityContext: {{sysctls: [{{name: {name}, value: '{value}'}}]}}\n")
    };
    start(c, "safe", "", &sysctl("net.ipv4.ip_unprivileged_port_start", "0"))?;
    same(
        inside(c, "safe", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start")?,
        "0\n",
    )?;
    c.apply(&sleeper("unsafe", "", &sysctl("kernel.msgmax", "65536")))?;
    c.until_value("pod unsafe", ".status.phase", "Failed")?;
    same(c.value("pod unsafe", ".status.reason")?, "SysctlForbidden")?;
    same(
        c.value("pod unsafe", ".status.message")?,
        "Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted",
    )?;
    let profile = "    securityContext: {appArmorProfile: {type: RuntimeDefault}}\n";
    c.apply(&sleeper("armored", profile, ""))?;
    c.until_value("pod armored", ".status.reason", "AppArmor")?;
    has(
        &c.value("pod armored", ".status.message")?,
        &["Cannot enforce AppArmor: "],
    )
}

const GROUPS: &str = "    securityContext: {runAsUser: 0, seccompProfile: {type: Unconfined}}
    volumeMounts: [{name: data, mountPath: /data}]
  securityContext: {supplementalGroups: [4000], supplementalGroupsPolicy: Strict, fsGroup: 3000}
  volumes: [{name: data, emptyDir: {}}]
";

fn groups_and_filters_are_as_asked(c: &mut Cluster) -> Result<()> {
    start(c, "strict", GROUPS, "")?;
    let status = inside(c, "strict", "cat /proc/1/status")?;
    has(&status, &["Seccomp:\t0\n"])?;
    let groups = status
        .lines()
        .find_map(|line| line.strip_prefix("Groups:"))
        .context("no groups")?;
    same(
        groups.split_whitespace().collect::<Vec<_>>(),
        ["0", "3000", "4000"],
    )?;
    same(
        inside(
            c,
            "strict",
            "stat -c '%g %a' /data; touch /data/x; stat -c %g /data/x",
        )?,
        "3000 2777\n3000\n",
    )?;
    c.apply(&sleeper(
        "merged",
        "",
        "  securityContext: {supplementalGroups: [4000]}\n",
    ))?;
    until_ready(c, "merged")?;
    has(&inside(c, "merged", "id -G")?, &["4000"])?;
    let absent = "    securityContext: {seccompProfile: {type: Localhost, localhostProfile: nosuch.json}}\n";
    c.apply(&sleeper("filterless", absent, ""))?;
    until_event(c, "filterless", &["cannot load seccomp profile"])?;
    let privileged = "    securityContext: {privileged: true}\n";
    start(c, "mighty", privileged, "")?;
    has(
        &inside(
            c,
            "mighty",
            "mkdir -p /mnt && mount -t tmpfs x /mnt && grep /mnt /proc/mounts",
        )?,
        &["tmpfs"],
    )
}

/// A registry in the machine that asks for a name and a password.
struct Guarded(Child);

impl Guarded {
    const ADDRESS: &str = "127.0.0.1:5007";

    fn start(c: &Cluster) -> Result<Self> {
        let folder = c.lab.folder().join("guarded");
        fs::create_dir_all(&folder)?;
        // bcrypt of "s3cret".
        let line = "puller:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";
        fs::write(folder.join("htpasswd"), line)?;
        let settings = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\nhttp: {{addr: '{}'}}\nauth:\n  \
             htpasswd: {{realm: guarded, path: {}}}\n",
            artifacts::images().join("storage").display(),
            Self::ADDRESS,
            folder.join("htpasswd").display()
        );
        fs::write(folder.join("registry.yaml"), settings)?;
        let log = fs::File::create(folder.join("registry.log"))?;
        let mut command = c.lab.network_command(artifacts::tool("docker-registry"));
        command.arg("serve").arg(folder.join("registry.yaml"));
        command.env("OTEL_TRACES_EXPORTER", "none");
        Ok(Self(
            command
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()?,
        ))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn a_guarded_registry_wants_a_secret(c: &mut Cluster) -> Result<()> {
    let _registry = Guarded::start(c)?;
    let image = format!("{}/library/busybox:1.28", Guarded::ADDRESS);
    let from = |name: &str, spec: &str| {
        sleeper(name, "    imagePullPolicy: Always\n", spec).replace("busybox:1.28", &image)
    };
    c.apply(&from("stranger", ""))?;
    until_event(c, "stranger", &["Error: ErrImagePull"])?;
    c.kubectl(&format!(
        "create secret docker-registry pull --docker-server={} --docker-username=puller --docker-password=s3cret",
        Guarded::ADDRESS
    ))?;
    c.apply(&from("friend", "  imagePullSecrets: [{name: pull}]\n"))?;
    until_ready(c, "friend")?;
    let old = format!(
        "{{\"{}\":{{\"username\":\"puller\",\"password\":\"s3cret\"}}}}",
        Guarded::ADDRESS
    );
    c.kubectl_words(
        &[
            "create",
            "secret",
            "generic",
            "old",
            "--type=kubernetes.io/dockercfg",
            &format!("--from-literal=.dockercfg={old}"),
        ],
        "",
    )?;
    c.kubectl("create serviceaccount puller")?;
    c.kubectl_words(
        &[
            "patch",
            "serviceaccount",
            "puller",
            "--patch",
            r#"{"imagePullSecrets":[{"name":"old"}]}"#,
        ],
        "",
    )?;
    c.apply(&from("by-account", "  serviceAccountName: puller\n"))?;
    until_ready(c, "by-account")
}
