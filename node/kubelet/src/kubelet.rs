//! The kubelet: starts all of it and sends changes of pods to their workers.

use crate::{
    config::Config,
    images::Images,
    machine::Machine,
    node::{self, NodeKeeper},
    pod::uid_of_log_directory,
    registry::{Input, Registry},
    resources::{NODES, PODS, SERVICES, VOLUMES},
    sources::Sources,
    static_pods::StaticPods,
    view::{Meta, Pod},
    volumes::{LocalPath, Volumes},
    worker::{Shared, Worker},
};
use api::Object;
use client::{Cache, Change, Client, Recorder, Selector};
use component::{Env, State};
use futures::StreamExt;
use runtime::Runtime;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// A kubelet that runs.
pub struct Kubelet {
    pub(crate) shared: Arc<Shared>,
    pods: Cache,
}

impl std::fmt::Debug for Kubelet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kubelet({})", self.shared.config.node_name)
    }
}

impl Kubelet {
    /// Starts a kubelet in the task tree of `env`. It says `kubelet` is ready once the node is registered.
    pub fn start(
        config: Config,
        client: Client,
        runtime: Arc<dyn Runtime>,
        machine: Arc<dyn Machine>,
        env: Env,
    ) -> Arc<Self> {
        env.ready.set(
            "kubelet",
            State::Starting("waiting for the API server".to_owned()),
        );
        let registry = Arc::new(Registry::default());
        let recorder = Recorder::start(&client, "kubelet", &config.node_name, &env);
        let facts = machine.facts();
        let pods = Cache::start(
            &client,
            PODS,
            Selector::fields(format!("spec.nodeName={}", config.node_name)),
            &env,
        );
        let nodes = Cache::start(&client, NODES, node::own(&config.node_name), &env);
        let shared = Arc::new(Shared {
            statics: StaticPods::default(),
            pressure: tokio::sync::watch::Sender::default(),
            disk_low: tokio::sync::Notify::new(),
            sources: Arc::new(Sources::new(client.clone(), env.clone(), registry.clone())),
            images: Images::new(runtime.clone(), recorder.clone(), env.clock.clone()),
            volumes: Volumes::new(machine.clone(), client.clone(), env.clone(), &config),
            services: Cache::start(&client, SERVICES, Selector::all(), &env),
            runtime_name: runtime.version().0,
            config,
            client,
            runtime,
            machine,
            facts,
            env,
            registry,
            recorder,
        });
        let kubelet = Arc::new(Self { shared, pods });
        kubelet.clone().spawn(nodes);
        kubelet
    }

    fn spawn(self: Arc<Self>, nodes: Cache) {
        let shared = &self.shared;
        let tasks = &shared.env.tasks;
        let keeper = NodeKeeper {
            config: shared.config.clone(),
            client: shared.client.clone(),
            runtime: shared.runtime.clone(),
            facts: shared.facts.clone(),
            env: shared.env.clone(),
            recorder: shared.recorder.clone(),
            pressure: shared.pressure.subscribe(),
        };
        tasks.spawn("node", keeper.run(nodes));
        tasks.spawn("pods", self.clone().dispatch());
        if let Some(folder) = shared.config.static_pod_path.clone() {
            tasks.spawn("static-pods", StaticPods::run(shared.clone(), folder));
        }
        let mirrors = StaticPods::keep_mirrors(shared.clone(), self.pods.clone());
        tasks.spawn("mirror-pods", mirrors);
        tasks.spawn("runtime-events", self.clone().events());
        tasks.spawn("orphans", self.clone().orphans());
        tasks.spawn("eviction", crate::eviction::watch(shared.clone()));
        tasks.spawn("image-gc", crate::image_gc::collect(shared.clone()));
        tasks.spawn("log-rotation", crate::logs::rotate(shared.clone()));
        let data = LocalPath {
            root: shared.config.local_path_root.clone(),
            node: shared.config.node_name.clone(),
            client: shared.client.clone(),
            machine: shared.machine.clone(),
            recorder: shared.recorder.clone(),
            env: shared.env.clone(),
        };
        let volumes = Cache::start(&shared.client, VOLUMES, Selector::all(), &shared.env);
        tasks.spawn("local-path", data.run(volumes));
        if shared.config.listen.is_some() {
            tasks.spawn("kubelet-server", crate::server::listen(self.clone()));
        }
    }

    /// Sends each change of a pod to its worker.
    async fn dispatch(self: Arc<Self>) {
        let mut changes = self.pods.subscribe();
        while let Some(change) = changes.recv().await {
            match change {
                Change::Applied { new, .. } => self.tell(&new),
                Change::Deleted { old } if self.shared.statics.lost(&self.shared, &old) => {}
                Change::Deleted { old } => self.shared.registry.gone(old.uid(), old.view().ok()),
            }
        }
    }

    fn tell(&self, object: &Arc<Object>) {
        let pod: Pod = match object.view() {
            Ok(pod) => pod,
            Err(error) => {
                tracing::error!(pod = %object.key(), %error, "pod cannot be read");
                return;
            }
        };
        if self.shared.statics.saw(&self.shared, object, &pod) {
            return;
        }
        let uid = object.uid().to_owned();
        let input = Input {
            pod: Arc::new(pod),
            version: object.resource_version(),
            ..Input::default()
        };
        if let Some((receiver, poke)) = self.shared.registry.tell(&uid, input) {
            Worker::spawn(&self.shared, uid, receiver, poke);
        }
    }

    /// The runtime's events; a stream that ends is opened again, and everyone looks.
    async fn events(self: Arc<Self>) {
        loop {
            let mut events = self.shared.runtime.events();
            while let Some(event) = events.next().await {
                self.shared.registry.happened(&event);
            }
            self.shared.env.clock.sleep(Duration::from_secs(1)).await;
            self.shared.registry.poke_all();
        }
    }

    /// Puts out what stands of pods that were deleted while no kubelet ran.
    async fn orphans(self: Arc<Self>) {
        self.pods.synced().await;
        let sandboxes = loop {
            match self.shared.runtime.sandboxes().await {
                Ok(sandboxes) => break sandboxes,
                Err(_) => self.shared.env.clock.sleep(Duration::from_secs(1)).await,
            }
        };
        let mut standing = BTreeSet::new();
        for sandbox in sandboxes {
            standing.insert(sandbox.uid.clone());
            if self.pods.by_uid(&sandbox.uid).is_some() || self.shared.registry.has(&sandbox.uid) {
                continue;
            }
            let (name, namespace, uid) = (sandbox.name, sandbox.namespace, sandbox.uid);
            let metadata = Meta {
                name,
                namespace,
                uid: uid.clone(),
                ..Meta::default()
            };
            let pod = Arc::new(Pod {
                metadata,
                ..Pod::default()
            });
            tracing::info!(pod = pod.full_name(), "pod was deleted meanwhile");
            if let Some((receiver, poke)) = self.shared.registry.tell(
                &uid,
                Input {
                    pod,
                    gone: true,
                    ..Input::default()
                },
            ) {
                Worker::spawn(&self.shared, uid, receiver, poke);
            }
        }
        let known = |uid: &str| {
            standing.contains(uid) || self.pods.by_uid(uid).is_some() || self.shared.registry.has(uid)
        };
        for uid in self.shared.volumes.pods() {
            if !known(&uid)
                && let Err(error) = self.shared.volumes.remove(&uid)
            {
                tracing::warn!(uid, %error, "folder of a deleted pod not removed");
            }
        }
        let (machine, logs) = (&self.shared.machine, &self.shared.config.log_dir);
        for folder in machine.children(logs) {
            let gone = uid_of_log_directory(&folder).is_some_and(|uid| !known(uid));
            if gone && let Err(error) = machine.remove_tree(&logs.join(&folder)) {
                tracing::warn!(folder, %error, "logs of a deleted pod not removed");
            }
        }
    }

    /// The pods of this node as the API server has them.
    pub fn pods(&self) -> Vec<Arc<Object>> {
        self.pods.all()
    }

    /// The name of the node.
    pub fn node_name(&self) -> &str {
        &self.shared.config.node_name
    }
}
