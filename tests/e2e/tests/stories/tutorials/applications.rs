//! Tutorials on applications of several parts: databases, sites, queues.

use anyhow::Result;
use e2e::cluster::Cluster;

use super::{inside, inside_until, until_ready};
use crate::expect::{has, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    a_single_instance_database,
    a_site_with_a_database,
    a_guestbook_with_redis,
    redis_configured_by_a_config_map,
];

/// "Run a Single-Instance Stateful Application".
fn a_single_instance_database(c: &mut Cluster) -> Result<()> {
    let volume = format!("mysql-pv-volume-{}", c.namespace);
    c.apply(&format!(
        "\
apiVersion: v1
kind: PersistentVolume
metadata:
  name: {volume}
  labels:
    type: local
spec:
  storageClassName: manual-{namespace}
  capacity:
    storage: 20Gi
  accessModes:
    - ReadWriteOnce
  hostPath:
    path: \"/opt/{volume}\"
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: mysql-pv-claim
spec:
  storageClassName: manual-{namespace}
  accessModes:
    - ReadWriteOnce
  resources:
    requests:
      storage: 20Gi
---
apiVersion: v1
kind: Service
metadata:
  name: mysql
spec:
  ports:
  - port: 3306
  selector:
    app: mysql
  clusterIP: None
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: mysql
spec:
  selector:
    matchLabels:
      app: mysql
  strategy:
    type: Recreate
  template:
    metadata:
      labels:
        app: mysql
    spec:
      containers:
      - image: mysql:9
        name: mysql
        env:
        - name: MYSQL_ROOT_PASSWORD
          value: password
        ports:
        - containerPort: 3306
          name: mysql
        volumeMounts:
        - name: mysql-persistent-storage
          mountPath: /var/lib/mysql
      volumes:
      - name: mysql-persistent-storage
        persistentVolumeClaim:
          claimName: mysql-pv-claim
",
        namespace = c.namespace
    ))?;
    c.kubectl("rollout status deployment/mysql --timeout=120s")?;
    has(
        &c.kubectl("describe deployment mysql")?,
        &["StrategyType:       Recreate", "ClaimName:     mysql-pv-claim"],
    )?;
    let (_, rows) = c.table("get pvc mysql-pv-claim")?;
    same(&rows[0][1..5], &["Bound", volume.as_str(), "20Gi", "RWO"][..])?;
    let sql = |statement: &str| {
        let client = format!("mysql -h mysql -ppassword -e '{statement}'");
        c.kubectl_words(
            &[
                "run",
                "--rm",
                "-i",
                "--quiet",
                "--image=mysql:9",
                "--restart=Never",
                "mysql-client",
                "--",
                "sh",
                "-c",
                &format!("until {client}; do sleep 1; done 2>/dev/null"),
            ],
            "",
        )
    };
    sql("create database kept; create table kept.t (n int); insert into kept.t values (42)")?;
    c.kubectl("delete pod --selector app=mysql")?;
    c.kubectl("rollout status deployment/mysql --timeout=120s")?;
    has(&sql("select n from kept.t")?, &["42"])?;
    c.kubectl("delete deployment,svc mysql")?;
    c.kubectl("delete pvc mysql-pv-claim")?;
    c.until_value(&format!("pv {volume}"), ".status.phase", "Released")?;
    c.kubectl(&format!("delete pv {volume}")).map(drop)
}

/// As the tutorial on WordPress and MySQL: a generated Secret, a database and a site that keeps what it has in it.
fn a_site_with_a_database(c: &mut Cluster) -> Result<()> {
    let kustomization = c.lab.folder().join(format!("site-{}", c.namespace));
    std::fs::create_dir_all(&kustomization)?;
    std::fs::write(
        kustomization.join("kustomization.yaml"),
        "secretGenerator:\n- name: mysql-pass\n  literals:\n  - password=YOUR_PASSWORD\nresources:\n- mysql.yaml\n- site.yaml\n",
    )?;
    let tier = |name: &str, tier: &str, container: &str| {
        format!(
            "\
apiVersion: v1
kind: Service
metadata:
  name: {name}
  labels:
    app: site
spec:
  ports:
  - port: {port}
  selector:
    app: site
    tier: {tier}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  labels:
    app: site
spec:
  selector:
    matchLabels:
      app: site
      tier: {tier}
  strategy:
    type: Recreate
  template:
    metadata:
      labels:
        app: site
        tier: {tier}
    spec:
      containers:
      - name: {tier}
{container}
",
            port = if tier == "mysql" { 3306 } else { 80 }
        )
    };
    let password = "        - name: PASSWORD\n          valueFrom:\n            secretKeyRef:\n              name: mysql-pass\n              key: password";
    let database = format!(
        "        image: mysql:8.0
        env:
{}
        - name: MYSQL_DATABASE
          value: site
        volumeMounts:
        - name: storage
          mountPath: /var/lib/mysql
      volumes:
      - name: storage
        persistentVolumeClaim:
          claimName: mysql-pv-claim
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: mysql-pv-claim
  labels:
    app: site
spec:
  accessModes:
  - ReadWriteOnce
  resources:
    requests:
      storage: 20Gi",
        password.replace("PASSWORD", "MYSQL_ROOT_PASSWORD")
    );
    let site = format!(
        "        image: python:3
        env:
{password}
        readinessProbe:
          httpGet:
            path: /
            port: 80
          periodSeconds: 1
          timeoutSeconds: 5
        command:
        - python
        - -c
        - |
          import http.server, os, pymysql
          class Site(http.server.BaseHTTPRequestHandler):
              def do_GET(self):
                  with pymysql.connect(host='site-mysql', user='root', password=os.environ['PASSWORD'], database='site', autocommit=True) as base, base.cursor() as at:
                      at.execute('create table if not exists visits (n int)')
                      if self.path == '/visit':
                          at.execute('insert into visits values (1)')
                      at.execute('select count(*) from visits')
                      text = b'visits: %d' % at.fetchone()[0]
                  self.send_response(200)
                  self.end_headers()
                  self.wfile.write(text)
          http.server.HTTPServer(('', 80), Site).serve_forever()"
    );
    std::fs::write(
        kustomization.join("mysql.yaml"),
        tier("site-mysql", "mysql", &database),
    )?;
    std::fs::write(kustomization.join("site.yaml"), tier("site", "frontend", &site))?;
    let folder = kustomization.display().to_string();
    has(
        &c.kubectl(&format!("apply -k {folder}"))?,
        &[
            "secret/mysql-pass-",
            "service/site created",
            "deployment.apps/site-mysql created",
        ],
    )?;
    c.kubectl("rollout status deployment/site --timeout=150s")?;
    let visit = |path: &str| {
        inside_until(
            c,
            "deploy/site",
            &format!(
                "python -c \"import urllib.request as u; print(u.urlopen('http://site{path}').read().decode())\""
            ),
            "visits: ",
        )
    };
    visit("/visit")?;
    same(visit("/")?, "visits: 1\n")?;
    c.kubectl("delete pods --selector app=site")?;
    c.kubectl("rollout status deployment/site --timeout=150s")?;
    same(visit("/")?, "visits: 1\n")?;
    has(
        &c.kubectl(&format!("delete -k {folder}"))?,
        &["persistentvolumeclaim \"mysql-pv-claim\" deleted"],
    )
}

fn a_guestbook_with_redis(c: &mut Cluster) -> Result<()> {
    let tier = |name: &str, labels: &[(&str, &str)], replicas: u32, container: &str, port: u16| {
        let lines = |indent: &str| {
            labels
                .iter()
                .map(|(key, value)| format!("{indent}{key}: {value}\n"))
                .collect::<String>()
        };
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name}\nspec:\n  replicas: {replicas}\n  selector:\n    \
             matchLabels:\n{}  template:\n    metadata:\n      labels:\n{}    spec:\n      containers:\n      - {container}\n        \
             resources:\n          requests:\n            cpu: 10m\n            memory: 20Mi\n        ports:\n        - containerPort: {port}\n---\n\
             apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  ports:\n  - port: {port}\n    targetPort: {port}\n  \
             selector:\n{}---\n",
            lines("      "),
            lines("        "),
            lines("    "),
        )
    };
    let redis = |role| [("app", "redis"), ("role", role), ("tier", "backend")];
    let follow = "name: follower\n        image: docker.io/redis:6.0.5\n        args: [redis-server, --protected-mode, 'no', --replicaof, redis-leader, '6379']";
    let front = "name: php-redis\n        image: us-docker.pkg.dev/google-samples/gb-frontend:v5\n        env:\n        - name: GET_HOSTS_FROM\n          value: \"dns\"";
    c.apply(&tier(
        "redis-leader",
        &redis("leader"),
        1,
        "name: leader\n        image: docker.io/redis:6.0.5",
        6379,
    ))?;
    c.apply(&tier("redis-follower", &redis("follower"), 2, follow, 6379))?;
    c.apply(&tier(
        "frontend",
        &[("app", "guestbook"), ("tier", "frontend")],
        3,
        front,
        80,
    ))?;
    for name in ["redis-leader", "redis-follower", "frontend"] {
        c.kubectl(&format!("rollout status deployment/{name} --timeout=120s"))?;
    }
    c.kubectl("run visitor --image=busybox:1.28 --restart=Never -- sleep 1000")?;
    until_ready(c, "visitor")?;
    let ask = |query: &str| format!("wget -qO- 'http://frontend/guestbook.php?{query}'");
    inside_until(c, "visitor", &ask("cmd=set&key=messages&value=hello"), "Updated")?;
    inside_until(c, "visitor", &ask("cmd=get&key=messages"), r#"{"data": "hello"}"#)?;
    same(
        c.kubectl("scale deployment frontend --replicas=5")?,
        "deployment.apps/frontend scaled\n",
    )?;
    c.kubectl("rollout status deployment/frontend --timeout=60s")?;
    has(
        &c.kubectl("delete deployment -l app=redis --ignore-not-found")?,
        &["No resources found"],
    )
    .or_else(|_| {
        c.kubectl("delete deployment redis-leader redis-follower frontend")
            .map(drop)
    })
}

fn redis_configured_by_a_config_map(c: &mut Cluster) -> Result<()> {
    c.apply("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: example-redis-config\ndata:\n  redis-config: \"\"\n")?;
    let pod = "\
apiVersion: v1
kind: Pod
metadata:
  name: redis
spec:
  containers:
  - name: redis
    image: redis:8.0.2
    command:
      - redis-server
      - \"/redis-master/redis.conf\"
    env:
    - name: MASTER
      value: \"true\"
    ports:
    - containerPort: 6379
    resources:
      limits:
        cpu: \"0.1\"
    volumeMounts:
    - mountPath: /redis-master-data
      name: data
    - mountPath: /redis-master
      name: config
  volumes:
    - name: data
      emptyDir: {}
    - name: config
      configMap:
        name: example-redis-config
        items:
        - key: redis-config
          path: redis.conf
";
    c.apply(pod)?;
    until_ready(c, "redis")?;
    same(
        inside_until(c, "redis", "redis-cli CONFIG GET maxmemory", "maxmemory")?,
        "maxmemory\n0\n",
    )?;
    same(
        c.apply("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: example-redis-config\ndata:\n  redis-config: |\n    maxmemory 2mb\n    maxmemory-policy allkeys-lru\n")?,
        "configmap/example-redis-config configured\n",
    )?;
    inside_until(c, "redis", "cat /redis-master/redis.conf", "allkeys-lru")?;
    c.kubectl("delete pod redis")?;
    c.apply(pod)?;
    until_ready(c, "redis")?;
    same(
        inside_until(c, "redis", "redis-cli CONFIG GET maxmemory", "maxmemory")?,
        "maxmemory\n2097152\n",
    )?;
    same(
        inside(c, "redis", "redis-cli CONFIG GET maxmemory-policy")?,
        "maxmemory-policy\nallkeys-lru\n",
    )
}
