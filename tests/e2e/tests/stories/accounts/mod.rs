//! What pods have of their service accounts.

use anyhow::Result;
use e2e::cluster::Cluster;

use crate::expect::same;
use crate::pod::{inside, sleeper, until_ready};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    a_pod_verifies_its_token_by_what_its_issuer_publishes,
    a_token_is_in_a_pod_as_the_pod_and_its_account_say,
];

const DISCOVER: &str = include_str!("discover.py");

/// A pod with a token for another audience beside its own.
const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: verifier}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: python:3
    command: [sleep, '3600']
    volumeMounts: [{name: tokens, mountPath: /tokens}]
  volumes:
  - name: tokens
    projected:
      sources: [{serviceAccountToken: {path: token, expirationSeconds: 600, audience: oidc-discovery-test}}]
";

fn a_pod_verifies_its_token_by_what_its_issuer_publishes(c: &mut Cluster) -> Result<()> {
    c.apply(POD)?;
    until_ready(c, "verifier")?;
    let run =
        |token: &str| c.kubectl_words(&["exec", "-i", "verifier", "--", "python", "-", token], DISCOVER);
    let subject = format!("system:serviceaccount:{}:default", c.namespace);
    same(
        run("/tokens/token")?,
        format!("True False ['oidc-discovery-test'] {subject}\n"),
    )?;
    let own = run("/var/run/secrets/kubernetes.io/serviceaccount/token")?;
    same(own.starts_with("True False ["), true)?;
    same(own.ends_with(&format!("] {subject}\n")), true)
}

fn a_token_is_in_a_pod_as_the_pod_and_its_account_say(c: &mut Cluster) -> Result<()> {
    let said = [
        ("silent", None),
        ("willing", Some(true)),
        ("unwilling", Some(false)),
    ];
    let field = |said: Option<bool>| {
        said.map_or_else(String::new, |said| {
            format!("automountServiceAccountToken: {said}")
        })
    };
    let mut pods = Vec::new();
    for (account, of_account) in said {
        let field_of_account = field(of_account);
        c.apply(&format!(
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {account}}}\n{field_of_account}\n"
        ))?;
        for (pod, of_pod) in said {
            let name = format!("{pod}-by-{account}");
            let spec = format!("  serviceAccountName: {account}\n  {}\n", field(of_pod));
            c.apply(&sleeper(&name, "", &spec))?;
            pods.push((name, of_pod.or(of_account).unwrap_or(true)));
        }
    }
    for (pod, mounted) in pods {
        until_ready(c, &pod)?;
        let files = "cd /var/run/secrets/kubernetes.io/serviceaccount 2>/dev/null && echo * || echo none";
        let expected = if mounted {
            "ca.crt namespace token\n"
        } else {
            "none\n"
        };
        same((&pod, &*inside(c, &pod, files)?), (&pod, expected))?;
    }
    Ok(())
}
