//! `bench admission`: what each step on the way of a request costs the server, as the difference of processor time a request
//! between two servers, or two clients of one, in turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use rustls::ClientConfig;

use super::objects::{MAPS_PATH, PODS_PATH, config_map, pod};
use super::reviewer::Reviewer;
use super::side::{Papers, Side, Which};
use super::{Report, Value, cost, median};
use crate::bench::load::{self, Load};
use crate::bench::room::Room;

/// The cases.
pub const CASES: &[&str] = &[
    "authorize-1000-bindings",
    "authorize-1000-own-bindings",
    "authorize-10000-bindings",
    "change-10000-bindings",
    "fairness",
    "token",
    "token-review",
    "token-review-cached",
    "cel-policy",
    "pod-create-plugins",
];

/// ConfigMaps in the namespace of who has a thousand bindings.
const OWN_PATH: &str = "/api/v1/namespaces/own/configmaps";

/// Where the bindings are.
const BINDINGS_PATH: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/bench/rolebindings";

const CONNECTIONS: usize = 32;
/// Bindings of nobody beside the others, which are changed.
const SPARE: usize = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);

/// The plugins that are on by default and can be off.
const PLUGINS: &str = "--disable-admission-plugins=LimitRanger,NodeRestriction,PodSecurity,PersistentVolumeClaimResize,\
    RuntimeClass,CertificateApproval,ClusterTrustBundleAttest,PodTopologyLabels,MutatingAdmissionPolicy,\
    MutatingAdmissionWebhook,ValidatingAdmissionPolicy,ValidatingAdmissionWebhook,ResourceQuota";

/// A request of the load: its client, its text by number, and the status that it is answered with.
struct Ask<'a> {
    client: &'a Arc<ClientConfig>,
    text: Box<dyn Fn(usize) -> Vec<u8> + 'a>,
    status: u16,
}

/// Runs the cases that are asked for.
pub fn run(report: &mut Report) -> Result<()> {
    let room = Room::new("bench")?;
    let papers = Papers::new(room.folder().join("pki"))?;
    let side = |name: &str, port, flags: &[&str]| -> Result<Side<'_>> {
        let ours = Which::Ours(report.binary.clone());
        let mut side = Side::new(ours, &papers, &room.folder().join(name))?.variant(port, flags);
        side.start()?;
        side.prepare()?;
        side.load(1)?.made(MAPS_PATH, &config_map("one"))?;
        side.signal(Signal::STOP)?;
        Ok(side)
    };
    let plain = side("plain", 16443, &[])?;
    let reviewer = Reviewer::start(room.folder(), &room.folder().join("pki/ca.crt"))?;
    let kubeconfig = reviewer.kubeconfig.display();
    let known = [
        format!("--authentication-token-webhook-config-file={kubeconfig}"),
        "--authentication-token-webhook-version=v1".to_owned(),
        "--authentication-token-webhook-cache-ttl=1h".to_owned(),
    ];
    let bound = side("bound", 16444, &known.each_ref().map(String::as_str))?;
    let unfair = side("unfair", 16445, &["--enable-priority-and-fairness=false"])?;
    let bare = side("bare", 16446, &[PLUGINS])?;
    let many = side("many", 16447, &[])?;
    for (side, bindings) in [(&plain, 1), (&bound, 1000), (&many, 10_000)] {
        side.signal(Signal::CONT)?;
        bind(side, bindings)?;
        side.signal(Signal::STOP)?;
    }
    bound.signal(Signal::CONT)?;
    bind_one(&bound)?;
    policy(&bound, &papers.admin)?;
    let token = token(&bound, &papers.admin)?;
    bound.signal(Signal::STOP)?;

    let get = |client| Ask {
        client,
        text: Box::new(|_| load::get(&format!("{MAPS_PATH}/one"), "Accept: application/json\r\n")),
        status: 200,
    };
    // A binding is changed, and the next request is authorized by what they say now.
    let change = || Ask {
        client: &papers.user,
        text: Box::new(|number| {
            let name = format!("spare-{:02}", number % SPARE);
            load::put(
                &format!("{BINDINGS_PATH}/{name}"),
                &binding(&name, &format!("by-{number}")),
            )
        }),
        status: 200,
    };
    let get_own = |client| Ask {
        client,
        text: Box::new(|_| load::get(&format!("{OWN_PATH}/one"), "Accept: application/json\r\n")),
        status: 200,
    };
    let dry = || Ask {
        client: &papers.user,
        text: Box::new(|_| load::post(&format!("{MAPS_PATH}?dryRun=All"), &config_map("dry"))),
        status: 201,
    };
    let by_token = || {
        let headers = format!("Accept: application/json\r\nAuthorization: Bearer {token}\r\n");
        let request = load::get(&format!("{MAPS_PATH}/one"), &headers);
        Ask {
            client: &papers.none,
            text: Box::new(move |_| request.clone()),
            status: 200,
        }
    };
    let review = |kind: &str, plural: &str, spec: &str| {
        let version = "authentication.k8s.io/v1";
        let body = format!(r#"{{"apiVersion":"{version}","kind":"{kind}"{spec}}}"#);
        let request = load::post(&format!("/apis/{version}/{plural}"), &body);
        Ask {
            client: &papers.user,
            text: Box::new(move |_| request.clone()),
            status: 201,
        }
    };
    let spec = format!(r#","spec":{{"token":"{token}"}}"#);
    let foreign = r#","spec":{"token":"of-somebody-else"}"#;
    let create = || Ask {
        client: &papers.user,
        text: Box::new(|number| load::post(PODS_PATH, &pod(number))),
        status: 201,
    };
    let other = &papers.other;
    let compared: [(&'static str, [(&Side<'_>, Ask<'_>); 2]); 9] = [
        (
            "authorize-1000-bindings",
            [(&plain, get(other)), (&bound, get(other))],
        ),
        (
            "authorize-1000-own-bindings",
            [(&plain, get(other)), (&bound, get_own(other))],
        ),
        (
            "authorize-10000-bindings",
            [(&plain, get(other)), (&many, get(other))],
        ),
        ("change-10000-bindings", [(&plain, change()), (&many, change())]),
        (
            "fairness",
            [(&unfair, get(&papers.user)), (&plain, get(&papers.user))],
        ),
        ("token", [(&bound, get(&papers.user)), (&bound, by_token())]),
        (
            "token-review",
            [
                (&bound, review("SelfSubjectReview", "selfsubjectreviews", "")),
                (&bound, review("TokenReview", "tokenreviews", &spec)),
            ],
        ),
        (
            "token-review-cached",
            [
                (&bound, review("SelfSubjectReview", "selfsubjectreviews", "")),
                (&bound, review("TokenReview", "tokenreviews", foreign)),
            ],
        ),
        ("cel-policy", [(&plain, dry()), (&bound, dry())]),
    ];
    for (case, pair) in compared {
        if report.wants(case) {
            let [without, with] = medians(&pair)?;
            report.ours(case, Value::Seconds((with - without).max(0.0)));
        }
    }
    let asked = reviewer.asked();
    ensure!(asked <= 1, "the webhook was asked {asked} times");
    if report.wants("pod-create-plugins") {
        let [without, with] = medians(&[(&bare, create()), (&plain, create())])?;
        report.ours(
            "pod-create-plugins",
            Value::Percent((with / without - 1.0) * 100.0),
        );
    }
    Ok(())
}

/// The processor time of a request, of two in turn.
fn medians(pair: &[(&Side<'_>, Ask<'_>); 2]) -> Result<[f64; 2]> {
    let mut samples = [Vec::new(), Vec::new()];
    let mut number = 0;
    for _ in 0..ROUNDS {
        for ((side, ask), samples) in pair.iter().zip(&mut samples) {
            side.signal(Signal::CONT)?;
            let mut load = side.load_of(ask.client, CONNECTIONS)?;
            let begun = Instant::now();
            let next = || {
                number += 1;
                (begun.elapsed() < ROUND).then(|| (ask.text)(number))
            };
            let (driven, cost) = cost(side, || load.drive(ask.status, next))?;
            samples.push(cost.server / driven.latencies.len() as f64);
            side.signal(Signal::STOP)?;
        }
    }
    let [without, with] = samples
        .each_mut()
        .map(|samples| median(samples).context("no rounds"));
    let (without, with) = (without?, with?);
    println!("  {:.1} us, and {:.1} us", without * 1e6, with * 1e6);
    Ok([without, with])
}

impl Load {
    /// Makes an object; the answer.
    fn made(&mut self, path: &str, body: &str) -> Result<String> {
        let (status, answer) = self.ask(&load::post(path, body), PATIENCE)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        ensure!(status == 201, "POST {path}: {status} {answer}");
        Ok(answer)
    }
}

/// So many bindings in the namespace, the last of which gives the other client its rights.
fn bind(side: &Side<'_>, bindings: usize) -> Result<()> {
    let mut load = side.load(1)?;
    for number in 1..=bindings {
        let name = if number == bindings {
            "other".to_owned()
        } else {
            format!("user-{number}")
        };
        load.made(BINDINGS_PATH, &binding(&format!("binding-{number:04}"), &name))?;
    }
    for number in 0..SPARE {
        load.made(BINDINGS_PATH, &binding(&format!("spare-{number:02}"), "nobody"))?;
    }
    Ok(())
}

/// A binding of a user.
fn binding(name: &str, user: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}"}},"roleRef":{{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"edit"}},"subjects":[{{"kind":"User","name":"{user}","apiGroup":"rbac.authorization.k8s.io"}}]}}"#
    )
}

/// A thousand bindings of the other client in a namespace of its own. Each but the last is to a role that lets it read
/// another ConfigMap.
fn bind_one(side: &Side<'_>) -> Result<()> {
    let mut load = side.load(1)?;
    load.made("/api/v1/namespaces", r#"{"metadata":{"name":"own"}}"#)?;
    load.made(OWN_PATH, &config_map("one"))?;
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/own";
    for number in 1..=1000 {
        let role = if number == 1000 {
            r#""kind":"ClusterRole","name":"view""#.to_owned()
        } else {
            let role = format!(
                r#"{{"metadata":{{"name":"role-{number}"}},"rules":[{{"apiGroups":[""],"resources":["configmaps"],"resourceNames":["map-{number}"],"verbs":["get"]}}]}}"#
            );
            load.made(&format!("{rbac}/roles"), &role)?;
            format!(r#""kind":"Role","name":"role-{number}""#)
        };
        let body = format!(
            r#"{{"metadata":{{"name":"binding-{number:04}"}},"roleRef":{{"apiGroup":"rbac.authorization.k8s.io",{role}}},"subjects":[{{"kind":"User","name":"other","apiGroup":"rbac.authorization.k8s.io"}}]}}"#
        );
        load.made(&format!("{rbac}/rolebindings"), &body)?;
    }
    Ok(())
}

/// A policy of three simple expressions about ConfigMaps, in force.
fn policy(side: &Side<'_>, admin: &Arc<ClientConfig>) -> Result<()> {
    let mut load = side.load_of(admin, 1)?;
    let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    load.made(policies, r#"{"metadata":{"name":"bench"},"spec":{"failurePolicy":"Fail","matchConstraints":{"resourceRules":[{"apiGroups":[""],"apiVersions":["v1"],"operations":["CREATE"],"resources":["configmaps"]}]},"validations":[{"expression":"object.metadata.name.size() < 64"},{"expression":"has(object.data) && size(object.data) < 10"},{"expression":"!('forbidden' in object.data)"}]}}"#)?;
    let bindings = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
    load.made(
        bindings,
        r#"{"metadata":{"name":"bench"},"spec":{"policyName":"bench","validationActions":["Deny"]}}"#,
    )?;
    // In force as soon as it refuses.
    let refused = load::post(
        &format!("{MAPS_PATH}?dryRun=All"),
        r#"{"metadata":{"name":"refused"},"data":{"forbidden":""}}"#,
    );
    let begun = Instant::now();
    while load.ask(&refused, PATIENCE)?.0 == 201 {
        ensure!(begun.elapsed() < PATIENCE, "the policy does not come into force");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// A token of a service account that may do everything.
fn token(side: &Side<'_>, admin: &Arc<ClientConfig>) -> Result<String> {
    let mut load = side.load_of(admin, 1)?;
    load.made(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        r#"{"metadata":{"name":"accounts"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},"subjects":[{"kind":"Group","name":"system:serviceaccounts:bench","apiGroup":"rbac.authorization.k8s.io"}]}"#,
    )?;
    let answer = load.made(
        "/api/v1/namespaces/bench/serviceaccounts/default/token",
        r#"{"spec":{"expirationSeconds":3600}}"#,
    )?;
    let token = answer
        .split(r#""token":""#)
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    Ok(token.context("an answer without a token")?.to_owned())
}
