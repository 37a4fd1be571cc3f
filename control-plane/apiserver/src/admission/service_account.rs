//! ServiceAccount, the part that refuses: which secrets the pods of an account may refer to, and what mirror pods may not
//! (upstream `plugin/pkg/admission/serviceaccount`). What it adds to a pod belongs to how pods are written.

use super::{Attributes, Operation, Parts, Plugin};
use crate::Reader;
use api::{Gvr, Status};
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeMap;

const ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";
const MIRROR: &str = "kubernetes.io/config.mirror";

/// The plugin.
pub struct ServiceAccount {
    reader: Reader,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Account {
    secrets: Vec<Named>,
    image_pull_secrets: Vec<Named>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    metadata: Meta,
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    service_account_name: String,
    image_pull_secrets: Vec<Named>,
    volumes: Vec<Volume>,
    init_containers: Vec<Container>,
    containers: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Volume {
    secret: Option<SecretVolume>,
    projected: Projected,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecretVolume {
    secret_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Projected {
    sources: Vec<Source>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Source {
    secret: Option<IgnoredAny>,
    service_account_token: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: String,
    env: Vec<Variable>,
    env_from: Vec<From>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Variable {
    name: String,
    value_from: ValueFrom,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ValueFrom {
    secret_key_ref: Option<Named>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct From {
    secret_ref: Option<IgnoredAny>,
}

impl ServiceAccount {
    /// The plugin.
    pub fn new(parts: &Parts) -> Self {
        Self {
            reader: parts.reader.clone(),
        }
    }
}

impl Spec {
    /// What a mirror pod, which an account and its secrets are no matter of, refers to nonetheless.
    fn unfit_for_a_mirror(&self) -> Option<&'static str> {
        if !self.service_account_name.is_empty() {
            return Some("a mirror pod may not reference service accounts");
        }
        let sources = || self.volumes.iter().flat_map(|volume| &volume.projected.sources);
        let mut containers = self.init_containers.iter().chain(&self.containers);
        let secrets = !self.image_pull_secrets.is_empty()
            || self.volumes.iter().any(|volume| volume.secret.is_some())
            || sources().any(|source| source.secret.is_some())
            || containers.any(|container| {
                let keys = container
                    .env
                    .iter()
                    .any(|var| var.value_from.secret_key_ref.is_some());
                keys || container.env_from.iter().any(|from| from.secret_ref.is_some())
            });
        if secrets {
            return Some("a mirror pod may not reference secrets");
        }
        let token = sources().any(|source| source.service_account_token.is_some());
        token.then_some("a mirror pod may not use ServiceAccountToken volume projections")
    }

    /// A secret that the account does not name.
    fn beyond(&self, account: &Account) -> Option<String> {
        let owner = &self.service_account_name;
        let foreign = |name: &str| account.secrets.iter().all(|secret| secret.name != name);
        let mut volumes = self.volumes.iter().filter_map(|volume| volume.secret.as_ref());
        if let Some(SecretVolume { secret_name }) = volumes.find(|secret| foreign(&secret.secret_name)) {
            return Some(format!(
                "volume with secret.secretName=\"{secret_name}\" is not allowed because service account {owner} does not \
                 reference that secret"
            ));
        }
        for (kind, containers) in [
            ("init container", &self.init_containers),
            ("container", &self.containers),
        ] {
            for Container { name, env, .. } in containers {
                let refers = |var: &&Variable| {
                    let secret = var.value_from.secret_key_ref.as_ref();
                    secret.is_some_and(|secret| foreign(&secret.name))
                };
                if let Some(var) = env.iter().find(refers) {
                    let secret = var
                        .value_from
                        .secret_key_ref
                        .as_ref()
                        .map_or("", |secret| &secret.name);
                    return Some(format!(
                        "{kind} {name} with envVar {} referencing secret.secretName=\"{secret}\" is not allowed because \
                         service account {owner} does not reference that secret",
                        var.name
                    ));
                }
            }
        }
        let pulls = &account.image_pull_secrets;
        let mut own = self.image_pull_secrets.iter().enumerate();
        let (at, secret) = own.find(|(_, secret)| pulls.iter().all(|pull| pull.name != secret.name))?;
        Some(format!(
            "imagePullSecrets[{at}].name=\"{}\" is not allowed because service account {owner} does not reference that \
             imagePullSecret",
            secret.name
        ))
    }
}

impl Plugin for ServiceAccount {
    fn validates(&self, request: &Attributes<'_>) -> bool {
        request.is("", "pods") && request.operation == Operation::Create
    }

    fn validate(&self, request: &Attributes<'_>) -> Result<(), Status> {
        let Some(object) = &request.object else {
            return Ok(());
        };
        let name = api::scan::scalar(object.body(), "spec.serviceAccountName").map_err(Status::internal)?;
        let account = self.reader.get(&ACCOUNTS, &request.request().namespace, &name);
        let enforced = account.filter(|account| account.annotation(ENFORCE).as_deref() == Some("true"));
        if enforced.is_none() && object.annotation(MIRROR).is_none() {
            return Ok(());
        }
        let Pod { metadata, spec } = object.view().map_err(Status::internal)?;
        let why = match enforced {
            _ if metadata.annotations.contains_key(MIRROR) => spec.unfit_for_a_mirror().map(str::to_owned),
            Some(account) => spec.beyond(&account.view().map_err(Status::internal)?),
            None => None,
        };
        why.map_or(Ok(()), |why| Err(request.forbidden(&why)))
    }
}
