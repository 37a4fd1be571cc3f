//! A simulated node: the real kubelet over a runtime and a machine of paper.

use crate::Line;
use client::Client;
use component::{Env, Readiness};
use kubelet::{
    Config, Kubelet,
    simulated::{Paper, Simulated},
};
use std::{sync::Arc, time::Duration};

/// A simulated node.
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its line to the API server.
    pub line: Line,
    /// What runs on it.
    pub runtime: Arc<Simulated>,
    index: usize,
    env: Env,
    running: Option<Env>,
    max_pods: u32,
}

impl Node {
    pub(crate) fn new(index: usize, max_pods: u32, env: &Env) -> Self {
        let line = Line::new(env.clock.clone(), env.random.clone());
        let prefix = format!("10.244.{index}.");
        let runtime = Arc::new(Simulated::new(env.clock.clone(), env.random.clone(), &prefix));
        Self {
            name: format!("node-{index}"),
            line,
            runtime,
            index,
            env: env.clone(),
            running: None,
            max_pods,
        }
    }

    /// Starts its kubelet.
    pub(crate) fn start(&mut self) {
        let env = Env {
            ready: Readiness::new(),
            ..self.env.child()
        };
        let config = Config {
            max_pods: self.max_pods,
            ..Config::new(&self.name, format!("192.168.0.{}", self.index + 10))
        };
        let client = Client::new(Arc::new(self.line.clone()), "kubelet");
        Kubelet::start(
            config,
            client,
            self.runtime.clone(),
            Arc::new(Paper::default()),
            env.clone(),
        );
        self.running = Some(env);
    }

    /// Stops its kubelet; what runs runs on.
    pub(crate) async fn stop(&mut self) {
        if let Some(env) = self.running.take() {
            env.tasks.drain(Duration::from_secs(60)).await;
        }
    }
}
