use super::*;
use bytes::Bytes;

fn object(text: &str) -> Object {
    let text = format!(r#"{{"metadata":{{"name":"x","namespace":"d"}},{text}}}"#);
    Object::parse(Bytes::from(text), 1, &[]).unwrap()
}

fn item(plural: &str, text: &str) -> Item {
    Item::new("", plural, &object(text)).unwrap()
}

fn used(plural: &str, text: &str) -> String {
    let usage = item(plural, text).usage(Timestamp::UNIX_EPOCH);
    print(&mask(&usage, |name| !name.starts_with("count/")))
}

fn term(text: &str) -> Term {
    let mut words = text.split(' ');
    let mut next = || words.next().unwrap_or_default().to_owned();
    Term {
        scope_name: next(),
        operator: next(),
        values: words.map(str::to_owned).collect(),
    }
}

#[test]
fn a_pod_is_charged_for_what_its_containers_need() {
    let sums = r#""spec":{"overhead":{"cpu":"10m","memory":"1Mi"},"containers":[
        {"name":"a","resources":{"requests":{"cpu":"100m","memory":"64Mi","hugepages-2Mi":"4Mi","nvidia.com/gpu":"1"},"limits":{"memory":"128Mi"}}},
        {"name":"b","resources":{"requests":{"cpu":"200m","ephemeral-storage":"1Gi"}}}]}"#;
    assert_eq!(
        used("pods", sums),
        "cpu=310m,ephemeral-storage=1Gi,hugepages-2Mi=4Mi,limits.memory=129Mi,memory=65Mi,pods=1,requests.cpu=310m,\
         requests.ephemeral-storage=1Gi,requests.hugepages-2Mi=4Mi,requests.memory=65Mi,requests.nvidia.com/gpu=1"
    );
    // A sidecar counts with the containers and with the init containers after it.
    let inits = r#""spec":{"containers":[{"resources":{"requests":{"cpu":"1"}}}],"initContainers":[
        {"resources":{"requests":{"cpu":"2"}}},
        {"restartPolicy":"Always","resources":{"requests":{"cpu":"500m"}}},
        {"resources":{"requests":{"cpu":"3"}}}]}"#;
    assert_eq!(used("pods", inits), "cpu=3500m,pods=1,requests.cpu=3500m");
    // What the pod says as a whole counts instead of the sum.
    let whole = r#""spec":{"resources":{"requests":{"cpu":"1"},"limits":{"cpu":"2"}},"containers":[
        {"resources":{"requests":{"cpu":"100m","memory":"1Gi"}}}]}"#;
    assert_eq!(
        used("pods", whole),
        "cpu=1,limits.cpu=2,memory=1Gi,pods=1,requests.cpu=1,requests.memory=1Gi"
    );
}

#[test]
fn while_a_pod_is_resized_the_most_counts() {
    let resized = |reason: &str, wanted: &str| {
        format!(
            r#""spec":{{"containers":[{{"name":"a","resources":{{"requests":{{"cpu":"{wanted}"}}}}}}]}},"status":{{
            "conditions":[{{"type":"PodResizePending","reason":"{reason}"}}],"containerStatuses":[{{"name":"a",
            "allocatedResources":{{"cpu":"2"}},"resources":{{"requests":{{"cpu":"1"}}}}}}]}}"#
        )
    };
    assert_eq!(
        used("pods", &resized("Deferred", "4")),
        "cpu=4,pods=1,requests.cpu=4"
    );
    assert_eq!(
        used("pods", &resized("Deferred", "1")),
        "cpu=2,pods=1,requests.cpu=2"
    );
    assert_eq!(
        used("pods", &resized("Infeasible", "4")),
        "cpu=2,pods=1,requests.cpu=2"
    );
}

#[test]
fn a_pod_that_is_over_only_counts_as_an_object() {
    let over = item(
        "pods",
        r#""spec":{"containers":[{"resources":{"requests":{"cpu":"1"}}}]},"status":{"phase":"Failed"}"#,
    );
    assert_eq!(print(&over.usage(Timestamp::UNIX_EPOCH)), "count/pods=1");
    let text = r#"{"metadata":{"name":"x","deletionTimestamp":"2030-01-01T00:00:00Z","deletionGracePeriodSeconds":30}}"#;
    let leaving = Object::parse(Bytes::from(text), 1, &[]).unwrap();
    let leaving = Item::new("", "pods", &leaving).unwrap();
    let at = |text: &str| print(&leaving.usage(text.parse().unwrap()));
    assert_eq!(at("2030-01-01T00:00:29Z"), "count/pods=1,pods=1");
    assert_eq!(at("2030-01-01T00:00:31Z"), "count/pods=1");
}

#[test]
fn services_count_their_ports_and_balancers() {
    let ports = r#""ports":[{"port":1},{"port":2,"nodePort":30001}]"#;
    for (spec, wanted) in [
        (
            r#""type":"ClusterIP""#,
            "services=1,services.loadbalancers=0,services.nodeports=0",
        ),
        (
            r#""type":"NodePort""#,
            "services=1,services.loadbalancers=0,services.nodeports=2",
        ),
        (
            r#""type":"LoadBalancer""#,
            "services=1,services.loadbalancers=1,services.nodeports=2",
        ),
        (
            r#""type":"LoadBalancer","allocateLoadBalancerNodePorts":false"#,
            "services=1,services.loadbalancers=1,services.nodeports=1",
        ),
        (
            r#""type":"ExternalName""#,
            "services=1,services.loadbalancers=0,services.nodeports=0",
        ),
    ] {
        assert_eq!(used("services", &format!(r#""spec":{{{spec},{ports}}}"#)), wanted);
    }
}

#[test]
fn claims_count_storage_by_class() {
    let gold = r#""spec":{"storageClassName":"gold","resources":{"requests":{"storage":"1Gi"}}}"#;
    assert_eq!(
        used("persistentvolumeclaims", gold),
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/requests.storage=1Gi,\
         persistentvolumeclaims=1,requests.storage=1Gi"
    );
    let shrinking = r#""spec":{"resources":{"requests":{"storage":"1500m"}}},"status":{"allocatedResources":{"storage":"3Gi"}}"#;
    assert_eq!(
        used("persistentvolumeclaims", shrinking),
        "persistentvolumeclaims=1,requests.storage=3Gi"
    );
    let odd = r#""spec":{"resources":{"requests":{"storage":"1500m"}}}"#;
    assert_eq!(
        used("persistentvolumeclaims", odd),
        "persistentvolumeclaims=1,requests.storage=2"
    );
}

#[test]
fn every_resource_is_counted_by_its_name() {
    for (group, plural, name, tracked) in [
        ("", "pods", "count/pods", true),
        ("", "pods", "requests.nvidia.com/gpu", true),
        ("", "pods", "requests.storage", false),
        ("", "pods", "hugepages-1Gi", true),
        ("", "pods", "requests.deviceclass.resource.kubernetes.io/x", true),
        ("", "secrets", "secrets", true),
        ("", "secrets", "count/secrets", true),
        ("", "endpoints", "endpoints", false),
        ("apps", "deployments", "count/deployments.apps", true),
        ("apps", "deployments", "count/deployments.app", false),
        ("apps", "deployments", "count/deployments", false),
        (
            "",
            "persistentvolumeclaims",
            "a.b.storageclass.storage.k8s.io/requests.storage",
            true,
        ),
        (
            "",
            "persistentvolumeclaims",
            "a.storageclass.storage.k8s.io/pods",
            false,
        ),
        ("", "services", "services.nodeports", true),
    ] {
        assert_eq!(tracks(group, plural, name), tracked, "{group} {plural} {name}");
    }
    let object = object(r#""spec":{}"#);
    let usage = |group, plural| {
        print(
            &Item::new(group, plural, &object)
                .unwrap()
                .usage(Timestamp::UNIX_EPOCH),
        )
    };
    assert_eq!(usage("example.com", "widgets"), "count/widgets.example.com=1");
    assert_eq!(usage("", "configmaps"), "configmaps=1,count/configmaps=1");
}

#[test]
fn scopes_tell_pods_apart() {
    let pod = |spec: &str| item("pods", &format!(r#""spec":{{{spec}}}"#));
    let plain = pod(r#""containers":[{}]"#);
    let long = pod(r#""activeDeadlineSeconds":0"#);
    let burst = pod(r#""containers":[{"resources":{"limits":{"cpu":"1"}}}]"#);
    let high = pod(r#""priorityClassName":"high""#);
    let near = pod(
        r#""affinity":{"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"podAffinityTerm":{"namespaceSelector":{}}}]}}"#,
    );
    for (pod, scope, within) in [
        (&plain, "BestEffort Exists", true),
        (&plain, "NotBestEffort Exists", false),
        (&burst, "NotBestEffort Exists", true),
        (&plain, "NotTerminating Exists", true),
        (&long, "Terminating Exists", true),
        (&plain, "PriorityClass Exists", false),
        (&plain, "PriorityClass DoesNotExist", true),
        (&high, "PriorityClass In high low", true),
        (&high, "PriorityClass NotIn high low", false),
        (&plain, "PriorityClass NotIn high low", true),
        (&near, "CrossNamespacePodAffinity Exists", true),
        (&plain, "CrossNamespacePodAffinity Exists", false),
        (&plain, "VolumeAttributesClass Exists", false),
    ] {
        assert_eq!(pod.is_within(&term(scope)), within, "{scope}");
    }
    let claim = item(
        "persistentvolumeclaims",
        r#""spec":{"volumeAttributesClassName":"gold"},"status":{"modifyVolumeStatus":{"targetVolumeAttributesClassName":"silver"}}"#,
    );
    for (scope, within) in [
        ("VolumeAttributesClass Exists", true),
        ("VolumeAttributesClass In silver", true),
        ("VolumeAttributesClass In bronze", false),
        ("Terminating Exists", false),
    ] {
        assert_eq!(claim.is_within(&term(scope)), within, "{scope}");
    }
    assert!(!item("services", r#""spec":{}"#).is_within(&term("NotTerminating Exists")));
}

#[test]
fn what_is_limited_must_be_said() {
    let pod = item(
        "pods",
        r#""spec":{"containers":[{"name":"a"},{"name":"b","resources":{"requests":{"cpu":"1"}}}],"initContainers":[{"name":"c"}]}"#,
    );
    assert_eq!(
        pod.lacks(&[
            "requests.cpu",
            "limits.memory",
            "pods",
            "requests.ephemeral-storage"
        ]),
        Some("must specify limits.memory for: a,b,c; requests.cpu for: a,c".to_owned())
    );
    let whole = item(
        "pods",
        r#""spec":{"resources":{"requests":{"cpu":"1"}},"containers":[{"name":"a"}]}"#,
    );
    assert_eq!(whole.lacks(&["requests.cpu"]), None);
}

#[test]
fn amounts_are_compared_by_name() {
    let amounts = |text: &str| -> Amounts { serde_json::from_str(text).unwrap() };
    let used = amounts(r#"{"cpu":"1500m","memory":"1Gi","pods":"3"}"#);
    assert_eq!(
        exceeding(&used, &amounts(r#"{"cpu":"1","memory":"1Gi","secrets":"0"}"#)),
        ["cpu"]
    );
    let left = subtract(&used, &amounts(r#"{"cpu":"500m","memory":"2Gi"}"#));
    assert_eq!(print(&left), "cpu=1,memory=0,pods=3");
    let mut sum = amounts(r#"{"memory":"0"}"#);
    add(&mut sum, &amounts(r#"{"memory":"1Gi"}"#));
    assert_eq!(print(&sum), "memory=1Gi");
}
