//! Values sealed at rest: a store in front of the store, which seals what is written and opens what is read, as
//! upstream's `EncryptionConfiguration` says. The rest of the server does not know of it.

mod cipher;
mod config;
mod kms;
mod metrics;
mod renew;
#[cfg(test)]
mod stories;

pub(crate) use config::SEALED;
pub use config::{ConfigError, Keyring};

use bytes::Bytes;
use component::{Clock, Env, Random};
use etcd::{
    Error, Event, KeyValue, Observer, Op, RangeRequest, RangeResponse, Revision, Store, TxnOutcome,
    TxnRequest, WatchItem, WatchRequest,
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::BoxStream};
use kms::Locked;
use resources::Row;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// A store whose values are sealed. What cannot be opened is passed on as it is stored, and who reads it fails alone.
pub struct Sealed {
    inner: Arc<dyn Store>,
    seal: Arc<Seal>,
}

/// What seals and opens.
struct Seal {
    keyring: RwLock<Arc<Keyring>>,
    /// Groups and plurals by the prefix of their keys.
    rows: BTreeMap<&'static str, (&'static str, &'static str)>,
    random: Random,
    clock: Clock,
    env: Env,
}

/// Reads the configuration's file.
pub type ReadFile = Box<dyn Fn() -> std::io::Result<Vec<u8>> + Send + Sync>;

impl Sealed {
    /// Seals what goes into `inner`. Values of the table's rows and of custom resources are known by their keys.
    pub fn new(inner: Arc<dyn Store>, mut keyring: Keyring, rows: &[&'static Row], env: &Env) -> Arc<Self> {
        keyring.measure(env);
        let rows = rows.iter().map(|row| (row.prefix, (row.group, row.plural)));
        let seal = Seal {
            keyring: RwLock::new(Arc::new(keyring)),
            rows: rows.collect(),
            random: env.random.clone(),
            clock: env.clock.clone(),
            env: env.clone(),
        };
        Arc::new(Self {
            inner,
            seal: Arc::new(seal),
        })
    }

    /// Asks the KMS providers for keys, so that values can be sealed. One that gives none is asked again later.
    pub async fn prepare(&self) {
        self.probe().await;
    }

    /// Goes by another configuration from now on, when its KMS providers have been asked.
    pub async fn exchange(&self, mut keyring: Keyring) {
        keyring.adopt(&self.seal.keyring());
        keyring.measure(&self.seal.env);
        let keyring = Arc::new(keyring);
        self.seal.probe(&keyring).await;
        *self.seal.keyring.write().unwrap_or_else(PoisonError::into_inner) = keyring;
    }

    /// How each KMS provider is, in the order of the configuration.
    pub fn checks(&self) -> Vec<Result<(), String>> {
        let services = self.seal.keyring().services();
        services.iter().map(|kms| kms.health()).collect()
    }

    /// Whether all KMS providers are well.
    pub fn health(&self) -> Result<(), String> {
        let services = self.seal.keyring().services();
        services.iter().try_for_each(|kms| kms.health())
    }

    /// True: a provider has another key than before, so that what is stored is to be sealed anew.
    async fn probe(&self) -> bool {
        self.seal.probe(&self.seal.keyring()).await
    }

    /// Seals anew, in the background, what another provider or key than the first one sealed, also when a KMS provider has
    /// another key; looks once a minute whether `read` has something else to say, if it is given.
    pub fn keep(self: Arc<Self>, read: Option<ReadFile>, env: &Env) {
        let clock = env.clock.clone();
        env.tasks.spawn("encryption", async move {
            let mut seen = read.as_ref().and_then(|read| read().ok());
            let mut due = true;
            loop {
                if due && let Err(error) = self.renew().await {
                    tracing::error!(%error, "stored values could not be sealed with the first key");
                }
                if read.is_none() && self.seal.keyring().services().is_empty() {
                    return;
                }
                clock
                    .sleep(if self.health().is_ok() {
                        kms::LOOK
                    } else {
                        kms::LOOK_AGAIN
                    })
                    .await;
                due = self.probe().await;
                if let Some(read) = &read {
                    due |= self.look(read, &mut seen).await;
                }
            }
        });
    }

    /// Takes what the file says if it is another text than `seen`. True: it was taken.
    async fn look(&self, read: &ReadFile, seen: &mut Option<Vec<u8>>) -> bool {
        let text = match read() {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "the encryption configuration cannot be read");
                return false;
            }
        };
        if seen.as_ref() == Some(&text) {
            return false;
        }
        let keyring = Keyring::parse(&text);
        *seen = Some(text);
        match keyring {
            Ok(keyring) => self.exchange(keyring).await,
            Err(error) => {
                tracing::error!(%error, "the encryption configuration stays as it was");
                return false;
            }
        }
        true
    }
}

impl Seal {
    fn keyring(&self) -> Arc<Keyring> {
        self.keyring
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The group and plural that a key belongs to: of a row, or of a custom resource, whose group has a dot.
    fn resource<'a>(&self, key: &'a [u8]) -> Option<(&'a str, &'a str)> {
        let key = std::str::from_utf8(key).ok()?;
        let mut ends = key.match_indices('/').skip(2).map(|(at, _)| &key[..at]);
        if let Some(of) = ends.find_map(|prefix| self.rows.get(prefix)) {
            return Some(*of);
        }
        let mut parts = key.split('/').skip(2);
        let (group, plural) = (parts.next()?, parts.next()?);
        group.contains('.').then_some((group, plural))
    }

    async fn probe(&self, keyring: &Keyring) -> bool {
        let mut changed = false;
        for kms in keyring.services() {
            match kms.probe(&self.clock, &self.random).await {
                Ok(new) => changed |= new,
                Err(why) => {
                    tracing::error!(provider = kms.settings().name, %why, "a KMS provider is not well")
                }
            }
        }
        changed
    }

    /// Has the keys of these values at hand that KMS providers must decrypt first. Fails if one cannot be reached; what it
    /// does not decrypt stays sealed.
    async fn unlock(&self, kvs: impl Iterator<Item = &KeyValue>) -> Result<(), Error> {
        let keyring = self.keyring();
        let mut refused = BTreeSet::new();
        for kv in kvs {
            let Some(of) = self.resource(&kv.key) else {
                continue;
            };
            let Some((kms, stored)) = keyring.service_of(of, &kv.value) else {
                continue;
            };
            let Some(key) = kms.needs(stored).filter(|key| !refused.contains(key)) else {
                continue;
            };
            match kms.unlock(stored, &self.random, &self.clock).await {
                Ok(()) => {}
                Err(Locked::Refused) => {
                    refused.insert(key);
                }
                Err(Locked::Unreachable { why, code }) => {
                    keyring.lost(of, &kv.value, &code);
                    let name = &kms.settings().name;
                    let why = format!("failed to decrypt DEK, error: KMS provider {name}: {why}");
                    return Err(Error::Unavailable(why));
                }
            }
        }
        Ok(())
    }

    fn close(&self, key: &[u8], value: Bytes) -> Result<Bytes, Error> {
        let Some(of) = self.resource(key) else {
            return Ok(value);
        };
        let sealed = self.keyring().seal(of, key, value, &self.random);
        sealed.map_err(|why| Error::Unavailable(format!("unable to seal a value: {why}")))
    }

    fn open(&self, kv: &mut KeyValue) {
        let Some(of) = self.resource(&kv.key) else { return };
        match self.keyring().open(of, &kv.key, kv.value.clone()) {
            Ok(opened) => kv.value = opened.value,
            Err(error) => {
                let key = String::from_utf8_lossy(&kv.key);
                tracing::error!(%key, %error, "unable to transform key");
            }
        }
    }

    fn open_event(&self, event: &mut Event) {
        let prev = match event {
            Event::Put { kv, prev } => {
                self.open(kv);
                prev
            }
            Event::Delete { prev, .. } => prev,
        };
        if let Some(prev) = prev {
            self.open(prev);
        }
    }
}

impl Store for Sealed {
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, Result<RangeResponse, Error>> {
        let opened = async {
            let mut found = self.inner.range(request).await?;
            self.seal.unlock(found.kvs.iter()).await?;
            found.kvs.iter_mut().for_each(|kv| self.seal.open(kv));
            Ok(found)
        };
        opened.boxed()
    }

    fn txn(&self, mut request: TxnRequest) -> BoxFuture<'_, Result<TxnOutcome, Error>> {
        let sealed = async move {
            if let Op::Put { value, .. } = &mut request.op {
                *value = self.seal.close(&request.key, std::mem::take(value))?;
            }
            let mut outcome = self.inner.txn(request).await?;
            if let TxnOutcome::Mismatch(Some(kv), _) = &mut outcome {
                self.seal.unlock(std::iter::once(&*kv)).await?;
                self.seal.open(kv);
            }
            Ok(outcome)
        };
        sealed.boxed()
    }

    fn watch(&self, request: WatchRequest) -> BoxStream<'static, Result<WatchItem, Error>> {
        let seal = self.seal.clone();
        let items = self.inner.watch(request).then(move |mut item| {
            let seal = seal.clone();
            async move {
                if let Ok(WatchItem::Events(events)) = &mut item {
                    seal.unlock(events.iter().flat_map(values)).await?;
                    events.iter_mut().for_each(|event| seal.open_event(event));
                }
                item
            }
        });
        items.boxed()
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.compact(revision)
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<i64, Error>> {
        self.inner.grant(ttl)
    }

    fn keep_alive(&self, lease: i64) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.keep_alive(lease)
    }

    fn revoke(&self, lease: i64) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.revoke(lease)
    }

    fn observe(&self, observer: Arc<dyn Observer>) -> bool {
        self.inner.observe(Arc::new(Opening {
            observer,
            seal: self.seal.clone(),
        }))
    }

    fn revision(&self) -> BoxFuture<'_, Result<Revision, Error>> {
        self.inner.revision()
    }
}

/// The values of an event.
fn values(event: &Event) -> impl Iterator<Item = &KeyValue> {
    let (new, old) = match event {
        Event::Put { kv, prev } => (Some(kv), prev.as_ref()),
        Event::Delete { prev, .. } => (None, prev.as_ref()),
    };
    new.into_iter().chain(old)
}

/// Opens the values for an observer. Those of this process are sealed with keys that are at hand.
struct Opening {
    observer: Arc<dyn Observer>,
    seal: Arc<Seal>,
}

impl Observer for Opening {
    fn committed(&self, revision: Revision, events: &[Event]) {
        let mut events = events.to_vec();
        events.iter_mut().for_each(|event| self.seal.open_event(event));
        self.observer.committed(revision, &events);
    }
}
