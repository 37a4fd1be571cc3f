//! What the tables of all parts hold, and what is said of wrong flags.

use super::{PARTS, part::Part};
use component::flags::{Flag, FlagError, Kind, Settings, Standing};
use std::{collections::BTreeSet, fs};

fn part(name: &str) -> &'static Part {
    PARTS.iter().find(|part| part.name == name).unwrap()
}

fn read(name: &str, args: &[&str]) -> anyhow::Result<Settings> {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    part(name).settings(&args)
}

fn refused(name: &str, args: &[&str]) -> String {
    format!("{:#}", read(name, args).unwrap_err())
}

fn flags(part: &Part) -> impl Iterator<Item = &'static Flag> {
    part.tables.iter().flat_map(|table| table.iter())
}

#[test]
fn no_flag_and_no_field_comes_twice() {
    for part in PARTS {
        let (mut names, mut fields) = (BTreeSet::new(), BTreeSet::new());
        for flag in flags(part) {
            assert!(
                names.insert((flag.name, flag.file_only)),
                "{} has --{} twice",
                part.name,
                flag.name
            );
            let once = flag.field.is_empty() || fields.insert(flag.field);
            assert!(
                once || part.config.is_none(),
                "{} has field {} twice",
                part.name,
                flag.field
            );
        }
    }
}

#[test]
fn every_row_says_what_it_does_and_has_a_fitting_default() {
    for part in PARTS {
        for flag in flags(part) {
            assert!(
                !flag.help.is_empty(),
                "{}: --{} has no help",
                part.name,
                flag.name
            );
            if flag.standing == Standing::Works && !flag.default.is_empty() && !flag.file_only {
                let given = format!("--{}={}", flag.name, flag.default);
                read(part.name, &[&given]).unwrap_or_else(|e| panic!("{}: {e:#}", part.name));
            }
            let typed = matches!(flag.kind, Kind::Bool | Kind::Int | Kind::Duration);
            let works = flag.standing == Standing::Works;
            assert!(
                !(works && typed && flag.default.is_empty()),
                "{}: --{} has no default",
                part.name,
                flag.name
            );
        }
    }
}

#[test]
fn choices_are_of_flags_that_work_and_hold_their_default() {
    for part in PARTS {
        for choice in part.choices {
            let flag = flags(part).find(|flag| flag.name == choice.flag);
            let flag = flag.unwrap_or_else(|| panic!("{} has no --{}", part.name, choice.flag));
            assert_eq!(flag.standing, Standing::Works, "{}: --{}", part.name, choice.flag);
            assert!(
                choice.values.contains(&flag.default),
                "{}: --{}",
                part.name,
                choice.flag
            );
        }
        read(part.name, &[]).unwrap_or_else(|e| panic!("{}: {e:#}", part.name));
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (name, args, words) in [
        ("kubelet", &["--nonsense"][..], "unknown flag: --nonsense"),
        (
            "kubelet",
            &["--shutdownGracePeriod=1s"],
            "unknown flag: --shutdownGracePeriod",
        ),
        (
            "kubelet",
            &["--container-runtime-endpoint=unix:///run/containerd/containerd.sock"],
            "--container-runtime-endpoint=unix:///run/containerd/containerd.sock is not supported: only the built-in \
             runtime is there; other runtimes cannot be spoken to yet",
        ),
        (
            "kube-apiserver",
            &["--storage-backend=etcd2"],
            "--storage-backend=etcd2 is not supported: there is no other",
        ),
        (
            "kube-proxy",
            &["--proxy-mode=ipvs"],
            "--proxy-mode=ipvs is not supported: rules are written by nftables alone",
        ),
        (
            "kube-scheduler",
            &["--leader-elect=maybe"],
            "invalid argument \"maybe\" for \"--leader-elect\" flag: must be true or false",
        ),
        (
            "kube-controller-manager",
            &["--controllers=*,-job"],
            "--controllers=-job is not supported: controllers run together",
        ),
        (
            "kube-scheduler",
            &["--feature-gates=Nonsense=true"],
            "unrecognized feature gate: Nonsense",
        ),
        (
            "kube-scheduler",
            &["--config=/nowhere"],
            "cannot read /nowhere: No such file or directory (os error 2)",
        ),
    ] {
        assert_eq!(refused(name, args), words);
    }
    assert!(
        super::run("kube-nonsense", &[])
            .unwrap_err()
            .to_string()
            .contains("there is no command")
    );
}

#[test]
fn help_lists_what_works() {
    for part in PARTS {
        let error = part.settings(&["-h".to_owned()]).unwrap_err();
        let Some(help @ FlagError::Help(_)) = error.downcast_ref() else {
            panic!("{error:#}")
        };
        let text = part.help(help);
        assert!(text.starts_with(&format!("Usage: ferrokube {} [flags]", part.name)));
        assert!(
            text.contains("--feature-gates") && !text.contains("--vmodule"),
            "{text}"
        );
    }
}

#[test]
fn the_short_flag_of_the_log_level_is_taken() {
    for args in [&["-v=5"][..], &["-v5"], &["-v", "5"], &["--v=5"]] {
        assert_eq!(read("kube-proxy", args).unwrap().int("v"), 5);
    }
}

#[test]
fn flags_win_over_drop_ins_and_drop_ins_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let head = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(
        path("kubelet.yaml"),
        format!("{head}maxPods: 20\nport: 10251\nclusterDNS: [10.96.0.10]\n"),
    )
    .unwrap();
    fs::create_dir(path("drop-ins")).unwrap();
    fs::write(
        path("drop-ins/10.conf"),
        format!("{head}maxPods: 30\nport: 10252\n"),
    )
    .unwrap();
    let (file, drop_ins) = (
        format!("--config={}", path("kubelet.yaml")),
        format!("--config-dir={}", path("drop-ins")),
    );
    let settings = read("kubelet", &[&file, &drop_ins, "--port=10253"]).unwrap();
    assert_eq!((settings.int("max-pods"), settings.int("port")), (30, 10253));
    assert_eq!(settings.list("cluster-dns"), ["10.96.0.10"]);
    assert_eq!(settings.text("cluster-domain"), "cluster.local");
    assert_eq!(read("kubelet", &[&file]).unwrap().int("port"), 10251);
}

#[test]
fn configuration_files_are_read_as_upstream_writes_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = |text: &str| {
        let path = dir.path().join("config.yaml");
        fs::write(&path, text).unwrap();
        format!("--config={}", path.display())
    };
    let kubelet = file(
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nauthentication:\n  anonymous:\n    enabled: false\n  \
         webhook:\n    cacheTTL: 0s\n    enabled: true\n  x509:\n    clientCAFile: /etc/kubernetes/pki/ca.crt\nauthorization:\n  mode: \
         Webhook\n  webhook:\n    cacheAuthorizedTTL: 0s\n    cacheUnauthorizedTTL: 0s\ncgroupDriver: cgroupfs\nclusterDNS:\n- \
         10.96.0.10\nclusterDomain: cluster.local\ncontainerRuntimeEndpoint: \"\"\ncpuManagerReconcilePeriod: 0s\ncrashLoopBackOff: \
         {}\nevictionHard:\n  memory.available: 200Mi\nevictionPressureTransitionPeriod: 0s\nimageMaximumGCAge: 0s\nlogging:\n  flushFrequency: 0\n  options:\n    json:\n      \
         infoBufferSize: \"0\"\n    text:\n      infoBufferSize: \"0\"\n  verbosity: 0\nmemorySwap: {}\nshutdownGracePeriod: \
         0s\nvolumeStatsAggPeriod: 0s\n",
    );
    let settings = read("kubelet", &[&kubelet]).unwrap();
    assert_eq!(settings.text("client-ca-file"), "/etc/kubernetes/pki/ca.crt");
    assert_eq!(settings.map("eviction-hard")["memory.available"], "200Mi");

    let proxy = file(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nbindAddress: 0.0.0.0\nclientConnection:\n  \
         acceptContentTypes: \"\"\n  burst: 0\n  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf\n  qps: 0\nclusterCIDR: \
         10.244.0.0/16\nconntrack:\n  maxPerCore: null\nmode: nftables\nhostnameOverride: one\n",
    );
    let settings = read("kube-proxy", &[&proxy]).unwrap();
    assert_eq!(settings.text("kubeconfig"), "/var/lib/kube-proxy/kubeconfig.conf");
    assert_eq!(
        (settings.text("cluster-cidr"), settings.text("hostname-override")),
        ("10.244.0.0/16", "one")
    );

    let scheduler = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nleaderElection:\n  leaderElect: false\n";
    assert!(
        !read("kube-scheduler", &[&file(scheduler)])
            .unwrap()
            .bool("leader-elect")
    );
    let extended = file(&format!("{scheduler}extenders: [{{urlPrefix: http://x}}]\n"));
    assert_eq!(
        refused("kube-scheduler", &[&extended]),
        "extenders is not supported: extenders are not called yet"
    );
}
