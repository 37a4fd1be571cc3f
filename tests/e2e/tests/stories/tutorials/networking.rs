//! Tasks and tutorials on Services and DNS.

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::Cluster;
use e2e::lab::NODE;

use super::{inside, inside_until, until_ready};
use crate::expect::{has, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    connecting_applications_with_services,
    debugging_services,
    debugging_dns,
    a_node_port,
    an_external_name,
    hostname_and_subdomain,
    session_affinity,
    several_and_named_ports,
    a_front_end_and_a_back_end,
    a_service_without_selector,
];

fn connecting_applications_with_services(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: my-nginx
spec:
  selector:
    matchLabels:
      run: my-nginx
  replicas: 2
  template:
    metadata:
      labels:
        run: my-nginx
    spec:
      containers:
      - name: my-nginx
        image: nginx
        ports:
        - containerPort: 80
",
    )?;
    c.kubectl("rollout status deployment/my-nginx --timeout=60s")?;
    same(
        c.kubectl("expose deployment/my-nginx")?,
        "service/my-nginx exposed\n",
    )?;
    has(
        &c.kubectl("describe svc my-nginx")?,
        &[
            "Selector:                 run=my-nginx",
            "Type:                     ClusterIP",
            "Endpoints:                10.244.",
            ":80",
        ],
    )?;
    let slices = c.kubectl("get endpointslices -l kubernetes.io/service-name=my-nginx")?;
    has(&slices, &["IPv4", "80", "10.244."])?;
    c.kubectl("scale deployment my-nginx --replicas=0")?;
    c.kubectl("scale deployment my-nginx --replicas=2")?;
    c.kubectl("rollout status deployment/my-nginx --timeout=60s")?;
    let pod = c.value("pods -l run=my-nginx", ".items[0].metadata.name")?;
    has(
        &inside(c, &pod, "printenv | grep SERVICE")?,
        &[
            "MY_NGINX_SERVICE_HOST=10.",
            "MY_NGINX_SERVICE_PORT=80",
            "KUBERNETES_SERVICE_HOST=10.96.0.1",
        ],
    )?;
    c.kubectl("run curl --image=busybox:1.28 --restart=Never -- sleep 1000")?;
    until_ready(c, "curl")?;
    let name = format!("my-nginx.{}.svc.cluster.local", c.namespace);
    inside_until(c, "curl", &format!("nslookup {name}"), "Address: 10.")?;
    inside_until(c, "curl", "wget -qO- http://my-nginx", "Welcome to nginx!").map(drop)
}

fn debugging_services(c: &mut Cluster) -> Result<()> {
    c.kubectl("create deployment hostnames --image=registry.k8s.io/serve_hostname")?;
    c.kubectl("scale deployment hostnames --replicas=3")?;
    c.kubectl("rollout status deployment/hostnames --timeout=60s")?;
    same(
        c.kubectl("expose deployment hostnames --port=80 --target-port=9376")?,
        "service/hostnames exposed\n",
    )?;
    let (heading, rows) = c.table("get svc hostnames")?;
    same(
        heading,
        ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"],
    )?;
    same((&*rows[0][1], &*rows[0][4]), ("ClusterIP", "80/TCP"))?;
    c.kubectl("run client --image=busybox:1.28 --restart=Never -- sleep 1000")?;
    until_ready(c, "client")?;
    let pods = c.value("pods -l app=hostnames", ".items[*].metadata.name")?;
    let name = format!("hostnames.{}.svc.cluster.local", c.namespace);
    inside_until(c, "client", &format!("nslookup {name}"), "Address: 10.")?;
    let mut seen = std::collections::BTreeSet::new();
    e2e::wait::until(
        "all three pods to answer",
        std::time::Duration::from_secs(30),
        || {
            seen.insert(inside(c, "client", &format!("wget -qO- {name}:80"))?);
            Ok((seen.len() == 3).then_some(()))
        },
    )?;
    ensure!(
        seen.iter().all(|name| pods.contains(name.trim())),
        "{seen:?} of {pods}"
    );
    let endpoints = c.kubectl_words(
        &[
            "get",
            "pods",
            "-l",
            "app=hostnames",
            "-o",
            "go-template={{range .items}}{{.status.podIP}}{{\"\\n\"}}{{end}}",
        ],
        "",
    )?;
    for ip in endpoints.lines() {
        inside_until(c, "client", &format!("wget -qO- {ip}:9376"), "hostnames-")?;
    }
    Ok(())
}

fn debugging_dns(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: dnsutils
spec:
  containers:
  - name: dnsutils
    image: registry.k8s.io/e2e-test-images/agnhost:2.39
    imagePullPolicy: IfNotPresent
  restartPolicy: Always
",
    )?;
    until_ready(c, "dnsutils")?;
    let said = inside_until(c, "dnsutils", "nslookup kubernetes.default", "Address:")?;
    has(
        &said,
        &[
            "Server:\t\t10.96.0.10",
            "Address:\t10.96.0.10#53",
            "Name:\tkubernetes.default.svc.cluster.local",
            "Address: 10.96.0.1",
        ],
    )?;
    has(
        &inside(c, "dnsutils", "cat /etc/resolv.conf")?,
        &[
            &format!(
                "search {}.svc.cluster.local svc.cluster.local cluster.local",
                c.namespace
            ),
            "nameserver 10.96.0.10",
            "ndots:5",
        ],
    )?;
    has(
        &inside(
            c,
            "dnsutils",
            "dig +short -x 10.96.0.1; dig +short SRV _https._tcp.kubernetes.default.svc.cluster.local",
        )?,
        &["kubernetes.default.svc.cluster.local."],
    )?;
    has(
        &inside(
            c,
            "dnsutils",
            "dig +tcp +short kubernetes.default.svc.cluster.local",
        )?,
        &["10.96.0.1"],
    )
}

fn a_node_port(c: &mut Cluster) -> Result<()> {
    c.kubectl("create deployment hello-world --image=nginx --replicas=2")?;
    c.kubectl("rollout status deployment/hello-world --timeout=60s")?;
    same(
        c.kubectl("expose deployment hello-world --type=NodePort --port=80 --name=example-service")?,
        "service/example-service exposed\n",
    )?;
    let port = c.value("service example-service", ".spec.ports[0].nodePort")?;
    ensure!(
        (30000..=32767).contains(&port.parse::<u32>().context("a port")?),
        "{port}"
    );
    has(
        &c.kubectl("describe services example-service")?,
        &["NodePort:", &format!("{port}/TCP")],
    )?;
    c.kubectl("run client --image=busybox:1.28 --restart=Never -- sleep 1000")?;
    until_ready(c, "client")?;
    inside_until(
        c,
        "client",
        &format!("wget -qO- http://{NODE}:{port}"),
        "Welcome to nginx!",
    )?;
    let mut node = c.lab.network_command("bash");
    let get = format!("exec 3<>/dev/tcp/{NODE}/{port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3");
    has(
        &e2e::process::output(node.args(["-c", &get]))?,
        &["Welcome to nginx!"],
    )
}

fn an_external_name(c: &mut Cluster) -> Result<()> {
    c.apply("apiVersion: v1\nkind: Service\nmetadata:\n  name: my-service\nspec:\n  type: ExternalName\n  externalName: kubernetes.default.svc.cluster.local\n")?;
    let (_, rows) = c.table("get svc my-service")?;
    same(
        &rows[0][1..5],
        &[
            "ExternalName",
            "<none>",
            "kubernetes.default.svc.cluster.local",
            "<none>",
        ][..],
    )?;
    c.kubectl("run dnsutils --image=registry.k8s.io/e2e-test-images/agnhost:2.39")?;
    until_ready(c, "dnsutils")?;
    let dig = format!("dig +short CNAME my-service.{}.svc.cluster.local", c.namespace);
    inside_until(c, "dnsutils", &dig, "kubernetes.default.svc.cluster.local.").map(drop)
}

fn hostname_and_subdomain(c: &mut Cluster) -> Result<()> {
    let pod = |n: u32| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: busybox{n}\n  labels:\n    name: busybox\nspec:\n  hostname: busybox-{n}\n  \
             subdomain: busybox-subdomain\n  containers:\n  - image: busybox:1.28\n    command:\n      - sleep\n      - \"3600\"\n    name: busybox\n---\n"
        )
    };
    c.apply(&format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: busybox-subdomain\nspec:\n  selector:\n    name: busybox\n  clusterIP: None\n  \
         ports:\n  - name: foo\n    port: 1234\n---\n{}{}",
        pod(1),
        pod(2)
    ))?;
    until_ready(c, "busybox1")?;
    until_ready(c, "busybox2")?;
    let full = format!("busybox-1.busybox-subdomain.{}.svc.cluster.local", c.namespace);
    same(inside(c, "busybox1", "hostname -f")?, format!("{full}\n"))?;
    inside_until(c, "busybox2", &format!("nslookup {full}"), "Address: 10.244.").map(drop)
}

fn session_affinity(c: &mut Cluster) -> Result<()> {
    c.kubectl("create deployment hostnames --image=registry.k8s.io/serve_hostname --replicas=3")?;
    c.kubectl("rollout status deployment/hostnames --timeout=60s")?;
    c.apply("apiVersion: v1\nkind: Service\nmetadata:\n  name: sticky\nspec:\n  sessionAffinity: ClientIP\n  selector:\n    app: hostnames\n  ports:\n  - port: 80\n    targetPort: 9376\n")?;
    c.kubectl("run client --image=busybox:1.28 --restart=Never -- sleep 1000")?;
    until_ready(c, "client")?;
    inside_until(c, "client", "wget -qO- http://sticky", "hostnames-")?;
    let many = inside(
        c,
        "client",
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do wget -qO- http://sticky; echo; done",
    )?;
    let seen: std::collections::BTreeSet<&str> = many.lines().filter(|line| !line.is_empty()).collect();
    same(seen.len(), 1)
}

fn several_and_named_ports(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: netexec
  labels:
    app.kubernetes.io/name: proxy
spec:
  containers:
  - name: netexec
    image: registry.k8s.io/e2e-test-images/agnhost:2.53
    args: [netexec, --http-port=8080, --udp-port=8081]
    ports:
      - containerPort: 8080
        name: http-web-svc
      - containerPort: 8081
        protocol: UDP
        name: datagrams
---
apiVersion: v1
kind: Service
metadata:
  name: nginx-service
spec:
  selector:
    app.kubernetes.io/name: proxy
  ports:
  - name: name-of-service-port
    protocol: TCP
    port: 80
    targetPort: http-web-svc
  - name: other
    protocol: TCP
    port: 8000
    targetPort: 8080
  - name: datagrams
    protocol: UDP
    port: 80
    targetPort: datagrams
",
    )?;
    until_ready(c, "netexec")?;
    let (_, rows) = c.table("get svc nginx-service")?;
    same(&rows[0][4], "80/TCP,8000/TCP,80/UDP")?;
    inside_until(
        c,
        "netexec",
        "python -c \"import urllib.request as u; print(u.urlopen('http://nginx-service/hostname').read())\"",
        "netexec",
    )?;
    inside_until(
        c,
        "netexec",
        "python -c \"import urllib.request as u; print(u.urlopen('http://nginx-service:8000/hostname').read())\"",
        "netexec",
    )?;
    let datagram = "import socket as s; u = s.socket(s.AF_INET, s.SOCK_DGRAM); u.settimeout(2); u.sendto(b'hostname', ('nginx-service', 80)); print(u.recv(99))";
    inside_until(c, "netexec", &format!("python -c \"{datagram}\""), "netexec").map(drop)
}

fn a_front_end_and_a_back_end(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: backend
spec:
  selector:
    matchLabels:
      app: hello
      tier: backend
  replicas: 3
  template:
    metadata:
      labels:
        app: hello
        tier: backend
    spec:
      containers:
        - name: hello
          image: registry.k8s.io/e2e-test-images/agnhost:2.53
          args: [netexec, --http-port=80]
          ports:
            - name: http
              containerPort: 80
---
apiVersion: v1
kind: Service
metadata:
  name: hello
spec:
  selector:
    app: hello
    tier: backend
  ports:
  - protocol: TCP
    port: 80
    targetPort: http
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: frontend
data:
  default.conf: |
    upstream Backend {
        server hello;
    }
    server {
        listen 80;
        location / {
            proxy_pass http://Backend;
        }
    }
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: frontend
spec:
  selector:
    matchLabels:
      app: hello
      tier: frontend
  replicas: 1
  template:
    metadata:
      labels:
        app: hello
        tier: frontend
    spec:
      containers:
        - name: nginx
          image: nginx
          lifecycle:
            preStop:
              exec:
                command: [\"/usr/sbin/nginx\",\"-s\",\"quit\"]
          volumeMounts:
          - name: conf
            mountPath: /etc/nginx/conf.d
      volumes:
      - name: conf
        configMap:
          name: frontend
---
apiVersion: v1
kind: Service
metadata:
  name: frontend
spec:
  selector:
    app: hello
    tier: frontend
  ports:
  - protocol: \"TCP\"
    port: 80
    targetPort: 80
  type: LoadBalancer
",
    )?;
    c.kubectl("rollout status deployment/backend --timeout=90s")?;
    c.kubectl("rollout status deployment/frontend --timeout=90s")?;
    let (_, rows) = c.table("get service frontend")?;
    same((&*rows[0][1], &*rows[0][3]), ("LoadBalancer", "<pending>"))?;
    c.kubectl("run client --image=busybox:1.28 --restart=Never -- sleep 1000")?;
    until_ready(c, "client")?;
    inside_until(c, "client", "wget -qO- http://frontend/hostname", "backend-").map(drop)
}

fn a_service_without_selector(c: &mut Cluster) -> Result<()> {
    c.kubectl("run web --image=nginx")?;
    until_ready(c, "web")?;
    let ip = c.value("pod web", ".status.podIP")?;
    c.apply(&format!(
        "\
apiVersion: v1
kind: Service
metadata:
  name: my-service
spec:
  ports:
    - name: http
      protocol: TCP
      port: 80
      targetPort: 80
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: my-service-1
  labels:
    kubernetes.io/service-name: my-service
addressType: IPv4
ports:
  - name: http
    appProtocol: http
    protocol: TCP
    port: 80
endpoints:
  - addresses:
      - \"{ip}\"
"
    ))?;
    c.kubectl("run client --image=busybox:1.28 --restart=Never -- sleep 1000")?;
    until_ready(c, "client")?;
    inside_until(c, "client", "wget -qO- http://my-service", "Welcome to nginx!").map(drop)
}
