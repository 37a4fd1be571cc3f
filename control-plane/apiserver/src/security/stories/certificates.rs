//! Who may ask for certificates, approve them and sign them.

use super::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Guarded, binding, create, guarded, merge, role};
use api::{Gvr, Key};

const REQUESTS: Gvr = Gvr::new("certificates.k8s.io", "v1", "certificatesigningrequests");

/// Requests in base64: of `jane` of `system:masters`, of the node `n2`, of `jane` of `devs`.
const MASTERS: &str = "\
    LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIak1JR0tBZ0VBTUNneEZ6QVZCZ05WQkFvTURuTjVjM1Js\
    YlRwdFlYTjBaWEp6TVEwd0N3WURWUVFEREFScQpZVzVsTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFTUFl\
    NHBjc1BPWXExbE53VWZENmovQjNCCm1GcFgyYkFIMWttbUZJeTNoOHVpc2FGVjdmUWZjaWVCN1dMT1VpQitmK1loN0szUFE5\
    VlExSmtERHRRRmFxQUEKTUFvR0NDcUdTTTQ5QkFNQ0EwZ0FNRVVDSURMTlNPdmQ3cTJFdHRBSlNVamhRSy96QnBjTVU4Y01m\
    ZEloVVVmKwpsY3ROQWlFQW82UDMrVHRNaVRGd1BIV3BNY3dvM2xOS05GOU4zWkFKZGtUVDZPYjF1NzA9Ci0tLS0tRU5EIENF\
    UlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=";
const OTHER_NODE: &str = "\
    LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIcU1JR1NBZ0VBTURBeEZUQVRCZ05WQkFvTURITjVjM1Js\
    YlRwdWIyUmxjekVYTUJVR0ExVUVBd3dPYzNsegpkR1Z0T201dlpHVTZiakl3V1RBVEJnY3Foa2pPUFFJQkJnZ3Foa2pPUFFN\
    QkJ3TkNBQVFyN2lkWjlxQXZiRStwCndDQ0JDOHhqUHRCTWh1aHFKVUpFMHJuSDkvOHVvUGtNb0tpUnByeXNESzdRMnQ2ZWdL\
    L1ljZFVvQlhWU2RZVEUKenlIOGZxZXhvQUF3Q2dZSUtvWkl6ajBFQXdJRFJ3QXdSQUlnSWJldVgrY25TcVBySXBGYXgxMkJk\
    aEhHamJrYgpiOE5sdkIyNDJ3a05kaVlDSUJhdG91eVV4S0FrYnJnZUxscngyZUYrTHlPUktJbVBiUHI5NUF6SEdsaFAKLS0t\
    LS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==";
const JANE: &str = "\
    LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIWU1JR0FBZ0VBTUI0eERUQUxCZ05WQkFvTUJHUmxkbk14\
    RFRBTEJnTlZCQU1NQkdwaGJtVXdXVEFUQmdjcQpoa2pPUFFJQkJnZ3Foa2pPUFFNQkJ3TkNBQVNaN01ZYzA2a1M0UE5xVnIx\
    cWtVMnlhL1k0Q1lhaU1CMFB5SW9HCk92dzJ1d1BDSVBzeEVSTHpTUjI3L04xb2hNSmJ5aFZCcG9sdnEvOVgwdStOeGdtSm9B\
    QXdDZ1lJS29aSXpqMEUKQXdJRFJ3QXdSQUlnVmFUYVh5QkpDT0dYRUNNNE50dzJQZk50L3JPejFHSXZiMnljMDZuZTg1d0NJ\
    QlhJb0JNTgpOcTBydEF2aUxkVzdZSWg3Slo4U3VVUGNVOGRKQVMwRlV4eGcKLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVT\
    VC0tLS0tCg==";

fn request(name: &str, signer: &str, text: &str) -> String {
    format!(
        r#"{{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{{"name":"{name}"}},
            "spec":{{"signerName":"kubernetes.io/{signer}","request":"{text}","usages":["digital signature","client auth"],
            "username":"root","groups":["system:masters"]}}}}"#
    )
}

async fn grant(guarded: &Guarded, user: &str, rules: &str) {
    let (name, to) = (user, format!("ClusterRole/{user}"));
    guarded
        .create(&CLUSTER_ROLES, "", &role("ClusterRole", name, rules))
        .await;
    let subject = format!("User:{user}");
    let binding = binding("ClusterRoleBinding", name, &to, &subject);
    guarded.create(&CLUSTER_ROLE_BINDINGS, "", &binding).await;
}

#[tokio::test(start_paused = true)]
async fn certificates_are_approved_and_signed_by_who_may() {
    let guarded = guarded().await;
    let rules = r#"[{"apiGroups":["certificates.k8s.io"],"resources":["certificatesigningrequests",
        "certificatesigningrequests/approval","certificatesigningrequests/status"],"verbs":["*"]}]"#;
    for user in ["jane", "approver", "signer"] {
        grant(&guarded, user, rules).await;
    }
    for (user, verb, signers) in [
        ("approver", "approve", "kubernetes.io/kube-apiserver-client"),
        ("signer", "sign", "kubernetes.io/*"),
    ] {
        let rule = format!(
            r#"[{{"apiGroups":["certificates.k8s.io"],"resources":["signers"],"resourceNames":["{signers}"],"verbs":["{verb}"]}}]"#
        );
        let name = format!("{user}-{verb}");
        guarded
            .create(&CLUSTER_ROLES, "", &role("ClusterRole", &name, &rule))
            .await;
        let to = format!("ClusterRole/{name}");
        let binding = binding("ClusterRoleBinding", &name, &to, &format!("User:{user}"));
        guarded.create(&CLUSTER_ROLE_BINDINGS, "", &binding).await;
    }
    let jane = guarded.client("jane", &["devs"]);
    let stored = create(
        &jane,
        &REQUESTS,
        "",
        &request("mine", "kube-apiserver-client", JANE),
    )
    .await
    .unwrap();
    let text = String::from_utf8_lossy(stored.body()).into_owned();
    assert!(
        text.contains(r#""groups":["devs"]"#) && text.contains(r#""username":"jane""#),
        "who asks is who asks: {text}"
    );
    let masters = create(
        &jane,
        &REQUESTS,
        "",
        &request("root", "kube-apiserver-client", MASTERS),
    )
    .await
    .unwrap_err();
    assert!(
        masters.message.ends_with(
            "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
        ),
        "{}",
        masters.message
    );
    let key = Key::cluster("mine");
    let approval = r#"{"status":{"conditions":[{"type":"Approved","status":"True","reason":"Fine"}]}}"#;
    let failure = r#"{"status":{"conditions":[{"type":"Approved","status":"True","reason":"Fine"},
        {"type":"Failed","status":"True","reason":"Wrong"}]}}"#;
    for (user, sub, patch, allowed) in [
        ("jane", "approval", approval, false),
        ("signer", "approval", approval, false),
        ("approver", "approval", approval, true),
        ("approver", "status", failure, false),
        ("signer", "status", failure, true),
    ] {
        let done = merge(&guarded.client(user, &[]), &REQUESTS, &key, sub, patch).await;
        assert_eq!(done.is_ok(), allowed, "{user} writes {sub}: {done:?}");
        if let Err(status) = done {
            assert!(
                status.message.contains("user not permitted to"),
                "{}",
                status.message
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_asks_for_its_own_certificate_only() {
    let guarded = guarded().await;
    let node = guarded.client("system:node:n1", &["system:nodes"]);
    let other = request("other", "kube-apiserver-client-kubelet", OTHER_NODE);
    let refused = create(&node, &REQUESTS, "", &other).await.unwrap_err();
    assert!(
        refused
            .message
            .ends_with("can only create a node CSR with CN=system:node:n1"),
        "{}",
        refused.message
    );
    let own = guarded.client("system:node:n2", &["system:nodes"]);
    create(&own, &REQUESTS, "", &other).await.unwrap();
}

/// A request in base64 whose subject has these common names and organizations, in that order.
fn with_names(names: &[&str], groups: &[&str]) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (of, last, values) in [
        (DnType::OrganizationName, 10, groups),
        (DnType::CommonName, 3, names),
    ] {
        // A name of the same kind would take the place of the one before.
        let kinds = [of, DnType::CustomDnType(vec![2, 5, 4, last])];
        for (kind, value) in kinds.into_iter().zip(values) {
            params.distinguished_name.push(kind, *value);
        }
    }
    let request = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    BASE64_STANDARD.encode(request.pem().unwrap())
}

/// Who signs copies the subject as it is, and who reads the certificate takes the last name: so it is the last that counts.
#[tokio::test(start_paused = true)]
async fn a_node_does_not_become_another_by_two_names() {
    let guarded = guarded().await;
    let node = guarded.client("system:node:n1", &["system:nodes"]);
    let (own, other) = ("system:node:n1", "system:node:n2");
    for (name, names, allowed) in [
        ("one", &[own][..], true),
        ("both", &[own, other], false),
        ("turned", &[other, own], true),
    ] {
        let text = with_names(names, &["system:nodes"]);
        let asked = request(name, "kube-apiserver-client-kubelet", &text);
        let done = create(&node, &REQUESTS, "", &asked).await;
        assert_eq!(done.is_ok(), allowed, "{names:?}: {done:?}");
    }
    let jane = guarded.client("jane", &["system:masters"]);
    let text = with_names(&["jane"], &["devs", "system:masters"]);
    let asked = request("more", "kube-apiserver-client", &text);
    assert_eq!(create(&jane, &REQUESTS, "", &asked).await.unwrap_err().code, 403);
}
