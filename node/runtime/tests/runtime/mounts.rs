//! What is mounted into containers, and what may not be.

use crate::{lab::Lab, pods::WithGo};
use runtime::*;
use std::fs;

#[tokio::test]
async fn mounts_are_as_asked() {
    let lab = Lab::new("mounts").await;
    let sandbox = lab.sandbox(|_| {}).await;
    let host = lab.dir.path().join("go");
    let mut config = lab
        .script(
            "c",
            "echo x > /go/x || echo refused; echo y > /rw/y; cat /deep/er/file",
        )
        .with_go(&lab);
    fs::write(host.join("file"), "content\n").unwrap();
    let mount = |path: &str, host: &std::path::Path| Mount {
        container_path: path.into(),
        host_path: host.display().to_string(),
        ..Mount::default()
    };
    config
        .mounts
        .extend([mount("/rw", &host), mount("/deep/er/file", &host.join("file"))]);
    let (_, lines) = lab.run(&sandbox, config).await;
    assert!(
        lines.contains(&"stdout F refused".to_owned()) && lines.contains(&"stdout F content".to_owned()),
        "{lines:?}"
    );
    assert_eq!(fs::read_to_string(host.join("y")).unwrap(), "y\n");
    assert!(!host.join("x").exists());
}

#[tokio::test]
async fn read_only_may_go_all_the_way_down() {
    let lab = Lab::new("recursive").await;
    let sandbox = lab.sandbox(|_| {}).await;
    let host = lab.dir.path().join("host");
    let below = host.join("below");
    fs::create_dir_all(&below).unwrap();
    let _unmount = Tmpfs::at(&below);
    let mut config = lab.script(
        "c",
        "for d in /plain /plain/below /deep /deep/below; do echo x > $d/x && echo $d written || echo $d refused; done",
    );
    config.mounts = ["/plain", "/deep"]
        .map(|path| Mount {
            container_path: path.into(),
            host_path: host.display().to_string(),
            readonly: true,
            recursive_read_only: path == "/deep",
            ..Mount::default()
        })
        .into();
    let (_, lines) = lab.run(&sandbox, config).await;
    let said: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("stdout F "))
        .collect();
    assert_eq!(
        said,
        [
            "/plain refused",
            "/plain/below written",
            "/deep refused",
            "/deep/below refused"
        ]
    );
}

struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    fn at(path: &std::path::Path) -> Self {
        nix::mount::mount(
            Some("tmpfs"),
            path,
            Some("tmpfs"),
            nix::mount::MsFlags::empty(),
            None::<&str>,
        )
        .unwrap();
        Self(path.to_owned())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}

#[tokio::test]
async fn an_image_is_a_volume() {
    let lab = Lab::new("image-volume").await;
    let sandbox = lab.sandbox(|_| {}).await;
    let mut config = lab.script(
        "c",
        "ls /image/bin/sh /part/sh; echo x > /image/x || echo refused; echo y > /part/y || echo refused",
    );
    let image = config.image.clone();
    config.mounts = [("/image", ""), ("/part", "bin")]
        .map(|(path, sub)| Mount {
            container_path: path.into(),
            readonly: true,
            image: image.clone(),
            image_sub_path: sub.into(),
            ..Mount::default()
        })
        .into();
    let (_, lines) = lab.run(&sandbox, config).await;
    let said: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("stdout F "))
        .collect();
    assert_eq!(
        said,
        ["/image/bin/sh", "/part/sh", "refused", "refused"],
        "{lines:?}"
    );
}

#[tokio::test]
async fn nothing_is_mounted_over_proc() {
    let lab = Lab::new("over-proc").await;
    let sandbox = lab.sandbox(|_| {}).await;
    let host = lab.dir.path().join("host");
    fs::create_dir_all(&host).unwrap();
    lab.native().pull("busybox:1".to_owned(), None).await.unwrap();
    for (path, why) in [
        ("/proc", "cannot be mounted because it is not of type proc"),
        ("/proc/self", "cannot be mounted because it is inside /proc"),
        ("/", "is not allowed"),
    ] {
        let mut config = lab.script(&format!("c{}", path.len()), "true");
        config.mounts = vec![Mount {
            container_path: path.into(),
            host_path: host.display().to_string(),
            ..Mount::default()
        }];
        let native = lab.native();
        let id = native.create_container(sandbox.clone(), config).await.unwrap();
        let error = native.start_container(id).await.unwrap_err().to_string();
        assert!(error.contains(why), "{path}: {error}");
    }
}
