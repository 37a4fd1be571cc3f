//! Tasks on persistent volumes and projected volumes.

use std::process::Command;

use anyhow::Result;
use e2e::cluster::Cluster;
use e2e::process;

use super::{inside, inside_until, until_ready};
use crate::expect::{has, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    a_pod_uses_a_persistent_volume,
    a_claim_of_the_default_class,
    a_local_volume,
    a_projected_volume,
    a_volume_shared_by_two_containers,
    redis_storage_outlives_the_container,
    an_empty_dir_in_memory,
    sub_paths,
];

/// Runs a command on the machine of the node.
fn on_node(c: &Cluster, script: &str) -> Result<String> {
    let mut command: Command = c.lab.command("sh");
    process::output(command.args(["-c", script]))
}

fn a_pod_uses_a_persistent_volume(c: &mut Cluster) -> Result<()> {
    let volume = format!("task-pv-volume-{}", c.namespace);
    let folder = format!("/opt/{volume}");
    on_node(
        c,
        &format!("mkdir -p {folder} && echo 'Hello from Kubernetes storage' > {folder}/index.html"),
    )?;
    let class = format!("manual-{}", c.namespace);
    c.apply(&format!(
        "\
apiVersion: v1
kind: PersistentVolume
metadata:
  name: {volume}
  labels:
    type: local
spec:
  storageClassName: {class}
  capacity:
    storage: 10Gi
  accessModes:
    - ReadWriteOnce
  hostPath:
    path: \"{folder}\"
"
    ))?;
    c.until_value(&format!("pv {volume}"), ".status.phase", "Available")?;
    let (heading, rows) = c.table(&format!("get pv {volume}"))?;
    same(
        heading,
        [
            "NAME",
            "CAPACITY",
            "ACCESS MODES",
            "RECLAIM POLICY",
            "STATUS",
            "CLAIM",
            "STORAGECLASS",
            "VOLUMEATTRIBUTESCLASS",
            "REASON",
            "AGE",
        ],
    )?;
    same(&rows[0][1..5], &["10Gi", "RWO", "Retain", "Available"][..])?;
    c.apply(&format!(
        "\
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: task-pv-claim
spec:
  storageClassName: {class}
  accessModes:
    - ReadWriteOnce
  resources:
    requests:
      storage: 3Gi
"
    ))?;
    c.until_value("pvc task-pv-claim", ".status.phase", "Bound")?;
    let (_, rows) = c.table(&format!("get pv {volume}"))?;
    same(
        &rows[0][4..6],
        &["Bound".to_owned(), format!("{}/task-pv-claim", c.namespace)][..],
    )?;
    let (heading, rows) = c.table("get pvc task-pv-claim")?;
    same(
        heading,
        [
            "NAME",
            "STATUS",
            "VOLUME",
            "CAPACITY",
            "ACCESS MODES",
            "STORAGECLASS",
            "VOLUMEATTRIBUTESCLASS",
            "AGE",
        ],
    )?;
    same(&rows[0][1..5], &["Bound", volume.as_str(), "10Gi", "RWO"][..])?;
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: task-pv-pod
spec:
  volumes:
    - name: task-pv-storage
      persistentVolumeClaim:
        claimName: task-pv-claim
  containers:
    - name: task-pv-container
      image: nginx
      ports:
        - containerPort: 80
          name: \"http-server\"
      volumeMounts:
        - mountPath: \"/usr/share/nginx/html\"
          name: task-pv-storage
",
    )?;
    until_ready(c, "task-pv-pod")?;
    same(
        inside(c, "task-pv-pod", "cat /usr/share/nginx/html/index.html")?,
        "Hello from Kubernetes storage\n",
    )?;
    // A claim in use stays until its pod is gone.
    c.kubectl("delete pvc task-pv-claim --wait=false")?;
    let (_, rows) = c.table("get pvc task-pv-claim")?;
    same(&rows[0][1], "Terminating")?;
    c.kubectl("delete pod task-pv-pod")?;
    c.kubectl("wait --for=delete pvc/task-pv-claim --timeout=30s")?;
    c.until_value(&format!("pv {volume}"), ".status.phase", "Released")?;
    c.kubectl(&format!("delete pv {volume}"))?;
    same(on_node(c, &format!("ls {folder}"))?, "index.html\n")
}

fn a_claim_of_the_default_class(c: &mut Cluster) -> Result<()> {
    let (_, rows) = c.table("get storageclass")?;
    same(&rows[0][0], "local-path (default)")?;
    c.apply(
        "\
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: kept
spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: 128Mi
",
    )?;
    let (_, rows) = c.table("get pvc kept")?;
    same(&rows[0][1], "Pending")?;
    has(
        &c.kubectl("describe pvc kept")?,
        &["waiting for first consumer to be created before binding"],
    )?;
    let pod = |name: &str, script: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  restartPolicy: Never\n  containers:\n  - name: c\n    \
             image: busybox:1.28\n    command: [sh, -c, '{script}']\n    volumeMounts:\n    - name: data\n      mountPath: /data\n  \
             volumes:\n  - name: data\n    persistentVolumeClaim:\n      claimName: kept\n"
        )
    };
    c.apply(&pod("writer", "echo what was written > /data/file"))?;
    super::until_phase(c, "writer", "Succeeded")?;
    c.kubectl("delete pod writer")?;
    c.apply(&pod("reader", "cat /data/file"))?;
    super::until_phase(c, "reader", "Succeeded")?;
    same(c.kubectl("logs reader")?, "what was written\n")?;
    let volume = c.value("pvc kept", ".spec.volumeName")?;
    let path = c.value(&format!("pv {volume}"), ".spec.hostPath.path")?;
    let grown = r#"{"spec":{"resources":{"requests":{"storage":"256Mi"}}}}"#;
    has(
        &c.refused(&["patch", "pvc", "kept", "--patch", grown], "")?,
        &[
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
        ],
    )?;
    c.kubectl("delete pod reader")?;
    c.kubectl("delete pvc kept")?;
    c.kubectl(&format!("wait --for=delete pv/{volume} --timeout=30s"))?;
    same(on_node(c, &format!("test -e {path} || echo gone"))?, "gone\n")
}

fn a_local_volume(c: &mut Cluster) -> Result<()> {
    let name = format!("local-{}", c.namespace);
    let node = c.value("nodes", ".items[0].metadata.name")?;
    on_node(c, &format!("mkdir -p /opt/{name}"))?;
    c.apply(&format!(
        "\
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: {name}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: PersistentVolume
metadata:
  name: {name}
spec:
  capacity:
    storage: 100Gi
  volumeMode: Filesystem
  accessModes:
  - ReadWriteOnce
  persistentVolumeReclaimPolicy: Delete
  storageClassName: {name}
  local:
    path: /opt/{name}
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions:
        - key: kubernetes.io/hostname
          operator: In
          values:
          - {node}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: claim
spec:
  storageClassName: {name}
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: 1Gi
---
apiVersion: v1
kind: Pod
metadata:
  name: user
spec:
  containers:
  - name: c
    image: busybox:1.28
    command: [sh, -c, 'echo here > /data/file; sleep 1h']
    volumeMounts:
    - name: data
      mountPath: /data
  volumes:
  - name: data
    persistentVolumeClaim:
      claimName: claim
"
    ))?;
    until_ready(c, "user")?;
    inside_until(c, "user", "cat /data/file", "here")?;
    same(on_node(c, &format!("cat /opt/{name}/file"))?, "here\n")?;
    same(c.value("pvc claim", ".spec.volumeName")?, name)
}

fn a_projected_volume(c: &mut Cluster) -> Result<()> {
    let folder = c.lab.folder().join(format!("projected-{}", c.namespace));
    std::fs::create_dir_all(&folder)?;
    for (name, text) in [("username.txt", "admin"), ("password.txt", "1f2d1e2e67df")] {
        std::fs::write(folder.join(name), text)?;
    }
    let folder = folder.display();
    c.kubectl(&format!(
        "create secret generic user --from-file={folder}/username.txt"
    ))?;
    c.kubectl(&format!(
        "create secret generic pass --from-file={folder}/password.txt"
    ))?;
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: test-projected-volume
spec:
  containers:
  - name: test-projected-volume
    image: busybox:1.28
    args:
    - sleep
    - \"86400\"
    volumeMounts:
    - name: all-in-one
      mountPath: \"/projected-volume\"
      readOnly: true
  volumes:
  - name: all-in-one
    projected:
      sources:
      - secret:
          name: user
      - secret:
          name: pass
",
    )?;
    until_ready(c, "test-projected-volume")?;
    same(
        inside(c, "test-projected-volume", "ls /projected-volume/")?,
        "password.txt\nusername.txt\n",
    )?;
    same(
        inside(c, "test-projected-volume", "cat /projected-volume/username.txt")?,
        "admin",
    )
}

fn a_volume_shared_by_two_containers(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: two-containers
spec:
  restartPolicy: Never
  volumes:
  - name: shared-data
    emptyDir: {}
  containers:
  - name: nginx-container
    image: nginx
    volumeMounts:
    - name: shared-data
      mountPath: /usr/share/nginx/html
  - name: debian-container
    image: busybox:1.28
    volumeMounts:
    - name: shared-data
      mountPath: /pod-data
    command: [\"/bin/sh\"]
    args: [\"-c\", \"echo Hello from the debian container > /pod-data/index.html\"]
",
    )?;
    c.until_value(
        "pod two-containers",
        ".status.containerStatuses[?(@.name==\"debian-container\")].state.terminated.reason",
        "Completed",
    )?;
    let said = c.kubectl_words(
        &[
            "exec",
            "two-containers",
            "-c",
            "nginx-container",
            "--",
            "cat",
            "/usr/share/nginx/html/index.html",
        ],
        "",
    )?;
    same(said, "Hello from the debian container\n")
}

fn redis_storage_outlives_the_container(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: redis
spec:
  containers:
  - name: redis
    image: redis
    volumeMounts:
    - name: redis-storage
      mountPath: /data/redis
  volumes:
  - name: redis-storage
    emptyDir: {}
",
    )?;
    until_ready(c, "redis")?;
    inside(c, "redis", "echo Hello > /data/redis/test-file; kill 1")?;
    c.until_value("pod redis", ".status.containerStatuses[0].restartCount", "1")?;
    until_ready(c, "redis")?;
    same(
        inside_until(c, "redis", "cat /data/redis/test-file", "Hello")?,
        "Hello\n",
    )
}

fn an_empty_dir_in_memory(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: test-pd
spec:
  containers:
  - image: busybox:1.28
    name: test-container
    command: [sleep, 1h]
    volumeMounts:
    - mountPath: /cache
      name: cache-volume
  volumes:
  - name: cache-volume
    emptyDir:
      sizeLimit: 8Mi
      medium: Memory
",
    )?;
    until_ready(c, "test-pd")?;
    has(
        &inside(c, "test-pd", "grep /cache /proc/mounts")?,
        &["tmpfs", "size=8192k"],
    )?;
    let fill = "dd if=/dev/zero of=/cache/full bs=1M count=9 2>&1; true";
    has(&inside(c, "test-pd", fill)?, &["No space left on device"])
}

fn sub_paths(c: &mut Cluster) -> Result<()> {
    c.kubectl("create configmap config --from-literal=one=first --from-literal=two=second")?;
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: pod1
spec:
  containers:
  - name: container1
    env:
    - name: POD_NAME
      valueFrom:
        fieldRef:
          apiVersion: v1
          fieldPath: metadata.name
    image: busybox:1.28
    command: [ \"sh\", \"-c\", \"while [ true ]; do echo 'Hello'; sleep 10; done | tee -a /logs/hello.txt\" ]
    volumeMounts:
    - name: workdir1
      mountPath: /logs
      subPathExpr: $(POD_NAME)
    - name: whole
      mountPath: /whole
    - name: config
      mountPath: /etc/one
      subPath: one
  volumes:
  - name: workdir1
    emptyDir: {}
  - name: whole
    emptyDir: {}
  - name: config
    configMap:
      name: config
",
    )?;
    until_ready(c, "pod1")?;
    inside_until(c, "pod1", "cat /logs/hello.txt", "Hello")?;
    same(inside(c, "pod1", "cat /etc/one")?, "first")
}
