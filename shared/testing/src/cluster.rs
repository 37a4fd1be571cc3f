//! A cluster in one process, on the runtime of the test.

use crate::{History, Line, Look, Node, guards, yaml};
use api::{Key, Object, Status, decision::Ring};
use apiserver::{Server, security::User};
use client::{Client, DeleteOptions, Dial, Duplex, Patch, Peer, Target, Write};
use component::Env;
use controller_manager::gc::{Collectable, Resources};
use etcd::{Engine, MemoryFiles, Store};
use futures::{FutureExt, future::BoxFuture};
use std::{sync::Arc, time::Duration};

/// Which boxes of the control plane run.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// The scheduler.
    pub scheduler: bool,
    /// The controllers.
    pub controllers: bool,
    /// How many nodes.
    pub nodes: usize,
    /// Most pods of a node.
    pub max_pods: u32,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            scheduler: true,
            controllers: true,
            nodes: 0,
            max_pods: 110,
        }
    }
}

/// What is new with each start of the control plane.
struct Plane {
    env: Env,
    store_env: Env,
    store: Arc<Engine>,
    server: Arc<Server>,
    controllers: Option<Env>,
}

/// A cluster: the real store, API server, scheduler, controllers and kubelets. Time passes only when all of them wait.
pub struct Cluster {
    /// Time, randomness and tasks of all of it.
    pub env: Env,
    /// What the store is kept in.
    pub files: MemoryFiles,
    /// Everything the store was told.
    pub history: History,
    /// What was decided.
    pub records: Ring,
    /// Someone who may do everything.
    pub admin: Client,
    /// The controllers' line to the API server.
    pub controllers: Line,
    /// The scheduler's.
    pub scheduler: Line,
    /// The nodes.
    pub nodes: Vec<Node>,
    parts: Parts,
    admin_line: Line,
    plane: Option<Plane>,
}

impl Cluster {
    /// A whole cluster of so many nodes. Must be called on a paused runtime of one thread.
    pub async fn start(seed: u64, nodes: usize) -> Self {
        Self::of(
            seed,
            Parts {
                nodes,
                ..Parts::default()
            },
        )
        .await
    }

    /// A cluster of some parts.
    pub async fn of(seed: u64, parts: Parts) -> Self {
        let env = Env::simulated(seed);
        let line = || Line::new(env.clock.clone(), env.random.clone());
        let admin_line = line();
        let mut cluster = Self {
            files: MemoryFiles::new(),
            history: History::new(env.clock.clone()),
            records: Ring::default(),
            admin: Client::new(Arc::new(admin_line.clone()), "test"),
            controllers: line(),
            scheduler: line(),
            nodes: Vec::new(),
            parts,
            admin_line,
            plane: None,
            env,
        };
        cluster.start_plane().await;
        for _ in 0..parts.nodes {
            cluster.add_node();
        }
        cluster
    }

    /// Starts the control plane over what the store has.
    pub async fn start_plane(&mut self) {
        let (env, store_env) = (self.env.child(), self.env.child());
        let store = Engine::open_in(
            Arc::new(self.files.clone()),
            etcd::Options::default(),
            store_env.clone(),
        );
        let store = store.unwrap_or_else(|error| panic!("open the store: {error}"));
        let shared: Arc<dyn Store> = store.clone();
        self.history.follow(&shared, &store_env);
        let (records, clock) = (self.records.clone(), env.clock.clone());
        let config = apiserver::Config {
            rows: resources::table().to_vec(),
            store: shared,
            security: Box::new(move |reader| Ok(guards::guards(&reader, clock))),
            dial: Arc::new(NoDial),
            service_cidr: "10.96.0.0/12".to_owned(),
            advertise: ([192, 168, 0, 1].into(), 6443),
            kubelet_tls: None,
            oidc: None,
            aggregate: apiserver::aggregate::Settings::default(),
            admission: apiserver::admission::Settings::default(),
            build: apiserver::BuildInfo::default(),
            limits: apiserver::Limits::default(),
            gates: component::gates::Gates::default(),
            surface: apiserver::Surface::default(),
            records: Some(Arc::new(move || {
                records.recent().iter().map(|r| (**r).clone()).collect()
            })),
        };
        let server = Server::start(config, env.clone())
            .await
            .unwrap_or_else(|error| panic!("API server: {error}"));
        server
            .bootstrap()
            .await
            .unwrap_or_else(|error| panic!("bootstrap: {error}"));
        self.admin_line
            .connect(local(&server, "admin", &["system:masters"]));
        let bootstrapped = apiserver::security::rbac::bootstrap::reconcile(&self.admin).await;
        bootstrapped.unwrap_or_else(|error| panic!("RBAC bootstrap: {error}"));
        self.plane = Some(Plane {
            env,
            store_env,
            store,
            server,
            controllers: None,
        });
        self.reconnect();
        if self.parts.scheduler {
            self.start_scheduler();
        }
        if self.parts.controllers {
            self.start_controllers();
        }
    }

    /// Leads all lines to the API server that runs.
    pub fn reconnect(&self) {
        let Some(plane) = &self.plane else { return };
        self.scheduler
            .connect(local(&plane.server, "system:kube-scheduler", &[]));
        self.controllers
            .connect(local(&plane.server, "system:kube-controller-manager", &[]));
        for node in &self.nodes {
            node.line.connect(local(
                &plane.server,
                &format!("system:node:{}", node.name),
                &["system:nodes"],
            ));
        }
    }

    fn plane(&self) -> &Plane {
        self.plane
            .as_ref()
            .unwrap_or_else(|| panic!("the control plane is stopped"))
    }

    fn start_scheduler(&self) {
        let client = Client::new(Arc::new(self.scheduler.clone()), "kube-scheduler");
        scheduler::start(
            &client,
            scheduler::Config::default(),
            self.records.clone(),
            &self.plane().env,
        );
    }

    /// Starts the controllers; those that run are stopped first, as by a crash: what they were about to do is not done.
    pub fn start_controllers(&mut self) {
        let env = self.plane().env.child();
        let watched = |row: &&&resources::Row| row.verbs.is_empty() || row.verbs.contains(&"watch");
        let rows = resources::table().iter().filter(watched);
        let collectable = |row: &&resources::Row| Collectable {
            gvr: row.gvr(),
            kind: row.kind.to_owned(),
            namespaced: row.namespaced,
            built_in: true,
        };
        let config = controller_manager::Config {
            root_ca: "the root\n".to_owned(),
            token_key: None,
            signers: controller_manager::Signers::default(),
            cluster_cidr: ([10, 244, 0, 0].into(), 16),
            node_cidr_prefix: 24,
            token_clean_up: controller_manager::TOKEN_CLEAN_UP,
            resources: Resources(rows.map(collectable).collect()).fixed(),
        };
        let client = Client::new(Arc::new(self.controllers.clone()), "kube-controller-manager");
        let records = self.records.clone();
        if let Some(plane) = &mut self.plane
            && let Some(old) = plane.controllers.replace(env.clone())
        {
            old.tasks.stop();
        }
        controller_manager::start(&client, config, records, &env);
    }

    /// Crashes the controllers and starts them on a new line.
    pub fn restart_controllers(&mut self) {
        self.controllers = Line::new(self.env.clock.clone(), self.env.random.clone());
        self.reconnect();
        self.start_controllers();
    }

    /// Stops the control plane, the store last. Nodes run on.
    pub async fn stop_plane(&mut self) {
        let Some(plane) = self.plane.take() else { return };
        let limit = Duration::from_secs(60);
        assert!(
            plane.env.tasks.drain(limit).await,
            "the control plane does not stop"
        );
        self.admin_line.cut();
        self.controllers.cut();
        self.scheduler.cut();
        self.nodes.iter().for_each(|node| node.line.cut());
        plane.store.close().await;
        assert!(
            plane.store_env.tasks.drain(limit).await,
            "the store does not stop"
        );
    }

    /// Adds a node and starts it.
    pub fn add_node(&mut self) {
        let mut node = Node::new(self.nodes.len(), self.parts.max_pods, &self.env);
        node.start();
        self.nodes.push(node);
        self.connect_node(self.nodes.len() - 1);
    }

    fn connect_node(&self, index: usize) {
        let node = &self.nodes[index];
        let user = format!("system:node:{}", node.name);
        node.line
            .connect(local(&self.plane().server, &user, &["system:nodes"]));
    }

    /// Stops the kubelet of a node.
    pub async fn stop_node(&mut self, index: usize) {
        self.nodes[index].stop().await;
    }

    /// Starts it again.
    pub fn start_node(&mut self, index: usize) {
        self.nodes[index].start();
    }

    /// Looks at what there is.
    pub fn look(&self) -> Look {
        Look(self.plane().server.reader())
    }

    /// Waits until `done` gives something, looking after each change; panics after `limit` of virtual time.
    pub async fn until<T>(&self, what: &str, limit: Duration, mut done: impl FnMut(&Look) -> Option<T>) -> T {
        let look = self.look();
        self.history.until(what, limit, || done(&look)).await
    }

    /// Lets time pass.
    pub async fn sleep(&self, duration: Duration) {
        self.env.clock.sleep(duration).await;
    }

    /// Creates what the YAML says.
    pub async fn create(&self, text: &str) -> Result<Arc<Object>, Status> {
        let body = yaml(text);
        let object = Object::parse_any(body.clone(), &[]).map_err(Status::internal)?;
        let group = object
            .api_version()
            .split_once('/')
            .map_or("", |(group, _)| group);
        let row =
            resources::by_kind(group, object.kind()).ok_or_else(|| Status::bad_request("unknown kind"))?;
        let namespace = match (row.namespaced, object.namespace()) {
            (false, _) => "",
            (true, "") => "default",
            (true, namespace) => namespace,
        };
        self.admin
            .write(Target::collection(&row.gvr(), namespace), Write::Create(body))
            .await
    }

    /// Patches an object strategically with what the YAML says.
    pub async fn patch(&self, plural: &str, key: &Key, text: &str) -> Result<Arc<Object>, Status> {
        let target = Target::object(&Look::gvr(plural), key);
        self.admin
            .write(target, Write::Patch(Patch::Strategic, yaml(text)))
            .await
    }

    /// Deletes an object.
    pub async fn delete(&self, plural: &str, key: &Key) -> Result<Arc<Object>, Status> {
        self.admin
            .delete(&Look::gvr(plural), key, DeleteOptions::default())
            .await
    }
}

fn local(server: &Arc<Server>, user: &str, groups: &[&str]) -> Arc<dyn client::Transport> {
    let mut groups = groups.to_vec();
    groups.push("system:authenticated");
    server.local(User::new(user, &groups))
}

/// Nobody calls kubelets here.
struct NoDial;

impl Dial for NoDial {
    fn dial(&self, _: &Peer) -> BoxFuture<'_, std::io::Result<Box<dyn Duplex>>> {
        async { Err(std::io::ErrorKind::HostUnreachable.into()) }.boxed()
    }

    fn trusted(&self, _: &Peer) -> bool {
        true
    }
}
