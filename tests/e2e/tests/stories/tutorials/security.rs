//! Tasks: security context, share process namespace, service accounts.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;
use e2e::wait;

use super::{inside, until_ready};
use crate::expect::{has, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    a_security_context_for_a_pod,
    a_security_context_for_a_container,
    capabilities_for_a_container,
    processes_are_shared,
    a_long_lived_token_of_a_service_account,
    a_certificate_is_approved,
];

fn a_security_context_for_a_pod(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: security-context-demo
spec:
  securityContext:
    runAsUser: 1000
    runAsGroup: 3000
    fsGroup: 2000
    supplementalGroups: [4000]
  volumes:
  - name: sec-ctx-vol
    emptyDir: {}
  containers:
  - name: sec-ctx-demo
    image: busybox:1.28
    command: [ \"sh\", \"-c\", \"sleep 1h\" ]
    volumeMounts:
    - name: sec-ctx-vol
      mountPath: /data/demo
    securityContext:
      allowPrivilegeEscalation: false
",
    )?;
    let pod = "security-context-demo";
    until_ready(c, pod)?;
    has(&inside(c, pod, "ps")?, &["1000", "sleep 1h"])?;
    has(&inside(c, pod, "ls -ld /data/demo")?, &["drwxrwsrwx", "2000"])?;
    inside(c, pod, "echo hello > /data/demo/testfile")?;
    has(
        &inside(c, pod, "ls -l /data/demo")?,
        &["-rw-r--r--", "1000     2000", "testfile"],
    )?;
    same(inside(c, pod, "id")?, "uid=1000 gid=3000 groups=2000,3000,4000\n")
}

fn a_security_context_for_a_container(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: security-context-demo-2
spec:
  securityContext:
    runAsUser: 1000
  containers:
  - name: sec-ctx-demo-2
    image: busybox:1.28
    command: [ \"sh\", \"-c\", \"sleep 1h\" ]
    securityContext:
      runAsUser: 2000
      allowPrivilegeEscalation: false
",
    )?;
    until_ready(c, "security-context-demo-2")?;
    same(inside(c, "security-context-demo-2", "id -u")?, "2000\n")
}

fn capabilities_for_a_container(c: &mut Cluster) -> Result<()> {
    let pod = |name: &str, more: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  containers:\n  - name: ctr\n    \
             image: busybox:1.28\n    command: [sleep, 1h]\n{more}"
        )
    };
    c.apply(&pod("security-context-demo-3", ""))?;
    let added = "    securityContext:\n      capabilities:\n        add: [\"NET_ADMIN\", \"SYS_TIME\"]\n";
    c.apply(&pod("security-context-demo-4", added))?;
    for (name, expected) in [
        ("security-context-demo-3", "CapPrm:\t00000000a80425fb\n"),
        ("security-context-demo-4", "CapPrm:\t00000000aa0435fb\n"),
    ] {
        until_ready(c, name)?;
        same(inside(c, name, "grep CapPrm /proc/1/status")?, expected)?;
    }
    Ok(())
}

fn processes_are_shared(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: nginx
spec:
  shareProcessNamespace: true
  containers:
  - name: nginx
    image: nginx
  - name: shell
    image: busybox:1.28
    command: [\"sleep\", \"3600\"]
    securityContext:
      capabilities:
        add:
        - SYS_PTRACE
    stdin: true
    tty: true
",
    )?;
    until_ready(c, "nginx")?;
    let ps = "ps ax | grep 'nginx: master' | grep -v grep";
    let listed = c.kubectl_words(&["exec", "nginx", "-c", "shell", "--", "sh", "-c", ps], "")?;
    let pid = listed.split_whitespace().next().unwrap_or_default().to_owned();
    ensure!(pid.parse::<u32>().is_ok_and(|pid| pid > 1), "{listed}");
    let conf = format!("head -1 /proc/{pid}/root/etc/nginx/nginx.conf");
    has(
        &c.kubectl_words(&["exec", "nginx", "-c", "shell", "--", "sh", "-c", &conf], "")?,
        &["user"],
    )
}

fn a_long_lived_token_of_a_service_account(c: &mut Cluster) -> Result<()> {
    same(
        c.apply("apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: build-robot\n")?,
        "serviceaccount/build-robot created\n",
    )?;
    c.apply(
        "\
apiVersion: v1
kind: Secret
metadata:
  name: build-robot-secret
  annotations:
    kubernetes.io/service-account.name: build-robot
type: kubernetes.io/service-account-token
",
    )?;
    let described = wait::until("the Secret to have a token", Duration::from_secs(20), || {
        let said = c.kubectl("describe secrets/build-robot-secret")?;
        has(&said, &["token:"]).map(|()| Some(said))
    })?;
    has(
        &described,
        &[
            "Annotations:  kubernetes.io/service-account.name: build-robot",
            "kubernetes.io/service-account.uid:",
            "Type:  kubernetes.io/service-account-token",
            "ca.crt:",
            "namespace:",
        ],
    )?;
    let template = "go-template={{.data.token | base64decode}}";
    let token = c.kubectl_words(&["get", "secret", "build-robot-secret", "--output", template], "")?;
    let review =
        format!("apiVersion: authentication.k8s.io/v1\nkind: TokenReview\nspec:\n  token: {token}\n");
    let reviewed = c.kubectl_words(&["create", "--filename", "-", "--output", "yaml"], &review)?;
    has(
        &reviewed,
        &[
            "authenticated: true",
            &format!("username: system:serviceaccount:{}:build-robot", c.namespace),
        ],
    )?;
    c.kubectl("delete secret build-robot-secret")?;
    let reviewed = c.kubectl_words(&["create", "--filename", "-", "--output", "yaml"], &review)?;
    has(&reviewed, &["error:"])
}

fn a_certificate_is_approved(c: &mut Cluster) -> Result<()> {
    let folder = c.lab.folder().join(format!("csr-{}", c.namespace));
    std::fs::create_dir_all(&folder)?;
    let (key, request) = (folder.join("myuser.key"), folder.join("myuser.csr"));
    e2e::process::output(
        std::process::Command::new("openssl")
            .args([
                "req",
                "-new",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ])
            .args(["-subj", "/CN=myuser", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&request),
    )?;
    let encoded = e2e::process::output(std::process::Command::new("base64").arg("-w0").arg(&request))?;
    let name = format!("myuser-{}", c.namespace);
    c.apply(&format!(
        "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata:\n  name: {name}\nspec:\n  \
         request: {encoded}\n  signerName: kubernetes.io/kube-apiserver-client\n  expirationSeconds: 86400\n  \
         usages:\n  - client auth\n"
    ))?;
    let (heading, rows) = c.table(&format!("get csr {name}"))?;
    same(
        heading,
        [
            "NAME",
            "AGE",
            "SIGNERNAME",
            "REQUESTOR",
            "REQUESTEDDURATION",
            "CONDITION",
        ],
    )?;
    same(&rows[0][2], "kubernetes.io/kube-apiserver-client")?;
    same((&*rows[0][4], &*rows[0][5]), ("24h", "Pending"))?;
    has(
        &c.kubectl(&format!("certificate approve {name}"))?,
        &["certificatesigningrequest.certificates.k8s.io/", "approved"],
    )?;
    wait::until("the certificate", Duration::from_secs(20), || {
        let (_, rows) = c.table(&format!("get csr {name}"))?;
        ensure!(rows[0][5] == "Approved,Issued", "{rows:?}");
        Ok(Some(()))
    })?;
    let certificate = c.kubectl_words(
        &[
            "get",
            "csr",
            &name,
            "--output",
            "go-template={{.status.certificate | base64decode}}",
        ],
        "",
    )?;
    let file = folder.join("myuser.crt");
    std::fs::write(&file, certificate)?;
    let said = c.try_kubectl(
        &[
            "--client-certificate",
            &file.display().to_string(),
            "--client-key",
            &key.display().to_string(),
            "auth",
            "whoami",
        ],
        "",
    )?;
    // The kubeconfig's own certificate is put aside by the flags.
    has(&(said.stdout + &said.stderr), &["myuser"])
}
