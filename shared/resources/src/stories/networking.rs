use super::*;

const INGRESS: &str = r#"{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"web"},"spec":{"ingressClassName":"nginx","rules":[{"host":"a.example.com","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"web","port":{"number":80}}}}]}}]}}"#;

#[test]
fn an_ingress_is_shown_and_checked() {
    let stored = create(INGRESS);
    assert!(stored.ends_with(r#""status":{"loadBalancer":{}}}"#), "{stored}");
    assert_eq!(line(&stored), "web|nginx|a.example.com||80|60s");
    let served = stored
        .replace(
            r#"{"loadBalancer":{}}"#,
            r#"{"loadBalancer":{"ingress":[{"ip":"10.0.0.2"},{"hostname":"lb"}]}}"#,
        )
        .replace(r#""rules""#, r#""tls":[{"hosts":["a.example.com"]}],"rules""#);
    assert_eq!(line(&served), "web|nginx|a.example.com|10.0.0.2,lb|80, 443|60s");
    let cases = [
        (
            INGRESS.replace(r#""path":"/""#, r#""path":"x//y""#),
            r#"[spec.rules[0].http.paths[0].path: Invalid value: "x//y": must be an absolute path, spec.rules[0].http.paths[0].path: Invalid value: "x//y": must not contain '//']"#,
        ),
        (
            INGRESS.replace("a.example.com", "10.0.0.1"),
            r#"spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address"#,
        ),
        (
            INGRESS.replace(r#"{"number":80}"#, "{}"),
            "spec.rules[0].http.paths[0].backend: Required value: port name or number is required",
        ),
        (
            INGRESS.replace(r#""pathType":"Prefix","#, r#""pathType":"","#),
            "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
        ),
    ];
    for (body, words) in cases {
        assert_eq!(
            refused(&body),
            format!(r#"Ingress.networking.k8s.io "web" is invalid: {words}"#)
        );
    }
}

#[test]
fn an_ingress_without_a_class_gets_the_default_one() {
    let class = r#"{"apiVersion":"networking.k8s.io/v1","kind":"IngressClass","metadata":{"annotations":{"ingressclass.kubernetes.io/is-default-class":"true"},"name":"nginx"},"spec":{"controller":"k8s.io/ingress-nginx","parameters":{"apiGroup":"example.com","kind":"Settings","name":"s"}}}"#;
    let cluster = Small::usual().with("ingressclasses", class);
    let body = INGRESS.replace(r#""ingressClassName":"nginx","#, "");
    let stored = run(&body, None, Op::Create, &cluster).unwrap();
    assert!(stored.contains(r#""ingressClassName":"nginx""#), "{stored}");
    let stored = create(class);
    assert!(stored.contains(r#""scope":"Cluster""#));
    assert_eq!(
        line(&stored),
        "nginx|k8s.io/ingress-nginx|Settings.example.com/s|60s"
    );
    assert_eq!(
        update(&stored.replace("ingress-nginx", "other"), &stored).unwrap_err(),
        r#"IngressClass.networking.k8s.io "nginx" is invalid: spec.controller: Invalid value: "k8s.io/other": field is immutable"#
    );
}

const POLICY: &str = r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"db"},"spec":{"podSelector":{"matchLabels":{"role":"db"}},"ingress":[{"from":[{"ipBlock":{"cidr":"172.17.0.0/16","except":["172.17.1.0/24"]}},{"podSelector":{}}],"ports":[{"port":6379}]}],"egress":[{}]}}"#;

#[test]
fn a_network_policy_is_filled_and_checked() {
    let stored = create(POLICY);
    assert!(
        stored.contains(r#""ports":[{"port":6379,"protocol":"TCP"}]"#),
        "{stored}"
    );
    assert!(stored.contains(r#""policyTypes":["Ingress","Egress"]"#));
    assert_eq!(line(&stored), "db|role=db|60s");
    let cases = [
        (
            POLICY.replace("172.17.1.0/24", "172.18.1.0/24"),
            r#"spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "172.18.1.0/24": must be a strict subset of `cidr`"#,
        ),
        (
            POLICY.replace(r#"{"podSelector":{}}"#, "{}"),
            "spec.ingress[0].from[1]: Required value: must specify a peer",
        ),
        (
            POLICY.replace(r#"{"port":6379}"#, r#"{"port":6379,"endPort":80}"#),
            "spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`",
        ),
    ];
    for (body, words) in cases {
        assert_eq!(
            refused(&body),
            format!(r#"NetworkPolicy.networking.k8s.io "db" is invalid: {words}"#)
        );
    }
}

#[test]
fn addresses_and_ranges_of_services_are_objects() {
    let address = create(
        r#"{"apiVersion":"networking.k8s.io/v1","kind":"IPAddress","metadata":{"name":"10.96.0.1"},"spec":{"parentRef":{"resource":"services","namespace":"default","name":"kubernetes"}}}"#,
    );
    assert_eq!(line(&address), "10.96.0.1|services/default/kubernetes");
    let odd = refused(
        r#"{"apiVersion":"networking.k8s.io/v1","kind":"IPAddress","metadata":{"name":"2001:db8::0"},"spec":{"parentRef":{"resource":"services","name":"a"}}}"#,
    );
    assert!(
        odd.contains(r#"must be in canonical form ("2001:db8::")"#),
        "{odd}"
    );
    let body = r#"{"apiVersion":"networking.k8s.io/v1","kind":"ServiceCIDR","metadata":{"name":"more"},"spec":{"cidrs":["10.100.0.0/16"]}}"#;
    let range = create(body);
    assert_eq!(line(&range), "more|10.100.0.0/16|60s");
    let both = range.replace(r#"["10.100.0.0/16"]"#, r#"["10.100.0.0/16","fd00::/108"]"#);
    assert!(update(&both, &range).is_ok());
    assert!(
        update(&range.replace("10.100", "10.101"), &range)
            .unwrap_err()
            .contains("field is immutable")
    );
}

/// Else who may write endpoints has the proxies reach what listens on nodes for themselves, and machines' own services.
#[test]
fn traffic_is_not_sent_to_the_node_itself_or_its_link() {
    for (ip, why) in [
        ("127.0.0.1", "loopback range (127.0.0.0/8, ::1/128)"),
        ("::ffff:127.0.0.1", "loopback range"),
        ("::1", "loopback range"),
        ("0.0.0.0", "unspecified (0.0.0.0)"),
        ("169.254.169.254", "link-local range (169.254.0.0/16, fe80::/10)"),
        ("fe80::1", "link-local range"),
        (
            "224.0.0.5",
            "link-local multicast range (224.0.0.0/24, ff02::/10)",
        ),
    ] {
        let version = if ip.contains(':') { 6 } else { 4 };
        let bodies = [
            format!(
                r#"{{"apiVersion":"v1","kind":"Endpoints","metadata":{{"name":"a"}},"subsets":[{{"addresses":[{{"ip":"{ip}"}}],"ports":[{{"port":80}}]}}]}}"#
            ),
            format!(
                r#"{{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{{"name":"a"}},"addressType":"IPv{version}","endpoints":[{{"addresses":["{ip}"]}}]}}"#
            ),
            format!(
                r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"a"}},"spec":{{"externalIPs":["{ip}"],"ports":[{{"port":80}}]}}}}"#
            ),
        ];
        for body in bodies {
            let said = refused(&body);
            assert!(said.contains(why), "{body}: {said}");
        }
    }
}
