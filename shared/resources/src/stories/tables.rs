use super::*;

fn pod(spec: &str, status: &str, deletion: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"web","namespace":"ns","creationTimestamp":"2026-01-02T03:04:05Z"{deletion}}},"spec":{{{spec}"nodeName":"n1","containers":[{{"name":"a"}},{{"name":"b"}}]}},"status":{{"podIP":"10.244.0.5",{status}}}}}"#
    )
}

#[test]
fn pods_are_told_as_kubectl_tells_them() {
    let running = r#""name":"a","ready":true,"restartCount":0,"state":{"running":{}}"#;
    let init = r#""initContainers":[{"name":"i"},{"name":"j"}],"#;
    let going = r#","deletionTimestamp":"2026-01-02T03:04:35Z""#;
    let cases = [
        ("", r#""phase":"Pending""#.to_owned(), "", "0/2|Pending|0"),
        (
            "",
            r#""phase":"Pending","containerStatuses":[{"name":"a","state":{"waiting":{"reason":"ContainerCreating"}}}]"#.to_owned(),
            "",
            "0/2|ContainerCreating|0",
        ),
        ("", format!(r#""phase":"Running","containerStatuses":[{{{running}}},{{{running}}}]"#), "", "2/2|Running|0"),
        ("", format!(r#""phase":"Running","containerStatuses":[{{{running}}},{{{running}}}]"#), going, "2/2|Terminating|0"),
        (
            "",
            format!(r#""phase":"Running","containerStatuses":[{{{running}}},{{"name":"b","restartCount":3,"state":{{"waiting":{{"reason":"CrashLoopBackOff"}}}},"lastState":{{"terminated":{{"exitCode":1,"finishedAt":"2026-01-02T03:05:00Z"}}}}}}]"#),
            "",
            "1/2|CrashLoopBackOff|3 (5s ago)",
        ),
        (
            "",
            r#""phase":"Succeeded","containerStatuses":[{"name":"a","state":{"terminated":{"exitCode":0,"reason":"Completed"}}}]"#.to_owned(),
            "",
            "0/2|Completed|0",
        ),
        (
            "",
            r#""phase":"Failed","containerStatuses":[{"name":"a","state":{"terminated":{"exitCode":137,"signal":9}}}]"#.to_owned(),
            "",
            "0/2|Signal:9|0",
        ),
        ("", r#""phase":"Failed","reason":"Evicted""#.to_owned(), "", "0/2|Evicted|0"),
        (
            init,
            r#""phase":"Pending","initContainerStatuses":[{"name":"i","state":{"terminated":{"exitCode":0}}},{"name":"j","state":{"running":{}}}]"#.to_owned(),
            "",
            "0/2|Init:1/2|0",
        ),
        (
            init,
            r#""phase":"Pending","initContainerStatuses":[{"name":"i","restartCount":2,"state":{"waiting":{"reason":"CrashLoopBackOff"}}}]"#.to_owned(),
            "",
            "0/2|Init:CrashLoopBackOff|2",
        ),
        (
            "",
            r#""phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"SchedulingGated"}]"#.to_owned(),
            "",
            "0/2|SchedulingGated|0",
        ),
    ];
    for (spec, status, deletion, expected) in cases {
        let text = line(&pod(spec, &status, deletion));
        assert_eq!(text, format!("web|{expected}|60s|10.244.0.5|n1|<none>|<none>"));
    }
}

#[test]
fn other_kinds_have_upstreams_columns() {
    let cases = [
        (super::workloads::DEPLOYMENT.to_owned(), "web|0/1|0|0|60s|nginx|nginx:1.14.2|app=web"),
        (super::workloads::DEPLOYMENT.replace("Deployment", "ReplicaSet"), "web|1|0|0|60s|nginx|nginx:1.14.2|app=web"),
        (
            r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"selector":{"app":"web"},"ports":[{"port":80}]}}"#.to_owned(),
            "web|ClusterIP|10.96.0.1|<none>|80/TCP|60s|app=web",
        ),
        (
            r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"type":"LoadBalancer","ports":[{"port":80}]}}"#.to_owned(),
            "web|LoadBalancer|10.96.0.1|<pending>|80:30002/TCP|60s|<none>",
        ),
        (
            r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1","labels":{"node-role.kubernetes.io/control-plane":""}},"spec":{"unschedulable":true},"status":{"conditions":[{"type":"Ready","status":"True"}],"addresses":[{"type":"InternalIP","address":"10.0.0.1"}],"nodeInfo":{"kubeletVersion":"v1.37.0"}}}"#.to_owned(),
            "n1|Ready,SchedulingDisabled|control-plane|60s|v1.37.0|10.0.0.1|<none>|<unknown>|<unknown>|<unknown>",
        ),
        (
            r#"{"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"web"},"subsets":[{"addresses":[{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}],"ports":[{"port":80},{"name":"b","port":81}]}]}"#.replace(r#"{"port":80}"#, r#"{"name":"a","port":80}"#),
            "web|10.0.0.1:80,10.0.0.2:80,10.0.0.1:81 + 1 more...|60s",
        ),
        (
            r#"{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"web"},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"]}],"ports":[{"port":80}]}"#.to_owned(),
            "web|IPv4|80|10.0.0.1|60s",
        ),
        (r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1","b":"2"}}"#.to_owned(), "c|2|60s"),
        (r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s"},"data":{"a":"MQ=="}}"#.to_owned(), "s|Opaque|1|60s"),
        (r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n"}}"#.to_owned(), "n|Active|60s"),
        (
            r#"{"apiVersion":"v1","kind":"Event","metadata":{"name":"e"},"involvedObject":{"kind":"Pod","name":"web","namespace":"ns"},"lastTimestamp":"2026-01-02T03:05:00Z","reason":"Pulled","message":"done ","type":"Normal","source":{"component":"kubelet"}}"#.to_owned(),
            "5s|Normal|Pulled|pod/web||kubelet|done|<unknown>|1|e",
        ),
        (
            r#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"l"},"spec":{"holderIdentity":"me"}}"#.to_owned(),
            "l|me|60s",
        ),
        (
            r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"b"},"roleRef":{"kind":"ClusterRole","name":"view"},"subjects":[{"kind":"User","name":"jane"},{"kind":"ServiceAccount","name":"bot","namespace":"ns"}]}"#.to_owned(),
            "b|ClusterRole/view|60s|jane||ns/bot",
        ),
        (
            r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"r"},"rules":[]}"#.to_owned(),
            "r|2026-01-02T03:04:05Z",
        ),
        (
            r#"{"apiVersion":"scheduling.k8s.io/v1","kind":"PriorityClass","metadata":{"name":"p"},"value":7}"#.to_owned(),
            "p|7|false|60s|PreemptLowerPriority",
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(line(&create(&body)), expected);
    }
}
