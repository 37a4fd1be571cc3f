//! `/exec`, `/attach`, `/portForward`: sessions with containers, over WebSocket or SPDY.

use super::{Answer, flag, query};
use crate::{Kubelet, registry::Input};
use api::Status;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, StatusCode, body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use runtime::{ContainerId, ContainerState, ContainerStatus, Duplex, ExecRequest, SandboxId, Streams};
use std::{collections::BTreeMap, sync::Arc};
use streams::{Ends, Handshake, Outcome, Purpose, Refusal, Wanted, Wire};

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
        let (response, wire, upgrade) = match upgrade(&mut request, Purpose::Command)? {
            Ok(upgrade) => upgrade,
            Err(refused) => return Ok(refused),
        };
        let exec = ExecRequest {
            container: id,
            command,
            tty: wanted.tty,
        };
        let runtime = self.shared.runtime.clone();
        self.session(upgrade, wire, wanted, move |streams| async move {
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
        let (response, wire, upgrade) = match upgrade(&mut request, Purpose::Command)? {
            Ok(upgrade) => upgrade,
            Err(refused) => return Ok(refused),
        };
        let runtime = self.shared.runtime.clone();
        self.session(upgrade, wire, wanted, move |streams| async move {
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
        wire: Wire,
        wanted: Wanted,
        run: impl FnOnce(Streams) -> F + Send + 'static,
    ) where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let clock = self.shared.env.clock.clone();
        self.shared.env.tasks.spawn("session", async move {
            let Ok(io) = upgrade.await else { return };
            let streams = |ends: Ends| Streams {
                stdin: ends.stdin,
                stdout: ends.stdout,
                stderr: ends.stderr,
                resize: ends.resize,
            };
            let io = TokioIo::new(io);
            let served = streams::serve(io, wire, wanted, &clock, |ends| run(streams(ends))).await;
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
        let input = self.find(ns, pod)?;
        let sandbox = self.sandbox(&input.pod.metadata.uid).await?;
        let (response, wire, upgrade) = match upgrade(&mut request, Purpose::Forward)? {
            Ok(upgrade) => upgrade,
            Err(refused) => return Ok(refused),
        };
        let ports = match wire {
            Wire::Socket(_) => ports(&query)?,
            // Each connection names its own.
            Wire::Spdy(_) | Wire::Tunnel | Wire::Output(_) => Vec::new(),
        };
        let clock = self.shared.env.clock.clone();
        let runtime = self.shared.runtime.clone();
        self.shared.env.tasks.spawn("port-forward", async move {
            let Ok(io) = upgrade.await else { return };
            let connect =
                move |port: u16| -> futures::future::BoxFuture<'static, Result<Box<dyn Duplex>, String>> {
                    let (runtime, sandbox) = (runtime.clone(), sandbox.clone());
                    Box::pin(async move {
                        let name = sandbox.0.clone();
                        let stream = runtime.port_forward(sandbox, port).await;
                        stream.map_err(|e| format!("error forwarding port {port} to pod {name}, uid : {e}"))
                    })
                };
            if let Err(error) = streams::forward(TokioIo::new(io), wire, &ports, &clock, &connect).await {
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

/// The ports that a request names for WebSocket.
fn ports(query: &BTreeMap<String, Vec<String>>) -> Result<Vec<u16>, Status> {
    let given = query.get("port").or_else(|| query.get("ports"));
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return Err(Status::bad_request("query parameter \"port\" is required"));
    };
    let mut ports = Vec::new();
    for text in given.iter().flat_map(|list| list.split(',')) {
        match text.parse::<u16>() {
            _ if text.is_empty() => {
                return Err(Status::bad_request("query parameter \"port\" cannot be empty"));
            }
            Ok(0) => return Err(Status::bad_request(format!("port {text:?} must be > 0"))),
            Ok(port) => ports.push(port),
            Err(_) => {
                let why = format!("unable to parse {text:?} as a port: invalid syntax");
                return Err(Status::bad_request(why));
            }
        }
    }
    // Each has two channels, which are numbered by one byte.
    if ports.len() > 64 {
        return Err(Status::bad_request("at most 64 ports can be forwarded at once"));
    }
    Ok(ports)
}

type Upgraded = (Response<super::Body>, Wire, OnUpgrade);

/// The answer to a request for an upgrade, and what it leads to; or the answer that refuses it.
fn upgrade(
    request: &mut Request<Incoming>,
    purpose: Purpose,
) -> Result<Result<Upgraded, Response<super::Body>>, Status> {
    let headers = request.headers();
    let accepted = streams::accept(purpose, |name| {
        let values = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
        let values: Vec<&str> = values.collect();
        (!values.is_empty()).then(|| values.join(","))
    });
    let Handshake { wire, headers } = match accepted {
        Ok(handshake) => handshake,
        Err(refusal) => return refuse(&refusal).map(Err),
    };
    let mut builder = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    let body = Empty::<Bytes>::new()
        .map_err(|never| match never {})
        .boxed_unsync();
    let response = builder.body(body).map_err(Status::internal)?;
    Ok(Ok((response, wire, hyper::upgrade::on(request))))
}

/// In plain text, as upstream.
fn refuse(refusal: &Refusal) -> Result<Response<super::Body>, Status> {
    let mut response = super::text(format!("{}\n", refusal.message));
    *response.status_mut() = StatusCode::from_u16(refusal.code).map_err(Status::internal)?;
    for version in refusal.accepted {
        let value = hyper::header::HeaderValue::from_static(version);
        response
            .headers_mut()
            .append("x-accepted-stream-protocol-versions", value);
    }
    Ok(response)
}
