//! A server, and what stories of quotas and limits do with it.

use super::{Configuration, Limited};
use crate::{fixture, server::Server};
use api::{Gvr, Key, Object, Status};
use client::{Client, Patch, Target, Write};
use component::Env;
use std::sync::Arc;

const QUOTAS: Gvr = super::QUOTAS;

/// A server with the namespace `default` and its account.
pub struct Story {
    pub client: Client,
    pub server: Arc<Server>,
}

impl Story {
    pub async fn new() -> Self {
        Self::limited(Vec::new()).await
    }

    pub async fn limited(limited_resources: Vec<Limited>) -> Self {
        let env = Env::simulated(7);
        let store = etcd::Engine::in_memory(env.clone()).unwrap();
        let mut config = fixture::config(store, resources::table().to_vec(), fixture::no_nodes());
        config.admission.configuration.resource_quota = Configuration { limited_resources };
        Self::start(config, &env).await
    }

    pub async fn start(config: crate::Config, env: &Env) -> Self {
        let server = Server::start(config, env.clone()).await.unwrap();
        server.bootstrap().await.unwrap();
        let client = fixture::client(&server);
        let account = r#"{"metadata":{"name":"default"}}"#;
        let _ = send(&client, &Gvr::new("", "v1", "serviceaccounts"), account).await;
        Self { client, server }
    }

    pub async fn create(&self, gvr: &Gvr, text: &str) -> Result<Arc<Object>, Status> {
        send(&self.client, gvr, text).await
    }

    /// A quota, counted to have nothing used yet.
    pub async fn quota(&self, name: &str, spec: &str) {
        let text = format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{spec}}}"#);
        let quota = self.create(&QUOTAS, &text).await.unwrap();
        let view = api::quota::Quota::new(&quota).unwrap();
        let zero = |name: &String| format!(r#""{name}":"0""#);
        let used: Vec<String> = view.spec.hard.keys().map(zero).collect();
        let hard = serde_json::to_string(&view.spec.hard).unwrap();
        let status = format!(r#"{{"status":{{"hard":{hard},"used":{{{}}}}}}}"#, used.join(","));
        let target = Target::object(&QUOTAS, &Key::new("default", name)).sub("status");
        self.client
            .write(target, Write::Patch(Patch::Merge, status.into()))
            .await
            .unwrap();
    }

    pub async fn used(&self, name: &str) -> String {
        let object = self
            .client
            .get(&QUOTAS, &Key::new("default", name))
            .await
            .unwrap();
        api::quota::print(&api::quota::Quota::new(&object).unwrap().status.used)
    }

    pub async fn refused(&self, gvr: &Gvr, text: &str) -> String {
        self.create(gvr, text).await.unwrap_err().message
    }
}

async fn send(client: &Client, gvr: &Gvr, text: &str) -> Result<Arc<Object>, Status> {
    let target = Target::collection(gvr, "default");
    client.write(target, Write::Create(text.to_owned().into())).await
}
