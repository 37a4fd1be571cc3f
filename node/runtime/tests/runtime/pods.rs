use crate::lab::Lab;
use futures::StreamExt;
use runtime::*;
use std::{fs, sync::atomic::Ordering, time::Duration};

#[tokio::test]
async fn a_container_runs_logs_and_ends() {
    let lab = Lab::new("runs").await;
    let sandbox = lab.sandbox(|_| {}).await;
    let mut config = lab.script("c", "echo out; echo err >&2; echo $IMAGE $GIVEN $HOSTNAME; pwd; hostname; cat /etc/resolv.conf; cat /proc/1/comm; exit 3");
    config.env = vec![("GIVEN".to_owned(), "a b".to_owned())];
    config.working_dir = "/made/for/it".to_owned();
    let (status, lines) = lab.run(&sandbox, config).await;
    assert_eq!(
        (status.state, status.exit_code, status.reason.as_str()),
        (ContainerState::Exited, 3, "Error")
    );
    assert!(status.finished_at >= status.started_at && status.started_at >= status.created_at);
    assert!(
        status.image_id.starts_with("docker.io/library/busybox@sha256:"),
        "{}",
        status.image_id
    );
    let want = [
        "stdout F out",
        "stdout F yes a b pod-host",
        "stdout F /made/for/it",
        "stdout F pod-host",
        "stdout F nameserver 10.96.0.10",
        "stdout F sh",
    ];
    let out: Vec<_> = lines.iter().filter(|line| line.starts_with("stdout")).collect();
    assert_eq!(out, want);
    assert!(lines.contains(&"stderr F err".to_owned()));
    let pods = lab.native().sandboxes().await.unwrap();
    assert_eq!(
        (pods.len(), pods[0].ready, pods[0].ips.clone()),
        (1, true, vec!["127.0.0.1".to_owned()])
    );
}

#[tokio::test]
async fn the_process_is_confined() {
    let lab = Lab::new("confined").await;
    let sandbox = lab.sandbox(|_| {}).await;
    let probe = "cat /proc/self/status; cat /proc/kcore; echo x > /proc/sys/kernel/domainname; \
        mount -t tmpfs t /tmp; mknod /tmp/d b 254 0 && head -c1 /tmp/d; ls /sys/firmware; head -c 1 /dev/zero | wc -c; true";
    let mut config = lab.script("c", probe);
    config.security.no_new_privs = true;
    let (_, lines) = lab.run(&sandbox, config).await;
    let text = lines.join("\n");
    assert!(text.contains("CapBnd:\t00000000a80425fb"), "{text}");
    assert!(
        text.contains("NoNewPrivs:\t1") && text.contains("Seccomp:\t2"),
        "{text}"
    );
    for refused in [
        "domainname: Read-only file system",
        "mount: permission denied",
        "/tmp/d: Operation not permitted",
    ] {
        assert!(text.contains(refused), "{refused} in {text}");
    }
    let mut config = lab.script(
        "user",
        "id; cat /proc/self/status; echo $HOME; echo hi > /dev/stdout",
    );
    config.security.run_as_user = Some(101);
    config.security.drop_capabilities = vec!["ALL".to_owned()];
    config.security.supplemental_groups = vec![55];
    let (status, lines) = lab.run(&sandbox, config).await;
    let text = lines.join("\n");
    assert_eq!(status.exit_code, 0, "{text}");
    assert!(
        text.contains("uid=101(web) gid=102(web) groups=7(extra),55,102(web)"),
        "{text}"
    );
    assert!(
        text.contains("CapBnd:\t0000000000000000")
            && text.contains("NoNewPrivs:\t0")
            && text.contains("Seccomp:\t2"),
        "{text}"
    );
    assert!(
        text.contains("stdout F /home/web") && text.contains("stdout F hi"),
        "{text}"
    );
    let mut config = lab.script("root", "true");
    config.security.run_as_non_root = true;
    let id = lab
        .native()
        .create_container(sandbox.clone(), config)
        .await
        .unwrap();
    let error = lab.native().start_container(id).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("container has runAsNonRoot and image will run as root"),
        "{error}"
    );
    let mut config = lab.script("all", "cat /proc/self/status; echo x > /root-file");
    (config.security.privileged, config.security.readonly_rootfs) = (true, true);
    let (_, lines) = lab.run(&sandbox, config).await;
    let text = lines.join("\n");
    assert!(
        text.contains("Seccomp:\t0") && text.contains("Read-only file system"),
        "{text}"
    );
}

#[tokio::test]
async fn what_cannot_run_says_why() {
    let lab = Lab::new("cannot").await;
    let sandbox = lab.sandbox(|_| {}).await;
    lab.native().pull("busybox:1".to_owned(), None).await.unwrap();
    let cases = [
        ("nosuch", "exec: \"nosuch\": executable file not found in $PATH"),
        (
            "/nosuch",
            "exec: \"/nosuch\": stat /nosuch: no such file or directory",
        ),
        (
            "/etc/notrunnable",
            "exec: \"/etc/notrunnable\": permission denied",
        ),
    ];
    for (at, (program, why)) in cases.into_iter().enumerate() {
        let mut config = lab.script(&format!("c{at}"), "");
        config.command = vec![program.to_owned()];
        let id = lab
            .native()
            .create_container(sandbox.clone(), config)
            .await
            .unwrap();
        let error = lab.native().start_container(id.clone()).await.unwrap_err();
        assert!(
            matches!(&error, Error::CannotRun(text) if text.ends_with(why)),
            "{error:?}"
        );
        let status = lab.status(&id).await;
        assert_eq!(
            (status.state, status.exit_code, status.reason.as_str()),
            (ContainerState::Exited, 128, "StartError")
        );
        assert!(status.message.ends_with(why));
    }
    let mut config = lab.script("unlogged", "");
    config.log_path = "a".repeat(300);
    let id = lab
        .native()
        .create_container(sandbox.clone(), config)
        .await
        .unwrap();
    let error = lab.native().start_container(id.clone()).await.unwrap_err();
    assert!(error.to_string().contains("File name too long"), "{error}");
    let status = lab.status(&id).await;
    assert_eq!((status.state, status.exit_code), (ContainerState::Exited, 128));
    let mut config = lab.script("lost", "");
    config.mounts = vec![Mount {
        container_path: "/x".into(),
        host_path: "/dev/null/path".into(),
        ..Mount::default()
    }];
    let error = lab.native().create_container(sandbox.clone(), config).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("failed to mkdir \"/dev/null/path\""), "{error}");
    let made = lab.dir.path().join("made/for/it");
    let mut config = lab.script("made", "echo here > /x/file");
    config.mounts = vec![Mount {
        container_path: "/x".into(),
        host_path: made.display().to_string(),
        ..Mount::default()
    }];
    lab.run(&sandbox, config).await;
    assert_eq!(fs::read_to_string(made.join("file")).unwrap(), "here\n");
    let error = lab
        .native()
        .create_container(
            sandbox,
            ContainerConfig {
                image: "gone".into(),
                ..lab.script("i", "")
            },
        )
        .await;
    assert!(matches!(error, Err(Error::NotFound(_))), "{error:?}");
}

#[tokio::test]
async fn commands_run_in_a_container() {
    let lab = Lab::new("exec").await;
    let sandbox = lab.sandbox(|_| {}).await;
    let id = lab.start(&sandbox, lab.script("c", "sleep 1000")).await;
    let (code, out, err) = lab
        .exec(
            &id,
            &["sh", "-c", "echo $IMAGE; cat /proc/1/comm; echo bad >&2; exit 7"],
            false,
            None,
        )
        .await
        .unwrap();
    assert_eq!((code, out.as_str(), err.as_str()), (7, "yes\nsleep\n", "bad\n"));
    let (code, out, _) = lab.exec(&id, &["cat"], false, Some("through")).await.unwrap();
    assert_eq!((code, out.as_str()), (0, "through"));
    let (_, status, _) = lab
        .exec(&id, &["cat", "/proc/self/status"], false, None)
        .await
        .unwrap();
    assert!(
        status.contains("CapBnd:\t00000000a80425fb") && status.contains("Seccomp:\t2"),
        "{status}"
    );
    let (code, out, _) = lab
        .exec(
            &id,
            &["sh", "-c", "[ -t 0 ] && tty && cat /proc/self/cgroup"],
            true,
            None,
        )
        .await
        .unwrap();
    assert!(code == 0 && out.starts_with("/dev/pts/"), "{code} {out}");
    // Seen from its own cgroup namespace the container's cgroup is the root.
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let own = if unified { "0::/\r\n" } else { "memory:/\r\n" };
    assert!(out.contains(own), "in the container's cgroup: {out}");
    let error = lab.exec(&id, &["nosuch"], false, None).await.unwrap_err();
    let want = "unable to start container process: exec: \"nosuch\": executable file not found in $PATH";
    assert!(error.to_string().ends_with(want), "{error}");
    let stats = lab.native().stats().await.unwrap();
    assert!(
        stats.len() == 1 && stats[0].memory_working_set > 0 && stats[0].cpu_nanos > 0,
        "{stats:?}"
    );
}

#[tokio::test]
async fn a_terminal_is_a_terminal() {
    let lab = Lab::new("tty").await;
    let sandbox = lab.sandbox(|_| {}).await;
    let mut config = lab.script(
        "c",
        "[ -t 1 ] && echo terminal $TERM; ls -l /dev/console; read line; echo got $line",
    );
    (config.tty, config.stdin) = (true, true);
    let events = lab.native().events();
    let id = lab.start(&sandbox, config).await;
    lab.logged(&id, "terminal xterm").await;
    let (stdout, mut out) = tokio::sync::mpsc::channel(64);
    let (stderr, _err) = tokio::sync::mpsc::channel(64);
    let (input, stdin) = tokio::sync::mpsc::channel(1);
    let streams = Streams {
        stdin: Some(stdin),
        stdout,
        stderr,
        resize: None,
    };
    input.send(bytes::Bytes::from_static(b"hello\n")).await.unwrap();
    let attached = lab.native().attach(id.clone(), streams);
    let heard = async {
        let mut all = Vec::new();
        while let Some(bytes) = out.recv().await {
            all.extend_from_slice(&bytes);
        }
        String::from_utf8_lossy(&all).into_owned()
    };
    let (result, heard) = lab
        .within("the attach", async { tokio::join!(attached, heard) })
        .await;
    result.unwrap();
    assert!(heard.contains("got hello"), "{heard}");
    lab.ended(events, &id).await;
    assert!(
        lab.lines(&lab.status(&id).await)
            .contains(&"stdout F got hello".to_owned())
    );
}

#[tokio::test]
async fn containers_outlive_the_daemon() {
    let mut lab = Lab::new("restart").await;
    let sandbox = lab.sandbox(|_| {}).await;
    let id = lab
        .start(
            &sandbox,
            lab.script(
                "c",
                "echo before; while [ ! -e /tmp/go ]; do sleep 0.01; done; echo after; exit 5",
            ),
        )
        .await;
    lab.logged(&id, "before").await;
    lab.open();
    assert_eq!(lab.status(&id).await.state, ContainerState::Running);
    assert!(lab.native().sandboxes().await.unwrap()[0].ready);
    let events = lab.native().events();
    assert_eq!(
        lab.exec(&id, &["sh", "-c", "echo > /tmp/go"], false, None)
            .await
            .unwrap()
            .0,
        0
    );
    lab.ended(events, &id).await;
    let status = lab.status(&id).await;
    assert_eq!(
        (status.exit_code, lab.lines(&status)),
        (5, vec!["stdout F before".to_owned(), "stdout F after".to_owned()])
    );
    // One that ends while no daemon is there.
    let id = lab
        .start(
            &sandbox,
            lab.script(
                "d",
                "while [ ! -e /go/now ]; do sleep 0.01; done; echo alone; exit 6",
            )
            .with_go(&lab),
        )
        .await;
    lab.native = None;
    fs::write(lab.dir.path().join("go/now"), "").unwrap();
    let log = lab.dir.path().join("logs/d/0.log");
    lab.within("the log", async {
        while !fs::read_to_string(&log).unwrap_or_default().contains("alone") {
            lab.env.clock.sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    lab.open();
    let events = lab.native().events();
    lab.ended(events, &id).await;
    assert_eq!(lab.status(&id).await.exit_code, 6);
}

pub trait WithGo {
    fn with_go(self, lab: &Lab) -> Self;
}

impl WithGo for ContainerConfig {
    fn with_go(mut self, lab: &Lab) -> Self {
        let host = lab.dir.path().join("go");
        fs::create_dir_all(&host).unwrap();
        let mount = Mount {
            container_path: "/go".into(),
            host_path: host.display().to_string(),
            readonly: true,
            ..Mount::default()
        };
        self.mounts.push(mount);
        self
    }
}

#[tokio::test]
async fn stopping_asks_then_kills() {
    let lab = Lab::new("stop").await;
    let sandbox = lab.sandbox(|_| {}).await;
    let polite = lab
        .start(
            &sandbox,
            lab.script(
                "polite",
                "trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.01; done",
            ),
        )
        .await;
    let deaf = lab
        .start(
            &sandbox,
            lab.script("deaf", "trap '' TERM; echo up; while :; do sleep 0.01; done"),
        )
        .await;
    lab.logged(&polite, "up").await;
    lab.logged(&deaf, "up").await;
    lab.native()
        .stop_container(polite.clone(), Duration::from_secs(20))
        .await
        .unwrap();
    let status = lab.status(&polite).await;
    assert_eq!(
        (status.exit_code, lab.lines(&status).last().unwrap().as_str()),
        (4, "stdout F bye")
    );
    lab.native()
        .stop_container(deaf.clone(), Duration::from_millis(50))
        .await
        .unwrap();
    assert_eq!(lab.status(&deaf).await.exit_code, 137);
    lab.native().stop_container(deaf, Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn too_much_memory_is_told() {
    let lab = Lab::new("oom").await;
    let sandbox = lab.sandbox(|_| {}).await;
    let mut config = lab.script("c", "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done");
    config.resources.memory_limit = 16 << 20;
    config.resources.cpu_shares = 512;
    config.resources.cpu_quota = 100_000;
    config.resources.pids_limit = 20;
    let (status, _) = lab.run(&sandbox, config).await;
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "OOMKilled"));
}

#[tokio::test]
async fn removal_leaves_nothing() {
    let lab = Lab::new("clean").await;
    let sandbox = lab.sandbox(|_| {}).await;
    let id = lab.start(&sandbox, lab.script("c", "sleep 1000")).await;
    lab.native().stop_sandbox(sandbox.clone()).await.unwrap();
    let pods = lab.native().sandboxes().await.unwrap();
    assert!(!pods[0].ready);
    assert_eq!(lab.status(&id).await.exit_code, 137);
    lab.native().stop_sandbox(sandbox.clone()).await.unwrap();
    lab.native().remove_sandbox(sandbox.clone()).await.unwrap();
    lab.native().remove_sandbox(sandbox).await.unwrap();
    assert_eq!(lab.cni.0.load(Ordering::SeqCst), 0);
    assert_eq!(lab.mounts(), Vec::<String>::new());
    assert_eq!(lab.supervisors(), Vec::<i32>::new());
    for dir in ["data/pods", "run/pods", "run/netns"] {
        assert_eq!(
            fs::read_dir(lab.dir.path().join(dir)).unwrap().count(),
            0,
            "{dir}"
        );
    }
    // With something running, and everything at once.
    let sandbox = lab.sandbox(|_| {}).await;
    lab.start(&sandbox, lab.script("c", "sleep 1000")).await;
    lab.native().purge().await.unwrap();
    assert_eq!(
        (lab.mounts(), lab.supervisors(), lab.cgroup_dirs()),
        (vec![], vec![], vec![])
    );
    assert!(!lab.dir.path().join("data/images").exists() && !lab.dir.path().join("data/pods").exists());
    assert!(lab.dir.path().join("logs/c/0.log").exists(), "logs stay");
}

#[tokio::test]
async fn a_dead_supervisor_is_noticed_and_cleaned_up_after() {
    let lab = Lab::new("dead").await;
    let sandbox = lab.sandbox(|_| {}).await;
    let id = lab.start(&sandbox, lab.script("c", "sleep 1000")).await;
    let mut events = lab.native().events();
    let pid = nix::unistd::Pid::from_raw(lab.supervisors()[0]);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    lab.within("the sandbox's end", async {
        while events.next().await != Some(RuntimeEvent::SandboxGone(sandbox.clone())) {}
    })
    .await;
    let status = lab.status(&id).await;
    assert_eq!(
        (status.state, status.exit_code, status.reason.as_str()),
        (ContainerState::Exited, 255, "Unknown")
    );
    assert!(!lab.native().sandboxes().await.unwrap()[0].ready);
    lab.native().remove_sandbox(sandbox).await.unwrap();
    assert_eq!((lab.mounts(), lab.supervisors()), (vec![], vec![]));
}

/// Prints what a supervisor costs; asserts nothing of numbers.
#[tokio::test]
async fn what_a_supervisor_costs() {
    let lab = Lab::new("cost").await;
    for name in ["one", "two", "three"] {
        let begun = lab.env.clock.now();
        let sandbox = lab.sandbox(|config| config.name = name.to_owned()).await;
        let made = lab.env.clock.now() - begun;
        let begun = lab.env.clock.now();
        lab.start(
            &sandbox,
            lab.script("c", "while :; do echo line; sleep 0.05; done"),
        )
        .await;
        println!(
            "container {name}: created and started in {:?}, its sandbox in {made:?}",
            lab.env.clock.now() - begun
        );
    }
    lab.env.clock.sleep(Duration::from_millis(300)).await;
    for pid in lab.supervisors() {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let of = |key: &str| {
            text.lines().find_map(|l| {
                l.strip_prefix(key)?
                    .trim()
                    .strip_suffix(" kB")?
                    .trim()
                    .parse::<u64>()
                    .ok()
            })
        };
        let (clean, dirty) = (of("Private_Clean:").unwrap(), of("Private_Dirty:").unwrap());
        println!(
            "supervisor {pid}: private {} kB (clean {clean}, dirty {dirty}), pss {:?} kB, rss {:?} kB",
            clean + dirty,
            of("Pss:"),
            of("Rss:")
        );
    }
}
