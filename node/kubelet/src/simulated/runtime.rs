//! A runtime in memory.

use component::{Clock, Random};
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, ready},
    stream::BoxStream,
};
use runtime::{
    Auth, ContainerConfig, ContainerId, ContainerState, ContainerStats, ContainerStatus, Duplex, Error,
    ExecRequest, Image, Resources, Result, Runtime, RuntimeEvent, SandboxConfig, SandboxId, SandboxStatus,
    Streams,
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{broadcast, mpsc};

#[derive(Default)]
struct State {
    serial: u64,
    sandboxes: BTreeMap<SandboxId, SandboxStatus>,
    containers: BTreeMap<ContainerId, ContainerStatus>,
    images: BTreeMap<String, Image>,
    log_directories: BTreeMap<SandboxId, String>,
    broken_images: BTreeMap<String, String>,
    broken_programs: BTreeMap<String, String>,
    problem: Option<String>,
    /// What commands do: their exit code and output; none: they never end.
    commands: BTreeMap<String, Option<(i32, String)>>,
    /// How long containers of that name take to end.
    slow: BTreeMap<String, Duration>,
    /// Containers that ended, in order.
    ended: Vec<String>,
    /// Logs that were opened anew.
    reopened: usize,
}

/// A runtime whose containers run at once and until they are stopped, or ended by [`Simulated::exit`].
pub struct Simulated {
    clock: Clock,
    random: Random,
    prefix: String,
    state: Mutex<State>,
    events: broadcast::Sender<RuntimeEvent>,
}

impl std::fmt::Debug for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Simulated")
    }
}

impl Simulated {
    /// Nothing runs. Pods get addresses that start with `prefix`, such as `10.244.0.`.
    pub fn new(clock: Clock, random: Random, prefix: &str) -> Self {
        let (events, _) = broadcast::channel(1024);
        Self {
            clock,
            random,
            prefix: prefix.to_owned(),
            state: Mutex::default(),
            events,
        }
    }

    fn state<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the running container `name` of the pod `pod`.
    pub fn exit(&self, pod: &str, name: &str, code: i32) -> bool {
        let found = self.state(|s| {
            let pods: Vec<_> = s
                .sandboxes
                .values()
                .filter(|b| b.name == pod)
                .map(|b| b.id.clone())
                .collect();
            let running = |c: &&ContainerStatus| c.state == ContainerState::Running && c.name == name;
            s.containers
                .values()
                .filter(running)
                .find(|c| pods.contains(&c.sandbox))
                .map(|c| c.id.clone())
        });
        found.is_some_and(|id| self.end(&id, code))
    }

    /// Makes pulls of an image fail with `why`; `None`: succeed again.
    pub fn break_image(&self, image: &str, why: Option<&str>) {
        self.state(|s| match why {
            Some(why) => _ = s.broken_images.insert(image.to_owned(), why.to_owned()),
            None => _ = s.broken_images.remove(image),
        });
    }

    /// Makes starts of containers of that name fail with `why`; `None`: succeed again.
    pub fn break_program(&self, container: &str, why: Option<&str>) {
        self.state(|s| match why {
            Some(why) => _ = s.broken_programs.insert(container.to_owned(), why.to_owned()),
            None => _ = s.broken_programs.remove(container),
        });
    }

    /// Makes a command end with that code and output; `None`: as usual.
    pub fn set_exec(&self, command: &str, end: Option<(i32, &str)>) {
        let end = end.map(|(code, said)| (code, said.to_owned()));
        self.state(|s| match end {
            Some(end) => _ = s.commands.insert(command.to_owned(), Some(end)),
            None => _ = s.commands.remove(command),
        });
    }

    /// Makes a command go on for ever.
    pub fn hang_exec(&self, command: &str) {
        self.state(|s| s.commands.insert(command.to_owned(), None));
    }

    /// Makes containers of that name take so long to end once they are asked to.
    pub fn slow_down(&self, container: &str, by: Duration) {
        self.state(|s| s.slow.insert(container.to_owned(), by));
    }

    /// The containers that ended, in order.
    pub fn ended(&self) -> Vec<String> {
        self.state(|s| s.ended.clone())
    }

    /// How often a log was opened anew.
    pub fn reopened(&self) -> usize {
        self.state(|s| s.reopened)
    }

    /// Makes the runtime say that it is not ready.
    pub fn break_runtime(&self, why: Option<&str>) {
        self.state(|s| s.problem = why.map(str::to_owned));
    }

    /// Loses the sandbox of a pod with all that runs in it.
    pub fn lose_sandbox(&self, pod: &str) {
        let lost: Vec<SandboxId> = self.state(|s| {
            let of_pod = s.sandboxes.values_mut().filter(|b| b.name == pod && b.ready);
            of_pod
                .map(|b| {
                    b.ready = false;
                    b.id.clone()
                })
                .collect()
        });
        for id in lost {
            self.end_all(&id, 255);
            self.tell(RuntimeEvent::SandboxGone(id));
        }
    }

    fn tell(&self, event: RuntimeEvent) {
        // Nobody need listen.
        let _ = self.events.send(event);
    }

    fn id(&self) -> String {
        let mut bytes = [0u8; 32];
        self.random.fill(&mut bytes);
        component::hex::encode(bytes)
    }

    fn end(&self, id: &ContainerId, code: i32) -> bool {
        let now = self.clock.wall();
        let ended = self.state(|s| {
            let container = s
                .containers
                .get_mut(id)
                .filter(|c| c.state == ContainerState::Running)?;
            container.state = ContainerState::Exited;
            container.exit_code = code;
            container.reason = if code == 0 { "Completed" } else { "Error" }.to_owned();
            container.finished_at = now;
            s.ended.push(container.name.clone());
            Some(container.sandbox.clone())
        });
        let Some(sandbox) = ended else { return false };
        self.tell(RuntimeEvent::Exited(sandbox, id.clone()));
        true
    }

    fn end_all(&self, sandbox: &SandboxId, code: i32) {
        let inside = |s: &mut State| {
            s.containers
                .values()
                .filter(|c| c.sandbox == *sandbox)
                .map(|c| c.id.clone())
                .collect()
        };
        let ids: Vec<ContainerId> = self.state(inside);
        ids.iter().for_each(|id| _ = self.end(id, code));
    }

    fn make_sandbox(&self, config: SandboxConfig) -> SandboxId {
        let id = SandboxId(self.id());
        let created_at = self.clock.wall();
        self.state(|s| {
            s.serial += 1;
            let ips = if config.host_network {
                Vec::new()
            } else {
                vec![format!("{}{}", self.prefix, s.serial + 1)]
            };
            let status = SandboxStatus {
                id: id.clone(),
                name: config.name,
                namespace: config.namespace,
                uid: config.uid,
                attempt: config.attempt,
                ready: true,
                created_at,
                ips,
                labels: config.labels,
                annotations: config.annotations,
            };
            s.log_directories.insert(id.clone(), config.log_directory);
            s.sandboxes.insert(id.clone(), status);
        });
        id
    }

    fn make_container(&self, sandbox: SandboxId, config: ContainerConfig) -> Result<ContainerId> {
        let id = ContainerId(self.id());
        let created_at = self.clock.wall();
        self.state(|s| {
            if !s.sandboxes.get(&sandbox).is_some_and(|b| b.ready) {
                return Err(Error::NotFound(format!("sandbox {} not found", sandbox.0)));
            }
            let folder = s.log_directories.get(&sandbox).cloned().unwrap_or_default();
            let status = ContainerStatus {
                id: id.clone(),
                sandbox,
                name: config.name,
                attempt: config.attempt,
                created_at,
                image: config.image_ref,
                image_id: config.image,
                log_path: format!("{folder}/{}", config.log_path),
                labels: config.labels,
                annotations: config.annotations,
                resources: Some(config.resources),
                ..ContainerStatus::default()
            };
            s.containers.insert(id.clone(), status);
            Ok(id)
        })
    }

    fn run(&self, id: &ContainerId) -> Result<()> {
        let now = self.clock.wall();
        let sandbox = self.state(|s| {
            let container = s.containers.get_mut(id);
            let container =
                container.ok_or_else(|| Error::NotFound(format!("container {} not found", id.0)))?;
            if let Some(why) = s.broken_programs.get(&container.name) {
                container.state = ContainerState::Exited;
                container.exit_code = 128;
                container.reason = "StartError".to_owned();
                container.message = why.clone();
                container.finished_at = now;
                return Err(Error::CannotRun(why.clone()));
            }
            container.state = ContainerState::Running;
            container.started_at = now;
            Ok(container.sandbox.clone())
        })?;
        self.tell(RuntimeEvent::Started(sandbox, id.clone()));
        Ok(())
    }

    fn fetch(&self, reference: String) -> Result<Image> {
        self.state(|s| {
            if let Some(why) = s.broken_images.get(&reference) {
                return Err(Error::ImagePull(why.clone()));
            }
            let image = Image {
                id: format!("sha256:{reference}"),
                tags: vec![reference.clone()],
                size: 1000,
                ..Image::default()
            };
            s.images.insert(reference, image.clone());
            Ok(image)
        })
    }
}

impl Runtime for Simulated {
    fn version(&self) -> (String, String) {
        ("simulated".to_owned(), env!("CARGO_PKG_VERSION").to_owned())
    }
    fn status(&self) -> BoxFuture<'_, Result<()>> {
        let problem = self.state(|s| s.problem.clone());
        ready(problem.map_or(Ok(()), |why| Err(Error::Internal(why)))).boxed()
    }
    fn run_sandbox(&self, config: SandboxConfig) -> BoxFuture<'_, Result<SandboxId>> {
        ready(Ok(self.make_sandbox(config))).boxed()
    }
    fn stop_sandbox(&self, id: SandboxId) -> BoxFuture<'_, Result<()>> {
        self.state(|s| s.sandboxes.get_mut(&id).into_iter().for_each(|b| b.ready = false));
        self.end_all(&id, 137);
        ready(Ok(())).boxed()
    }
    fn remove_sandbox(&self, id: SandboxId) -> BoxFuture<'_, Result<()>> {
        self.end_all(&id, 137);
        self.state(|s| {
            s.sandboxes.remove(&id);
            s.log_directories.remove(&id);
            s.containers.retain(|_, c| c.sandbox != id);
        });
        ready(Ok(())).boxed()
    }
    fn sandboxes(&self) -> BoxFuture<'_, Result<Vec<SandboxStatus>>> {
        ready(Ok(self.state(|s| s.sandboxes.values().cloned().collect()))).boxed()
    }
    fn create_container(
        &self,
        sandbox: SandboxId,
        config: ContainerConfig,
    ) -> BoxFuture<'_, Result<ContainerId>> {
        ready(self.make_container(sandbox, config)).boxed()
    }
    fn start_container(&self, id: ContainerId) -> BoxFuture<'_, Result<()>> {
        ready(self.run(&id)).boxed()
    }
    fn stop_container(&self, id: ContainerId, grace: Duration) -> BoxFuture<'_, Result<()>> {
        let takes = self.state(|s| s.slow.get(&s.containers.get(&id)?.name).copied());
        Box::pin(async move {
            if let Some(takes) = takes {
                self.clock.sleep(takes.min(grace)).await;
            }
            self.end(&id, if takes > Some(grace) { 137 } else { 143 });
            Ok(())
        })
    }
    fn update_container(&self, id: ContainerId, resources: Resources) -> BoxFuture<'_, Result<()>> {
        self.state(|s| {
            if let Some(container) = s.containers.get_mut(&id) {
                container.resources = Some(resources);
            }
        });
        ready(Ok(())).boxed()
    }
    fn update_sandbox(&self, _: SandboxId, _: Resources) -> BoxFuture<'_, Result<()>> {
        ready(Ok(())).boxed()
    }
    fn remove_container(&self, id: ContainerId) -> BoxFuture<'_, Result<()>> {
        self.state(|s| s.containers.remove(&id));
        ready(Ok(())).boxed()
    }
    fn containers(&self, sandbox: Option<SandboxId>) -> BoxFuture<'_, Result<Vec<ContainerStatus>>> {
        let wanted = |c: &&ContainerStatus| sandbox.as_ref().is_none_or(|s| c.sandbox == *s);
        ready(Ok(
            self.state(|s| s.containers.values().filter(wanted).cloned().collect())
        ))
        .boxed()
    }
    fn reopen_log(&self, _: ContainerId) -> BoxFuture<'_, Result<()>> {
        self.state(|s| s.reopened += 1);
        ready(Ok(())).boxed()
    }
    fn exec(&self, request: ExecRequest, streams: Streams) -> BoxFuture<'_, Result<i32>> {
        // As `cat` after an echo of the command.
        Box::pin(async move {
            let Streams { stdin, stdout, .. } = streams;
            match self.state(|s| s.commands.get(&request.command.join(" ")).cloned()) {
                Some(None) => return futures::future::pending().await,
                Some(Some((code, said))) => {
                    let _ = stdout.send(said.into()).await;
                    return Ok(code);
                }
                None => {}
            }
            let _ = stdout
                .send(format!("{}\n", request.command.join(" ")).into())
                .await;
            copy(stdin, stdout).await;
            Ok(0)
        })
    }
    fn attach(&self, _: ContainerId, streams: Streams) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            copy(streams.stdin, streams.stdout).await;
            Ok(())
        })
    }
    fn port_forward(&self, _: SandboxId, _: u16) -> BoxFuture<'_, Result<Box<dyn Duplex>>> {
        // An echo would need a task of its own; a stream that ends is what a closed port looks like.
        ready(Err(Error::CannotRun("connection refused".to_owned()))).boxed()
    }
    fn image(&self, reference: String) -> BoxFuture<'_, Result<Option<Image>>> {
        ready(Ok(self.state(|s| s.images.get(&reference).cloned()))).boxed()
    }
    fn image_root(&self) -> std::path::PathBuf {
        "/".into()
    }
    fn images(&self) -> BoxFuture<'_, Result<Vec<Image>>> {
        ready(Ok(self.state(|s| s.images.values().cloned().collect()))).boxed()
    }
    fn pull(&self, reference: String, _: Option<Auth>) -> BoxFuture<'_, Result<Image>> {
        ready(self.fetch(reference)).boxed()
    }
    fn remove_image(&self, reference: String) -> BoxFuture<'_, Result<()>> {
        self.state(|s| {
            s.images
                .retain(|name, image| *name != reference && image.id != reference)
        });
        ready(Ok(())).boxed()
    }
    fn stats(&self) -> BoxFuture<'_, Result<Vec<ContainerStats>>> {
        let running = |c: &&ContainerStatus| c.state == ContainerState::Running;
        let of = |c: &ContainerStatus| ContainerStats {
            id: c.id.clone(),
            // As much as its name is long.
            memory_working_set: c.name.len() as u64,
            ..ContainerStats::default()
        };
        ready(Ok(
            self.state(|s| s.containers.values().filter(running).map(of).collect())
        ))
        .boxed()
    }
    fn events(&self) -> BoxStream<'static, RuntimeEvent> {
        let receiver = self.events.subscribe();
        futures::stream::unfold(receiver, |mut receiver| async move {
            loop {
                match receiver.recv().await {
                    Ok(event) => return Some((event, receiver)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        })
        .boxed()
    }
}

async fn copy(from: Option<mpsc::Receiver<bytes::Bytes>>, to: mpsc::Sender<bytes::Bytes>) {
    let Some(mut from) = from else { return };
    while let Some(bytes) = from.recv().await {
        if to.send(bytes).await.is_err() {
            return;
        }
    }
}
