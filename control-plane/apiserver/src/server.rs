//! The server: the parts put together, and the flow that every request takes.

use crate::{
    admission::{self, Chain},
    aggregate::{self, Aggregator},
    allocate::{Allocator, Cidr, NODE_PORTS},
    audit,
    cache::{Cache, Event, Feed},
    custom::{Definitions, Ending, Webhooks},
    encryption::Sealed,
    fairness::{Fairness, clients::Clients, room::Room},
    handler::{Handler, Place, Places},
    http::{BuildInfo, Life, Limits, Rooms},
    local::Local,
    metrics::Metrics,
    security::{Attributes, Decision, Security, User, Verdict, oidc},
};
use api::{Gvr, Object, Status, decision::Record};
use client::{Dial, Transport};
use component::{Env, Tasks, gates::Gates};
use etcd::Store;
use resources::{Row, VirtualResource};
use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Arc, OnceLock},
};

/// Where decision records come from: what each box of this process has decided lately.
pub type Records = Arc<dyn Fn() -> Vec<Record> + Send + Sync>;

/// Makes the guards, given a way to read what is stored; or says why it cannot.
pub type MakeSecurity = Box<dyn FnOnce(Reader) -> Result<Security, String> + Send>;

/// What a server is made of.
pub struct Config {
    /// The resources to serve.
    pub rows: Vec<&'static Row>,
    /// Where they are kept.
    pub store: Arc<dyn Store>,
    /// Makes the guards.
    pub security: MakeSecurity,
    /// The way to kubelets.
    pub dial: Arc<dyn Dial>,
    /// How to speak TLS to kubelets that are not reached inside this process; none: only those are.
    pub kubelet_tls: Option<Arc<rustls::ClientConfig>>,
    /// Addresses of Services, such as `10.96.0.0/12`; with a comma, one range a family, the usual one first.
    pub service_cidr: String,
    /// What is served in which form; see [`Surface`].
    pub surface: Surface,
    /// Where clients inside the cluster reach this server.
    pub advertise: (IpAddr, u16),
    /// Decision records; none: there are none to read.
    pub records: Option<Records>,
    /// The documents by which others verify service account tokens; none: they are not served.
    pub oidc: Option<oidc::Documents>,
    /// What `/version` tells.
    pub build: BuildInfo,
    /// What it takes upon itself.
    pub limits: Limits,
    /// Which features are on.
    pub gates: Gates,
    /// What requests to other API servers are signed with, and whom those trust.
    pub aggregate: aggregate::Settings,
    /// Which admission plugins are on.
    pub admission: admission::Settings,
}

/// What may be set of what the server offers.
#[derive(Clone, Debug)]
pub struct Surface {
    /// Resources without storage that are served.
    pub virtual_resources: Vec<&'static VirtualResource>,
    /// Ports of nodes for Services.
    pub node_ports: std::ops::RangeInclusive<u16>,
    /// How long Events are kept.
    pub event_ttl: std::time::Duration,
}

impl Default for Surface {
    fn default() -> Self {
        Self {
            virtual_resources: resources::virtual_resources().iter().collect(),
            node_ports: NODE_PORTS,
            event_ttl: std::time::Duration::from_secs(3600),
        }
    }
}

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error("reading the store: {0}")]
    Store(#[from] etcd::Error),
    /// The guards cannot be made.
    #[error("security: {0}")]
    Security(String),
    /// The ranges are not one network a family.
    #[error("service CIDR {0:?} is not one network a family")]
    ServiceCidr(String),
    /// A listener or stream failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// What the cluster needs could not be written.
    #[error("bootstrap: {0}")]
    Bootstrap(Status),
}

/// The API server. It is one value in a process; every way in leads to the same handler.
pub struct Server {
    pub(crate) handler: Handler,
    pub(crate) dial: Arc<dyn Dial>,
    pub(crate) kubelet_tls: Option<Arc<rustls::ClientConfig>>,
    pub(crate) advertise: (IpAddr, u16),
    pub(crate) records: Option<Records>,
    pub(crate) oidc: Option<oidc::Documents>,
    pub(crate) build: BuildInfo,
    documents: crate::http::Library,
    /// What other API servers answer.
    pub(crate) aggregator: Arc<Aggregator>,
    /// Definitions whose objects are being deleted.
    pub(crate) ending: Ending,
    /// Requests that may be answered at a time, those that go on not counted.
    pub(crate) rooms: Rooms,
    /// Who is served first.
    pub(crate) fairness: Arc<Fairness>,
    /// Who costs how much.
    pub(crate) clients: Arc<Clients>,
    /// Watchers that are told the same.
    pub(crate) choir: crate::http::Choir,
    /// Memory for lists in the making.
    pub(crate) lists: Room,
    /// How far it is on its way to its end.
    pub(crate) life: Arc<Life>,
    pub(crate) limits: Limits,
    /// Which features are on.
    pub(crate) gates: Gates,
    /// What seals the values in the store, and whether its configuration may change.
    pub(crate) sealing: OnceLock<(Arc<Sealed>, bool)>,
    /// Who acts as others, and how.
    pub(crate) impersonation: crate::security::impersonation::Impersonation,
}

/// Reads what is stored, from the caches: what authorizers and authenticators look at. Never behind an acknowledged
/// write when the store is in this process.
#[derive(Clone)]
pub struct Reader(Arc<Places>);

impl Reader {
    /// One object, in its stored form. The version in `resource` does not matter.
    pub fn get(&self, resource: &Gvr, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let held = self
            .0
            .cache(&resource.group, &resource.resource)?
            .get(namespace, name)?;
        Some(held.hub().clone())
    }

    /// A collection, or one namespace of it.
    pub fn list(&self, resource: &Gvr, namespace: &str) -> Vec<Arc<Object>> {
        let cache = self.0.cache(&resource.group, &resource.resource);
        cache
            .map(|cache| cache.snapshot().hubs(cache.row, namespace))
            .unwrap_or_default()
    }

    /// The objects of a namespace of which a selectable field has this value; none is decoded to find them.
    pub fn with_field(&self, resource: &Gvr, namespace: &str, path: &str, value: &str) -> Vec<Arc<Object>> {
        let Some(cache) = self.0.cache(&resource.group, &resource.resource) else {
            return Vec::new();
        };
        let (row, snapshot) = (cache.row, cache.snapshot());
        let hubs = snapshot.range(row, namespace, "").map(|(_, held)| held.hub());
        hubs.filter(|object| row.selected(object, path) == value)
            .cloned()
            .collect()
    }

    /// A resource that is served in that version.
    pub(crate) fn of_resource(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Cache>> {
        let cache = self.0.cache(group, plural)?;
        let row = cache.row;
        let of =
            |known: &resources::Version| known.name == version && known.group.unwrap_or(row.group) == group;
        row.versions.iter().any(of).then_some(cache)
    }

    /// The resource whose objects are of `kind`, and which of its versions that is.
    pub(crate) fn of_kind(&self, group: &str, version: &str, kind: &str) -> Option<(Arc<Cache>, usize)> {
        let index = self.0.index();
        index.caches.iter().find_map(|cache| {
            let row = cache.row;
            let of = |known: &resources::Version| {
                known.name == version && known.group.unwrap_or(row.group) == group
            };
            let at = row.versions.iter().position(of).filter(|_| row.kind == kind)?;
            Some((cache.clone(), at))
        })
    }

    /// The changes of a collection after a revision, and the revision of the newest; none when that is too long ago.
    pub(crate) fn since(&self, resource: &Gvr, after: u64) -> Option<(VecDeque<Arc<Event>>, u64)> {
        match self.0.cache(&resource.group, &resource.resource) {
            Some(cache) => cache.since(after),
            None => Some((VecDeque::new(), 0)),
        }
    }

    /// The revision of the newest change of a collection; 0 when it is not served.
    pub fn changed(&self, resource: &Gvr) -> u64 {
        self.0
            .cache(&resource.group, &resource.resource)
            .map_or(0, |cache| cache.last())
    }
}

impl Server {
    /// Reads the store into the caches and is ready to serve.
    pub async fn start(config: Config, outside: Env) -> Result<Arc<Self>, Error> {
        // What the server does goes on until its requests are answered.
        let env = Env {
            tasks: Tasks::new(),
            ..outside.clone()
        };
        let life = Life::new(outside.tasks, config.limits.shutdown_retry_after);
        life.follow(&config.limits, env.tasks.clone(), env.clock.clone());
        let ranges = ranges(&config.service_cidr).ok_or(Error::ServiceCidr(config.service_cidr))?;
        let feed = Arc::new(Feed::default());
        let caches = config
            .rows
            .iter()
            .map(|row| Arc::new(Cache::new(row, feed.clone())))
            .collect();
        let places = Arc::new(Places::new(caches, config.surface.virtual_resources));
        let allocator = Arc::new(Allocator::new(ranges, config.surface.node_ports));
        if let Some(services) = places.cache("", "services") {
            let follower = allocator.clone();
            services.set_hook(Box::new(move |event| {
                let side = |held: &Option<crate::cache::Held>| held.as_ref().map(|held| held.hub().clone());
                follower.follow(side(&event.old).as_deref(), side(&event.new).as_deref());
            }));
        }
        let aggregator = Arc::new(Aggregator::new(config.aggregate));
        let api_services = places.cache("apiregistration.k8s.io", "apiservices");
        if let Some(cache) = &api_services {
            aggregator.follow(cache);
        }
        feed.start(&places.index().caches, &config.store, &env).await?;
        if let Some(cache) = &api_services {
            aggregator.fill(cache);
        }
        let definitions = Definitions::new(places.clone(), feed.clone(), config.store.clone());
        definitions.install_all().await?;
        if let Some(services) = places.cache("", "services") {
            for service in services.snapshot().hubs(services.row, "") {
                allocator.follow(None, Some(&service));
            }
        }
        let security = (config.security)(Reader(places.clone())).map_err(Error::Security)?;
        let metrics = Arc::<Metrics>::default();
        config.gates.tell(&metrics.registry);
        let conversions = Arc::new(Webhooks::new(config.dial.clone(), env.clone()));
        let parts = admission::Parts {
            conversions: conversions.clone(),
            reader: Reader(places.clone()),
            authorizer: security.authz.clone(),
            dial: config.dial.clone(),
            env: env.clone(),
            metrics: metrics.clone(),
            own: admission::Loopback::default(),
            configuration: Arc::new(config.admission.configuration.clone()),
            gates: config.gates.clone(),
        };
        let admission = Chain::new(&config.admission, security.admission.clone(), &parts);
        let clients = Arc::new(Clients::new(env.clock.clone()));
        let fairness = Fairness::new(&env, config.limits.reads + config.limits.writes, clients.clone());
        fairness.start();
        let lists = Room::new(config.limits.list_bytes, env.clock.clone());
        let handler = Handler {
            metrics: metrics.clone(),
            store: config.store,
            feed,
            places,
            security,
            admission,
            allocator,
            disabled: schema::Disabled::new(|gate| config.gates.enabled(gate)),
            event_ttl: config.surface.event_ttl,
            webhooks: conversions,
            env,
            lease: tokio::sync::Mutex::default(),
        };
        let server = Arc::new(Self {
            handler,
            dial: config.dial,
            kubelet_tls: config.kubelet_tls,
            advertise: config.advertise,
            records: config.records,
            oidc: config.oidc,
            build: config.build,
            documents: crate::http::Library::default(),
            aggregator,
            ending: Ending::default(),
            rooms: Rooms::new(&config.limits, metrics),
            fairness,
            clients,
            choir: crate::http::Choir::default(),
            lists,
            life,
            limits: config.limits,
            gates: config.gates,
            sealing: OnceLock::new(),
            impersonation: crate::security::impersonation::Impersonation::default(),
        });
        parts.own.connect(&server);
        definitions.follow(&server);
        admission::policy::follow(&server);
        server.register();
        server.attend();
        server.keep_trust();
        server.follow_fairness();
        server.repair();
        if let Some(issuer) = &server.handler.security.issuer {
            issuer.follow(&server);
        }
        Ok(server)
    }

    /// The documents about what is served now.
    pub(crate) fn documents(&self) -> Arc<crate::http::Documents> {
        self.documents.documents(&self.handler.places, &self.aggregator)
    }

    /// The rows that are served, built-in and custom, and each change of them.
    pub fn rows(&self) -> tokio::sync::watch::Receiver<Vec<&'static Row>> {
        self.handler.places.rows()
    }

    /// The server as a client of `user` sees it, in memory: no bytes are copied, and authorization and admission are
    /// those of every request. The identity is in this value and nowhere else.
    pub fn local(self: &Arc<Self>, user: User) -> Arc<dyn Transport> {
        Arc::new(Local::new(self.clone(), user))
    }

    /// The server as its own client.
    pub(crate) fn own_client(self: &Arc<Self>, manager: &str) -> client::Client {
        let user = User::new("system:apiserver", &["system:masters"]);
        client::Client::new(self.local(user), manager)
    }

    /// Reads what is stored.
    pub fn reader(&self) -> Reader {
        Reader(self.handler.places.clone())
    }

    /// Tells with its own health that of the KMS providers that `sealed`, in front of its store, asks; `reloads`: they may be
    /// others at any time.
    pub fn tell_health_of(&self, sealed: Arc<Sealed>, reloads: bool) {
        // Set once: when it starts.
        let _ = self.sealing.set((sealed, reloads));
    }

    /// The newest revision that reads see.
    pub fn revision(&self) -> u64 {
        self.handler.feed.revision()
    }

    /// What is asked for with `verb` at `place`.
    pub(crate) fn attributes(user: &Arc<User>, verb: &str, place: &Place) -> Attributes {
        let row = place.row();
        // A namespace is inside itself, so that a role there may speak of it.
        let inside = row.group.is_empty() && row.plural == "namespaces";
        let namespace = if inside { &place.name } else { &place.namespace };
        Attributes {
            user: user.clone(),
            verb: verb.to_owned(),
            group: place.group().to_owned(),
            version: place.served().name.to_owned(),
            resource: row.plural.to_owned(),
            subresource: place.subresource.clone(),
            namespace: namespace.clone(),
            name: place.name.clone(),
            path: String::new(),
            is_resource: true,
            selectors: None,
        }
    }

    /// What is asked for with a create of what is not stored.
    pub(crate) fn virtual_attributes(user: &Arc<User>, of: &VirtualResource, namespace: &str) -> Attributes {
        Attributes {
            user: user.clone(),
            verb: "create".to_owned(),
            group: of.group.to_owned(),
            version: of.version.to_owned(),
            resource: of.plural.to_owned(),
            namespace: namespace.to_owned(),
            is_resource: true,
            ..Attributes::default()
        }
    }

    /// 403 unless the authorizer allows it. It is the request itself: it is counted, and noted in its record.
    pub(crate) async fn permit(
        &self,
        asked: &Attributes,
        record: Option<&audit::Record>,
    ) -> Result<(), Status> {
        let (metrics, clock) = (&self.handler.metrics, &self.handler.env.clock);
        let started = clock.now();
        let decision = self.handler.security.authz.authorize(asked).get().await;
        let result = match decision.verdict {
            Verdict::Allow => "allowed",
            _ if !decision.error.is_empty() => "error",
            Verdict::Deny => "denied",
            Verdict::NoOpinion => "no-opinion",
        };
        metrics.authorization.of(&[result]).add(1);
        let taken = clock.now() - started;
        metrics
            .authorization_seconds
            .of(&[result])
            .observe(taken.as_secs_f64());
        if let Some(record) = record {
            record.took(audit::Layer::Authorization, taken);
            let (said, reason) = match result {
                "allowed" => (Some("allow"), decision.reason.as_str()),
                "error" => (None, "internal error"),
                _ => (Some("forbid"), decision.reason.as_str()),
            };
            if let Some(said) = said {
                record.annotate("authorization.k8s.io/decision", said);
            }
            record.annotate("authorization.k8s.io/reason", reason);
        }
        judged(asked, decision)
    }

    /// 403 unless the authorizer allows it.
    pub(crate) async fn authorize(&self, attributes: &Attributes) -> Result<(), Status> {
        authorize(&self.handler.security, attributes).await
    }
}

/// One range, or two of different families.
fn ranges(text: &str) -> Option<Vec<Cidr>> {
    let ranges: Vec<Cidr> = text.split(',').map(Cidr::parse).collect::<Option<_>>()?;
    let good = match ranges.as_slice() {
        [_] => true,
        [first, second] => first.family() != second.family(),
        _ => false,
    };
    good.then_some(ranges)
}

/// 403 unless the authorizer allows it.
pub(crate) async fn authorize(security: &Security, attributes: &Attributes) -> Result<(), Status> {
    judged(attributes, security.authz.authorize(attributes).get().await)
}

fn judged(attributes: &Attributes, decision: Decision) -> Result<(), Status> {
    match decision.verdict {
        Verdict::Allow => Ok(()),
        // Nobody said yes, and somebody who might have could not say.
        _ if !decision.error.is_empty() => Err(Status::internal(decision.error)),
        _ => Err(forbidden(attributes, &decision.reason)),
    }
}

/// The refusal of what is not allowed.
pub(crate) fn forbidden(attributes: &Attributes, reason: &str) -> Status {
    let (user, verb) = (&attributes.user.name, &attributes.verb);
    let why = if attributes.is_resource {
        let resource = match attributes.subresource.as_str() {
            "" => attributes.resource.clone(),
            sub => format!("{}/{sub}", attributes.resource),
        };
        let place = match attributes.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {namespace:?}"),
        };
        format!(
            "User {user:?} cannot {verb} resource {resource:?} in API group {:?} {place}",
            attributes.group
        )
    } else {
        format!("User {user:?} cannot {verb} path {:?}", attributes.path)
    };
    let why = if reason.is_empty() {
        why
    } else {
        format!("{why}: {reason}")
    };
    let gvr = Gvr {
        group: attributes.group.clone().into(),
        version: attributes.version.clone().into(),
        resource: attributes.resource.clone().into(),
    };
    Status::forbidden(&gvr, &attributes.name, &why)
}
