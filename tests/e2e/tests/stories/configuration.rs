//! What a pod is given: config maps, secrets, fields of its own, and volumes.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;
use e2e::wait;

use crate::expect::{has, same};
use crate::pod::{inside, start};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    config_maps_and_secrets_are_variables,
    config_maps_and_secrets_are_files,
    fields_are_variables,
    host_paths
];

fn make_sources(c: &Cluster) -> Result<()> {
    let said =
        c.kubectl("create configmap game --from-literal=level=very --from-literal=game.properties=lives=3")?;
    has(&said, &["configmap/game created"])?;
    let said =
        c.kubectl("create secret generic keys --from-literal=user=admin --from-literal=password=s3cret")?;
    has(&said, &["secret/keys created"])
}

const VARIABLES: &str = "    env:
    - {name: PLAIN, value: plain}
    - {name: BUILT, value: $(PLAIN) and $(LEVEL) but $$(PLAIN) and $(NOSUCH)}
    - {name: LEVEL, valueFrom: {configMapKeyRef: {name: game, key: level}}}
    - {name: AFTER, value: after $(LEVEL)}
    - {name: SECRET, valueFrom: {secretKeyRef: {name: keys, key: password}}}
    - {name: MAYBE, valueFrom: {secretKeyRef: {name: nosuch, key: x, optional: true}}}
    envFrom:
    - {secretRef: {name: keys}, prefix: KEYS_}
    - {configMapRef: {name: nosuch, optional: true}}
";

fn config_maps_and_secrets_are_variables(c: &mut Cluster) -> Result<()> {
    make_sources(c)?;
    start(c, "variables", "", VARIABLES)?;
    let shown = inside(c, "variables", "env")?;
    let lines = [
        "PLAIN=plain\n",
        "LEVEL=very\n",
        "AFTER=after very\n",
        "SECRET=s3cret\n",
        "KEYS_user=admin\n",
    ];
    has(&shown, &lines)?;
    has(&shown, &["BUILT=plain and $(LEVEL) but $(PLAIN) and $(NOSUCH)\n"])?;
    ensure!(!shown.contains("MAYBE"), "{shown}");
    Ok(())
}

const FILES: &str = "    volumeMounts:
    - {name: game, mountPath: /etc/game}
    - {name: keys, mountPath: /etc/keys, readOnly: true}
    - {name: game, mountPath: /etc/one/level, subPath: level}
    - {name: scratch, mountPath: /scratch}
  volumes:
  - {name: game, configMap: {name: game}}
  - {name: keys, secret: {secretName: keys, defaultMode: 0400, items: [{key: password, path: deep/password}]}}
  - {name: scratch, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
";

fn config_maps_and_secrets_are_files(c: &mut Cluster) -> Result<()> {
    make_sources(c)?;
    start(c, "files", "", FILES)?;
    same(
        inside(c, "files", "cat /etc/game/game.properties /etc/one/level")?,
        "lives=3very",
    )?;
    same(
        inside(c, "files", "cat /etc/keys/deep/password; ls /etc/keys")?,
        "s3cretdeep\n",
    )?;
    same(
        inside(
            c,
            "files",
            "stat -L -c %a /etc/keys/deep/password /etc/game/level",
        )?,
        "400\n644\n",
    )?;
    let refused = c.refused(&["exec", "files", "--", "touch", "/etc/keys/x"], "")?;
    has(&refused, &["Read-only file system"])?;
    has(&inside(c, "files", "grep ' /scratch ' /proc/mounts")?, &["tmpfs"])?;
    c.kubectl_words(
        &[
            "patch",
            "configmap",
            "game",
            "--patch",
            r#"{"data":{"level":"extreme"}}"#,
        ],
        "",
    )?;
    wait::until(
        "the changed config map in the volume",
        Duration::from_secs(90),
        || {
            let now = inside(c, "files", "cat /etc/game/level")?;
            ensure!(now == "extreme", "it is {now:?}");
            Ok(Some(()))
        },
    )
}

const FIELDS: &str = "    resources: {limits: {memory: 64Mi, cpu: 250m}}
    env:
    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: SPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
    - {name: TIER, valueFrom: {fieldRef: {fieldPath: 'metadata.labels[''tier'']'}}}
    - {name: ADDRESS, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
    - {name: ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
    - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
    - {name: MILLIS, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
";

fn fields_are_variables(c: &mut Cluster) -> Result<()> {
    start(c, "fields", "", FIELDS)?;
    let shown = inside(c, "fields", "env")?;
    let space = format!("SPACE={}\n", c.namespace);
    let address = format!("ADDRESS={}\n", c.value("pod fields", ".status.podIP")?);
    has(
        &shown,
        &[
            "POD=fields\n",
            &space,
            "TIER=one\n",
            &address,
            "HOST=10.99.0.2\n",
            "ACCOUNT=default\n",
        ],
    )?;
    has(&shown, &["MEMORY=67108864\n", "MILLIS=250\n"])
}

fn host_paths(c: &mut Cluster) -> Result<()> {
    let path = c.lab.folder().join("shared").display().to_string();
    let spec = format!(
        "    volumeMounts: [{{name: host, mountPath: /host}}]\n  \
         volumes: [{{name: host, hostPath: {{path: {path}, type: DirectoryOrCreate}}}}]\n"
    );
    start(c, "host", "", &spec)?;
    inside(c, "host", "echo from the pod > /host/note")?;
    same(
        std::fs::read_to_string(c.lab.folder().join("shared/note"))?,
        "from the pod\n",
    )
}
