//! Services: a name and an address that a client in another pod uses.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::Cluster;
use e2e::resolver::{ELSEWHERE, NAME};
use e2e::wait;

use crate::deployments::roll_out;
use crate::expect::{has, has_not, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    a_client_reaches_a_service_by_name,
    a_service_follows_its_pods,
    a_service_carries_udp,
    other_names_are_asked_elsewhere,
    the_api_is_reached_from_a_pod,
];

/// A pod in which the stories run commands.
pub const CLIENT: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: client
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: client
    image: busybox:1.28
    command: [sleep, '3600']
";

/// Starts the client pod.
pub fn start_client(c: &Cluster) -> Result<()> {
    c.apply(CLIENT)?;
    c.kubectl("wait --for=condition=Ready pod/client --timeout=60s")
        .map(drop)
}

/// Runs a command in the client pod.
pub fn client(c: &Cluster, command: &str) -> Result<String> {
    c.kubectl_words(&["exec", "client", "--", "sh", "-c", command], "")
}

/// Runs a command in the client pod until it succeeds and its output is as asked.
pub fn client_until(c: &Cluster, command: &str, part: &str) -> Result<String> {
    wait::until(
        &format!("`{command}` in a pod to say {part:?}"),
        Duration::from_secs(30),
        || {
            let said = client(c, command)?;
            ensure!(said.contains(part), "it said {said:?}");
            Ok(Some(said))
        },
    )
}

fn a_client_reaches_a_service_by_name(c: &mut Cluster) -> Result<()> {
    roll_out(c)?;
    let said = c.kubectl("expose deployment/nginx-deployment --name=my-nginx --port=80")?;
    has(&said, &["service/my-nginx exposed"])?;
    let (heading, rows) = c.table("get service my-nginx")?;
    same(
        heading,
        ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"],
    )?;
    same(
        [&rows[0][1], &rows[0][3], &rows[0][4]],
        ["ClusterIP", "<none>", "80/TCP"],
    )?;
    let address = &rows[0][2];
    start_client(c)?;
    client_until(c, "timeout 5 wget -qO- http://my-nginx", "Welcome to nginx!")?;
    let full = format!("my-nginx.{}.svc.cluster.local", c.namespace);
    has(
        &client(c, &format!("timeout 5 wget -qO- http://{full}"))?,
        &["Welcome to nginx!"],
    )?;
    has(
        &client(c, &format!("timeout 5 wget -qO- http://{address}"))?,
        &["Welcome to nginx!"],
    )?;
    has(&client(c, &format!("nslookup {full}"))?, &["10.96.0.10", address])?;
    has(
        &client(c, "cat /etc/resolv.conf")?,
        &["nameserver 10.96.0.10", "svc.cluster.local", "ndots:5"],
    )?;
    has(
        &c.kubectl("describe service my-nginx")?,
        &["Selector:", "app=nginx", "Endpoints:", ":80"],
    )?;
    let slice = c.kubectl("get endpointslices --selector kubernetes.io/service-name=my-nginx")?;
    has(&slice, &["ADDRESSTYPE", "IPv4", "80", "10.244."])
}

fn a_service_follows_its_pods(c: &mut Cluster) -> Result<()> {
    roll_out(c)?;
    c.kubectl("expose deployment/nginx-deployment --name=my-nginx --port=8080 --target-port=80")?;
    start_client(c)?;
    client_until(c, "timeout 5 wget -qO- http://my-nginx:8080", "Welcome to nginx!")?;
    c.kubectl("set image deployment/nginx-deployment nginx=nginx:1.16.1")?;
    c.kubectl("rollout status deployment/nginx-deployment --timeout=60s")?;
    client_until(c, "timeout 5 wget -qO- http://my-nginx:8080/version", "1.16.1")?;
    c.kubectl("scale deployment/nginx-deployment --replicas=0")?;
    c.until_value("endpoints my-nginx", ".subsets", "")?;
    wait::until(
        "a service without pods to refuse",
        Duration::from_secs(30),
        || {
            let done = c.try_kubectl(
                &[
                    "exec",
                    "client",
                    "--",
                    "timeout",
                    "2",
                    "wget",
                    "-qO-",
                    "http://my-nginx:8080",
                ],
                "",
            )?;
            ensure!(done.code != 0, "it still answers");
            Ok(Some(()))
        },
    )?;
    c.kubectl("scale deployment/nginx-deployment --replicas=1")?;
    client_until(c, "timeout 5 wget -qO- http://my-nginx:8080", "Welcome to nginx!").map(drop)
}

/// A server that answers each datagram with its own name, and a client that can send one.
const UDP: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: echo
data:
  nginx.conf: |
    load_module /usr/lib/nginx/modules/ngx_stream_module.so;
    events {}
    stream { server { listen 9000 udp; return 'hello from $hostname'; } }
---
apiVersion: v1
kind: Pod
metadata:
  name: echo
  labels: {app: echo}
spec:
  containers:
  - name: echo
    image: nginx:1.14.2
    command: [nginx, -c, /config/nginx.conf, -g, daemon off;]
    volumeMounts: [{name: config, mountPath: /config}]
  volumes:
  - {name: config, configMap: {name: echo}}
---
apiVersion: v1
kind: Service
metadata:
  name: echo
spec:
  selector: {app: echo}
  ports:
  - {port: 90, targetPort: 9000, protocol: UDP}
";

fn a_service_carries_udp(c: &mut Cluster) -> Result<()> {
    c.apply(UDP)?;
    c.apply(&CLIENT.replace("busybox:1.28", "nginx:1.14.2"))?;
    c.kubectl("wait --for=condition=Ready pod/echo pod/client --timeout=60s")?;
    let ask = "exec bash -c 'exec 3<>/dev/udp/echo/90 && echo hi >&3 && timeout 2 head -c 15 <&3'";
    client_until(c, ask, "hello from echo").map(drop)
}

fn other_names_are_asked_elsewhere(c: &mut Cluster) -> Result<()> {
    start_client(c)?;
    let said = client_until(c, &format!("nslookup {NAME}"), &ELSEWHERE.to_string())?;
    has(&said, &["10.96.0.10"])?;
    let refused = client(c, "nslookup nosuch.default.svc.cluster.local 2>&1 || true")?;
    has_not(&refused, &[&ELSEWHERE.to_string()])
}

fn the_api_is_reached_from_a_pod(c: &mut Cluster) -> Result<()> {
    // kubectl finds the API, its certificate and its own credentials as every client in a pod does.
    let folder = e2e::artifacts::kubectl().canonicalize()?;
    let folder = folder.parent().context("kubectl lies in a folder")?.display();
    let mount = "command: [sleep, '3600']\n    volumeMounts: [{name: tools, mountPath: /tools, readOnly: true}]\n  \
                 volumes: [{name: tools, hostPath: {path: FOLDER}}]";
    let mount = mount.replace("FOLDER", &folder.to_string());
    c.apply(&CLIENT.replace("command: [sleep, '3600']", &mount))?;
    c.kubectl("wait --for=condition=Ready pod/client --timeout=60s")?;
    let folder = "/var/run/secrets/kubernetes.io/serviceaccount";
    same(
        client(c, &format!("cat {folder}/namespace"))?,
        c.namespace.clone(),
    )?;
    has(
        &client(c, &format!("cat {folder}/ca.crt"))?,
        &["-----BEGIN CERTIFICATE-----"],
    )?;
    same(
        client(c, &format!("cut -d. -f3 {folder}/token | wc -l"))?.trim(),
        "1",
    )?;
    has(
        &client(c, "env")?,
        &["KUBERNETES_SERVICE_HOST=10.96.0.1", "KUBERNETES_SERVICE_PORT=443"],
    )?;
    has(
        &client(c, "timeout 5 nslookup kubernetes.default.svc.cluster.local")?,
        &["10.96.0.1\n"],
    )?;
    client_until(
        c,
        "timeout 10 /tools/kubectl get --raw /version",
        "\"gitVersion\"",
    )?;
    let name = format!("system:serviceaccount:{}:default", c.namespace);
    let who = "timeout 10 /tools/kubectl auth whoami -o jsonpath={.status.userInfo.username}";
    same(client(c, who)?, name)?;
    let refused = client(c, "timeout 10 /tools/kubectl get pods 2>&1 || true")?;
    has(
        &refused,
        &["Error from server (Forbidden): pods is forbidden: User"],
    )?;
    c.kubectl(&format!(
        "create rolebinding reader --clusterrole=view --serviceaccount={}:default",
        c.namespace
    ))?;
    client_until(c, "timeout 10 /tools/kubectl get pods", "client").map(drop)
}
