//! What other servers are told about whom to trust: the ConfigMap `extension-apiserver-authentication`.
//! Upstream: `pkg/controlplane/controller/clusterauthenticationtrust`.

use crate::{
    Server,
    cache::{Item, Selection},
    security::Trust,
};
use api::{FieldSelector, Gvr, Key, Object, Status};
use client::{Client, Patch};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

const CONFIG_MAPS: Gvr = Gvr::new("", "v1", "configmaps");
const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_secs(5);

type Data = BTreeMap<String, String>;

/// What is to be said, beside what other servers of the cluster say in `there`.
fn data(trust: &Trust, there: &Data) -> Data {
    let mut data = there.clone();
    let bundle = |data: &mut Data, key: &str, pem: &str| {
        let text = data.entry(key.to_owned()).or_default();
        if !pem.is_empty() && !text.contains(pem.trim()) {
            text.push_str(pem);
        }
        if text.is_empty() {
            data.remove(key);
        }
    };
    bundle(&mut data, "client-ca-file", &trust.client_ca);
    let Some(header) = &trust.request_header else {
        return data;
    };
    bundle(&mut data, "requestheader-client-ca-file", &header.ca);
    for (key, names) in [
        ("requestheader-allowed-names", &header.allowed_names),
        ("requestheader-extra-headers-prefix", &header.extra_prefixes),
        ("requestheader-group-headers", &header.group_headers),
        ("requestheader-uid-headers", &header.uid_headers),
        ("requestheader-username-headers", &header.username_headers),
    ] {
        let said = there
            .get(key)
            .map(|text| serde_json::from_str(text).unwrap_or_default());
        let mut all: Vec<String> = said.unwrap_or_default();
        all.extend(
            names
                .iter()
                .filter(|name| !all.contains(name))
                .cloned()
                .collect::<Vec<_>>(),
        );
        data.insert(key.to_owned(), serde_json::to_string(&all).unwrap_or_default());
    }
    data
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    data: Data,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigMap<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    data: &'a Data,
}

#[derive(Serialize)]
struct Metadata {
    name: &'static str,
}

impl Server {
    /// Says it, if it is not said already.
    pub(crate) async fn publish_trust(&self, client: &Client) -> Result<(), Status> {
        let trust = &self.aggregator.settings.trust;
        let there = self.reader().get(&CONFIG_MAPS, NAMESPACE, NAME);
        let before = |object: &Arc<Object>| object.view::<View>().unwrap_or_default().data;
        let said = there.as_ref().map(before).unwrap_or_default();
        let data = data(trust, &said);
        if data == said {
            return Ok(());
        }
        let map = ConfigMap {
            api_version: "v1",
            kind: "ConfigMap",
            metadata: Metadata { name: NAME },
            data: &data,
        };
        let key = Key::new(NAMESPACE, NAME);
        let written = match there {
            Some(_) => client.patch(&CONFIG_MAPS, &key, "", Patch::Merge, &map).await,
            None => client.create(&CONFIG_MAPS, NAMESPACE, &map).await,
        };
        match written {
            // Another was faster; what it wrote is seen.
            Err(status) if status.is_already_exists() || status.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Keeps it said, as a task.
    pub(crate) fn keep_trust(self: &Arc<Self>) {
        let nothing = self.aggregator.settings.trust == Trust::default();
        let Some(cache) = self.handler.cache("", "configmaps").filter(|_| !nothing) else {
            return;
        };
        let env = self.handler.env.clone();
        let server = Arc::downgrade(self);
        let selection = Selection {
            namespace: NAMESPACE.to_owned(),
            fields: FieldSelector(vec![("metadata.name".to_owned(), true, NAME.to_owned())]),
            ..Selection::default()
        };
        env.tasks
            .clone()
            .spawn("cluster-authentication-trust", async move {
                while let Ok(mut watcher) = cache.watch(selection.clone(), 0, Some(cache.last())) {
                    while let Some(item) = watcher.next().await {
                        let Item::Event(..) = item else { continue };
                        let Some(server) = server.upgrade() else { return };
                        let client = server.aggregation_client();
                        while let Err(status) = server.publish_trust(&client).await {
                            tracing::warn!(%status, "the trust of the cluster is not written");
                            env.clock.sleep(PAUSE).await;
                        }
                    }
                    env.clock.sleep(PAUSE).await;
                }
            });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::RequestHeader;

    #[test]
    fn what_is_said_already_stays() {
        let trust = Trust {
            client_ca: "CLIENT\n".to_owned(),
            request_header: Some(RequestHeader::usual("PROXY\n", "front-proxy-client")),
        };
        let first = data(&trust, &Data::new());
        assert_eq!(first["client-ca-file"], "CLIENT\n");
        assert_eq!(first["requestheader-client-ca-file"], "PROXY\n");
        assert_eq!(first["requestheader-allowed-names"], r#"["front-proxy-client"]"#);
        assert_eq!(first["requestheader-username-headers"], r#"["X-Remote-User"]"#);
        assert_eq!(first["requestheader-group-headers"], r#"["X-Remote-Group"]"#);
        assert_eq!(
            first["requestheader-extra-headers-prefix"],
            r#"["X-Remote-Extra-"]"#
        );
        assert_eq!(data(&trust, &first), first);
        let other = Trust {
            client_ca: "OTHER\n".to_owned(),
            request_header: Some(RequestHeader::usual("PROXY\n", "other")),
        };
        let both = data(&other, &first);
        assert_eq!(both["client-ca-file"], "CLIENT\nOTHER\n");
        assert_eq!(
            both["requestheader-allowed-names"],
            r#"["front-proxy-client","other"]"#
        );
    }
}
