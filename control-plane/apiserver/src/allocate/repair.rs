//! What a crash left between a claim and a write is put right, now and then.
//! Upstream: `pkg/registry/core/service/portallocator/controller`, `ipallocator/controller`.

use super::{ServiceView, claim::ports_of};
use crate::{Server, handler::Handler, security::User};
use api::{Object, Status};
use client::{About, Client, Recorder, Severity};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

/// How often it is looked.
const PERIOD: Duration = Duration::from_secs(180);
/// A port that nobody has is given back when it was seen so often: its Service may be on its way.
const PATIENCE: u32 = 4;

/// How often each port was seen that is taken and nobody's.
type Leaks = BTreeMap<u16, u32>;

impl Server {
    /// Repairs what is taken, from now on.
    pub(crate) fn repair(self: &Arc<Self>) {
        let env = self.handler.env.clone();
        let user = User::new("system:apiserver", &["system:masters", "system:authenticated"]);
        let client = Client::new(self.local(user), "kube-apiserver");
        let ports = Recorder::start(&client, "portallocator-repair-controller", "", &env);
        let addresses = Recorder::start(&client, "ipallocator-repair-controller", "", &env);
        let (server, tasks) = (self.clone(), env.tasks.clone());
        tasks.spawn("repair", async move {
            let mut leaks = Leaks::new();
            loop {
                env.clock.sleep(PERIOD).await;
                let repaired = server.handler.repair_ports(&mut leaks, &ports).await;
                let adopted = server.handler.adopt_addresses(Some(&addresses)).await;
                for failed in [repaired, adopted].into_iter().filter_map(Result::err) {
                    tracing::warn!(error = %failed, "what Services have taken is not repaired");
                }
            }
        });
    }
}

/// Tells that something is wrong with a Service.
pub(super) fn tell(recorder: &Recorder, service: &Object, reason: &str, why: String) {
    let about = About {
        api_version: "v1".to_owned(),
        kind: "Service".to_owned(),
        ..About::object(service)
    };
    recorder.record(about, Severity::Warning, reason, why);
}

impl Handler {
    /// Sets what Services have in the record of ports, and clears what has been nobody's for long.
    async fn repair_ports(&self, leaks: &mut Leaks, recorder: &Recorder) -> Result<(), Status> {
        let (Some(record), Some(cache)) = (self.stored_ports().await?, self.cache("", "services")) else {
            return Ok(());
        };
        let range = &self.allocator.ports;
        let taken = |port: u16| record.has(usize::from(port.saturating_sub(*range.start())));
        let mut owners: BTreeMap<u16, Arc<Object>> = BTreeMap::new();
        for service in cache.snapshot().hubs(cache.row, "") {
            for port in ports_of(&ServiceView::of(Some(&service)).picked()) {
                if !range.contains(&port) {
                    let (first, last) = (range.start(), range.end());
                    let why = format!(
                        "Port {port} is not within the port range {first}-{last}; please recreate service"
                    );
                    tell(recorder, &service, "PortOutOfRange", why);
                    continue;
                }
                match owners.entry(port) {
                    Entry::Vacant(free) => drop(free.insert(service.clone())),
                    Entry::Occupied(_) => {
                        let why =
                            format!("Port {port} was assigned to multiple services; please recreate service");
                        tell(recorder, &service, "PortAlreadyAllocated", why);
                    }
                }
            }
        }
        for (port, service) in owners.iter().filter(|(port, _)| !taken(**port)) {
            let why = format!("Port {port} is not allocated; repairing");
            tell(recorder, service, "PortNotAllocated", why);
            self.change_record(&[*port], true).await?;
        }
        let nobodys = |port: &u16| taken(*port) && !owners.contains_key(port) && !self.allocator.holds(*port);
        leaks.retain(|port, _| nobodys(port));
        for port in range.clone().filter(nobodys) {
            let seen = leaks.entry(port).or_default();
            *seen += 1;
            if *seen >= PATIENCE {
                tracing::warn!(port, "the node port appears to have leaked: cleaning up");
                self.change_record(&[port], false).await?;
            }
        }
        Ok(())
    }
}
