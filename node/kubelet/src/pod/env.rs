//! The environment of a container (upstream: `kubelet_pods.go`, `makeEnvironmentVariables`).

use super::{Objects, PodFacts, field_value, resource_value, services};
use crate::view::{Container, EnvFrom, EnvSource, KeyRef, Pod, Service};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::collections::BTreeMap;

/// Name and value, in the order they are set.
pub fn environment(
    pod: &Pod,
    container: &Container,
    objects: &Objects,
    all_services: &[Service],
    facts: &PodFacts,
) -> Result<Vec<(String, String)>, String> {
    let links = pod.spec.enable_service_links.unwrap_or(true);
    let service_env = services::variables(&services::visible(all_services, &pod.metadata.namespace, links));
    let mut env = Env::default();
    for source in &container.env_from {
        from_object(&mut env, source, objects)?;
    }
    for variable in &container.env {
        let value = match &variable.value_from {
            None => {
                let lookup = |name: &str| {
                    env.get(name)
                        .or_else(|| service_env.get(name).map(String::as_str))
                };
                Some(expand(&variable.value, lookup))
            }
            Some(source) => value_from(pod, container, source, objects, facts)?,
        };
        if let Some(value) = value {
            env.set(&variable.name, value);
        }
    }
    for (name, value) in service_env {
        if env.get(&name).is_none() {
            env.set(&name, value);
        }
    }
    Ok(env.list)
}

#[derive(Default)]
struct Env {
    list: Vec<(String, String)>,
    index: BTreeMap<String, usize>,
}

impl Env {
    fn get(&self, name: &str) -> Option<&str> {
        self.index.get(name).map(|&i| self.list[i].1.as_str())
    }

    fn set(&mut self, name: &str, value: String) {
        match self.index.get(name) {
            Some(&i) => self.list[i].1 = value,
            None => {
                self.index.insert(name.to_owned(), self.list.len());
                self.list.push((name.to_owned(), value));
            }
        }
    }
}

fn from_object(env: &mut Env, source: &EnvFrom, objects: &Objects) -> Result<(), String> {
    if let Some(wanted) = &source.config_map_ref {
        match objects.config_maps.get(&wanted.name) {
            Some(map) => map
                .data
                .iter()
                .for_each(|(k, v)| env.set(&format!("{}{k}", source.prefix), v.clone())),
            None if wanted.optional => {}
            None => return Err(format!("configmap {:?} not found", wanted.name)),
        }
    }
    if let Some(wanted) = &source.secret_ref {
        match objects.secrets.get(&wanted.name) {
            Some(secret) => {
                for (key, value) in &secret.data {
                    env.set(&format!("{}{key}", source.prefix), decode(value)?);
                }
            }
            None if wanted.optional => {}
            None => return Err(format!("secret {:?} not found", wanted.name)),
        }
    }
    Ok(())
}

fn decode(value: &str) -> Result<String, String> {
    let bytes = BASE64_STANDARD.decode(value).map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn value_from(
    pod: &Pod,
    container: &Container,
    source: &EnvSource,
    objects: &Objects,
    facts: &PodFacts,
) -> Result<Option<String>, String> {
    let namespace = &pod.metadata.namespace;
    if let Some(field) = &source.field_ref {
        return field_value(pod, facts, &field.field_path).map(Some);
    }
    if let Some(field) = &source.resource_field_ref {
        return resource_value(pod, facts, &container.name, field).map(Some);
    }
    if let Some(wanted) = &source.config_map_key_ref {
        let map = objects
            .config_maps
            .get(&wanted.name)
            .map(|m| m.data.get(&wanted.key).cloned());
        return keyed(map, wanted, namespace, "configmap", "ConfigMap");
    }
    if let Some(wanted) = &source.file_key_ref {
        return super::env_file::value(wanted, objects);
    }
    if let Some(wanted) = &source.secret_key_ref {
        let value = objects
            .secrets
            .get(&wanted.name)
            .map(|s| s.data.get(&wanted.key).map(|v| decode(v)).transpose());
        return keyed(value.transpose()?, wanted, namespace, "secret", "Secret");
    }
    Ok(Some(String::new()))
}

fn keyed(
    object: Option<Option<String>>,
    wanted: &KeyRef,
    namespace: &str,
    resource: &str,
    kind: &str,
) -> Result<Option<String>, String> {
    match object {
        Some(Some(value)) => Ok(Some(value)),
        _ if wanted.optional => Ok(None),
        Some(None) => Err(format!(
            "couldn't find key {} in {kind} {namespace}/{}",
            wanted.key, wanted.name
        )),
        None => Err(format!("{resource} {:?} not found", wanted.name)),
    }
}

/// Puts values in the place of `$(NAME)`; `$$` is a dollar; what is not known stays as it is.
pub(super) fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
            match lookup(name) {
                Some(value) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{ConfigMap, Secret};

    fn pod(yaml: &str) -> Pod {
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn objects() -> Objects {
        let map: ConfigMap = serde_saphyr::from_str("{data: {color: red, size: big}}").unwrap();
        let secret: Secret = serde_saphyr::from_str("{data: {password: c2VzYW1l}}").unwrap();
        Objects {
            config_maps: [("settings".to_owned(), map)].into(),
            secrets: [("login".to_owned(), secret)].into(),
            ..Objects::default()
        }
    }

    fn env_of(yaml: &str) -> Result<String, String> {
        let pod = pod(yaml);
        let facts = PodFacts {
            pod_ips: vec!["10.244.0.9".to_owned()],
            allocatable_cpu: 2000,
            ..PodFacts::default()
        };
        let env = environment(&pod, &pod.spec.containers[0], &objects(), &[], &facts)?;
        Ok(env
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect::<Vec<_>>()
            .join(" "))
    }

    #[test]
    fn every_source() {
        let yaml = "
metadata: {name: web, namespace: shop, labels: {app: w}}
spec:
  containers:
  - name: c
    resources: {requests: {cpu: 250m}, limits: {memory: 64Mi}}
    envFrom: [{prefix: P_, configMapRef: {name: settings}}, {secretRef: {name: absent, optional: true}}]
    env:
    - {name: A, value: '$(P_color)-$$(x)-$(NONE)'}
    - {name: B, valueFrom: {secretKeyRef: {name: login, key: password}}}
    - {name: C, valueFrom: {configMapKeyRef: {name: settings, key: none, optional: true}}}
    - {name: D, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: E, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}}
    - {name: F, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
    - {name: G, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
    - {name: H, valueFrom: {resourceFieldRef: {resource: requests.cpu, divisor: 1m}}}
";
        let expected = "P_color=red P_size=big A=red-$(x)-$(NONE) B=sesame D=10.244.0.9 E=w F=64 G=2 H=250";
        assert_eq!(env_of(yaml).unwrap(), expected);
    }

    #[test]
    fn what_is_missing_is_said_in_upstreams_words() {
        let of = |source: &str| {
            env_of(&format!(
                "{{metadata: {{namespace: shop}}, spec: {{containers: [{source}]}}}}"
            ))
        };
        assert_eq!(
            of("{env: [{name: A, valueFrom: {configMapKeyRef: {name: nope, key: k}}}]}").unwrap_err(),
            "configmap \"nope\" not found"
        );
        assert_eq!(
            of("{env: [{name: A, valueFrom: {secretKeyRef: {name: login, key: k}}}]}").unwrap_err(),
            "couldn't find key k in Secret shop/login"
        );
        assert_eq!(
            of("{envFrom: [{secretRef: {name: nope}}]}").unwrap_err(),
            "secret \"nope\" not found"
        );
    }

    #[test]
    fn services_are_told_of() {
        let service: Service = serde_saphyr::from_str(
            "{metadata: {name: my-db, namespace: shop}, spec: {clusterIP: 10.96.0.7, ports: [{name: sql, port: 5432, protocol: TCP}]}}",
        )
        .unwrap();
        let api: Service = serde_saphyr::from_str(
            "{metadata: {name: kubernetes, namespace: default}, spec: {clusterIP: 10.96.0.1, ports: [{name: https, port: 443}]}}",
        )
        .unwrap();
        let services = [service, api];
        let linked = pod(
            "{metadata: {namespace: shop}, spec: {containers: [{env: [{name: X, value: $(MY_DB_SERVICE_HOST)}]}]}}",
        );
        let get = |pod: &Pod| {
            environment(
                pod,
                &pod.spec.containers[0],
                &Objects::default(),
                &services,
                &PodFacts::default(),
            )
            .unwrap()
        };
        let env: BTreeMap<String, String> = get(&linked).into_iter().collect();
        assert_eq!(env["X"], "10.96.0.7");
        assert_eq!(env["MY_DB_PORT_5432_TCP"], "tcp://10.96.0.7:5432");
        assert_eq!(env["MY_DB_SERVICE_PORT_SQL"], "5432");
        assert_eq!(env["KUBERNETES_SERVICE_PORT_HTTPS"], "443");
        let alone =
            pod("{metadata: {namespace: shop}, spec: {enableServiceLinks: false, containers: [{name: c}]}}");
        let names: Vec<String> = get(&alone).into_iter().map(|(k, _)| k).collect();
        assert!(
            names.iter().all(|n| n.starts_with("KUBERNETES_")) && names.len() == 8,
            "{names:?}"
        );
    }
}
