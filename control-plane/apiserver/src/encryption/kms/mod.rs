//! A KMS provider, version 2: a service of somebody else keeps the key that encrypts our keys
//! (upstream `storage/value/encrypt/envelope/kmsv2`).
//!
//! Values are sealed by keys that come of one seed. The service encrypts the seed when the server starts and when the
//! service has another key; it is not asked for each value. Seeds that it decrypted are remembered.

mod config;
mod dek;
mod metrics;
mod service;
#[cfg(test)]
mod stories;

use super::{
    cipher::{Cipher, Refused},
    metrics::Way,
};
use bytes::Bytes;
use component::{Clock, Env, Random};
pub(super) use config::KmsConfiguration;
use dek::Dek;
use kms_proto::stored::{EncryptedDekSourceType as Source, EncryptedObject};
use prost::Message as _;
use service::{Failed, Service};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};
use tokio::time::Instant;

/// How often a service is asked how it is, and how often one that is not well.
pub(super) const LOOK: Duration = Duration::from_secs(60);
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// So long a seed is used to write after the service was last seen well.
const LIFE: Duration = Duration::from_secs(180);

/// So many keys are remembered.
const REMEMBERED: usize = 4096;

const SEED: usize = 32;
const KEY_ID: usize = 1024;
const SOURCE: usize = 1024;
const ANNOTATIONS: usize = 32 * 1024;

/// Which service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub name: String,
    /// Path of its socket, or `@` and its name without a place in the file system.
    pub socket: String,
    pub timeout: Duration,
}

/// A service, and what is known by it.
pub(super) struct Kms {
    settings: Settings,
    service: Service,
    writing: RwLock<Result<Writing, String>>,
    known: Mutex<BTreeMap<Vec<u8>, Arc<Dek>>>,
    /// The codes by which keys were not decrypted.
    declined: Mutex<BTreeMap<Vec<u8>, String>>,
}

/// What seals now.
#[derive(Clone)]
struct Writing {
    dek: Arc<Dek>,
    /// What is stored beside each value.
    head: EncryptedObject,
    until: Instant,
}

/// Why no key could be had for a value.
pub(super) enum Locked {
    /// The service cannot be reached: it may be so later. With the code that metrics tell.
    Unreachable { why: String, code: String },
    /// It is there and does not decrypt this, or what is stored is broken.
    Refused,
}

impl Kms {
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            service: Service::new(&settings),
            writing: RwLock::new(Err("the KMS provider was not asked yet".to_owned())),
            known: Mutex::default(),
            declined: Mutex::default(),
            settings,
        })
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Counts what it does from now on.
    pub fn measure(&self, env: &Env) {
        self.service.measure(&self.settings.name, env);
    }

    fn used(&self, way: Way, key: &str) {
        if let Some(meter) = self.service.meter() {
            meter.used(way, key);
        }
    }

    /// Whether it is well, for who asks about health.
    pub fn health(&self) -> Result<(), String> {
        let writing = self.writing.read().unwrap_or_else(PoisonError::into_inner);
        writing.as_ref().map(drop).map_err(Clone::clone)
    }

    /// Asks the service how it is and, if its key is another one than before, takes a new seed. True: it did.
    pub async fn probe(&self, clock: &Clock, random: &Random) -> Result<bool, String> {
        let outcome = self.take(clock, random).await;
        let mut writing = self.writing.write().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(Some(new)) => {
                self.remember(new_key(&new.head), new.dek.clone());
                *writing = Ok(new);
                Ok(true)
            }
            Ok(None) => {
                if let Ok(writing) = writing.as_mut() {
                    writing.until = clock.now() + LIFE;
                }
                Ok(false)
            }
            Err(why) => {
                if !writing.as_ref().is_ok_and(|writing| clock.now() < writing.until) {
                    *writing = Err(why.clone());
                }
                Err(why)
            }
        }
    }

    async fn take(&self, clock: &Clock, random: &Random) -> Result<Option<Writing>, String> {
        let name = &self.settings.name;
        let status = self.service.status(clock).await.map_err(|why| {
            format!(
                "failed to perform status section of the healthz check for KMS Provider {name}, error: {why}"
            )
        })?;
        if let Some(meter) = self.service.meter() {
            meter.told(&status.key_id, KEY_ID);
        }
        let mut wrong = Vec::new();
        if status.healthz != "ok" {
            wrong.push(format!("got unexpected healthz status: {}", status.healthz));
        }
        if !["v2", "v2beta1"].contains(&status.version.as_str()) {
            wrong.push(format!("expected KMSv2 API version v2, got {}", status.version));
        }
        wrong.extend(check_key_id(&status.key_id).err());
        if !wrong.is_empty() {
            let wrong = wrong.join(", ");
            return Err(format!("kmsv2 Provider {name} is not healthy, error: {wrong}"));
        }
        let writing = self
            .writing
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if writing.is_ok_and(|writing| writing.head.key_id == status.key_id) {
            return Ok(None);
        }
        let (mut seed, begun) = (vec![0; SEED], clock.now());
        random.fill(&mut seed);
        if let Some(meter) = self.service.meter() {
            meter.generated(clock.now().duration_since(begun));
        }
        let sealed = self
            .service
            .encrypt(Bytes::from(seed.clone()), random, clock)
            .await;
        let sealed = sealed.map_err(|why| format!("failed to encrypt DEK, error: {why}"))?;
        if sealed.key_id != status.key_id {
            return Err(format!(
                "failed to rotate the key of KMS Provider {name}: its status tells another key than it encrypts with"
            ));
        }
        let head = EncryptedObject {
            encrypted_data: Bytes::new(),
            key_id: sealed.key_id,
            encrypted_dek_source: sealed.ciphertext,
            annotations: sealed.annotations,
            encrypted_dek_source_type: Source::HkdfSha256XnonceAesGcmSeed.into(),
        };
        check_head(&head)?;
        let until = clock.now() + LIFE;
        let dek = Dek::new(Source::HkdfSha256XnonceAesGcmSeed, seed)?;
        Ok(Some(Writing {
            dek: Arc::new(dek),
            head,
            until,
        }))
    }

    /// By what the key of a stored value is known, if it is not at hand.
    pub fn needs(&self, stored: &[u8]) -> Option<Vec<u8>> {
        let key = new_key(&decode(stored).ok()?);
        self.known(&key).is_none().then_some(key)
    }

    /// Has the key of a stored value at hand, if the service decrypts it.
    pub async fn unlock(&self, stored: &[u8], random: &Random, clock: &Clock) -> Result<(), Locked> {
        let refused = |why: String| {
            tracing::error!(provider = self.settings.name, %why, "failed to decrypt DEK");
            Locked::Refused
        };
        let object = decode(stored).map_err(refused)?;
        let key = new_key(&object);
        if self.known(&key).is_some() {
            return Ok(());
        }
        if let Some(meter) = self.service.meter() {
            meter.missed();
        }
        let source = object.encrypted_dek_source_type();
        let plain = match self.service.decrypt(object, random, clock).await {
            Ok(plain) => plain,
            Err(Failed {
                why,
                code,
                lasting: true,
            }) => {
                self.decline(key, metrics::name(code));
                return Err(refused(why));
            }
            Err(Failed { why, code, .. }) => {
                let code = metrics::name(code);
                return Err(Locked::Unreachable { why, code });
            }
        };
        let dek = Dek::new(source, plain.to_vec()).map_err(refused)?;
        self.remember(key, Arc::new(dek));
        Ok(())
    }

    fn known(&self, key: &[u8]) -> Option<Arc<Dek>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).cloned()
    }

    fn decline(&self, key: Vec<u8>, code: String) {
        let mut declined = self.declined.lock().unwrap_or_else(PoisonError::into_inner);
        if declined.len() >= REMEMBERED {
            declined.pop_first();
        }
        declined.insert(key, code);
    }

    /// Why a key is not at hand.
    fn locked(&self, key: &[u8]) -> Refused {
        let declined = self.declined.lock().unwrap_or_else(PoisonError::into_inner);
        let code = declined.get(key).cloned();
        code.map_or_else(
            || Refused::Kms("failed to decrypt DEK".to_owned()),
            Refused::Declined,
        )
    }

    fn remember(&self, key: Vec<u8>, dek: Arc<Dek>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.pop_first();
        }
        known.insert(key, dek);
        if let Some(meter) = self.service.meter() {
            meter.known(known.len());
        }
    }
}

/// Seals by what a service gave.
pub(super) struct Envelope(pub Arc<Kms>);

impl Cipher for Envelope {
    fn seal(&self, value: &[u8], place: &[u8], random: &Random) -> Result<Vec<u8>, Refused> {
        let writing = self.0.writing.read().unwrap_or_else(PoisonError::into_inner);
        let writing = writing.as_ref().map_err(|why| Refused::Kms(why.clone()))?;
        let object = EncryptedObject {
            encrypted_data: writing.dek.seal(value, place, random)?.into(),
            ..writing.head.clone()
        };
        self.0.used(Way::ToStorage, &object.key_id);
        Ok(object.encode_to_vec())
    }

    fn open(&self, stored: &[u8], place: &[u8]) -> Result<Vec<u8>, Refused> {
        let object = decode(stored).map_err(Refused::Kms)?;
        let key = new_key(&object);
        let dek = self.0.known(&key).ok_or_else(|| self.0.locked(&key))?;
        self.0.used(Way::FromStorage, &object.key_id);
        dek.open(&object.encrypted_data, place)
    }

    /// The service has another key now, or the value has none of a seed.
    fn stale(&self, stored: &[u8]) -> bool {
        let writing = self.0.writing.read().unwrap_or_else(PoisonError::into_inner);
        match (decode(stored), writing.as_ref()) {
            (Ok(object), Ok(writing)) => {
                object.key_id != writing.head.key_id
                    || object.encrypted_dek_source_type != writing.head.encrypted_dek_source_type
            }
            _ => false,
        }
    }
}

/// By what a key is known: everything that the service is told to decrypt it.
fn new_key(object: &EncryptedObject) -> Vec<u8> {
    EncryptedObject {
        encrypted_data: Bytes::new(),
        ..object.clone()
    }
    .encode_to_vec()
}

fn decode(stored: &[u8]) -> Result<EncryptedObject, String> {
    let object = EncryptedObject::decode(stored).map_err(|e| e.to_string())?;
    let source = object.encrypted_dek_source_type;
    if Source::try_from(source).is_err() {
        return Err(format!("unknown encryptedDEKSourceType: {source}"));
    }
    if object.encrypted_data.is_empty() {
        return Err("encrypted data is empty".to_owned());
    }
    check_head(&object)?;
    Ok(object)
}

fn check_head(object: &EncryptedObject) -> Result<(), String> {
    let length = object.encrypted_dek_source.len();
    if length == 0 {
        return Err("failed to validate encrypted DEK source: encrypted DEK source is empty".to_owned());
    }
    if length > SOURCE {
        return Err(format!(
            "failed to validate encrypted DEK source: encrypted DEK source is {length} bytes, which exceeds the max size of {SOURCE}"
        ));
    }
    check_key_id(&object.key_id).map_err(|why| format!("failed to validate key id: {why}"))?;
    let mut total = 0;
    for (key, value) in &object.annotations {
        if !(api::valid_dns_subdomain(key) && key.contains('.')) {
            return Err(format!(
                "failed to validate annotations: annotations: Invalid value: {key:?}: should be a domain with at least two segments separated by dots"
            ));
        }
        total += key.len() + value.len();
    }
    if total > ANNOTATIONS {
        return Err(format!(
            "failed to validate annotations: total size of annotations is {total}, which exceeds the max size of {ANNOTATIONS}"
        ));
    }
    Ok(())
}

fn check_key_id(id: &str) -> Result<(), String> {
    match id.len() {
        0 => Err("keyID is empty".to_owned()),
        length if length > KEY_ID => Err(format!(
            "keyID is {length} bytes, which exceeds the max size of {KEY_ID}"
        )),
        _ => Ok(()),
    }
}
