//! Keeps fairness in step with the stored objects, and the objects that there always are as they are meant to be.

use super::{
    Arc, BTreeMap, Config, Configuration, Duration, Fairness, Flow, Level, Placed, PoisonError, Schema,
    Seats, bootstrap,
    level::{EXEMPT, Spec as LevelSpec},
    queues::Response,
    share::{Borrower, lend},
};
use crate::{Server, cache::Cache, security::User};
use api::{Gvr, Key, Object, Status};
use client::{Client, DeleteOptions, Patch, Target, Write, WriteOptions};
use http::HeaderValue;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

const SCHEMAS: Gvr = Gvr::new("flowcontrol.apiserver.k8s.io", "v1", "flowschemas");
const LEVELS: Gvr = Gvr::new(
    "flowcontrol.apiserver.k8s.io",
    "v1",
    "prioritylevelconfigurations",
);
/// Whether this server keeps an object as it is meant to be.
const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
const CONSUMER: &str = "api-priority-and-fairness-config-consumer-v1";
const PRODUCER: &str = "api-priority-and-fairness-config-producer-v1";
/// Objects are put right at most this often, so that two servers that mean different things do not fight: six times a
/// minute, as upstream.
const PAUSE: Duration = Duration::from_secs(10);
/// The first pause after a failure.
const AGAIN: Duration = Duration::from_millis(500);

impl Fairness {
    /// Takes what is stored. The mandatory objects are imagined where they are missing.
    pub(super) fn configure(&self, mut levels: Vec<Configuration>, mut schemas: Vec<Schema>) {
        let now = self.now();
        for imagined in bootstrap::imagined_levels() {
            if levels.iter().all(|level| level.name != imagined.name) {
                levels.push(imagined);
            }
        }
        let is_level = |name: &str| levels.iter().any(|level| level.name == name);
        schemas.retain(|schema| is_level(&schema.spec.priority_level_configuration.name));
        for imagined in bootstrap::imagined_schemas() {
            if schemas.iter().all(|schema| schema.name != imagined.name) {
                schemas.push(imagined);
            }
        }
        schemas.sort_by(|one, other| one.rank().cmp(&other.rank()));
        let old = self.config();
        let mut next = BTreeMap::new();
        let mut uids = BTreeMap::new();
        for configuration in levels {
            uids.insert(configuration.name.clone(), configuration.uid.clone());
            let level = old.levels.get(&configuration.name).cloned();
            let level = level.unwrap_or_else(|| Arc::new(Level::new(configuration.clone(), now)));
            let mut state = level.lock();
            state.quiescing = false;
            state.configuration = configuration.clone();
            drop(state);
            next.insert(configuration.name, level);
        }
        keep_busy(&old, &mut next);
        let schemas = schemas
            .into_iter()
            .filter_map(|schema| self.place(schema, &next, &uids));
        let config = Arc::new(Config {
            schemas: schemas.collect(),
            levels: next,
        });
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        self.share_out(now);
        self.lend();
    }

    fn place(
        &self,
        schema: Schema,
        levels: &BTreeMap<String, Arc<Level>>,
        uids: &BTreeMap<String, HeaderValue>,
    ) -> Option<Arc<Placed>> {
        let level = &schema.spec.priority_level_configuration.name;
        Some(Arc::new(Placed {
            level: levels.get(level)?.clone(),
            flow: Flow {
                schema: schema.uid.clone(),
                level: uids.get(level)?.clone(),
            },
            numbers: self.numbers_of(level, &schema.name),
            schema: Arc::new(schema),
        }))
    }

    /// Gives each level the seats of its configuration.
    fn share_out(&self, now: Duration) {
        let config = self.config();
        let shares = config
            .levels
            .values()
            .map(|level| u64::from(level.lock().configuration.shares))
            .sum();
        let (mut places, mut seats) = (0_u64, 0);
        for level in config.levels.values() {
            let mut state = level.lock();
            state.seats = Seats::of(&state.configuration, self.total, shares);
            seats += state.seats.nominal;
            if let Response::Queue(..) = state.configuration.response {
                places += u64::try_from(state.configuration.places).unwrap_or_default();
            }
        }
        let mut flight = self.flight.lock().unwrap_or_else(PoisonError::into_inner);
        flight.set_limits(now, [places, seats]);
    }

    /// Lends seats anew, by what levels wanted since the last time. Levels that nobody needs any more go.
    pub(super) fn lend(&self) {
        let (now, config) = (self.now(), self.config());
        let borrowers: Vec<Borrower> = config
            .levels
            .values()
            .map(|level| {
                let mut state = level.lock();
                let period = state.queues.demand.reset(now);
                state.demand.update(period);
                Borrower {
                    exempt: state.configuration.response == Response::Exempt,
                    seats: state.seats,
                    demand: state.demand,
                }
            })
            .collect();
        let (given, fraction) = lend(&borrowers);
        *self.fraction.lock().unwrap_or_else(PoisonError::into_inner) = fraction;
        let mut done = false;
        for (level, given) in config.levels.values().zip(given) {
            let mut state = level.lock();
            state.target = given.target;
            let dispatched = state.give(now, given.current, (self.total + 5) / 10);
            done |= state.quiescing && state.queues.is_idle();
            self.settle(level, state, &dispatched, now);
        }
        if done {
            self.forget_idle(&config);
        }
    }

    fn forget_idle(&self, config: &Config) {
        let gone = |level: &Level| {
            let state = level.lock();
            state.quiescing && state.queues.is_idle()
        };
        let levels = config.levels.iter().filter(|(_, level)| !gone(level));
        let next = Config {
            schemas: config.schemas.clone(),
            levels: levels
                .map(|(name, level)| (name.clone(), level.clone()))
                .collect(),
        };
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        self.share_out(self.now());
    }
}

/// Levels whose objects are gone stay until nothing is left in them.
fn keep_busy(old: &Config, next: &mut BTreeMap<String, Arc<Level>>) {
    for (name, level) in &old.levels {
        if next.contains_key(name) {
            continue;
        }
        let mut state = level.lock();
        if !state.queues.is_idle() {
            state.quiescing = true;
            next.insert(name.clone(), level.clone());
        }
    }
}

/// An object as it is meant to be.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meant<'a, S> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Meta<'a>,
    spec: &'a S,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    name: &'a str,
    annotations: BTreeMap<&'static str, &'static str>,
}

/// One operation of a JSON patch.
#[derive(Serialize)]
struct Operation<'a, S> {
    op: &'static str,
    path: &'static str,
    value: Value<'a, S>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a, S> {
    Text(String),
    Map(BTreeMap<&'static str, &'static str>),
    Spec(&'a S),
}

/// What makes a stored object say whether it is updated, and be as it is meant to be.
fn put_right<'a, S>(stored: &StoredMeta, updates: bool, spec: Option<&'a S>) -> Vec<Operation<'a, S>> {
    let operation = |op, path, value| Operation { op, path, value };
    let updates = if updates { "true" } else { "false" };
    let annotation = match stored.annotations {
        Some(_) => operation(
            "add",
            "/metadata/annotations/apf.kubernetes.io~1autoupdate-spec",
            Value::Text(updates.to_owned()),
        ),
        None => operation(
            "add",
            "/metadata/annotations",
            Value::Map([(AUTO_UPDATE, updates)].into()),
        ),
    };
    let spec = spec.map(|spec| operation("replace", "/spec", Value::Spec(spec)));
    [annotation].into_iter().chain(spec).collect()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stored<S> {
    metadata: StoredMeta,
    spec: S,
    status: StoredStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StoredMeta {
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StoredStatus {
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, rename_all = "camelCase")]
struct Condition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
    last_transition_time: Option<Timestamp>,
}

impl Server {
    /// Follows the stored objects as a task. Until that is asked for, the mandatory objects alone are in force.
    pub(crate) fn follow_fairness(self: &Arc<Self>) {
        let cache = |gvr: &Gvr| self.handler.cache(&gvr.group, &gvr.resource);
        let (Some(schemas), Some(levels)) = (cache(&SCHEMAS), cache(&LEVELS)) else {
            return;
        };
        let changed = Arc::new(Notify::new());
        for cache in [&schemas, &levels] {
            let changed = changed.clone();
            cache.set_hook(Box::new(move |_| changed.notify_one()));
        }
        self.take_fairness(&schemas, &levels);
        let (server, env) = (Arc::downgrade(self), self.handler.env.clone());
        env.tasks
            .clone()
            .spawn("priority-and-fairness-config", async move {
                let mut written = None;
                loop {
                    changed.notified().await;
                    let Some(one) = server.upgrade() else { return };
                    one.take_fairness(&schemas, &levels);
                    drop(one);
                    // What changed is in force; what is to be put right may wait.
                    if let Some(written) = written {
                        env.clock.sleep_until(written + PAUSE).await;
                    }
                    let Some(one) = server.upgrade() else { return };
                    written = Some(env.clock.now());
                    if let Err(error) = one.keep_fairness().await {
                        tracing::warn!(%error, "objects of priority and fairness");
                        changed.notify_one();
                        env.clock.sleep(AGAIN).await;
                    }
                }
            });
    }

    fn take_fairness(&self, schemas: &Cache, levels: &Cache) {
        let hubs = |cache: &Cache| cache.snapshot().hubs(cache.row, "");
        let levels = hubs(levels)
            .iter()
            .filter_map(|object| Configuration::read(object))
            .collect();
        let schemas = hubs(schemas)
            .iter()
            .filter_map(|object| Schema::read(object))
            .collect();
        self.fairness.configure(levels, schemas);
    }

    /// Writes the objects that there always are, puts right what is meant to be, and says of each schema whether its
    /// level is there.
    pub(crate) async fn keep_fairness(self: &Arc<Self>) -> Result<(), Status> {
        let known = |gvr: &Gvr| self.handler.cache(&gvr.group, &gvr.resource).is_some();
        if !known(&SCHEMAS) || !known(&LEVELS) || !self.limits.fairness {
            return Ok(());
        }
        let user = || User::new("system:apiserver", &["system:masters"]);
        let client = Client::new(self.local(user()), PRODUCER);
        for (name, spec) in bootstrap::levels() {
            self.keep(&client, &LEVELS, "PriorityLevelConfiguration", (name, spec))
                .await?;
        }
        for (name, spec) in bootstrap::schemas() {
            self.keep(&client, &SCHEMAS, "FlowSchema", (name, spec)).await?;
        }
        self.remove(
            &client,
            &SCHEMAS,
            bootstrap::schemas().map(|(name, _)| name).collect(),
        )
        .await?;
        self.remove(
            &client,
            &LEVELS,
            bootstrap::levels().map(|(name, _)| name).collect(),
        )
        .await?;
        let levels = self.reader().list(&LEVELS, "");
        for schema in self.reader().list(&SCHEMAS, "") {
            self.tell_dangling(&schema, &levels).await?;
        }
        Ok(())
    }

    /// Writes one object unless it is as meant, or an operator keeps it otherwise.
    async fn keep<S>(
        &self,
        client: &Client,
        gvr: &Gvr,
        kind: &'static str,
        (name, spec): (&str, S),
    ) -> Result<(), Status>
    where
        S: Serialize + for<'de> Deserialize<'de> + Default + PartialEq + OfName,
    {
        let Some(stored) = self.reader().get(gvr, "", name) else {
            let meant = Meant {
                api_version: "flowcontrol.apiserver.k8s.io/v1",
                kind,
                metadata: Meta {
                    name,
                    annotations: [(AUTO_UPDATE, "true")].into(),
                },
                spec: &spec,
            };
            return unless_known(client.create(gvr, "", &meant).await);
        };
        let written = stored
            .annotation(AUTO_UPDATE)
            .and_then(|value| value.parse::<bool>().ok());
        let updates = bootstrap::is_mandatory(name) || written.unwrap_or(stored.generation() == 1);
        let own: Stored<S> = stored.view().map_err(Status::internal)?;
        let spec = spec.kept(name, &own.spec);
        let spec = Some(spec).filter(|spec| updates && *spec != own.spec);
        if written == Some(updates) && spec.is_none() {
            return Ok(());
        }
        let patch = put_right(&own.metadata, updates, spec.as_ref());
        unless_known(
            client
                .patch(gvr, &Key::cluster(name), "", Patch::Json, &patch)
                .await,
        )
    }

    /// Deletes what this server once kept and does not know any more.
    async fn remove(&self, client: &Client, gvr: &Gvr, known: Vec<&str>) -> Result<(), Status> {
        for object in self.reader().list(gvr, "") {
            let kept = object.annotation(AUTO_UPDATE).as_deref() == Some("true");
            if kept && !known.contains(&object.name()) {
                let deleted = client.delete(gvr, &object.key(), DeleteOptions::default()).await;
                unless_known(deleted)?;
            }
        }
        Ok(())
    }

    /// Says whether the level of a schema is there, if that is not said yet.
    async fn tell_dangling(self: &Arc<Self>, schema: &Object, levels: &[Arc<Object>]) -> Result<(), Status> {
        let stored: Stored<super::schema::Spec> = schema.view().map_err(Status::internal)?;
        let level = stored.spec.priority_level_configuration.name;
        let usable = levels.iter().filter_map(|object| Configuration::read(object));
        let found = usable.into_iter().any(|one| one.name == level);
        let is = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
        let (status, reason, message) = match found {
            true => ("False", "Found", format!("{is} and it exists")),
            false => ("True", "NotFound", format!("{is} but there is no such object")),
        };
        let said = stored
            .status
            .conditions
            .iter()
            .find(|condition| condition.r#type == "Dangling");
        if said.is_some_and(|said| said.status == status && said.reason == reason && said.message == message)
        {
            return Ok(());
        }
        let condition = Condition {
            r#type: "Dangling".to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
            last_transition_time: Some(whole_seconds(self.handler.env.clock.wall())),
        };
        self.apply_status(schema, condition).await
    }

    async fn apply_status(self: &Arc<Self>, schema: &Object, condition: Condition) -> Result<(), Status> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Applied<'a> {
            api_version: &'static str,
            kind: &'static str,
            metadata: Name<'a>,
            status: Conditions,
        }
        #[derive(Serialize)]
        struct Name<'a> {
            name: &'a str,
        }
        #[derive(Serialize)]
        struct Conditions {
            conditions: [Condition; 1],
        }
        let applied = Applied {
            api_version: "flowcontrol.apiserver.k8s.io/v1",
            kind: "FlowSchema",
            metadata: Name { name: schema.name() },
            status: Conditions {
                conditions: [condition],
            },
        };
        let body = serde_json::to_vec(&applied).map_err(Status::internal)?;
        let options = WriteOptions {
            field_manager: CONSUMER.to_owned(),
            force: true,
            ..WriteOptions::default()
        };
        let user = User::new("system:apiserver", &["system:masters"]);
        let target = Target::object(&SCHEMAS, &schema.key()).sub("status");
        let write = Write::Patch(Patch::Apply, body.into());
        unless_known(self.local(user).write(target, write, options).await)
    }
}

/// What is not, or not any more, as it was read comes again with the next change.
fn unless_known(outcome: Result<Arc<Object>, Status>) -> Result<(), Status> {
    match outcome {
        Err(status) if !matches!(status.code, 404 | 409) => Err(status),
        _ => Ok(()),
    }
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// What of a stored object is left as it is.
trait OfName: Sized {
    fn kept(self, name: &str, stored: &Self) -> Self;
}

impl OfName for super::schema::Spec {
    fn kept(self, _: &str, _: &Self) -> Self {
        self
    }
}

impl OfName for LevelSpec {
    /// Operators may change what the exempt level lends.
    fn kept(self, name: &str, stored: &Self) -> Self {
        match &stored.exempt {
            Some(exempt) if name == EXEMPT => Self {
                exempt: Some(exempt.clone()),
                ..self
            },
            _ => self,
        }
    }
}
