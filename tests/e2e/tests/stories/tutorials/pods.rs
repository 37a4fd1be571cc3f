//! Tasks, "Configure Pods and Containers": probes, init containers, sidecars, lifecycle hooks.

use anyhow::Result;
use e2e::cluster::Cluster;

use super::{inside, until_described, until_logged, until_ready, until_status};
use crate::expect::{has, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    a_liveness_command,
    a_liveness_http_request,
    tcp_probes,
    a_startup_probe_protects_a_slow_start,
    init_containers_wait_for_services,
    pod_initialization,
    a_sidecar_container,
    lifecycle_events,
    termination_messages,
];

fn a_liveness_command(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  labels:
    test: liveness
  name: liveness-exec
spec:
  containers:
  - name: liveness
    image: registry.k8s.io/busybox:1.27.2
    args:
    - /bin/sh
    - -c
    - touch /tmp/healthy; sleep 30; rm -f /tmp/healthy; sleep 600
    livenessProbe:
      exec:
        command:
        - cat
        - /tmp/healthy
      initialDelaySeconds: 5
      periodSeconds: 5
",
    )?;
    until_described(
        c,
        "liveness-exec",
        &[
            "Successfully assigned",
            "Started",
            "Liveness probe failed: cat: can't open '/tmp/healthy': No such file or directory",
            "Container liveness failed liveness probe, will be restarted",
        ],
    )?;
    c.until_value(
        "pod liveness-exec",
        ".status.containerStatuses[0].restartCount",
        "1",
    )?;
    let last = ".status.containerStatuses[0].lastState.terminated";
    same(c.value("pod liveness-exec", &format!("{last}.exitCode"))?, "137")
}

fn a_liveness_http_request(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  labels:
    test: liveness
  name: liveness-http
spec:
  containers:
  - name: liveness
    image: registry.k8s.io/e2e-test-images/agnhost:2.40
    args:
    - liveness
    livenessProbe:
      httpGet:
        path: /healthz
        port: 8080
        httpHeaders:
        - name: Custom-Header
          value: Awesome
      initialDelaySeconds: 3
      periodSeconds: 3
",
    )?;
    until_described(
        c,
        "liveness-http",
        &[
            "Liveness probe failed: HTTP probe failed with statuscode: 500",
            "Container liveness failed liveness probe, will be restarted",
            "http-get http://:8080/healthz delay=3s timeout=1s period=3s successThreshold=1 failureThreshold=3",
        ],
    )
}

fn tcp_probes(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: goproxy
  labels:
    app: goproxy
spec:
  containers:
  - name: goproxy
    image: registry.k8s.io/goproxy:0.1
    ports:
    - containerPort: 8080
    readinessProbe:
      tcpSocket:
        port: 8080
      initialDelaySeconds: 1
      periodSeconds: 2
    livenessProbe:
      tcpSocket:
        port: 8080
      initialDelaySeconds: 1
      periodSeconds: 2
",
    )?;
    until_ready(c, "goproxy")?;
    has(
        &c.kubectl("describe pod goproxy")?,
        &["tcp-socket :8080 delay=1s timeout=1s period=2s successThreshold=1 failureThreshold=3"],
    )
}

fn a_startup_probe_protects_a_slow_start(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: slow
spec:
  containers:
  - name: slow
    image: busybox:1.28
    command: [sh, -c, 'sleep 6; touch /tmp/healthy; sleep 600']
    livenessProbe:
      exec:
        command: [cat, /tmp/healthy]
      failureThreshold: 1
      periodSeconds: 1
    startupProbe:
      exec:
        command: [cat, /tmp/healthy]
      failureThreshold: 30
      periodSeconds: 1
",
    )?;
    until_ready(c, "slow")?;
    let state = "{.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].started}";
    same(
        c.kubectl_words(
            &["get", "pod", "slow", "--output", &format!("jsonpath={state}")],
            "",
        )?,
        "0 true",
    )?;
    has(&c.kubectl("describe pod slow")?, &["Startup probe failed"])
}

const MY_APP: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: myapp-pod
  labels:
    app.kubernetes.io/name: MyApp
spec:
  containers:
  - name: myapp-container
    image: busybox:1.28
    command: ['sh', '-c', 'echo The app is running! && sleep 3600']
  initContainers:
  - name: init-myservice
    image: busybox:1.28
    command: ['sh', '-c', \"until nslookup myservice.$(cat /var/run/secrets/kubernetes.io/serviceaccount/namespace).svc.cluster.local; do echo waiting for myservice; sleep 2; done\"]
  - name: init-mydb
    image: busybox:1.28
    command: ['sh', '-c', \"until nslookup mydb.$(cat /var/run/secrets/kubernetes.io/serviceaccount/namespace).svc.cluster.local; do echo waiting for mydb; sleep 2; done\"]
";

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  ports:\n  - protocol: TCP\n    port: 80\n    \
         targetPort: {port}\n"
    )
}

fn init_containers_wait_for_services(c: &mut Cluster) -> Result<()> {
    same(c.apply(MY_APP)?, "pod/myapp-pod created\n")?;
    until_status(c, "myapp-pod", "Init:0/2")?;
    until_described(
        c,
        "myapp-pod",
        &["init-myservice", "init-mydb", "PodInitializing", "Started"],
    )?;
    c.apply(&service("myservice", 9376))?;
    until_status(c, "myapp-pod", "Init:1/2")?;
    until_logged(c, "myapp-pod -c init-mydb", "waiting for mydb")?;
    c.apply(&service("mydb", 9377))?;
    until_ready(c, "myapp-pod")?;
    until_status(c, "myapp-pod", "Running")?;
    same(c.kubectl("logs myapp-pod")?, "The app is running!\n")
}

fn pod_initialization(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: init-demo
spec:
  containers:
  - name: nginx
    image: nginx
    ports:
    - containerPort: 80
    volumeMounts:
    - name: workdir
      mountPath: /usr/share/nginx/html
  # These containers are run during pod initialization
  initContainers:
  - name: install
    image: busybox:1.28
    command:
    - sh
    - -c
    - echo '<html><body>made beforehand</body></html>' > /work-dir/index.html
    volumeMounts:
    - name: workdir
      mountPath: \"/work-dir\"
  dnsPolicy: Default
  volumes:
  - name: workdir
    emptyDir: {}
",
    )?;
    until_ready(c, "init-demo")?;
    same(
        inside(c, "init-demo", "cat /usr/share/nginx/html/index.html")?,
        "<html><body>made beforehand</body></html>\n",
    )
}

fn a_sidecar_container(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: myapp
  labels:
    app: myapp
spec:
  replicas: 1
  selector:
    matchLabels:
      app: myapp
  template:
    metadata:
      labels:
        app: myapp
    spec:
      containers:
        - name: myapp
          image: alpine:latest
          command: ['sh', '-c', 'while true; do echo \"logging\" >> /opt/logs.txt; sleep 1; done']
          volumeMounts:
            - name: data
              mountPath: /opt
      initContainers:
        - name: logshipper
          image: alpine:latest
          restartPolicy: Always
          command: ['sh', '-c', 'touch /opt/logs.txt; tail -F /opt/logs.txt']
          volumeMounts:
            - name: data
              mountPath: /opt
      volumes:
        - name: data
          emptyDir: {}
",
    )?;
    c.kubectl("rollout status deployment/myapp --timeout=60s")?;
    let (_, rows) = c.table("get pods --selector app=myapp")?;
    same(&rows[0][1..3], &["2/2", "Running"][..])?;
    e2e::wait::until(
        "a line by way of the sidecar",
        std::time::Duration::from_secs(20),
        || has(&c.kubectl("logs deployment/myapp -c logshipper")?, &["logging"]).map(Some),
    )
}

fn lifecycle_events(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: lifecycle-demo
spec:
  containers:
  - name: lifecycle-demo-container
    image: nginx
    lifecycle:
      postStart:
        exec:
          command: [\"/bin/sh\", \"-c\", \"echo Hello from the postStart handler > /usr/share/message\"]
      preStop:
        exec:
          command: [\"/bin/sh\",\"-c\",\"nginx -s quit; while killall -0 nginx; do sleep 1; done\"]
",
    )?;
    until_ready(c, "lifecycle-demo")?;
    same(
        inside(c, "lifecycle-demo", "cat /usr/share/message")?,
        "Hello from the postStart handler\n",
    )?;
    same(
        c.kubectl("delete pod lifecycle-demo")?
            .lines()
            .next()
            .unwrap_or_default(),
        format!("pod \"lifecycle-demo\" deleted from {} namespace", c.namespace),
    )
}

fn termination_messages(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: termination-demo
spec:
  containers:
  - name: termination-demo-container
    image: busybox:1.28
    command: [\"/bin/sh\"]
    args: [\"-c\", \"sleep 2 && echo Sleep expired > /dev/termination-log\"]
",
    )?;
    let state = ".status.containerStatuses[0].lastState.terminated.message";
    c.until_value("pod termination-demo", state, "Sleep expired\n")?;
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: msg-path-demo
spec:
  restartPolicy: Never
  containers:
  - name: msg-path-demo-container
    image: busybox:1.28
    command: [sh, -c, 'echo the log has it; exit 2']
    terminationMessagePolicy: FallbackToLogsOnError
",
    )?;
    let state = ".status.containerStatuses[0].state.terminated.message";
    c.until_value("pod msg-path-demo", state, "the log has it\n")
}
