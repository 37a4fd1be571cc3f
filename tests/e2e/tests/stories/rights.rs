//! Who may what, as kubectl tells it, and who did what, as the audit log tells it.

use std::fs;

use anyhow::Result;
use e2e::cluster::Cluster;
use e2e::process;

use crate::expect::{has, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![who_may_what_and_who_did_it];

const POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, userGroups: ['system:nodes']}
- {level: Metadata, resources: [{group: '', resources: [secrets]}]}
- {level: Request, verbs: [create], resources: [{group: '', resources: [configmaps]}], omitManagedFields: true}
- {level: None}
";

const ROLE: &str = "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: leases, namespace: NAMESPACE}
rules:
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get]}
";

fn who_may_what_and_who_did_it(c: &mut Cluster) -> Result<()> {
    same(c.stop()?, 0)?;
    let (policy, log) = (
        c.lab.folder().join("policy.yaml"),
        c.lab.folder().join("audit.log"),
    );
    fs::write(&policy, POLICY)?;
    let (policy, path) = (policy.display().to_string(), log.display().to_string());
    let flags = ["-d", "--audit-policy-file", &policy, "--audit-log-path", &path];
    process::output(&mut c.up_command(&flags))?;

    c.kubectl("create serviceaccount robot")?;
    c.kubectl("create rolebinding robot --clusterrole=view --serviceaccount=default:robot")?;
    let robot = "--as=system:serviceaccount:default:robot";
    same(c.kubectl(&format!("auth can-i list pods {robot}"))?.trim(), "yes")?;
    has(
        &c.kubectl(&format!("auth can-i --list {robot}"))?,
        &["Resources", "Non-Resource URLs", "pods/log", "[get list watch]"],
    )?;
    let refused = c.refused(&["get", "secrets", robot], "")?;
    has(
        &refused,
        &[r#"User "system:serviceaccount:default:robot" cannot list resource "secrets""#],
    )?;

    has(
        &c.kubectl(&format!("auth whoami {robot}"))?,
        &[
            "system:serviceaccount:default:robot",
            "system:serviceaccounts:default",
        ],
    )?;
    let roles = c.lab.folder().join("role.yaml");
    let role = ROLE.replace("NAMESPACE", &c.namespace);
    fs::write(&roles, &role)?;
    let reconcile = format!("auth reconcile -f {}", roles.display());
    has(
        &c.kubectl(&reconcile)?,
        &["role.rbac.authorization.k8s.io/leases reconciled"],
    )?;
    fs::write(&roles, role.replace("[get]", "[list]"))?;
    c.kubectl(&reconcile)?;
    let verbs = "get role leases -o jsonpath={.rules[*].verbs[*]}";
    same(c.kubectl(verbs)?.trim(), "get list")?;

    c.kubectl("create secret generic word --from-literal=word=unheardof")?;
    c.kubectl("create configmap game --from-literal=level=known")?;
    let told = fs::read_to_string(&log)?;
    let line = |parts: &[&str]| {
        let mut lines = told.lines();
        lines
            .find(|line| parts.iter().all(|part| line.contains(part)))
            .unwrap_or_default()
            .to_owned()
    };
    let forbidden = line(&[r#""resource":"secrets""#, r#""code":403"#]);
    has(
        &forbidden,
        &[
            r#""impersonatedUser":{"username":"system:serviceaccount:default:robot""#,
            r#""authorization.k8s.io/decision":"forbid""#,
            r#""userAgent":"kubectl/"#,
            r#""stage":"ResponseComplete""#,
        ],
    )?;
    has(
        &line(&[r#""verb":"create""#, r#""name":"word""#]),
        &[r#""level":"Metadata""#, r#""code":201"#],
    )?;
    has(
        &line(&[r#""verb":"create""#, r#""name":"game""#]),
        &[r#""data":{"level":"known"}"#],
    )?;
    // What a secret holds is not told by a policy that wants its metadata only.
    same(told.contains("dW5oZWFyZG9m") || told.contains("unheardof"), false)?;
    c.stop_detached()?;
    c.up().map(drop)
}
