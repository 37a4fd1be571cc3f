//! Volumes: claims, projections that follow their objects, parts of volumes, images.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::Cluster;
use e2e::{kernel, wait};

use crate::expect::{has, has_not, same};
use crate::pod::{inside, sleeper, start, until_event, until_ready};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    a_claim_is_mounted_and_its_data_goes_with_it,
    a_pod_waits_for_its_claim,
    a_local_volume_belongs_to_a_group,
    an_ephemeral_claim_goes_with_its_pod,
    volumes_that_cannot_be_had_say_why,
    updates_are_seen_within_a_second,
    the_downward_api_follows_the_pod,
    parts_of_volumes_are_mounted,
    an_image_is_mounted,
    memory_is_bounded,
    files_hold_variables,
];

/// The first process of a pod's container, which `argument` tells from others.
fn process(c: &Cluster, argument: &str) -> Result<u32> {
    let found = c
        .lab
        .containers()
        .into_iter()
        .find(|pid| kernel::command_line(*pid).ends_with(argument));
    found.with_context(|| format!("no process {argument}"))
}

fn claim(name: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\nspec:\n  accessModes: [ReadWriteOnce]\n  \
         resources: {{requests: {{storage: 1Mi}}}}\n{more}"
    )
}

const DATA: &str = "    volumeMounts: [{name: data, mountPath: /data}]\n";

fn with_claim(claim: &str, more: &str) -> String {
    format!("  volumes: [{{name: data, persistentVolumeClaim: {{claimName: {claim}{more}}}}}]\n")
}

fn a_claim_is_mounted_and_its_data_goes_with_it(c: &mut Cluster) -> Result<()> {
    c.apply(&claim("kept", ""))?;
    start(c, "writer", DATA, &with_claim("kept", ""))?;
    inside(
        c,
        "writer",
        "echo here > /data/note; stat -c %a /data > /data/mode",
    )?;
    c.kubectl("delete pod writer")?;
    start(c, "reader", DATA, &with_claim("kept", ", readOnly: true"))?;
    same(inside(c, "reader", "cat /data/note /data/mode")?, "here\n777\n")?;
    has(
        &inside(c, "reader", "touch /data/x 2>&1 || true")?,
        &["Read-only file system"],
    )?;
    let volume = c.value("pvc kept", ".spec.volumeName")?;
    let path = c.value(&format!("pv {volume}"), ".spec.hostPath.path")?;
    let local = c.value(&format!("pv {volume}"), ".spec.local.path")?;
    let path = c.data_dir().join(if path.is_empty() { local } else { path });
    ensure!(
        path.starts_with(c.data_dir().join("local-path")),
        "{}",
        path.display()
    );
    same(fs::read_to_string(path.join("note"))?, "here\n")?;
    c.kubectl("delete pod reader")?;
    c.kubectl("delete pvc kept")?;
    c.kubectl(&format!("wait --for=delete pv/{volume} --timeout=60s"))?;
    ensure!(!path.exists(), "{} is still there", path.display());
    Ok(())
}

fn a_pod_waits_for_its_claim(c: &mut Cluster) -> Result<()> {
    c.apply(&claim("late", "  storageClassName: ''\n"))?;
    let node = c.value("nodes", ".items[0].metadata.name")?;
    let spec = with_claim("late", "") + &format!("  nodeName: {node}\n");
    c.apply(&sleeper("waits", DATA, &spec))?;
    let words = format!(
        "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process \
         volumes=[data]: error processing PVC {}/late: PVC is not bound",
        c.namespace
    );
    until_event(c, "waits", &[words.as_str()])?;
    same(&c.table("get pod waits")?.1[0][2], "ContainerCreating")?;
    let path = c.lab.folder().join("late");
    c.apply(&format!(
        "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: late-{}}}\nspec:\n  capacity: {{storage: 1Mi}}\n  \
         accessModes: [ReadWriteOnce]\n  persistentVolumeReclaimPolicy: Retain\n  storageClassName: ''\n  \
         hostPath: {{path: {}, type: DirectoryOrCreate}}\n",
        c.namespace,
        path.display()
    ))?;
    until_ready(c, "waits")?;
    inside(c, "waits", "echo x > /data/x")?;
    same(fs::read_to_string(path.join("x"))?, "x\n")
}

fn a_local_volume_belongs_to_a_group(c: &mut Cluster) -> Result<()> {
    let node = c.value("nodes", ".items[0].metadata.name")?;
    let path = c.lab.folder().join("disk");
    let name = format!("disk-{}", c.namespace);
    c.apply(&format!(
        "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {name}}}\nspec:\n  capacity: {{storage: 1Mi}}\n  \
         accessModes: [ReadWriteOnce]\n  persistentVolumeReclaimPolicy: Retain\n  storageClassName: disk\n  \
         local: {{path: {}}}\n  nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: [{{key: \
         kubernetes.io/hostname, operator: In, values: [{node}]}}]}}]}}}}\n",
        path.display()
    ))?;
    c.apply(&claim("disk", "  storageClassName: disk\n"))?;
    let spec = with_claim("disk", "") + "  securityContext: {fsGroup: 4321, runAsUser: 1000}\n";
    c.apply(&sleeper("grouped", DATA, &spec))?;
    let words = format!(
        "MountVolume.NewMounter initialization failed for volume {name:?} : path {:?} does not exist",
        path.display().to_string()
    );
    until_event(c, "grouped", &[words.as_str()])?;
    fs::create_dir(&path)?;
    fs::write(path.join("old"), "old\n")?;
    until_ready(c, "grouped")?;
    same(
        inside(
            c,
            "grouped",
            "echo new > /data/new; cat /data/old; stat -c '%g %a' /data /data/old; stat -c %g /data/new",
        )?,
        "old\n4321 2775\n4321 664\n4321\n",
    )
}

fn an_ephemeral_claim_goes_with_its_pod(c: &mut Cluster) -> Result<()> {
    let spec = "  volumes:\n  - name: data\n    ephemeral:\n      volumeClaimTemplate:\n        spec: {accessModes: \
                [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}\n";
    start(c, "scratch", DATA, spec)?;
    same(inside(c, "scratch", "echo x > /data/x; cat /data/x")?, "x\n")?;
    same(
        c.value("pvc scratch-data", ".metadata.ownerReferences[0].kind")?,
        "Pod",
    )?;
    c.kubectl("delete pod scratch")?;
    c.kubectl("wait --for=delete pvc/scratch-data --timeout=60s")
        .map(drop)
}

fn volumes_that_cannot_be_had_say_why(c: &mut Cluster) -> Result<()> {
    let file = c.lab.folder().join("a-file");
    fs::write(&file, "x")?;
    let checked = format!("hostPath: {{path: {}, type: Directory}}", file.display());
    let not_a_directory = format!(
        "hostPath type check failed: {} is not a directory",
        file.display()
    );
    let sources = [
        ("host", checked.as_str(), not_a_directory.as_str()),
        (
            "git",
            "gitRepo: {repository: 'https://example.com/x.git'}",
            "git-repo volume plugin has been disabled",
        ),
        (
            "csi",
            "csi: {driver: disk.example.com}",
            "driver name disk.example.com not found in the list of registered CSI drivers",
        ),
        (
            "none",
            "configMap: {name: nosuch}",
            "configmap \"nosuch\" not found",
        ),
    ];
    for (name, source, _) in sources {
        c.apply(&sleeper(
            name,
            DATA,
            &format!("  volumes: [{{name: data, {source}}}]\n"),
        ))?;
    }
    for (name, _, why) in sources {
        until_event(c, name, &["MountVolume.SetUp failed for volume \"data\" : "])?;
        until_event(c, name, &[why])?;
    }
    // Nobody waits for a volume that nothing uses.
    start(
        c,
        "idle",
        "",
        "  volumes: [{name: data, configMap: {name: nosuch}}]\n",
    )
}

const FOLLOWS: &str = "    volumeMounts:
    - {name: settings, mountPath: /settings}
    - {name: keys, mountPath: /keys}
    - {name: all, mountPath: /all}
    - {name: settings, mountPath: /once/level, subPath: level}
  volumes:
  - {name: settings, configMap: {name: game}}
  - {name: keys, secret: {secretName: keys, optional: true}}
  - name: all
    projected:
      defaultMode: 0440
      sources:
      - configMap: {name: game, items: [{key: level, path: deep/level, mode: 0400}]}
      - secret: {name: keys, optional: true}
      - serviceAccountToken: {path: token, audience: someone, expirationSeconds: 600}
      - downwardAPI: {items: [{path: cpu, resourceFieldRef: {containerName: main, resource: limits.cpu, divisor: 1m}}]}
  securityContext: {fsGroup: 2000}
";

fn updates_are_seen_within_a_second(c: &mut Cluster) -> Result<()> {
    c.kubectl("create configmap game --from-literal=level=one")?;
    let container = "    args: ['31416']\n    resources: {limits: {cpu: 250m, memory: 32Mi}}\n";
    let manifest =
        sleeper("follows", container, FOLLOWS).replace("command: [sleep, '3600']", "command: [sleep]");
    c.apply(&manifest)?;
    until_ready(c, "follows")?;
    let root = format!("/proc/{}/root", process(c, "sleep 31416")?);
    let read = |path: &str| fs::read_to_string(format!("{root}{path}")).unwrap_or_default();
    let until = |path: &str, expected: &str| {
        wait::until(&format!("{expected:?} in {path}"), Duration::from_secs(1), || {
            let now = read(path);
            ensure!(now == expected, "it is {now:?}");
            Ok(Some(()))
        })
    };
    same(
        inside(
            c,
            "follows",
            "stat -L -c '%a %g' /all/deep/level /all/token /all/cpu; cat /all/cpu",
        )?,
        "440 2000\n640 2000\n440 2000\n250",
    )?;
    has(
        &inside(c, "follows", "touch /settings/x 2>&1 || true")?,
        &["Read-only file system"],
    )?;
    c.kubectl_words(
        &[
            "patch",
            "configmap",
            "game",
            "--patch",
            r#"{"data":{"level":"two"}}"#,
        ],
        "",
    )?;
    until("/settings/level", "two")?;
    until("/all/deep/level", "two")?;
    same(read("/once/level"), "one")?;
    c.kubectl("create secret generic keys --from-literal=password=s3cret")?;
    until("/keys/password", "s3cret")?;
    until("/all/password", "s3cret")?;
    c.kubectl("delete secret keys")?;
    until("/keys/password", "")?;
    c.kubectl_words(
        &[
            "patch",
            "configmap",
            "game",
            "--patch",
            r#"{"data":{"level":null,"more":"x"}}"#,
        ],
        "",
    )?;
    until("/settings/more", "x")?;
    until("/settings/level", "")
}

const DOWNWARD: &str = "    env:
    - {name: LABEL, valueFrom: {fieldRef: {fieldPath: 'metadata.labels[''tier'']'}}}
    - {name: IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
    - {name: HOSTS, valueFrom: {fieldRef: {fieldPath: status.hostIPs}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: CPU, valueFrom: {resourceFieldRef: {resource: requests.cpu, divisor: 1m}}}
    - {name: DISK, valueFrom: {resourceFieldRef: {resource: requests.ephemeral-storage, divisor: 1Mi}}}
    resources: {requests: {cpu: 20m, ephemeral-storage: 3Mi}}
    volumeMounts: [{name: about, mountPath: /about}]
  volumes:
  - name: about
    downwardAPI:
      items:
      - {path: labels, fieldRef: {fieldPath: metadata.labels}}
      - {path: notes, fieldRef: {fieldPath: metadata.annotations}}
      - {path: tier, fieldRef: {fieldPath: 'metadata.labels[''tier'']'}}
      - {path: uid, fieldRef: {fieldPath: metadata.uid}}
";

fn the_downward_api_follows_the_pod(c: &mut Cluster) -> Result<()> {
    start(c, "about", DOWNWARD, "")?;
    let address = c.value("pod about", ".status.podIP")?;
    let node = c.value("pod about", ".spec.nodeName")?;
    same(
        inside(c, "about", "echo $LABEL $IPS $HOSTS $NODE $CPU $DISK")?,
        format!("one {address} 10.99.0.2 {node} 20 3\n"),
    )?;
    let uid = c.value("pod about", ".metadata.uid")?;
    same(
        inside(c, "about", "cat /about/labels /about/uid")?,
        format!("tier=\"one\"{uid}"),
    )?;
    c.kubectl("label pod about tier=two --overwrite")?;
    c.kubectl("annotate pod about note=new")?;
    wait::until("the new label in the volume", Duration::from_secs(10), || {
        let now = inside(c, "about", "cat /about/tier /about/notes")?;
        ensure!(
            now.starts_with("two") && now.contains("note=\"new\""),
            "it is {now:?}"
        );
        Ok(Some(()))
    })
}

const PARTS: &str = "    env: [{name: WHO, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    volumeMounts:
    - {name: data, mountPath: /made, subPath: a/b}
    - {name: data, mountPath: /mine, subPathExpr: $(WHO)/logs}
    - {name: data, mountPath: /all, readOnly: true, recursiveReadOnly: Enabled}
";

fn parts_of_volumes_are_mounted(c: &mut Cluster) -> Result<()> {
    let path = c.lab.folder().join("parts");
    let volume = format!(
        "  volumes: [{{name: data, hostPath: {{path: {}, type: DirectoryOrCreate}}}}]\n",
        path.display()
    );
    start(c, "parts", PARTS, &volume)?;
    inside(c, "parts", "echo 1 > /made/x; echo 2 > /mine/x")?;
    same(
        inside(
            c,
            "parts",
            "cat /all/a/b/x /all/parts/logs/x; touch /all/x 2>/dev/null || echo no",
        )?,
        "1\n2\nno\n",
    )?;
    std::os::unix::fs::symlink("/etc", path.join("out"))?;
    let escape = "    volumeMounts: [{name: data, mountPath: /x, subPath: out}]\n";
    c.apply(&sleeper("escapes", escape, &volume))?;
    let waiting = ".status.containerStatuses[0].state.waiting";
    c.until_value(
        "pod escapes",
        &format!("{waiting}.reason"),
        "CreateContainerConfigError",
    )?;
    same(
        c.value("pod escapes", &format!("{waiting}.message"))?,
        "failed to prepare subPath for volumeMount \"data\" of container \"main\"",
    )?;
    c.kubectl("delete pod parts escapes")?;
    same(fs::read_to_string(path.join("a/b/x"))?, "1\n")
}

fn an_image_is_mounted(c: &mut Cluster) -> Result<()> {
    let mounts = "    volumeMounts: [{name: web, mountPath: /web}, {name: web, mountPath: /conf, subPath: etc/nginx}]\n";
    let volume = |image: &str| {
        format!("  volumes: [{{name: web, image: {{reference: '{image}', pullPolicy: IfNotPresent}}}}]\n")
    };
    start(c, "imaged", mounts, &volume("nginx:1.14.2"))?;
    has(
        &inside(
            c,
            "imaged",
            "ls /web/usr/sbin/nginx /conf/nginx.conf; touch /web/x 2>&1 || true",
        )?,
        &["/conf/nginx.conf\n/web/usr/sbin/nginx\n", "Read-only file system"],
    )?;
    c.apply(&sleeper("imageless", mounts, &volume("nosuch:1")))?;
    let reason = ".status.containerStatuses[0].state.waiting.reason";
    wait::until(
        "an image that is not there to be told",
        Duration::from_secs(60),
        || {
            let now = c.value("pod imageless", reason)?;
            ensure!(
                ["ErrImagePull", "ImagePullBackOff"].contains(&now.as_str()),
                "it is {now:?}"
            );
            Ok(Some(()))
        },
    )
}

const MEMORY: &str = "    resources: {limits: {memory: 48Mi, cpu: 100m}}
    volumeMounts: [{name: little, mountPath: /little}, {name: rest, mountPath: /rest}]
  volumes:
  - {name: little, emptyDir: {medium: Memory, sizeLimit: 2Mi}}
  - {name: rest, emptyDir: {medium: Memory}}
";

fn memory_is_bounded(c: &mut Cluster) -> Result<()> {
    start(c, "bounded", MEMORY, "")?;
    let size = |path: &str| {
        inside(
            c,
            "bounded",
            &format!("df -k {path} | tail -1 | awk '{{print $2}}'"),
        )
    };
    same(size("/little")?, "2048\n")?;
    same(size("/rest")?, "49152\n")?;
    same(size("/dev/shm")?, "65536\n")?;
    let full = "dd if=/dev/zero of=/little/x bs=1M count=3 2>&1 || true";
    has(&inside(c, "bounded", full)?, &["No space left on device"])
}

const VARIABLES: &str = "    env:
    - {name: ADDRESS, valueFrom: {fileKeyRef: {volumeName: config, path: config.env, key: ADDRESS}}}
    - {name: MAYBE, valueFrom: {fileKeyRef: {volumeName: config, path: config.env, key: NOSUCH, optional: true}}}
  initContainers:
  - name: prepare
    image: busybox:1.28
    command: [sh, -c, \"echo \\\"ADDRESS='here # there'\\\" > /data/config.env\"]
    volumeMounts: [{name: config, mountPath: /data}]
  volumes: [{name: config, emptyDir: {}}]
";

fn files_hold_variables(c: &mut Cluster) -> Result<()> {
    start(c, "enved", VARIABLES, "")?;
    let env = inside(c, "enved", "env; ls /data 2>&1 || true")?;
    has(&env, &["ADDRESS=here # there\n", "No such file"])?;
    has_not(&env, &["MAYBE"])
}
