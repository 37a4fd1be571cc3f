//! What is done to containers while they run.

use crate::{lab::Lab, pods::WithGo};
use runtime::*;
use std::{fs, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn a_shared_process_namespace_is_shared() {
    let lab = Lab::new("shared").await;
    let sandbox = lab.sandbox(|config| config.share_process_namespace = true).await;
    let id = lab.start(&sandbox, lab.script("a", "sleep 1234")).await;
    let (_, lines) = lab.run(&sandbox, lab.script("b", "ps; echo $$")).await;
    let text = lines.join("\n");
    assert!(
        text.contains("sleep 1234") && !text.ends_with("stdout F 1"),
        "{text}"
    );
    let (_, out, _) = lab.exec(&id, &["ps"], false, None).await.unwrap();
    assert!(out.contains("sleep 1234"), "{out}");
    lab.native().stop_sandbox(sandbox).await.unwrap();
    assert_eq!(lab.status(&id).await.exit_code, 137);
}

#[tokio::test]
async fn a_container_joins_the_processes_of_another() {
    let lab = Lab::new("target").await;
    let sandbox = lab.sandbox(|_| {}).await;
    let id = lab.start(&sandbox, lab.script("a", "sleep 1234")).await;
    let mut config = lab.script("debugger", "ps; echo $$");
    config.target = Some(id.clone());
    let (_, lines) = lab.run(&sandbox, config).await;
    let text = lines.join("\n");
    assert!(
        text.contains("sleep 1234") && !text.ends_with("stdout F 1"),
        "{text}"
    );
    assert!(
        lab.status(&id).await.finished_at == jiff::Timestamp::UNIX_EPOCH,
        "the target goes on"
    );
}

#[tokio::test]
async fn limits_change_while_a_container_runs() {
    let lab = Lab::new("limits").await;
    let sandbox = lab.sandbox(|_| {}).await;
    let mut config = lab.script("a", "sleep 1234");
    let limits = |memory: i64, quota: i64| runtime::Resources {
        cpu_shares: 102,
        cpu_quota: quota,
        cpu_period: 100_000,
        memory_limit: memory,
        ..runtime::Resources::default()
    };
    config.resources = limits(64 << 20, 10_000);
    let id = lab.start(&sandbox, config).await;
    let native = lab.native();
    // Up, down, and away.
    for (memory, quota) in [(128 << 20, 20_000), (32 << 20, 10_000), (0, 0)] {
        native
            .update_container(id.clone(), limits(memory, quota))
            .await
            .unwrap();
        assert_eq!(lab.status(&id).await.resources, Some(limits(memory, quota)));
        let script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max";
        let (_, out, _) = lab.exec(&id, &["sh", "-c", script], false, None).await.unwrap();
        let lines: Vec<&str> = out.lines().collect();
        if memory > 0 {
            let wanted = (memory.to_string(), quota.to_string());
            assert_eq!(lines[0], wanted.0);
            assert!(lines[1].starts_with(&wanted.1), "{out}");
        } else {
            assert!(lines[0] == "max" || lines[0].len() > 15, "{out}");
            assert!(lines[1].starts_with("max") || lines[1] == "-1", "{out}");
        }
    }
}

#[tokio::test]
async fn a_port_in_the_sandbox_is_reached() {
    let lab = Lab::new("port").await;
    let sandbox = lab.sandbox(|_| {}).await;
    let id = lab
        .start(&sandbox, lab.script("c", "echo up; nc -l -p 7777 -e cat"))
        .await;
    lab.logged(&id, "up").await;
    let mut stream = lab
        .within("the port", async {
            loop {
                match lab.native().port_forward(sandbox.clone(), 7777).await {
                    Ok(stream) => return stream,
                    Err(_) => lab.env.clock.sleep(Duration::from_millis(10)).await,
                }
            }
        })
        .await;
    stream.write_all(b"echo").await.unwrap();
    let mut answer = [0u8; 4];
    lab.within("the echo", stream.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(&answer, b"echo");
    let error = lab.native().port_forward(sandbox, 7778).await.err().unwrap();
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_rotated_log_goes_on_in_a_new_file() {
    let lab = Lab::new("log").await;
    let sandbox = lab.sandbox(|_| {}).await;
    let id = lab
        .start(
            &sandbox,
            lab.script(
                "c",
                "echo one; while [ ! -e /go/now ]; do sleep 0.01; done; echo two; sleep 1000",
            )
            .with_go(&lab),
        )
        .await;
    lab.logged(&id, "one").await;
    let path = lab.status(&id).await.log_path;
    fs::rename(&path, format!("{path}.1")).unwrap();
    lab.native().reopen_log(id.clone()).await.unwrap();
    fs::write(lab.dir.path().join("go/now"), "").unwrap();
    lab.logged(&id, "two").await;
    assert!(!fs::read_to_string(&path).unwrap().contains("one"));
}
