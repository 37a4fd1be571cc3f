//! A runtime of its own for a test: folders, registry, cgroup, and a network that only counts. Removed also on failure.

use crate::registry::{self, Registry};
use bytes::Bytes;
use component::Env;
use futures::{FutureExt, StreamExt, future::BoxFuture};
use runtime::*;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// How long a test waits for what must come.
const LIMIT: Duration = Duration::from_secs(30);

/// A network that attaches nothing and counts what is attached.
#[derive(Default)]
pub struct Loopback(pub AtomicI32);

impl cni::Cni for Loopback {
    fn add(&self, a: &cni::Attachment) -> BoxFuture<'_, Result<cni::Assigned, cni::Error>> {
        assert!(
            a.netns_path.exists(),
            "the namespace stands before it is attached"
        );
        self.0.fetch_add(1, Ordering::SeqCst);
        async {
            Ok(cni::Assigned {
                ips: vec!["127.0.0.1".to_owned()],
            })
        }
        .boxed()
    }

    fn del(&self, _: &cni::Attachment) -> BoxFuture<'_, Result<(), cni::Error>> {
        self.0.fetch_sub(1, Ordering::SeqCst);
        async { Ok(()) }.boxed()
    }

    fn check(&self, _: &cni::Attachment) -> BoxFuture<'_, Result<(), cni::Error>> {
        async { Ok(()) }.boxed()
    }

    fn status(&self) -> BoxFuture<'_, Result<(), cni::Error>> {
        async { Ok(()) }.boxed()
    }
}

pub struct Lab {
    pub dir: tempfile::TempDir,
    pub env: Env,
    pub cni: Arc<Loopback>,
    pub registry: Registry,
    pub native: Option<Arc<Native>>,
    cgroup: String,
}

impl Lab {
    pub async fn new(name: &str) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "these tests make namespaces: run them as root"
        );
        let (dir, env) = (tempfile::tempdir().unwrap(), Env::system());
        let registry = Registry::serve(&env.tasks).await;
        let mirror = format!(
            "mirrors:\n  docker.io:\n    endpoint: [\"http://127.0.0.1:{}\"]\n",
            registry.port
        );
        fs::write(dir.path().join("registries.yaml"), mirror).unwrap();
        registry.image(
            "library/busybox",
            "1",
            r#"{"Env":["IMAGE=yes"],"Cmd":["sh"]}"#,
            &[registry::busybox()],
        );
        let cgroup = format!("/ferrokube-test-{}-{name}", std::process::id());
        let mut lab = Self {
            dir,
            env,
            cni: Arc::default(),
            registry,
            native: None,
            cgroup,
        };
        lab.open();
        lab
    }

    fn config(&self) -> Config {
        Config {
            data_dir: self.dir.path().join("data"),
            run_dir: self.dir.path().join("run"),
            registries: self.dir.path().join("registries.yaml"),
            cni: self.cni.clone(),
            cgroup_root: self.cgroup.clone(),
            program: Some(PathBuf::from(env!("CARGO_BIN_EXE_runtime-hook"))),
        }
    }

    /// Opens the runtime anew, as a daemon that starts.
    pub fn open(&mut self) {
        self.native = None;
        self.native = Some(Native::open(self.config(), self.env.child()).unwrap());
    }

    pub fn native(&self) -> &Native {
        self.native.as_ref().unwrap()
    }

    pub async fn within<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        let done = self.env.clock.timeout(LIMIT, future).await;
        done.unwrap_or_else(|| panic!("timed out waiting for {what}"))
    }

    pub async fn sandbox(&self, change: impl FnOnce(&mut SandboxConfig)) -> SandboxId {
        let mut config = SandboxConfig {
            name: "pod".to_owned(),
            namespace: "default".to_owned(),
            uid: self.env.random.uuid(),
            hostname: "pod-host".to_owned(),
            log_directory: self.dir.path().join("logs").display().to_string(),
            dns: Some(DnsConfig {
                servers: vec!["10.96.0.10".to_owned()],
                ..DnsConfig::default()
            }),
            cgroup_parent: "/kubepods/besteffort/podtest".to_owned(),
            ..SandboxConfig::default()
        };
        change(&mut config);
        self.native().run_sandbox(config).await.unwrap()
    }

    pub fn script(&self, name: &str, script: &str) -> ContainerConfig {
        ContainerConfig {
            name: name.to_owned(),
            image: "busybox:1".to_owned(),
            image_ref: "busybox:1".to_owned(),
            command: vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
            log_path: format!("{name}/0.log"),
            ..ContainerConfig::default()
        }
    }

    pub async fn start(&self, sandbox: &SandboxId, config: ContainerConfig) -> ContainerId {
        if self.native().image(config.image.clone()).await.unwrap().is_none() {
            self.native().pull(config.image.clone(), None).await.unwrap();
        }
        let id = self
            .native()
            .create_container(sandbox.clone(), config)
            .await
            .unwrap();
        self.native().start_container(id.clone()).await.unwrap();
        id
    }

    /// Starts a container and waits for its end; its status and the lines of its log.
    pub async fn run(&self, sandbox: &SandboxId, config: ContainerConfig) -> (ContainerStatus, Vec<String>) {
        let events = self.native().events();
        let id = self.start(sandbox, config).await;
        self.ended(events, &id).await;
        let status = self.status(&id).await;
        let lines = self.lines(&status);
        (status, lines)
    }

    pub async fn ended(&self, mut events: futures::stream::BoxStream<'_, RuntimeEvent>, id: &ContainerId) {
        self.within("the container's end", async {
            while self.status(id).await.state != ContainerState::Exited {
                events.next().await.expect("events go on");
            }
        })
        .await;
    }

    pub async fn status(&self, id: &ContainerId) -> ContainerStatus {
        let all = self.native().containers(None).await.unwrap();
        all.into_iter()
            .find(|status| status.id == *id)
            .expect("the container is known")
    }

    /// What was logged: `stdout F text`, without the times.
    pub fn lines(&self, status: &ContainerStatus) -> Vec<String> {
        let text = fs::read_to_string(&status.log_path).unwrap();
        text.lines()
            .map(|line| line.split_once(' ').unwrap().1.to_owned())
            .collect()
    }

    /// Waits until `line` is in the container's log.
    pub async fn logged(&self, id: &ContainerId, line: &str) {
        let path = self.status(id).await.log_path;
        self.within(&format!("{line:?} in the log"), async {
            while !fs::read_to_string(&path)
                .unwrap_or_default()
                .lines()
                .any(|text| text.ends_with(line))
            {
                self.env.clock.sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Runs a command in a container: exit code, output, errors.
    pub async fn exec(
        &self,
        id: &ContainerId,
        command: &[&str],
        tty: bool,
        input: Option<&str>,
    ) -> Result<(i32, String, String)> {
        let (stdout, mut out) = mpsc::channel::<Bytes>(64);
        let (stderr, mut err) = mpsc::channel::<Bytes>(64);
        let stdin = input.map(|text| {
            let (sender, receiver) = mpsc::channel(1);
            sender.try_send(Bytes::from(text.to_owned())).unwrap();
            receiver
        });
        let command = command.iter().map(|part| (*part).to_owned()).collect();
        let request = ExecRequest {
            container: id.clone(),
            command,
            tty,
        };
        let streams = Streams {
            stdin,
            stdout,
            stderr,
            resize: None,
        };
        let collect = async |receiver: &mut mpsc::Receiver<Bytes>| {
            let mut all = Vec::new();
            while let Some(bytes) = receiver.recv().await {
                all.extend_from_slice(&bytes);
            }
            String::from_utf8_lossy(&all).into_owned()
        };
        let all = async {
            tokio::join!(
                self.native().exec(request, streams),
                collect(&mut out),
                collect(&mut err)
            )
        };
        let (code, out, err) = self.within("an exec", all).await;
        Ok((code?, out, err))
    }

    pub fn cgroup_dirs(&self) -> Vec<PathBuf> {
        let groups = fs::read_dir("/sys/fs/cgroup")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        let own = self.cgroup.trim_start_matches('/');
        groups
            .chain([PathBuf::from("/sys/fs/cgroup")])
            .map(|dir| dir.join(own))
            .filter(|dir| dir.exists())
            .collect()
    }

    pub fn mounts(&self) -> Vec<String> {
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let here = self.dir.path().display().to_string();
        text.lines()
            .filter(|line| line.contains(&here))
            .map(ToOwned::to_owned)
            .collect()
    }

    /// Processes whose arguments name this lab's folder: supervisors.
    pub fn supervisors(&self) -> Vec<i32> {
        let here = self.dir.path().display().to_string();
        let all = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.parse().ok());
        all.filter(|pid: &i32| {
            let line = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("cmdline"));
            line.is_ok_and(|line| line.starts_with("ferrokube-pod") && line.contains(&here))
        })
        .collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.native = None;
        let config = self.config();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Runtime::new().unwrap();
                runtime.block_on(async {
                    let native = Native::open(config, Env::system()).unwrap();
                    if let Err(error) = native.purge().await {
                        eprintln!("purge: {error}");
                    }
                });
            });
        });
    }
}
