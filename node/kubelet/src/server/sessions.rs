//! `/exec`, `/attach`, `/portForward`: WebSocket sessions with containers.

use super::{Answer, flag, query};
use crate::{Kubelet, registry::Input};
use api::Status;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, StatusCode, body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use runtime::{ContainerId, ContainerState, ContainerStatus, Duplex, ExecRequest, SandboxId, Streams};
use std::{collections::BTreeMap, sync::Arc};
use streams::{Ends, Outcome, Wanted, channel::Protocol};

impl Kubelet {
    /// The pod of that name here.
    pub(super) fn find(&self, namespace: &str, name: &str) -> Result<Input, Status> {
        let pods = self.shared.registry.pods();
        let is_it =
            |input: &&Input| input.pod.metadata.namespace == namespace && input.pod.metadata.name == name;
        let found = pods.iter().find(is_it).cloned();
        found.ok_or_else(|| Status::not_found(&crate::resources::PODS, name))
    }

    async fn sandbox(&self, uid: &str) -> Result<SandboxId, Status> {
        let all = self.shared.runtime.sandboxes().await.map_err(Status::internal)?;
        let ready = all
            .into_iter()
            .filter(|s| s.uid == uid && s.ready)
            .max_by_key(|s| s.attempt);
        ready
            .map(|s| s.id)
            .ok_or_else(|| Status::bad_request("pod has no running sandbox"))
    }

    /// Instances of a container, newest first.
    pub(super) async fn instances(&self, uid: &str, container: &str) -> Result<Vec<ContainerStatus>, Status> {
        let sandboxes = self.shared.runtime.sandboxes().await.map_err(Status::internal)?;
        let mut found = Vec::new();
        for sandbox in sandboxes.into_iter().filter(|s| s.uid == uid) {
            let containers = self
                .shared
                .runtime
                .containers(Some(sandbox.id))
                .await
                .map_err(Status::internal)?;
            found.extend(containers.into_iter().filter(|c| c.name == container));
        }
        found.sort_by_key(|c| std::cmp::Reverse((c.attempt, c.created_at)));
        Ok(found)
    }

    async fn running(&self, ns: &str, pod: &str, container: &str) -> Result<ContainerId, Status> {
        let input = self.find(ns, pod)?;
        let instances = self.instances(&input.pod.metadata.uid, container).await?;
        let running = instances
            .into_iter()
            .find(|c| c.state == ContainerState::Running)
            .map(|c| c.id);
        running.ok_or_else(|| Status::internal(format!("container not found ({container:?})")))
    }

    pub(super) async fn exec(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        ns: &str,
        pod: &str,
        container: &str,
    ) -> Answer {
        let mut query = query(&request);
        let command = query.remove("command").unwrap_or_default();
        if command.is_empty() {
            return Err(Status::bad_request(
                "you must specify at least 1 command for the container",
            ));
        }
        let wanted = wanted(&query)?;
        let id = self.running(ns, pod, container).await?;
        let (response, protocol, upgrade) = upgrade(&mut request)?;
        let exec = ExecRequest {
            container: id,
            command,
            tty: wanted.tty,
        };
        let runtime = self.shared.runtime.clone();
        self.session(upgrade, protocol, wanted, move |streams| async move {
            match runtime.exec(exec, streams).await {
                Ok(code) => Outcome::Exited(code),
                Err(error) => Outcome::Failed(format!("error executing command in container: {error}")),
            }
        });
        Ok(response)
    }

    pub(super) async fn attach(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        ns: &str,
        pod: &str,
        container: &str,
    ) -> Answer {
        let wanted = wanted(&query(&request))?;
        let id = self.running(ns, pod, container).await?;
        let (response, protocol, upgrade) = upgrade(&mut request)?;
        let runtime = self.shared.runtime.clone();
        self.session(upgrade, protocol, wanted, move |streams| async move {
            match runtime.attach(id, streams).await {
                Ok(()) => Outcome::Exited(0),
                Err(error) => Outcome::Failed(format!("error attaching to container: {error}")),
            }
        });
        Ok(response)
    }

    fn session<F>(
        &self,
        upgrade: OnUpgrade,
        protocol: Protocol,
        wanted: Wanted,
        run: impl FnOnce(Streams) -> F + Send + 'static,
    ) where
        F: Future<Output = Outcome> + Send + 'static,
    {
        self.shared.env.tasks.spawn("session", async move {
            let Ok(io) = upgrade.await else { return };
            let streams = |ends: Ends| Streams {
                stdin: ends.stdin,
                stdout: ends.stdout,
                stderr: ends.stderr,
                resize: ends.resize,
            };
            let served = streams::serve(TokioIo::new(io), protocol, wanted, |ends| run(streams(ends))).await;
            if let Err(error) = served {
                tracing::debug!(%error, "session ended");
            }
        });
    }

    pub(super) async fn port_forward(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        ns: &str,
        pod: &str,
    ) -> Answer {
        let query = query(&request);
        let given = query
            .get("port")
            .or_else(|| query.get("ports"))
            .cloned()
            .unwrap_or_default();
        let ports: Result<Vec<u16>, _> = given.iter().flat_map(|p| p.split(',')).map(str::parse).collect();
        let ports = ports
            .ok()
            .filter(|p| !p.is_empty() && p.len() <= 64 && !p.contains(&0));
        let ports = ports.ok_or_else(|| Status::bad_request("query parameter \"port\" is required"))?;
        let input = self.find(ns, pod)?;
        let sandbox = self.sandbox(&input.pod.metadata.uid).await?;
        let (response, _, upgrade) = upgrade(&mut request)?;
        let runtime = self.shared.runtime.clone();
        self.shared.env.tasks.spawn("port-forward", async move {
            let Ok(io) = upgrade.await else { return };
            let connect =
                move |port: u16| -> futures::future::BoxFuture<'static, Result<Box<dyn Duplex>, String>> {
                    let (runtime, sandbox) = (runtime.clone(), sandbox.clone());
                    Box::pin(async move {
                        runtime
                            .port_forward(sandbox, port)
                            .await
                            .map_err(|e| e.to_string())
                    })
                };
            if let Err(error) = streams::forward(TokioIo::new(io), &ports, &connect).await {
                tracing::debug!(%error, "port-forward ended");
            }
        });
        Ok(response)
    }
}

fn wanted(query: &BTreeMap<String, Vec<String>>) -> Result<Wanted, Status> {
    let tty = flag(query, &["tty"]);
    let wanted = Wanted {
        stdin: flag(query, &["input", "stdin"]),
        stdout: flag(query, &["output", "stdout"]),
        // A terminal has one output.
        stderr: flag(query, &["error", "stderr"]) && !tty,
        tty,
    };
    if !wanted.stdin && !wanted.stdout && !wanted.stderr {
        return Err(Status::bad_request(
            "you must specify at least 1 of stdin, stdout, stderr",
        ));
    }
    Ok(wanted)
}

fn upgrade(request: &mut Request<Incoming>) -> Result<(Response<super::Body>, Protocol, OnUpgrade), Status> {
    let headers = request.headers();
    let handshake = streams::accept(|name| headers.get(name).and_then(|v| v.to_str().ok()));
    let Some(handshake) = handshake else {
        return Err(Status::bad_request(
            "unable to upgrade: only WebSocket with v5.channel.k8s.io or v4.channel.k8s.io",
        ));
    };
    let mut builder = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    for (name, value) in handshake.headers() {
        builder = builder.header(name, value);
    }
    let body = Empty::<Bytes>::new()
        .map_err(|never| match never {})
        .boxed_unsync();
    let response = builder.body(body).map_err(Status::internal)?;
    Ok((response, handshake.protocol, hyper::upgrade::on(request)))
}
