//! Which servers there are on one store: each keeps a key under `/registry/masterleases` by a lease, as upstream's do and
//! beside them, and all see to it that the Service `kubernetes` leads to those.

use crate::{Server, bootstrap::thing, security::User};
use api::Status;
use bytes::Bytes;
use client::Client;
use etcd::{Durability, Error, Op, RangeRequest, TxnRequest};
use serde::Serialize;
use std::{net::IpAddr, sync::Arc, time::Duration};

/// The keys, each ending with an address.
const KEYS: &str = "/registry/masterleases/";
/// How long the key of a server that ended without a word stays, and how often it is looked at. As upstream.
const TTL: Duration = Duration::from_secs(15);
const EVERY: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Subsets {
    subsets: [Subset; 1],
}

#[derive(Serialize)]
struct Subset {
    addresses: [Address; 1],
}

#[derive(Serialize)]
struct Address {
    ip: IpAddr,
}

impl Server {
    /// Makes the Service `kubernetes` lead here, and to the other servers of the same store; with a store that others
    /// may share, keeps it so.
    pub(crate) async fn publish_own(self: &Arc<Self>, client: &Client) -> Result<(), Status> {
        let own = self.own_service();
        if self.handler.feed.is_own() || own.address.is_loopback() || own.address.is_unspecified() {
            return self.publish(client, &own).await;
        }
        let unread = |error: Error| Status::unavailable(error.to_string());
        let lease = self.announce(own.address, 0).await.map_err(unread)?;
        let masters = self.masters().await.map_err(unread)?;
        self.publish_at(client, &own, &masters).await?;
        let (server, tasks) = (self.clone(), self.handler.env.tasks.clone());
        tasks.spawn(
            "masters",
            async move { server.keep_announced(lease, masters).await },
        );
        Ok(())
    }

    async fn keep_announced(self: &Arc<Self>, mut lease: i64, mut told: Vec<IpAddr>) {
        let own = self.own_service();
        let user = User::new("system:apiserver", &["system:masters"]);
        loop {
            let stopping = self.handler.env.tasks.stopping();
            let over = self.handler.env.clock.timeout(EVERY, stopping).await;
            if over.is_some() {
                // It ends by itself if this does not come through.
                let _ = self.handler.store.revoke(lease).await;
                return;
            }
            match self.announce(own.address, lease).await {
                Ok(now) => lease = now,
                Err(error) => {
                    tracing::warn!(%error, "this server is not announced to the others");
                    continue;
                }
            }
            let masters = match self.masters().await {
                Ok(masters) if masters != told && !masters.is_empty() => masters,
                _ => continue,
            };
            let client = Client::new(self.local(user.clone()), "kube-apiserver");
            match self.publish_at(&client, &own, &masters).await {
                Ok(()) => told = masters,
                Err(status) => {
                    tracing::warn!(%status, "the Service of the API servers is not as it should be")
                }
            }
        }
    }

    /// Writes this server's key, or keeps it alive; the lease it lives by.
    async fn announce(&self, address: IpAddr, lease: i64) -> Result<i64, Error> {
        let store = &self.handler.store;
        if lease != 0 {
            match store.keep_alive(lease).await {
                Err(Error::LeaseNotFound) => {}
                kept => return kept.map(|()| lease),
            }
        }
        let lease = store.grant(TTL).await?;
        let subset = Subset {
            addresses: [Address { ip: address }],
        };
        let value = thing("v1", "Endpoints", "", Subsets { subsets: [subset] });
        let value = serde_json::to_vec(&value).map_err(|error| Error::Unavailable(error.to_string()))?;
        let write = TxnRequest {
            key: Bytes::from(format!("{KEYS}{address}")),
            expect: None,
            op: Op::Put {
                value: value.into(),
                lease,
            },
            durability: Durability::Durable,
        };
        store.txn(write).await.map(|_| lease)
    }

    /// The addresses of all servers, in order.
    async fn masters(&self) -> Result<Vec<IpAddr>, Error> {
        let all = RangeRequest {
            start: Bytes::from_static(KEYS.as_bytes()),
            end: crate::cache::end_of(KEYS).into(),
            keys_only: true,
            ..RangeRequest::default()
        };
        let found = self.handler.store.range(all).await?;
        let addresses = found.kvs.iter().filter_map(|kv| {
            let address = kv.key.strip_prefix(KEYS.as_bytes())?;
            std::str::from_utf8(address).ok()?.parse().ok()
        });
        let mut addresses: Vec<IpAddr> = addresses.collect();
        addresses.sort_unstable();
        Ok(addresses)
    }
}
