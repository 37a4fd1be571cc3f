//! Whether another server can be asked: what its Service and the endpoints say.
//! Upstream: `kube-aggregator/pkg/controllers/status`.

use super::service::{Condition, Remote};
use crate::backends::{Endpoints, Service, Subset};
use api::Object;

/// The host outside the cluster that a Service stands for; none for one inside.
pub fn external_name(service: &Object) -> Option<String> {
    let Service { spec } = service.view().ok()?;
    (spec.r#type == "ExternalName").then_some(spec.external_name)
}

/// The address of a Service; none for those without.
pub fn cluster_ip(service: &Object) -> Option<std::net::IpAddr> {
    let Service { spec } = service.view().ok()?;
    spec.cluster_ip.parse().ok()
}

/// The condition `Available`, its times left out.
pub fn condition(status: &str, reason: &str, message: impl Into<String>) -> Condition {
    Condition {
        r#type: "Available".to_owned(),
        status: status.to_owned(),
        last_transition_time: None,
        reason: reason.to_owned(),
        message: message.into(),
    }
}

/// What stands against asking the server at all.
pub fn obstacle(remote: &Remote, service: Option<&Object>, endpoints: Option<&Object>) -> Option<Condition> {
    let (name, namespace) = (&remote.name, &remote.namespace);
    let no = |reason: &str, message: String| Some(condition("False", reason, message));
    let Some(service) = service else {
        let message = format!("service/{name} in {namespace:?} is not present");
        return no("ServiceNotFound", message);
    };
    let Service { spec } = match service.view() {
        Ok(service) => service,
        Err(error) => {
            let message = format!("service/{name} in {namespace:?} cannot be checked due to: {error}");
            return Some(condition("Unknown", "ServiceAccessError", message));
        }
    };
    if spec.r#type != "ClusterIP" {
        return None;
    }
    let Some(port) = spec.ports.iter().find(|port| port.port == remote.port) else {
        let message = format!(
            "service/{name} in {namespace:?} is not listening on port {}",
            remote.port
        );
        return no("ServicePortError", message);
    };
    let Some(endpoints) = endpoints else {
        let message = format!("cannot find endpoints for service/{name} in {namespace:?}");
        return no("EndpointsNotFound", message);
    };
    let Endpoints { subsets } = endpoints.view().unwrap_or_default();
    let has = |subset: &Subset| {
        !subset.addresses.is_empty() && subset.ports.iter().any(|there| there.name == port.name)
    };
    if subsets.iter().any(has) {
        return None;
    }
    let message = format!(
        "endpoints for service/{name} in {namespace:?} have no addresses with port name {:?}",
        port.name
    );
    no("MissingEndpoints", message)
}

/// The conditions with `now` among them. The time changes with the status alone.
pub fn with(mut conditions: Vec<Condition>, now: Condition, time: jiff::Timestamp) -> Vec<Condition> {
    let time = Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let Some(there) = conditions.iter_mut().find(|there| there.r#type == now.r#type) else {
        conditions.push(Condition {
            last_transition_time: time,
            ..now
        });
        return conditions;
    };
    let since = if there.status == now.status {
        there.last_transition_time.take()
    } else {
        time
    };
    *there = Condition {
        last_transition_time: since,
        ..now
    };
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn object(text: &'static str) -> Object {
        Object::parse_any(Bytes::from_static(text.as_bytes()), &[]).unwrap()
    }

    #[test]
    fn what_stands_against_another_server_is_said_as_upstream_says_it() {
        let remote = Remote {
            namespace: "ns".to_owned(),
            name: "api".to_owned(),
            port: 443,
            ca: String::new(),
            insecure: false,
        };
        let service = object(
            r#"{"metadata":{"name":"api"},"spec":{"type":"ClusterIP","ports":[{"name":"https","port":443}]}}"#,
        );
        let other =
            object(r#"{"metadata":{"name":"api"},"spec":{"type":"ClusterIP","ports":[{"port":80}]}}"#);
        let outside = object(
            r#"{"metadata":{"name":"api"},"spec":{"type":"ExternalName","externalName":"api.example.com"}}"#,
        );
        let empty = object(
            r#"{"metadata":{"name":"api"},"subsets":[{"notReadyAddresses":[{"ip":"10.0.0.1"}],"ports":[{"name":"https","port":1}]}]}"#,
        );
        let full = object(
            r#"{"metadata":{"name":"api"},"subsets":[{"addresses":[{"ip":"10.0.0.1"}],"ports":[{"name":"https","port":1}]}]}"#,
        );
        let said = |service, endpoints| {
            obstacle(&remote, service, endpoints)
                .map_or("".to_owned(), |c| format!("{}: {}", c.reason, c.message))
        };
        assert_eq!(
            said(None, None),
            r#"ServiceNotFound: service/api in "ns" is not present"#
        );
        assert_eq!(
            said(Some(&other), Some(&full)),
            r#"ServicePortError: service/api in "ns" is not listening on port 443"#
        );
        assert_eq!(
            said(Some(&service), None),
            r#"EndpointsNotFound: cannot find endpoints for service/api in "ns""#
        );
        assert_eq!(
            said(Some(&service), Some(&empty)),
            r#"MissingEndpoints: endpoints for service/api in "ns" have no addresses with port name "https""#
        );
        assert_eq!(said(Some(&service), Some(&full)), "");
        assert_eq!(said(Some(&outside), None), "");
        assert_eq!(external_name(&outside).as_deref(), Some("api.example.com"));
    }

    #[test]
    fn the_time_of_a_condition_is_that_of_its_status() {
        let at = |second| jiff::Timestamp::from_second(second).unwrap();
        let first = with(Vec::new(), condition("False", "ServiceNotFound", ""), at(0));
        let second = with(first.clone(), condition("False", "MissingEndpoints", ""), at(60));
        assert_eq!(second[0].last_transition_time, first[0].last_transition_time);
        assert_eq!(second[0].reason, "MissingEndpoints");
        let third = with(second, condition("True", "Passed", "all checks passed"), at(60));
        assert_eq!(
            third[0].last_transition_time.as_deref(),
            Some("1970-01-01T00:01:00Z")
        );
    }
}
