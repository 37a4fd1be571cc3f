//! resolv.conf and /etc/hosts of pods (upstream: `pkg/kubelet/network/dns`).

use crate::view::{DnsOption, Pod};
use runtime::DnsConfig;
use std::fmt::Write;

/// Reads resolv.conf.
pub fn parse_resolv_conf(text: &str) -> DnsConfig {
    let mut config = DnsConfig::default();
    for line in text.lines() {
        let mut words = line
            .split(['#', ';'])
            .next()
            .unwrap_or_default()
            .split_whitespace();
        match words.next() {
            Some("nameserver") => config.servers.extend(words.next().map(str::to_owned)),
            // The last line counts.
            Some("search") => config.searches = words.filter(|w| *w != ".").map(str::to_owned).collect(),
            Some("options") => config.options = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    config
}

const MOST_SERVERS: usize = 3;
const MOST_SEARCHES: usize = 32;
const SEARCH_CHARACTERS: usize = 2048;

/// resolv.conf of a pod, and what is wrong with it as reasons and texts of events; `host` is the node's.
pub(super) fn pod_dns(
    pod: &Pod,
    host: &DnsConfig,
    servers: &[String],
    domain: &str,
) -> (DnsConfig, Vec<(&'static str, String)>) {
    let spec = &pod.spec;
    let mut warnings = Vec::new();
    let cluster_first = matches!(spec.dns_policy.as_str(), "" | "ClusterFirst") && !spec.host_network;
    if servers.is_empty() && (cluster_first || spec.dns_policy == "ClusterFirstWithHostNet") {
        let text = format!(
            "pod: {:?}. kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" policy. \
             Falling back to \"Default\" policy.",
            pod.full_name()
        );
        warnings.push(("MissingClusterDNS", text));
    }
    let mut config = match spec.dns_policy.as_str() {
        "None" => DnsConfig::default(),
        "Default" => host.clone(),
        "ClusterFirstWithHostNet" if !servers.is_empty() => cluster(pod, host, servers, domain),
        _ if spec.host_network || servers.is_empty() => host.clone(),
        _ => cluster(pod, host, servers, domain),
    };
    append(&mut config.servers, &spec.dns_config.nameservers);
    append(&mut config.searches, &spec.dns_config.searches);
    for DnsOption { name, value } in &spec.dns_config.options {
        let is_it = |o: &String| o == name || o.split(':').next() == Some(name);
        config.options.retain(|o| !is_it(o));
        config.options.push(
            value
                .as_ref()
                .filter(|v| !v.is_empty())
                .map_or_else(|| name.clone(), |v| format!("{name}:{v}")),
        );
    }
    fit(&mut config, &mut warnings);
    (config, warnings)
}

/// Cuts what resolvers do not read.
fn fit(config: &mut DnsConfig, warnings: &mut Vec<(&'static str, String)>) {
    if config.servers.len() > MOST_SERVERS {
        config.servers.truncate(MOST_SERVERS);
        let text = format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
            config.servers.join(" ")
        );
        warnings.push(("DNSConfigForming", text));
    }
    let asked = config.searches.len();
    config.searches.truncate(MOST_SEARCHES);
    while config.searches.join(" ").len() > SEARCH_CHARACTERS {
        config.searches.pop();
    }
    if config.searches.len() < asked {
        let text = format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
            config.searches.join(" ")
        );
        warnings.push(("DNSConfigForming", text));
    }
}

fn cluster(pod: &Pod, host: &DnsConfig, servers: &[String], domain: &str) -> DnsConfig {
    let namespace = &pod.metadata.namespace;
    let mut searches = Vec::new();
    if !domain.is_empty() {
        searches = vec![
            format!("{namespace}.svc.{domain}"),
            format!("svc.{domain}"),
            domain.to_owned(),
        ];
    }
    append(&mut searches, &host.searches);
    DnsConfig {
        servers: servers.to_vec(),
        searches,
        options: vec!["ndots:5".to_owned()],
    }
}

fn append(list: &mut Vec<String>, more: &[String]) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

/// /etc/hosts of a pod; `host` is the node's own file for pods in the host's network.
pub fn hosts_file(pod: &Pod, ips: &[String], domain: &str, host: &str) -> String {
    let mut text = if pod.spec.host_network {
        format!("# Kubernetes-managed hosts file (host network).\n{host}")
    } else {
        let mut text = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
            .to_owned();
        let name = super::host_name(pod);
        let meta = &pod.metadata;
        for ip in ips {
            // Writing to a String cannot fail.
            let _ = if pod.spec.subdomain.is_empty() || !pod.spec.hostname_override.is_empty() {
                writeln!(text, "{ip}\t{name}")
            } else {
                let sub = &pod.spec.subdomain;
                writeln!(text, "{ip}\t{name}.{sub}.{}.svc.{domain}\t{name}", meta.namespace)
            };
        }
        text
    };
    if !pod.spec.host_aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
        for alias in &pod.spec.host_aliases {
            let _ = writeln!(text, "{}\t{}", alias.ip, alias.hostnames.join("\t"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(yaml: &str) -> String {
        let pod: Pod = serde_saphyr::from_str(yaml).unwrap();
        let host = parse_resolv_conf("nameserver 192.0.2.1 # ours\nsearch example.com\noptions timeout:1\n");
        let (c, _) = pod_dns(&pod, &host, &["10.96.0.10".to_owned()], "cluster.local");
        format!(
            "{} | {} | {}",
            c.servers.join(" "),
            c.searches.join(" "),
            c.options.join(" ")
        )
    }

    #[test]
    fn policies() {
        let cluster =
            "10.96.0.10 | shop.svc.cluster.local svc.cluster.local cluster.local example.com | ndots:5";
        let host = "192.0.2.1 | example.com | timeout:1";
        assert_eq!(dns("{metadata: {namespace: shop}}"), cluster);
        assert_eq!(
            dns("{metadata: {namespace: shop}, spec: {hostNetwork: true, dnsPolicy: ClusterFirst}}"),
            host
        );
        assert_eq!(
            dns(
                "{metadata: {namespace: shop}, spec: {hostNetwork: true, dnsPolicy: ClusterFirstWithHostNet}}"
            ),
            cluster
        );
        assert_eq!(dns("{spec: {dnsPolicy: Default}}"), host);
        assert_eq!(
            dns(
                "{spec: {dnsPolicy: None, dnsConfig: {nameservers: [1.1.1.1], searches: [a.b], options: [{name: ndots, value: '2'}, {name: edns0}]}}}"
            ),
            "1.1.1.1 | a.b | ndots:2 edns0"
        );
    }

    #[test]
    fn too_much_is_cut_and_told() {
        let domains: Vec<String> = (0..40).map(|n| format!("d{n}.example")).collect();
        let pod: Pod = serde_saphyr::from_str(&format!(
            "{{spec: {{dnsPolicy: None, dnsConfig: {{nameservers: [1.1.1.1, 2.2.2.2, 3.3.3.3, 4.4.4.4], searches: [{}]}}}}}}",
            domains.join(", ")
        ))
        .unwrap();
        let (config, warnings) = pod_dns(&pod, &DnsConfig::default(), &[], "cluster.local");
        assert_eq!((config.servers.len(), config.searches.len()), (3, 32));
        assert_eq!(
            warnings[0].1,
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 1.1.1.1 \
             2.2.2.2 3.3.3.3"
        );
        assert!(
            warnings[1]
                .1
                .starts_with("Search Line limits were exceeded, some search paths have been omitted")
        );
        let pod: Pod = serde_saphyr::from_str("{metadata: {name: a, namespace: b, uid: c}}").unwrap();
        let (_, warnings) = pod_dns(&pod, &DnsConfig::default(), &[], "cluster.local");
        assert_eq!(warnings[0].0, "MissingClusterDNS");
    }

    #[test]
    fn hosts() {
        let pod: Pod =
            serde_saphyr::from_str("{metadata: {name: web, namespace: shop}, spec: {hostAliases: [{ip: 1.2.3.4, hostnames: [a, b]}]}}").unwrap();
        let text = hosts_file(&pod, &["10.244.0.5".to_owned()], "cluster.local", "");
        assert!(
            text.ends_with("10.244.0.5\tweb\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"),
            "{text}"
        );
    }
}
