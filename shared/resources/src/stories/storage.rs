use super::*;

const VOLUME: &str = r#"{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"task-pv-volume"},"spec":{"storageClassName":"manual","capacity":{"storage":"10Gi"},"accessModes":["ReadWriteOnce"],"hostPath":{"path":"/mnt/data"}}}"#;
const CLAIM: &str = r#"{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"3Gi"}}}}"#;

fn class(name: &str, made: &str, default: bool, grows: bool) -> String {
    format!(
        r#"{{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","allowVolumeExpansion":{grows},"metadata":{{"annotations":{{"storageclass.kubernetes.io/is-default-class":"{default}"}},"creationTimestamp":"{made}","name":"{name}"}},"provisioner":"example.com/disk"}}"#
    )
}

#[test]
fn a_volume_is_filled_and_protected() {
    let stored = create(VOLUME);
    assert!(stored.contains(r#""finalizers":["kubernetes.io/pv-protection"]"#));
    assert!(
        stored.contains(
            r#""hostPath":{"path":"/mnt/data","type":""},"persistentVolumeReclaimPolicy":"Retain""#
        )
    );
    assert!(
        stored.ends_with(r#""status":{"lastPhaseTransitionTime":"2026-01-02T03:04:05Z","phase":"Pending"}}"#),
        "{stored}"
    );
    assert_eq!(
        line(&stored),
        "task-pv-volume|10Gi|RWO|Retain|Pending||manual|<unset>||60s|Filesystem"
    );
    let bound = stored.replace(r#""phase":"Pending""#, r#""phase":"Available""#);
    let before = stored.replace("03:04:05Z\",\"phase", "03:00:00Z\",\"phase");
    let status = bound.replace("03:04:05Z\",\"phase", "03:00:00Z\",\"phase");
    let told = run(&status, Some(&before), Op::Status, &Small::usual()).unwrap();
    assert!(
        told.contains(r#""lastPhaseTransitionTime":"2026-01-02T03:04:05Z","phase":"Available""#),
        "{told}"
    );
}

#[test]
fn a_volume_that_cannot_work_is_refused() {
    let cases = [
        (
            VOLUME.replace(r#","hostPath":{"path":"/mnt/data"}"#, ""),
            "spec: Required value: must specify a volume type",
        ),
        (
            VOLUME.replace(r#""hostPath":{"#, r#""local":{"path":"/mnt"},"hostPath":{"#),
            "[spec.local: Forbidden: may not specify more than 1 volume type, spec.nodeAffinity: Required value: Local volume requires node affinity]",
        ),
        (
            VOLUME.replace(r#"["ReadWriteOnce"]"#, r#"["Sometimes"]"#),
            r#"spec.accessModes: Unsupported value: "Sometimes": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod""#,
        ),
        (
            VOLUME.replace(r#""10Gi""#, r#""0""#),
            r#"spec.capacity[storage]: Invalid value: "0": must be greater than zero"#,
        ),
    ];
    for (body, words) in cases {
        assert_eq!(
            refused(&body),
            format!(r#"PersistentVolume "task-pv-volume" is invalid: {words}"#)
        );
    }
    let stored = create(VOLUME);
    let moved = update(&stored.replace("/mnt/data", "/mnt/other"), &stored).unwrap_err();
    assert_eq!(
        moved,
        r#"PersistentVolume "task-pv-volume" is invalid: spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"#
    );
}

#[test]
fn a_claim_gets_the_newest_default_class() {
    let cluster = Small::usual()
        .with(
            "storageclasses",
            &class("old", "2026-01-01T00:00:00Z", true, false),
        )
        .with(
            "storageclasses",
            &class("new", "2026-01-02T00:00:00Z", true, false),
        )
        .with(
            "storageclasses",
            &class("newest", "2026-01-03T00:00:00Z", false, false),
        );
    let stored = run(CLAIM, None, Op::Create, &cluster).unwrap();
    assert!(stored.contains(r#""storageClassName":"new""#), "{stored}");
    assert!(stored.contains(r#""finalizers":["kubernetes.io/pvc-protection"]"#));
    let none = CLAIM.replace(r#""spec":{"#, r#""spec":{"storageClassName":"","#);
    let none = run(&none, None, Op::Create, &cluster).unwrap();
    assert!(
        none.contains(r#""storageClassName":"""#),
        "none is wished: {none}"
    );
    assert_eq!(
        line(&create(CLAIM)),
        "data|Pending||||||<unset>|60s|Filesystem".replacen("||", "|", 1)
    );
}

#[test]
fn a_claim_grows_if_its_class_lets_it() {
    let stored = create(CLAIM);
    let bound = stored
        .replace(r#""volumeMode""#, r#""storageClassName":"c","volumeMode""#)
        .replace(
            r#""status":{"phase":"Pending"}"#,
            r#""status":{"accessModes":["ReadWriteOnce"],"capacity":{"storage":"3Gi"},"phase":"Bound"}"#,
        )
        .replace(
            r#""volumeMode":"Filesystem""#,
            r#""volumeMode":"Filesystem","volumeName":"pv""#,
        );
    assert_eq!(line(&bound), "data|Bound|pv|3Gi|RWO|c|<unset>|60s|Filesystem");
    let cluster = |grows| {
        Small::usual().with(
            "storageclasses",
            &class("c", "2026-01-01T00:00:00Z", false, grows),
        )
    };
    let bigger = bound.replace(
        r#""requests":{"storage":"3Gi"}"#,
        r#""requests":{"storage":"5Gi"}"#,
    );
    assert!(run(&bigger, Some(&bound), Op::Update, &cluster(true)).is_ok());
    assert_eq!(
        run(&bigger, Some(&bound), Op::Update, &cluster(false))
            .unwrap_err()
            .message,
        r#"persistentvolumeclaims "data" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"#
    );
    let early = stored.replace("3Gi", "5Gi");
    assert_eq!(
        run(&early, Some(&stored), Op::Update, &cluster(true))
            .unwrap_err()
            .message,
        r#"persistentvolumeclaims "data" is forbidden: Only bound persistent volume claims can be expanded"#
    );
    let smaller = bound.replace(
        r#""requests":{"storage":"3Gi"}"#,
        r#""requests":{"storage":"1Gi"}"#,
    );
    assert_eq!(
        update(&smaller, &bound).unwrap_err(),
        r#"PersistentVolumeClaim "data" is invalid: spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"#
    );
    let moved = update(
        &bound.replace(r#""volumeName":"pv""#, r#""volumeName":"other""#),
        &bound,
    )
    .unwrap_err();
    assert!(moved.contains("spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"), "{moved}");
    let waiting = update(
        &stored.replace(
            r#""volumeMode":"Filesystem""#,
            r#""volumeMode":"Filesystem","volumeName":"pv""#,
        ),
        &stored,
    );
    assert!(waiting.is_ok(), "a claim is bound once");
}

#[test]
fn kinds_of_storage_are_filled_and_shown() {
    let cases = [
        (
            class("fast", "2026-01-01T00:00:00Z", true, true),
            r#""provisioner":"example.com/disk","reclaimPolicy":"Delete","volumeBindingMode":"Immediate"}"#,
            "fast (default)|example.com/disk|Delete|Immediate|true|60s",
        ),
        (
            r#"{"apiVersion":"storage.k8s.io/v1","kind":"CSIDriver","metadata":{"name":"disk.example.com"},"spec":{"tokenRequests":[{"audience":"vault"}]}}"#.to_owned(),
            r#""spec":{"attachRequired":true,"fsGroupPolicy":"ReadWriteOnceWithFSType","podInfoOnMount":false,"requiresRepublish":false,"seLinuxMount":false,"storageCapacity":false,"tokenRequests":[{"audience":"vault"}],"volumeLifecycleModes":["Persistent"]}}"#,
            "disk.example.com|true|false|false|vault|false|Persistent|60s",
        ),
        (
            r#"{"apiVersion":"storage.k8s.io/v1","kind":"CSINode","metadata":{"name":"n1"},"spec":{"drivers":[{"name":"disk.example.com","nodeID":"n1"}]}}"#.to_owned(),
            r#""spec":{"drivers":[{"name":"disk.example.com","nodeID":"n1"}]}}"#,
            "n1|1|60s",
        ),
        (
            r#"{"apiVersion":"storage.k8s.io/v1","kind":"VolumeAttachment","metadata":{"name":"a"},"spec":{"attacher":"disk.example.com","nodeName":"n1","source":{"persistentVolumeName":"pv"}}}"#.to_owned(),
            r#""status":{"attached":false}}"#,
            "a|disk.example.com|pv|n1|false|60s",
        ),
        (
            r#"{"apiVersion":"storage.k8s.io/v1","kind":"CSIStorageCapacity","metadata":{"name":"c"},"storageClassName":"fast","capacity":"1024Mi"}"#.to_owned(),
            r#""capacity":"1Gi""#,
            "c|fast|1Gi",
        ),
        (
            r#"{"apiVersion":"storage.k8s.io/v1","kind":"VolumeAttributesClass","metadata":{"name":"gold"},"driverName":"disk.example.com","parameters":{"iops":"1000"}}"#.to_owned(),
            r#""parameters":{"iops":"1000"}"#,
            "gold|disk.example.com|60s",
        ),
    ];
    for (body, part, cells) in cases {
        let stored = create(&body);
        assert!(stored.contains(part), "{stored}");
        assert_eq!(line(&stored), cells);
    }
    let stored = create(&class("fast", "2026-01-01T00:00:00Z", true, true));
    assert_eq!(
        update(&stored.replace(r#""Delete""#, r#""Retain""#), &stored).unwrap_err(),
        r#"StorageClass.storage.k8s.io "fast" is invalid: reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden."#
    );
}
