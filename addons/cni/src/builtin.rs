//! Our own pod network in this process: bridge and host-local, without a fork.

use crate::{
    Assigned, Attachment, Cni, Error, bridge, host_local, hostport, masquerade,
    spec::{Config, Failure, Ipam, Range, ValidAttachment, code},
};
use component::Tasks;
use futures::{FutureExt, future::BoxFuture};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// Settings of [`BuiltIn`].
#[derive(Clone, Debug)]
pub struct BuiltInConfig {
    /// Name of the network; its state is in a folder of that name under `data_dir`.
    pub network: String,
    /// Name of the bridge.
    pub bridge: String,
    /// Where state is kept.
    pub data_dir: PathBuf,
    /// MTU; 0: the kernel's choice.
    pub mtu: u32,
    /// Networks of all pods of the cluster; traffic to them is not masqueraded.
    pub cluster_cidrs: Vec<String>,
}

impl Default for BuiltInConfig {
    fn default() -> Self {
        Self {
            network: "ferrokube".to_owned(),
            bridge: "cni0".to_owned(),
            data_dir: "/var/lib/cni/networks".into(),
            mtu: 0,
            cluster_cidrs: vec!["10.244.0.0/16".to_owned()],
        }
    }
}

/// The built-in network. Clones share it. It is not ready before [`BuiltIn::set_pod_cidr`].
#[derive(Clone, Debug)]
pub struct BuiltIn {
    tasks: Tasks,
    settings: BuiltInConfig,
    pod_cidrs: Arc<Mutex<Vec<String>>>,
}

impl BuiltIn {
    /// A network that does its work in `tasks`.
    pub fn new(tasks: Tasks, settings: BuiltInConfig) -> Self {
        Self {
            tasks,
            settings,
            pod_cidrs: Arc::default(),
        }
    }

    /// Gives it the addresses of this node's pods, as they are in the Node: one CIDR, or one of each family with a
    /// comma between. Pods that are attached keep theirs.
    pub fn set_pod_cidr(&self, cidr: &str) -> Result<(), Error> {
        let cidrs: Vec<String> = cidr.split(',').map(|part| part.trim().to_owned()).collect();
        for cidr in &cidrs {
            cidr.parse::<crate::cidr::Cidr>().map_err(Error::Config)?;
        }
        *self.pod_cidrs.lock().unwrap_or_else(PoisonError::into_inner) = cidrs;
        Ok(())
    }

    fn config(&self) -> Option<Config> {
        let cidrs = self
            .pod_cidrs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if cidrs.is_empty() {
            return None;
        }
        Some(self.config_for(cidrs))
    }

    fn config_for(&self, cidrs: Vec<String>) -> Config {
        let set = |subnet| {
            vec![Range {
                subnet,
                ..Range::default()
            }]
        };
        let ipam = Ipam {
            kind: "host-local".to_owned(),
            ranges: cidrs.into_iter().map(set).collect(),
            data_dir: self.settings.data_dir.display().to_string(),
            ..Ipam::default()
        };
        Config {
            cni_version: crate::spec::NEWEST.to_owned(),
            name: self.settings.network.clone(),
            kind: "bridge".to_owned(),
            bridge: self.settings.bridge.clone(),
            is_gateway: true,
            is_default_gateway: true,
            ip_masq: true,
            hairpin_mode: true,
            mtu: self.settings.mtu,
            route_via_gateway: true,
            no_masquerade: self.settings.cluster_cidrs.clone(),
            ipam: Some(ipam),
            ..Config::default()
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        command: &'static str,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Error> {
        let done = self.tasks.blocking(work).await;
        let done = done.unwrap_or_else(|| Err(Failure::new(code::INTERNAL, "the work was cut off")));
        done.map_err(|failure| Error::of("bridge", command, failure))
    }

    /// Gives back what attachments other than these (container id, interface) hold: those of containers that went
    /// while nobody looked, as when the machine was started anew.
    pub async fn collect_garbage(&self, valid: &[(String, String)]) -> Result<(), Error> {
        let owner = |(id, ifname): &(String, String)| ValidAttachment {
            container_id: id.clone(),
            ifname: ifname.clone(),
        };
        let valid: Vec<ValidAttachment> = valid.iter().map(owner).collect();
        let config = self.config_for(Vec::new());
        self.blocking("GC", move || {
            host_local::collect_garbage(&config, &valid)?;
            hostport::collect_garbage(&config, &valid)?;
            bridge::collect_garbage(&config, &valid)
        })
        .await
    }

    /// Removes all that this network made on the host: bridge, pairs, nftables table, state. Pods lose their network.
    pub async fn purge(&self) -> Result<(), Error> {
        let settings = self.settings.clone();
        self.blocking("purge", move || {
            bridge::purge(&settings.bridge)?;
            masquerade::purge()?;
            match std::fs::remove_dir_all(settings.data_dir.join(&settings.network)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(Failure::internal("removing the addresses' state", error))
                }
                _ => Ok(()),
            }
        })
        .await
    }
}

fn call(attachment: &Attachment) -> bridge::Call {
    let owner = ValidAttachment {
        container_id: attachment.container_id.clone(),
        ifname: attachment.ifname.clone(),
    };
    bridge::Call {
        owner,
        netns: attachment.netns_path.clone(),
        ..bridge::Call::default()
    }
}

fn uninitialized() -> Error {
    Error::NotReady("cni config uninitialized".to_owned())
}

impl Cni for BuiltIn {
    fn add(&self, attachment: &Attachment) -> BoxFuture<'_, Result<Assigned, Error>> {
        let (call, mappings) = (call(attachment), attachment.port_mappings.clone());
        async move {
            let config = self.config().ok_or_else(uninitialized)?;
            self.blocking("ADD", move || {
                let outcome = bridge::add(&config, &call)?;
                if let Err(failure) = hostport::add(&config, &call.owner, &outcome, &mappings) {
                    let _ = bridge::del(&config, &call);
                    return Err(failure);
                }
                Ok(Assigned::of(&outcome))
            })
            .await
        }
        .boxed()
    }

    fn del(&self, attachment: &Attachment) -> BoxFuture<'_, Result<(), Error>> {
        let call = call(attachment);
        // Detaching works also before the node's addresses are known: it needs none.
        let config = self.config().unwrap_or_else(|| self.config_for(Vec::new()));
        self.blocking("DEL", move || {
            hostport::del(&config, &call.owner)?;
            bridge::del(&config, &call)
        })
        .boxed()
    }

    fn check(&self, attachment: &Attachment) -> BoxFuture<'_, Result<(), Error>> {
        let call = call(attachment);
        async move {
            let config = self.config().ok_or_else(uninitialized)?;
            self.blocking("CHECK", move || bridge::check(&config, &call))
                .await
        }
        .boxed()
    }

    fn status(&self) -> BoxFuture<'_, Result<(), Error>> {
        let status = if self.config().is_some() {
            Ok(())
        } else {
            Err(uninitialized())
        };
        async move { status }.boxed()
    }
}
