//! The webhooks of both kinds of configurations, ready to be asked.

use super::{conditions::Conditions, users::Users};
use crate::{
    Reader,
    admission::matching::{MatchResources, Matching},
    webhook::Endpoint,
};
use api::{Gvr, Object};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// What one configuration says.
#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    webhooks: Vec<HookView>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HookView {
    name: String,
    client_config: ClientView,
    #[serde(flatten)]
    matching: MatchResources,
    failure_policy: String,
    side_effects: String,
    timeout_seconds: Option<u64>,
    admission_review_versions: Vec<String>,
    reinvocation_policy: String,
    match_conditions: Vec<ConditionView>,
}

/// A match condition as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ConditionView {
    /// Its name.
    pub name: String,
    /// In CEL.
    pub expression: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClientView {
    url: Option<String>,
    service: Option<ServiceView>,
    ca_bundle: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceView {
    namespace: String,
    name: String,
    path: String,
    port: Option<u16>,
}

/// A webhook.
pub struct Hook {
    /// Its name.
    pub name: String,
    /// The configuration that it is in.
    pub configuration: String,
    /// What tells it from all others.
    pub id: String,
    /// Where it is; none: its configuration does not say.
    pub endpoint: Option<Endpoint>,
    /// Which requests it is asked about.
    pub matching: Result<Matching, String>,
    /// The same, by expressions.
    pub conditions: Conditions,
    /// What it does not answer is let through.
    pub ignore: bool,
    /// It may be asked about what is not really done.
    pub dry_run: bool,
    /// How long it has.
    pub patience: Duration,
    /// The version of `AdmissionReview` that it is sent; none: it knows none of ours.
    pub review: Option<Review>,
    /// It is asked once more if the object is changed after it.
    pub again: bool,
}

/// A version of `AdmissionReview`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Review {
    /// `v1`.
    V1,
    /// `v1beta1`, whose answers are looked at less closely.
    V1Beta1,
}

impl Review {
    fn of(name: &str) -> Option<Self> {
        match name {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        }
    }

    /// Group and version.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "admission.k8s.io/v1",
            Self::V1Beta1 => "admission.k8s.io/v1beta1",
        }
    }
}

impl ClientView {
    /// The way there, as who is to ask it.
    fn endpoint(&self, users: &Users) -> Option<Endpoint> {
        let (endpoint, host, port) = self.place()?;
        Some(match users.of(&host, port) {
            Some(user) => endpoint.known_as(user.leaf.as_ref(), user.credential.clone(), &self.ca_bundle),
            None => endpoint,
        })
    }

    fn place(&self) -> Option<(Endpoint, String, u16)> {
        match (&self.service, &self.url) {
            (Some(to), _) => {
                let port = to.port.unwrap_or(443);
                let endpoint = Endpoint::service(&to.namespace, &to.name, port, &to.path, &self.ca_bundle);
                Some((endpoint, format!("{}.{}.svc", to.name, to.namespace), port))
            }
            (None, Some(url)) => {
                let endpoint = Endpoint::url(url, &self.ca_bundle)?;
                let uri: http::Uri = url.parse().ok()?;
                Some((endpoint, uri.host()?.to_owned(), uri.port_u16().unwrap_or(443)))
            }
            (None, None) => None,
        }
    }
}

/// All hooks of one configuration.
fn compiled(object: &Object, users: &Users) -> Vec<Hook> {
    let view: View = object.view().unwrap_or_else(|error| {
        tracing::error!(configuration = object.name(), %error, "not understood");
        View::default()
    });
    let mut same: HashMap<String, usize> = HashMap::new();
    let hook = |view: HookView| {
        let number = same.entry(view.name.clone()).or_default();
        let id = format!("{}/{}/{number}", object.name(), view.name);
        *number += 1;
        let ignore = view.failure_policy == "Ignore";
        Hook {
            id,
            configuration: object.name().to_owned(),
            endpoint: view.client_config.endpoint(users),
            matching: Matching::new(view.matching),
            conditions: Conditions::new(&view.match_conditions, ignore),
            ignore,
            dry_run: matches!(view.side_effects.as_str(), "None" | "NoneOnDryRun"),
            patience: Duration::from_secs(view.timeout_seconds.unwrap_or(10).clamp(1, 30)),
            review: view
                .admission_review_versions
                .iter()
                .find_map(|version| Review::of(version)),
            again: view.reinvocation_policy == "IfNeeded",
            name: view.name,
        }
    };
    view.webhooks.into_iter().map(hook).collect()
}

/// The webhooks that are configured, by the names of their configurations.
pub struct Configurations {
    reader: Reader,
    resource: Gvr,
    users: Users,
    now: RwLock<Compiled>,
}

#[derive(Default)]
struct Compiled {
    /// The change that it is of.
    revision: u64,
    hooks: Arc<[Arc<Hook>]>,
    /// By the configuration's UID: the revision that it was compiled of. What did not change keeps its connections.
    sources: BTreeMap<String, (u64, Vec<Arc<Hook>>)>,
}

impl Configurations {
    /// Those of `resource`, asked as one of `users`.
    pub fn new(reader: Reader, resource: Gvr, users: Users) -> Self {
        Self {
            reader,
            resource,
            users,
            now: RwLock::default(),
        }
    }

    /// The hooks as they are now, in the order in which they are asked.
    pub fn hooks(&self) -> Arc<[Arc<Hook>]> {
        let revision = self.reader.changed(&self.resource);
        {
            let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
            if now.revision == revision {
                return now.hooks.clone();
            }
        }
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if now.revision != revision {
            let before = std::mem::take(&mut now.sources);
            let mut hooks = Vec::new();
            for object in self.reader.list(&self.resource, "") {
                let version = object.resource_version();
                let own = match before.get(object.uid()) {
                    Some((of, own)) if *of == version => own.clone(),
                    _ => compiled(&object, &self.users).into_iter().map(Arc::new).collect(),
                };
                hooks.extend(own.iter().cloned());
                now.sources.insert(object.uid().to_owned(), (version, own));
            }
            now.hooks = hooks.into();
            now.revision = revision;
        }
        now.hooks.clone()
    }
}
