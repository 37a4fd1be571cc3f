//! What servers behind this one are told of who asks, and which paths lead to them.

use super::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Guarded, binding, guarded_with, key, role, settings};
use crate::{
    http::stories::Http,
    security::{RequestHeader, authentication::TokenFile},
};
use api::Gvr;
use component::{Clock, Env, gates::Gates, pki::Authority};
use http::{HeaderMap, HeaderName, HeaderValue};

const API_SERVICES: Gvr = Gvr::new("apiregistration.k8s.io", "v1", "apiservices");

async fn with_tokens(header: Option<RequestHeader>) -> Guarded {
    with_gates(header, &[]).await
}

/// The same, with these gates.
async fn with_gates(header: Option<RequestHeader>, gates: &[(String, String)]) -> Guarded {
    let env = Env::simulated(11);
    let mut made = settings(&env, &key());
    let file = TokenFile::parse("tokens", "secret,ann,1\n").unwrap();
    made.authentication.token_file = Some(file.into());
    made.trust.request_header = header;
    let gates = Gates::parse(&gates.iter().cloned().collect()).unwrap();
    guarded_with(made, |config| config.gates = gates).await
}

#[tokio::test(start_paused = true)]
async fn nobody_behind_is_told_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let proxies = Authority::named(folder.path(), "ca", "proxies", Clock::system().wall()).unwrap();
    let header = RequestHeader {
        username_headers: vec!["X-My-User".to_owned()],
        group_headers: vec!["X-My-Group".to_owned()],
        uid_headers: vec!["X-My-Uid".to_owned()],
        extra_prefixes: vec!["X-My-Extra-".to_owned()],
        ..RequestHeader::usual(proxies.certificate(), "proxy")
    };
    let guarded = with_tokens(Some(header)).await;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("authorization", "Bearer secret"),
        (
            "sec-websocket-protocol",
            "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0",
        ),
        ("sec-websocket-protocol", "v4.channel.k8s.io"),
        ("x-remote-user", "root"),
        ("x-remote-uid", "0"),
        ("x-remote-group", "system:masters"),
        ("x-remote-extra-a%2fb", "c"),
        ("x-my-user", "root"),
        ("x-my-uid", "0"),
        ("x-my-group", "system:masters"),
        ("x-my-extra-a", "b"),
        ("x-mine", "kept"),
    ] {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_static(value));
    }
    guarded.security.authn.forget(&mut headers);
    let mut left: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    left.sort();
    assert_eq!(
        left,
        [
            "sec-websocket-protocol: v5.channel.k8s.io,v4.channel.k8s.io",
            "x-mine: kept"
        ]
    );
}

/// Paths that are no resource are allowed by rules on paths, which all users have for discovery: none of them may lead to
/// the resources of another server.
#[tokio::test(start_paused = true)]
async fn no_path_leads_around_the_rights_on_resources() {
    let guarded = with_tokens(None).await;
    let service = r#"{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"v1.wardle.example.com"},
        "spec":{"group":"wardle.example.com","version":"v1","groupPriorityMinimum":1000,"versionPriority":10,
        "insecureSkipTLSVerify":true,"service":{"namespace":"default","name":"wardle"}}}"#;
    guarded.create(&API_SERVICES, "", service).await;
    let mut http = Http::new(&guarded.server).await;
    let base = "/apis/wardle.example.com/v1";
    for (path, code) in [
        // It is another server's, which does not answer.
        (base.to_owned(), 503),
        (format!("{base}/"), 503),
        (format!("{base}/flunders"), 403),
        (format!("{base}/flunders/"), 403),
        (format!("{base}/namespaces/a/flunders/b"), 403),
        (format!("{base}/namespaces/a%2Fflunders"), 403),
        (format!("{base}%2Fflunders"), 403),
        (format!("{base}//flunders"), 404),
        (format!("{base}///namespaces/a/flunders"), 404),
        (format!("{base}/%2Fflunders"), 404),
        (format!("{base}/%2fnamespaces/a/flunders"), 404),
        (format!("{base}//"), 404),
        ("/apis//wardle.example.com/v1/flunders".to_owned(), 404),
        ("/apis/wardle.example.com//v1/flunders".to_owned(), 404),
        (format!("/{base}/flunders"), 403),
        ("/api//v1/secrets".to_owned(), 404),
        ("/api/v1//secrets".to_owned(), 404),
        ("/api/v1/%2Fsecrets".to_owned(), 404),
        ("//api/v1/secrets".to_owned(), 403),
        (
            "/api/v1/namespaces/default/../kube-system/secrets".to_owned(),
            403,
        ),
        (
            "/api/v1/namespaces/default/%2e%2e/kube-system/secrets".to_owned(),
            403,
        ),
        ("/api/v1/secrets/".to_owned(), 403),
        ("/API/v1/secrets".to_owned(), 403),
        ("/%61pi/v1/secrets".to_owned(), 403),
        ("/metrics".to_owned(), 403),
        ("/metrics/".to_owned(), 403),
        ("/healthz/..%2fmetrics".to_owned(), 403),
        ("/%6detrics".to_owned(), 403),
        ("/api/../metrics".to_owned(), 403),
        ("/debug/clients".to_owned(), 403),
    ] {
        let told = http
            .ask("GET", &path, &[("authorization", "Bearer secret")], "")
            .await;
        assert_eq!(told.code, code, "{path}: {}", told.text);
    }
    guarded.env.tasks.stop();
}

/// A WebSocket begins with GET, which is reading.
#[tokio::test(start_paused = true)]
async fn who_only_reads_pods_runs_nothing_in_them() {
    let gate = (
        "AuthorizePodWebsocketUpgradeCreatePermission".to_owned(),
        "false".to_owned(),
    );
    for (gates, code) in [(vec![], 403), (vec![gate], 404)] {
        let guarded = with_gates(None, &gates).await;
        let rules = r#"[{"verbs":["get","list","watch"],"apiGroups":["*"],"resources":["*"]}]"#;
        let reads = role("ClusterRole", "reads", rules);
        guarded.create(&CLUSTER_ROLES, "", &reads).await;
        let bound = binding("ClusterRoleBinding", "reads", "ClusterRole/reads", "User:ann");
        guarded.create(&CLUSTER_ROLE_BINDINGS, "", &bound).await;
        let mut http = Http::new(&guarded.server).await;
        for (stream, code) in [
            ("exec?command=id", code),
            ("attach", code),
            ("portforward?ports=80", code),
            ("log", 404),
        ] {
            let url = format!("/api/v1/namespaces/default/pods/p/{stream}");
            let upgrade = [
                ("authorization", "Bearer secret"),
                ("connection", "Upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ("sec-websocket-protocol", "v5.channel.k8s.io"),
            ];
            let told = http.ask("GET", &url, &upgrade, "").await;
            assert_eq!(told.code, code, "{stream}: {}", told.text);
            if code == 403 {
                let sub = stream.split('?').next().unwrap();
                let why = format!(r#"cannot create resource \"pods/{sub}\""#);
                assert!(told.text.contains(&why), "{}", told.text);
            }
        }
        guarded.env.tasks.stop();
    }
}
