//! The sandbox of a pod.

use super::{admit::dotted, cgroup_parent, dns, resources};
use crate::view::Pod;
use runtime::{DnsConfig, PortMapping, SandboxConfig};
use std::path::Path;

/// Most characters of a host name.
const HOST_NAME_LIMIT: usize = 64;

/// Host name of a pod: at most 63 characters of its name.
pub fn host_name(pod: &Pod) -> String {
    if !pod.spec.hostname_override.is_empty() {
        return pod.spec.hostname_override.clone();
    }
    let name = if pod.spec.hostname.is_empty() {
        &pod.metadata.name
    } else {
        &pod.spec.hostname
    };
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// Folder of a pod's logs.
pub fn log_directory(root: &Path, pod: &Pod) -> std::path::PathBuf {
    let meta = &pod.metadata;
    // A file's name has at most 255 bytes, so of a long pod's name the end is left out; the uid tells it apart.
    let room = 255usize.saturating_sub(meta.namespace.len() + meta.uid.len() + 2);
    let name = meta.name.get(..room).unwrap_or(&meta.name);
    root.join(format!("{}_{name}_{}", meta.namespace, meta.uid))
}

/// The pod that a folder of logs, as [`log_directory`] names it, belongs to.
pub fn uid_of_log_directory(folder: &str) -> Option<&str> {
    let mut parts = folder.splitn(3, '_').skip(2);
    parts.next().filter(|uid| !uid.is_empty())
}

/// A sandbox, and what its owner should know of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sandbox {
    /// For the runtime.
    pub config: SandboxConfig,
    /// Reasons and texts of events.
    pub warnings: Vec<(&'static str, String)>,
}

/// The full host name, if the pod wants that one for its own.
fn full_host_name(pod: &Pod, domain: &str) -> Result<String, String> {
    let (spec, short) = (&pod.spec, host_name(pod));
    if !spec.set_hostname_as_fqdn || spec.subdomain.is_empty() || !spec.hostname_override.is_empty() {
        return Ok(short);
    }
    let full = format!(
        "{short}.{}.{}.svc.{domain}",
        spec.subdomain, pod.metadata.namespace
    );
    if full.len() > HOST_NAME_LIMIT {
        return Err(format!(
            "Failed to construct FQDN from Pod hostname and cluster domain, FQDN {full} is too long ({HOST_NAME_LIMIT} \
             characters is the max, {} characters requested)",
            full.len()
        ));
    }
    Ok(full)
}

/// The sandbox of a pod, or why there can be none. `host_dns` is the node's resolv.conf.
pub fn sandbox_config(
    pod: &Pod,
    attempt: u32,
    logs: &Path,
    host_dns: &DnsConfig,
    dns_servers: &[String],
    domain: &str,
) -> Result<Sandbox, String> {
    let (meta, spec) = (&pod.metadata, &pod.spec);
    if spec.host_users == Some(false) {
        let handler = &spec.runtime_class_name;
        return Err(format!(
            "RuntimeClass handler {handler:?} does not support user namespaces"
        ));
    }
    let hostname = if spec.host_network {
        String::new()
    } else {
        full_host_name(pod, domain)?
    };
    let (dns, warnings) = dns::pod_dns(pod, host_dns, dns_servers, domain);
    let ports = pod
        .all_containers()
        .flat_map(|c| &c.ports)
        .filter(|p| p.host_port != 0 && !spec.host_network);
    let mut labels = meta.labels.clone();
    for (key, value) in [
        ("name", &meta.name),
        ("namespace", &meta.namespace),
        ("uid", &meta.uid),
    ] {
        labels.insert(format!("io.kubernetes.pod.{key}"), value.clone());
    }
    let config = SandboxConfig {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        attempt,
        hostname,
        log_directory: log_directory(logs, pod).display().to_string(),
        dns: Some(dns),
        port_mappings: ports
            .map(|p| PortMapping {
                protocol: if p.protocol.is_empty() {
                    "TCP".to_owned()
                } else {
                    p.protocol.clone()
                },
                container_port: p.container_port,
                host_port: p.host_port,
                host_ip: p.host_ip.clone(),
            })
            .collect(),
        labels,
        annotations: meta.annotations.clone(),
        cgroup_parent: cgroup_parent(pod),
        resources: resources::pod_resources(pod),
        host_network: spec.host_network,
        host_pid: spec.host_pid,
        host_ipc: spec.host_ipc,
        share_process_namespace: spec.share_process_namespace,
        sysctls: spec
            .security_context
            .sysctls
            .iter()
            .map(|s| (dotted(&s.name), s.value.clone()))
            .collect(),
        runtime_handler: String::new(),
    };
    Ok(Sandbox { config, warnings })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Meta;

    fn host(spec: &str) -> Result<String, String> {
        let pod: Pod = serde_saphyr::from_str(&format!(
            "{{metadata: {{name: web, namespace: shop}}, spec: {spec}}}"
        ))
        .unwrap();
        let made = sandbox_config(
            &pod,
            0,
            Path::new("/"),
            &DnsConfig::default(),
            &[],
            "cluster.local",
        );
        made.map(|s| s.config.hostname)
    }

    #[test]
    fn host_names() {
        assert_eq!(host("{hostname: a, subdomain: b}").unwrap(), "a");
        assert_eq!(
            host("{hostname: a, subdomain: b, setHostnameAsFQDN: true}").unwrap(),
            "a.b.shop.svc.cluster.local"
        );
        assert_eq!(
            host("{hostname: a, subdomain: b, hostnameOverride: x.y}").unwrap(),
            "x.y"
        );
        assert_eq!(host("{hostNetwork: true, hostname: a}").unwrap(), "");
        let long = "b".repeat(50);
        assert_eq!(
            host(&format!("{{subdomain: {long}, setHostnameAsFQDN: true}}")).unwrap_err(),
            format!(
                "Failed to construct FQDN from Pod hostname and cluster domain, FQDN web.{long}.shop.svc.cluster.local is \
                 too long (64 characters is the max, 77 characters requested)"
            )
        );
        assert_eq!(
            host("{hostUsers: false}").unwrap_err(),
            "RuntimeClass handler \"\" does not support user namespaces"
        );
    }

    #[test]
    fn the_folder_of_logs_has_a_name_that_fits_and_names_its_pod() {
        let mut pod = Pod {
            metadata: Meta {
                name: "web".to_owned(),
                namespace: "shop".to_owned(),
                uid: "1-2".to_owned(),
                ..Meta::default()
            },
            ..Pod::default()
        };
        let name = |pod: &Pod| log_directory(Path::new("/logs"), pod).display().to_string();
        assert_eq!(name(&pod), "/logs/shop_web_1-2");
        pod.metadata.name = "a".repeat(253);
        let long = name(&pod);
        assert_eq!(long.len(), "/logs/".len() + 255);
        assert_eq!(uid_of_log_directory(&long["/logs/".len()..]), Some("1-2"));
        assert_eq!(uid_of_log_directory("lost+found"), None);
    }
}
