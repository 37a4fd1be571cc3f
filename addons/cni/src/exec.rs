//! Any network of this machine, by the specification: configuration lists in a folder, plugins as executables, results
//! handed from one to the next and kept for the end.

use crate::{
    Assigned, Attachment, Cni, Error,
    process::{self, Environment},
    spec::{Failure, Outcome, RawConfig, code},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use component::Tasks;
use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where things are.
#[derive(Clone, Debug)]
pub struct ExecConfig {
    /// Configurations; the first valid one in order of names is the network.
    pub conf_dir: PathBuf,
    /// Plugin executables.
    pub bin_dirs: Vec<PathBuf>,
    /// Results of attachments, under `results`.
    pub cache_dir: PathBuf,
}

impl Default for ExecConfig {
    fn default() -> Self {
        Self {
            conf_dir: "/etc/cni/net.d".into(),
            bin_dirs: vec!["/opt/cni/bin".into()],
            cache_dir: "/var/lib/cni".into(),
        }
    }
}

/// The network that the configuration folder describes. It is read at each call, so that a network that is put there
/// later is taken up.
#[derive(Clone, Debug)]
pub struct Exec {
    tasks: Tasks,
    config: Arc<ExecConfig>,
}

/// A network: its plugins in order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Network {
    cni_version: String,
    name: String,
    disable_check: bool,
    plugins: Vec<RawConfig>,
}

/// What is kept of an attachment, in libcni's form.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cached {
    kind: String,
    container_id: String,
    config: String,
    if_name: String,
    network_name: String,
    result: Option<Box<RawValue>>,
}

const CACHE_KIND: &str = "cniCacheV1";

impl Exec {
    /// A network that does its work in `tasks`.
    pub fn new(tasks: Tasks, config: ExecConfig) -> Self {
        Self {
            tasks,
            config: Arc::new(config),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ExecConfig) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let config = self.config.clone();
        let done = self.tasks.blocking(move || work(&config)).await;
        done.unwrap_or_else(|| Err(Error::Internal("the work was cut off".to_owned())))
    }
}

impl Cni for Exec {
    fn add(&self, attachment: &Attachment) -> BoxFuture<'_, Result<Assigned, Error>> {
        let attachment = attachment.clone();
        self.blocking(move |config| {
            let network = load(&config.conf_dir)?;
            let added = add(config, &network, &attachment);
            if added.is_err() {
                // What the first plugins made is taken back; the failure that counts is the first.
                let _ = del(config, &network, &attachment, None);
            }
            added
        })
        .boxed()
    }

    fn del(&self, attachment: &Attachment) -> BoxFuture<'_, Result<(), Error>> {
        let attachment = attachment.clone();
        self.blocking(move |config| {
            // An attachment ends with the configuration it was made with.
            let cached = cached(config, &attachment);
            let network = match cached.as_ref().and_then(|cached| cached.network()) {
                Some(network) => network,
                None => match load(&config.conf_dir) {
                    Ok(network) => network,
                    Err(Error::NotReady(_)) => return Ok(()),
                    Err(error) => return Err(error),
                },
            };
            del(
                config,
                &network,
                &attachment,
                cached.and_then(|cached| cached.result),
            )?;
            match fs::remove_file(cache_file(config, &attachment)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::Internal(error.to_string()))
                }
                _ => Ok(()),
            }
        })
        .boxed()
    }

    fn check(&self, attachment: &Attachment) -> BoxFuture<'_, Result<(), Error>> {
        let attachment = attachment.clone();
        self.blocking(move |config| {
            let cached = cached(config, &attachment).ok_or_else(|| {
                Error::Internal(format!("no result of {} is kept", attachment.container_id))
            })?;
            let network = match cached.network() {
                Some(network) => network,
                None => load(&config.conf_dir)?,
            };
            if network.disable_check || network.cni_version.starts_with("0.3") {
                return Ok(());
            }
            for plugin in &network.plugins {
                run(
                    "CHECK",
                    config,
                    &network,
                    plugin,
                    Some(&attachment),
                    cached.result.as_deref(),
                )?;
            }
            Ok(())
        })
        .boxed()
    }

    fn status(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.blocking(|config| {
            let network = load(&config.conf_dir)?;
            // Older versions have no STATUS.
            if network.cni_version.as_str() < "1.1.0" {
                return Ok(());
            }
            for plugin in &network.plugins {
                run("STATUS", config, &network, plugin, None, None).map_err(|error| match error {
                    Error::Plugin { message, .. } => Error::NotReady(message),
                    other => other,
                })?;
            }
            Ok(())
        })
        .boxed()
    }
}

/// The first network in the folder.
fn load(conf_dir: &Path) -> Result<Network, Error> {
    let listed = fs::read_dir(conf_dir).map(|entries| entries.flatten().map(|entry| entry.path()).collect());
    let mut files: Vec<PathBuf> = listed.unwrap_or_default();
    let known = |file: &PathBuf| {
        file.extension().is_some_and(|extension| {
            ["conf", "conflist", "json"]
                .iter()
                .any(|known| extension == *known)
        })
    };
    files.retain(known);
    files.sort();
    for file in files {
        match parse(&file) {
            Ok(network) => return Ok(network),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "network configuration is passed over")
            }
        }
    }
    Err(Error::NotReady("cni config uninitialized".to_owned()))
}

fn parse(file: &Path) -> Result<Network, Error> {
    let invalid = |text: String| Error::Config(text);
    let text = fs::read(file).map_err(|e| invalid(e.to_string()))?;
    let network = if file.extension().is_some_and(|extension| extension == "conflist") {
        serde_json::from_slice(&text).map_err(|e| invalid(e.to_string()))?
    } else {
        let plugin: RawConfig = serde_json::from_slice(&text).map_err(|e| invalid(e.to_string()))?;
        Network {
            cni_version: string(&plugin, "cniVersion"),
            name: string(&plugin, "name"),
            plugins: vec![plugin],
            ..Network::default()
        }
    };
    if network.name.is_empty() {
        return Err(invalid("no network name".to_owned()));
    }
    if network.plugins.is_empty()
        || network
            .plugins
            .iter()
            .any(|plugin| string(plugin, "type").is_empty())
    {
        return Err(invalid("a plugin without type, or none".to_owned()));
    }
    Ok(network)
}

fn string(config: &RawConfig, key: &str) -> String {
    config
        .get(key)
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default()
}

fn add(config: &ExecConfig, network: &Network, attachment: &Attachment) -> Result<Assigned, Error> {
    let mut result: Option<Box<RawValue>> = None;
    for plugin in &network.plugins {
        let output = run(
            "ADD",
            config,
            network,
            plugin,
            Some(attachment),
            result.as_deref(),
        )?;
        let printed = serde_json::from_slice(&output);
        result = Some(printed.map_err(|e| Error::Internal(format!("{}: {e}", string(plugin, "type"))))?);
    }
    let outcome: Outcome = match &result {
        Some(raw) => serde_json::from_str(raw.get())
            .map_err(|e| Error::Internal(format!("result of the network: {e}")))?,
        None => Outcome::default(),
    };
    let keep = || -> std::io::Result<()> {
        let cached = Cached {
            kind: CACHE_KIND.to_owned(),
            container_id: attachment.container_id.clone(),
            config: BASE64_STANDARD.encode(serde_json::to_vec(network)?),
            if_name: attachment.ifname.clone(),
            network_name: network.name.clone(),
            result,
        };
        fs::create_dir_all(config.cache_dir.join("results"))?;
        fs::write(cache_file(config, attachment), serde_json::to_vec(&cached)?)
    };
    keep().map_err(|e| Error::Internal(format!("keeping the result: {e}")))?;
    Ok(Assigned::of(&outcome))
}

fn del(
    config: &ExecConfig,
    network: &Network,
    attachment: &Attachment,
    result: Option<Box<RawValue>>,
) -> Result<(), Error> {
    for plugin in network.plugins.iter().rev() {
        run(
            "DEL",
            config,
            network,
            plugin,
            Some(attachment),
            result.as_deref(),
        )?;
    }
    Ok(())
}

/// Runs a plugin with the configuration derived for it.
fn run(
    command: &str,
    config: &ExecConfig,
    network: &Network,
    plugin: &RawConfig,
    attachment: Option<&Attachment>,
    result: Option<&RawValue>,
) -> Result<Vec<u8>, Error> {
    let kind = string(plugin, "type");
    let failed = |failure: Failure| Error::of(&kind, command, failure);
    let input = derive(network, plugin, attachment, result)
        .map_err(|e| failed(Failure::new(code::INVALID_CONFIG, e.to_string())))?;
    let mut environment = Environment {
        command: command.to_owned(),
        path: config.bin_dirs.clone(),
        ..Environment::default()
    };
    if let Some(attachment) = attachment {
        environment.container_id = attachment.container_id.clone();
        environment.netns = attachment.netns_path.clone();
        environment.ifname = attachment.ifname.clone();
        environment.args = format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={}",
            attachment.pod_namespace, attachment.pod_name, attachment.container_id, attachment.pod_uid
        );
    }
    process::run(&kind, &environment, &input).map_err(failed)
}

fn derive(
    network: &Network,
    plugin: &RawConfig,
    attachment: Option<&Attachment>,
    result: Option<&RawValue>,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut derived = plugin.clone();
    derived.insert("name".to_owned(), to_raw_value(&network.name)?);
    derived.insert("cniVersion".to_owned(), to_raw_value(&network.cni_version)?);
    if let Some(result) = result {
        derived.insert("prevResult".to_owned(), result.to_owned());
    }
    let capabilities: BTreeMap<String, bool> = match derived.remove("capabilities") {
        Some(raw) => serde_json::from_str(raw.get())?,
        None => BTreeMap::new(),
    };
    let mappings = attachment
        .map(|attachment| attachment.port_mappings.as_slice())
        .unwrap_or_default();
    if capabilities.get("portMappings").copied().unwrap_or_default() && !mappings.is_empty() {
        derived.insert(
            "runtimeConfig".to_owned(),
            to_raw_value(&BTreeMap::from([("portMappings", mappings)]))?,
        );
    }
    serde_json::to_vec(&derived)
}

fn cache_file(config: &ExecConfig, attachment: &Attachment) -> PathBuf {
    config
        .cache_dir
        .join("results")
        .join(format!("{}-{}", attachment.container_id, attachment.ifname))
}

fn cached(config: &ExecConfig, attachment: &Attachment) -> Option<Cached> {
    let text = fs::read(cache_file(config, attachment)).ok()?;
    serde_json::from_slice(&text).ok()
}

impl Cached {
    fn network(&self) -> Option<Network> {
        serde_json::from_slice(&BASE64_STANDARD.decode(&self.config).ok()?).ok()
    }
}
