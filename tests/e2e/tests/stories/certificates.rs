//! Certificates in pods: those to trust, and the pod's own, which a signer makes; and a cluster whose own are all too old.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use e2e::cluster::Cluster;
use e2e::{process, wait};

use crate::expect::{has, same};
use crate::pod::{inside, inside_until, sleeper, start, until_event, until_ready};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    certificates_to_trust_follow_their_bundles,
    a_pod_is_given_a_certificate,
];

/// It stops the cluster.
pub const ALONE: &[Story] = stories![a_cluster_that_slept_for_thirteen_months_comes_back];

const PATIENCE: Duration = Duration::from_secs(120);

fn openssl(folder: &Path, line: &str) -> Result<String> {
    let mut command = std::process::Command::new("openssl");
    process::output(command.args(line.split_whitespace()).current_dir(folder))
}

/// A folder of the story in that of the lab.
fn folder(c: &Cluster, name: &str) -> Result<PathBuf> {
    let folder = c.lab.folder().join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// A new CA in `folder`; its certificate.
fn authority(folder: &Path, name: &str) -> Result<String> {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 30 -subj /CN={name} -keyout {name}.key -out \
             {name}.crt -addext basicConstraints=critical,CA:TRUE"
        ),
    )?;
    Ok(fs::read_to_string(folder.join(format!("{name}.crt")))?)
}

fn bundle(name: &str, more: &str, certificate: &str) -> String {
    let lines: String = certificate.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: certificates.k8s.io/v1\nkind: ClusterTrustBundle\nmetadata:\n  name: {name}\n  labels: {{story: trust}}\n\
         spec:\n{more}  trustBundle: |\n{lines}"
    )
}

const TRUST: &str = "    volumeMounts: [{name: trust, mountPath: /trust}]
  volumes:
  - name: trust
    projected:
      sources:
      - clusterTrustBundle: {name: story-one, path: one.pem}
      - clusterTrustBundle:
          signerName: example.com/story
          labelSelector: {matchLabels: {story: trust}}
          path: signer.pem
      - clusterTrustBundle: {name: story-late, path: late.pem, optional: true}
";

fn certificates_to_trust_follow_their_bundles(c: &mut Cluster) -> Result<()> {
    let folder = folder(c, "trust")?;
    let [one, a, b, late] = ["one", "a", "b", "late"].map(|name| authority(&folder, name));
    let (one, a, b, late) = (one?, a?, b?, late?);
    let signer = "  signerName: example.com/story\n";
    c.apply(&bundle("story-one", "", &format!("# a word\n{one}")))?;
    c.apply(&bundle("example.com:story:a", signer, &a))?;
    start(c, "trusts", TRUST, "")?;
    same(inside(c, "trusts", "cat /trust/one.pem")?, one)?;
    same(inside(c, "trusts", "cat /trust/signer.pem")?, a.clone())?;
    same(inside(c, "trusts", "cat /trust/late.pem")?, "")?;
    // Bundles that come and change are seen without a restart.
    c.apply(&bundle("example.com:story:b", signer, &b))?;
    c.apply(&bundle("story-late", "", &late))?;
    let count = "grep -c BEGIN /trust/signer.pem; cat /trust/late.pem";
    inside_until(c, "trusts", count, &format!("2\n{late}"))?;
    let both = inside(c, "trusts", "cat /trust/signer.pem")?;
    has(&both, &[&a, &b])?;
    c.kubectl("delete clustertrustbundle example.com:story:b")?;
    inside_until(c, "trusts", "grep -c BEGIN /trust/signer.pem", "1")?;
    // Without its bundle a pod does not start, and starts when it is there.
    c.kubectl("delete clustertrustbundle story-one")?;
    c.apply(&sleeper("waits", TRUST, ""))?;
    until_event(c, "waits", &["FailedMount", "story-one", "not found"])?;
    c.apply(&bundle("story-one", "", &b))?;
    until_ready(c, "waits")?;
    same(inside(c, "waits", "cat /trust/one.pem")?, b)?;
    c.kubectl("delete pod trusts waits")?;
    c.kubectl("delete clustertrustbundle story-one story-late example.com:story:a")
        .map(drop)
}

fn wants(kind: &str) -> String {
    format!(
        "    volumeMounts: [{{name: own, mountPath: /own}}]\n  volumes:\n  - name: own\n    projected:\n      sources:\n      \
         - podCertificate: {{signerName: example.com/story, keyType: {kind}, credentialBundlePath: all.pem, \
         certificateChainPath: chain.pem, keyPath: key.pem}}\n"
    )
}

/// The request of a pod that nobody has answered.
fn request(c: &Cluster, pod: &str) -> Result<String> {
    let path = format!("jsonpath={{.items[?(@.spec.podName==\"{pod}\")].metadata.name}}");
    wait::until(&format!("a request of {pod}"), PATIENCE, || {
        let words = ["get", "podcertificaterequests", "--output", &path];
        let name = c.kubectl_words(&words, "")?;
        Ok(Some(name).filter(|name| !name.is_empty()))
    })
}

fn answer(c: &Cluster, request: &str, status: &str) -> Result<()> {
    let words = [
        "patch",
        "podcertificaterequest",
        request,
        "--subresource=status",
        "--type=merge",
        "--patch",
        status,
    ];
    c.kubectl_words(&words, "").map(drop)
}

fn condition(kind: &str) -> String {
    format!(
        r#""conditions":[{{"type":"{kind}","status":"True","reason":"Story","message":"so it is","lastTransitionTime":"2026-01-01T00:00:00Z"}}]"#
    )
}

/// A time as openssl tells it, as the API takes it.
fn time(folder: &Path, of: &str, which: &str) -> Result<String> {
    let said = openssl(
        folder,
        &format!("x509 -in {of} -noout -{which} -dateopt iso_8601"),
    )?;
    let (_, time) = said.trim().split_once('=').context("openssl says when")?;
    Ok(time.replace(' ', "T"))
}

fn a_pod_is_given_a_certificate(c: &mut Cluster) -> Result<()> {
    let folder = folder(c, "signer")?;
    authority(&folder, "signer")?;
    c.apply(&sleeper("holds", &wants("ECDSAP256"), ""))?;
    let name = request(c, "holds")?;
    let of = format!("podcertificaterequest {name}");
    same(c.value(&of, ".spec.signerName")?, "example.com/story")?;
    same(
        c.value(&of, ".spec.podUID")?,
        c.value("pod holds", ".metadata.uid")?,
    )?;
    // The signer is this story.
    let asked = c.value(&of, ".spec.stubPKCS10Request")?;
    fs::write(folder.join("asked.der"), BASE64_STANDARD.decode(asked)?)?;
    openssl(&folder, "req -inform DER -in asked.der -verify -noout")?;
    fs::write(folder.join("names"), "subjectAltName=DNS:holds.example.com\n")?;
    openssl(
        &folder,
        "x509 -req -inform DER -in asked.der -CA signer.crt -CAkey signer.key -days 1 -extfile names -out leaf.crt",
    )?;
    let (begin, end) = (
        time(&folder, "leaf.crt", "startdate")?,
        time(&folder, "leaf.crt", "enddate")?,
    );
    let mut date = std::process::Command::new("date");
    let refresh = process::output(date.args(["-u", "-d", &format!("{begin} + 1 hour"), "+%FT%TZ"]))?;
    let refresh = refresh.trim();
    let leaf = fs::read_to_string(folder.join("leaf.crt"))?;
    let chain = leaf.replace('\n', "\\n");
    answer(
        c,
        &name,
        &format!(
            r#"{{"status":{{{},"certificateChain":"{chain}","notBefore":"{begin}","notAfter":"{end}","beginRefreshAt":"{refresh}"}}}}"#,
            condition("Issued")
        ),
    )?;
    until_ready(c, "holds")?;
    same(inside(c, "holds", "cat /own/chain.pem")?, leaf.clone())?;
    let key = inside(c, "holds", "cat /own/key.pem")?;
    same(inside(c, "holds", "cat /own/all.pem")?, format!("{key}{leaf}"))?;
    fs::write(folder.join("own.key"), &key)?;
    let of_key = openssl(&folder, "pkey -in own.key -pubout")?;
    same(openssl(&folder, "x509 -in leaf.crt -noout -pubkey")?, of_key)?;

    c.apply(&sleeper("lacks", &wants("ED25519"), ""))?;
    let denied = format!(r#"{{"status":{{{}}}}}"#, condition("Denied"));
    answer(c, &request(c, "lacks")?, &denied)?;
    until_event(c, "lacks", &["Denied", "was denied", "so it is"])?;
    until_event(c, "lacks", &["FailedMount", "permanently denied"])?;
    c.kubectl("delete pod holds lacks").map(drop)
}

/// `openssl ca` is the one command of it that dates certificates back.
const CA: &str = "[ca]
default_ca = it
[it]
database = index
serial = serial
new_certs_dir = .
certificate = ca.crt
private_key = ca.key
default_md = sha256
policy = any
copy_extensions = copyall
unique_subject = no
email_in_dn = no
[any]
commonName = optional
organizationName = optional
";

/// Puts in place of a leaf one of the same key and names that began 14 months ago and ended a month ago.
fn age(folder: &Path, pki: &Path, leaf: &str) -> Result<()> {
    fs::copy(pki.join(format!("{leaf}.crt")), folder.join("new.crt"))?;
    fs::copy(pki.join(format!("{leaf}.key")), folder.join("new.key"))?;
    openssl(
        folder,
        "x509 -x509toreq -in new.crt -signkey new.key -copy_extensions copyall -out asked.csr",
    )?;
    let mut date = std::process::Command::new("date");
    let days = |days: u32| format!("{days} days ago");
    let begin = process::output(date.args(["-u", "-d", &days(425), "+%Y%m%d%H%M%SZ"]))?;
    let mut date = std::process::Command::new("date");
    let end = process::output(date.args(["-u", "-d", &days(30), "+%Y%m%d%H%M%SZ"]))?;
    openssl(
        folder,
        &format!(
            "ca -batch -notext -preserveDN -config ca.conf -startdate {} -enddate {} -in asked.csr -out old.crt",
            begin.trim(),
            end.trim()
        ),
    )?;
    fs::copy(folder.join("old.crt"), pki.join(format!("{leaf}.crt")))?;
    Ok(())
}

fn is_good(folder: &Path, certificate: &Path) -> Result<bool> {
    let mut command = std::process::Command::new("openssl");
    command.args(["x509", "-noout", "-checkend", "0", "-in"]);
    Ok(process::run(command.arg(certificate).current_dir(folder), "")?.code == 0)
}

/// The leaves of a folder: certificates with keys that are no authorities'.
fn leaves(pki: &Path) -> Result<Vec<String>> {
    let mut leaves = Vec::new();
    for entry in fs::read_dir(pki)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".crt") else {
            continue;
        };
        let text = openssl(pki, &format!("x509 -noout -text -in {name}.crt"))?;
        if pki.join(format!("{name}.key")).exists() && !text.contains("CA:TRUE") {
            leaves.push(name.to_owned());
        }
    }
    leaves.sort_unstable();
    Ok(leaves)
}

/// When the first container of a pod started, and how often.
fn life(c: &Cluster, pod: &str) -> Result<String> {
    let status = ".status.containerStatuses[0]";
    let started = c.value(pod, &format!("{status}.state.running.startedAt"))?;
    Ok(started + &c.value(pod, &format!("{status}.restartCount"))?)
}

fn a_cluster_that_slept_for_thirteen_months_comes_back(c: &mut Cluster) -> Result<()> {
    start(c, "sleeps-long", "", "")?;
    let before = life(c, "pod sleeps-long")?;
    let kubeconfig = fs::read_to_string(c.kubeconfig())?;
    same(c.stop()?, 0)?;
    let (pki, folder) = (c.data_dir().join("pki"), folder(c, "aged")?);
    for name in ["ca.crt", "ca.key"] {
        fs::copy(pki.join(name), folder.join(name))?;
    }
    fs::write(folder.join("ca.conf"), CA)?;
    fs::write(folder.join("index"), "")?;
    fs::write(folder.join("serial"), "1000")?;
    let leaves = leaves(&pki)?;
    ensure!(leaves.len() >= 2, "there are only {leaves:?}");
    let (mut aged, mut count) = (kubeconfig, 0);
    for leaf in &leaves {
        let file = pki.join(format!("{leaf}.crt"));
        let held = BASE64_STANDARD.encode(fs::read(&file)?);
        let signed = process::run(
            std::process::Command::new("openssl")
                .args(["verify", "-no_check_time", "-CAfile", "ca.crt"])
                .arg(&file)
                .current_dir(&folder),
            "",
        )?;
        if signed.code != 0 {
            // Another authority's, which is beside this one.
            continue;
        }
        age(&folder, &pki, leaf)?;
        count += 1;
        ensure!(!is_good(&folder, &file)?, "{leaf} is not old");
        aged = aged.replace(&held, &BASE64_STANDARD.encode(fs::read(&file)?));
    }
    ensure!(
        count >= 2,
        "only {count} of {leaves:?} are of the cluster's authority"
    );
    let old = folder.join("kubeconfig");
    fs::write(&old, &aged)?;
    fs::write(c.kubeconfig(), &aged)?;
    c.up()?;
    for leaf in &leaves {
        let file = pki.join(format!("{leaf}.crt"));
        ensure!(is_good(&folder, &file)?, "{leaf} was not renewed");
    }
    // Old credentials are none; those that the cluster wrote are good for everything.
    let mut with_old = c.kubectl_command(&["get", "nodes"]);
    let refused = process::run(with_old.env("KUBECONFIG", &old), "")?;
    ensure!(
        refused.code != 0,
        "an expired certificate is taken: {}",
        refused.stdout
    );
    c.kubectl("wait --for=condition=Ready node --all --timeout=60s")?;
    same(life(c, "pod sleeps-long")?, before)?;
    same(inside(c, "sleeps-long", "echo awake")?, "awake\n")?;
    start(c, "new", "", "")?;
    let token = "cat /var/run/secrets/kubernetes.io/serviceaccount/token | wc -c";
    ensure!(
        inside(c, "new", token)?.trim().parse::<usize>()? > 100,
        "no token"
    );
    c.kubectl("logs new")?;
    c.kubectl("delete pod sleeps-long new").map(drop)
}
