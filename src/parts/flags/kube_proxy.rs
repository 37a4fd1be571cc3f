//! kube-proxy's flags and the fields of KubeProxyConfiguration.

use component::flags::{
    Flag,
    Kind::{Bool, Duration, Int, List, Text},
};

const IPTABLES: &str = "it is of the iptables mode, which is not there yet";
const IPVS: &str = "it is of the IPVS mode, which is not there yet";
const CONNTRACK: &str = "the kernel's connection tracking is left as it is";
const EVENTS: &str = "rules follow changes at once; there is no period";
const WINDOWS: &str = "it is of Windows";

/// Flags of its own.
pub const KUBE_PROXY: &[Flag] = &[
    Flag::new(
        "config",
        Text,
        "",
        "a KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1)",
    ),
    Flag::new(
        "hostname-override",
        Text,
        "",
        "the node's name; empty: the host's",
    )
    .field("hostnameOverride"),
    Flag::new(
        "proxy-mode",
        Text,
        "nftables",
        "how rules get into the kernel: nftables",
    )
    .field("mode"),
    Flag::new(
        "cluster-cidr",
        Text,
        "",
        "addresses of pods; traffic to Services from outside is masqueraded",
    )
    .field("clusterCIDR"),
    Flag::new(
        "healthz-bind-address",
        Text,
        "0.0.0.0:10256",
        "where health is served; empty: nowhere",
    )
    .field("healthzBindAddress"),
    Flag::new(
        "detect-local-mode",
        Text,
        "ClusterCIDR",
        "how traffic of this cluster is told: ClusterCIDR",
    )
    .field("detectLocalMode"),
    Flag::new("cleanup", Bool, "false", "remove the rules and end"),
    Flag::refused(
        "init-only",
        Bool,
        "nothing is prepared that needs more privileges than the rules",
    ),
    Flag::refused("write-config-to", Text, "the defaults are listed by --help"),
    Flag::ignored(
        "bind-address",
        Text,
        "no socket is bound and the node's address is not asked for",
    )
    .field("bindAddress"),
    Flag::ignored(
        "bind-address-hard-fail",
        Bool,
        "a health port that is taken always ends the process",
    )
    .field("bindAddressHardFail"),
    Flag::ignored("metrics-bind-address", Text, "there is no metrics page yet").field("metricsBindAddress"),
    Flag::refused(
        "metrics-port",
        Int,
        "it is deprecated; there is no metrics page yet",
    ),
    Flag::refused(
        "healthz-port",
        Int,
        "it is deprecated; say --healthz-bind-address",
    ),
    Flag::ignored("profiling", Bool, "there are no profiling pages").field("enableProfiling"),
    Flag::refused(
        "masquerade-all",
        Bool,
        "only traffic from outside of the cluster is masqueraded",
    )
    .field("nftables.masqueradeAll"),
    Flag::ignored("iptables-masquerade-bit", Int, IPTABLES).field("iptables.masqueradeBit"),
    Flag::ignored("iptables-localhost-nodeports", Bool, IPTABLES).field("iptables.localhostNodePorts"),
    Flag::ignored("iptables-sync-period", Duration, EVENTS).field("iptables.syncPeriod"),
    Flag::ignored("iptables-min-sync-period", Duration, EVENTS).field("iptables.minSyncPeriod"),
    Flag::ignored("ipvs-sync-period", Duration, IPVS).field("ipvs.syncPeriod"),
    Flag::ignored("ipvs-min-sync-period", Duration, IPVS).field("ipvs.minSyncPeriod"),
    Flag::ignored("ipvs-scheduler", Text, IPVS).field("ipvs.scheduler"),
    Flag::ignored("ipvs-exclude-cidrs", List, IPVS).field("ipvs.excludeCIDRs"),
    Flag::ignored("ipvs-strict-arp", Bool, IPVS).field("ipvs.strictARP"),
    Flag::ignored("ipvs-tcp-timeout", Duration, IPVS).field("ipvs.tcpTimeout"),
    Flag::ignored("ipvs-tcpfin-timeout", Duration, IPVS).field("ipvs.tcpFinTimeout"),
    Flag::ignored("ipvs-udp-timeout", Duration, IPVS).field("ipvs.udpTimeout"),
    Flag::refused(
        "pod-bridge-interface",
        Text,
        "local traffic is told by --cluster-cidr",
    )
    .field("detectLocal.bridgeInterface"),
    Flag::refused(
        "pod-interface-name-prefix",
        Text,
        "local traffic is told by --cluster-cidr",
    )
    .field("detectLocal.interfaceNamePrefix"),
    Flag::refused(
        "nodeport-addresses",
        List,
        "node ports are not bound to addresses yet",
    )
    .field("nodePortAddresses"),
    Flag::ignored("oom-score-adj", Int, "the service manager says it").field("oomScoreAdj"),
    Flag::ignored("conntrack-max-per-core", Int, CONNTRACK).field("conntrack.maxPerCore"),
    Flag::ignored("conntrack-min", Int, CONNTRACK).field("conntrack.min"),
    Flag::ignored("conntrack-tcp-timeout-established", Duration, CONNTRACK)
        .field("conntrack.tcpEstablishedTimeout"),
    Flag::ignored("conntrack-tcp-timeout-close-wait", Duration, CONNTRACK)
        .field("conntrack.tcpCloseWaitTimeout"),
    Flag::ignored("conntrack-tcp-be-liberal", Bool, CONNTRACK).field("conntrack.tcpBeLiberal"),
    Flag::ignored("conntrack-udp-timeout", Duration, CONNTRACK).field("conntrack.udpTimeout"),
    Flag::ignored("conntrack-udp-timeout-stream", Duration, CONNTRACK).field("conntrack.udpStreamTimeout"),
    Flag::ignored("config-sync-period", Duration, "everything is watched").field("configSyncPeriod"),
];

/// Fields that no flag says.
pub const KUBE_PROXY_FILE: &[Flag] = &[
    Flag::ignored("iptables.masqueradeAll", Bool, IPTABLES).file_only(),
    Flag::ignored("nftables.masqueradeBit", Int, "nothing is marked").file_only(),
    Flag::ignored("nftables.syncPeriod", Duration, EVENTS).file_only(),
    Flag::ignored("nftables.minSyncPeriod", Duration, EVENTS).file_only(),
    Flag::ignored("portRange", Text, "it was of the userspace mode").file_only(),
    Flag::ignored("winkernel.networkName", Text, WINDOWS).file_only(),
    Flag::ignored("winkernel.sourceVip", Text, WINDOWS).file_only(),
    Flag::ignored("winkernel.enableDSR", Bool, WINDOWS).file_only(),
    Flag::ignored("winkernel.rootHnsEndpointName", Text, WINDOWS).file_only(),
    Flag::ignored("winkernel.forwardHealthCheckVip", Bool, WINDOWS).file_only(),
    Flag::ignored("windowsRunAsService", Bool, WINDOWS).file_only(),
];
