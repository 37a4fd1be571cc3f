//! Probes and hooks: commands, requests and connections that tell how a container is (upstream: `pkg/kubelet/prober`).

use crate::{
    about,
    machine::Machine,
    registry::Registry,
    view::{Container, Handler, HttpGet, IntOrString, Pod, Probe},
};
use bytes::Bytes;
use client::{Recorder, Severity};
use component::{Clock, Tasks, pki};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use runtime::{ContainerId, ExecRequest, Runtime, Streams};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::mpsc, task::AbortHandle};

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// What probes found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Running containers that are not ready.
    pub unready: BTreeSet<ContainerId>,
    /// Running containers that have not started yet.
    pub starting: BTreeSet<ContainerId>,
    /// Running containers that must be restarted, with their grace and why.
    pub condemned: BTreeMap<ContainerId, (i64, String)>,
}

/// Runs the handlers of probes and hooks.
#[derive(Clone)]
pub struct Prober {
    /// Runs commands.
    pub runtime: Arc<dyn Runtime>,
    /// Connects.
    pub machine: Arc<dyn Machine>,
    /// Times.
    pub clock: Clock,
    /// Where connections with work of their own live.
    pub tasks: Tasks,
}

impl std::fmt::Debug for Prober {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prober")
    }
}

/// Whom a handler is about.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Name of the container.
    pub container: String,
    /// Its instance.
    pub id: ContainerId,
    /// Address of the pod.
    pub ip: String,
}

impl Prober {
    /// Runs `handler`; an error says why it did not succeed.
    pub async fn run(&self, subject: &Subject, handler: &Handler, limit: Duration) -> Result<(), String> {
        let work = async {
            if let Some(exec) = &handler.exec {
                self.exec(&subject.id, exec.command.clone()).await
            } else if let Some(get) = &handler.http_get {
                self.http(subject, get).await
            } else if let Some(tcp) = &handler.tcp_socket {
                let address = subject.address(&tcp.host, &tcp.port)?;
                self.machine
                    .connect(address)
                    .await
                    .map(drop)
                    .map_err(|e| format!("dial tcp {address}: {e}"))
            } else if let Some(sleep) = &handler.sleep {
                self.clock
                    .sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0)))
                    .await;
                Ok(())
            } else if let Some(grpc) = &handler.grpc {
                let address = subject.address("", &IntOrString::Int(grpc.port.into()))?;
                let stream = self.machine.connect(address).await;
                let stream =
                    stream.map_err(|e| format!("timeout: failed to connect service {address:?}: {e}"))?;
                crate::grpc::check(stream, address, &grpc.service, &self.tasks).await
            } else {
                Ok(())
            }
        };
        self.clock
            .timeout(limit, work)
            .await
            .unwrap_or_else(|| Err("context deadline exceeded".to_owned()))
    }

    async fn exec(&self, id: &ContainerId, command: Vec<String>) -> Result<(), String> {
        let (stdout, mut output) = mpsc::channel(16);
        let stderr = stdout.clone();
        let request = ExecRequest {
            container: id.clone(),
            command,
            tty: false,
        };
        let running = self.runtime.exec(
            request,
            Streams {
                stdin: None,
                stdout,
                stderr,
                resize: None,
            },
        );
        let mut said = Vec::new();
        let reading = async {
            while let Some(bytes) = output.recv().await {
                if said.len() < 10 * 1024 {
                    said.extend_from_slice(&bytes);
                }
            }
        };
        let (code, ()) = tokio::join!(running, reading);
        match code {
            Ok(0) => Ok(()),
            Ok(_) => Err(String::from_utf8_lossy(&said).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn http(&self, subject: &Subject, get: &HttpGet) -> Result<(), String> {
        let address = subject.address(&get.host, &get.port)?;
        let scheme = if get.scheme.is_empty() {
            "http".to_owned()
        } else {
            get.scheme.to_lowercase()
        };
        let path = if get.path.starts_with('/') {
            get.path.clone()
        } else {
            format!("/{}", get.path)
        };
        let url = format!("{scheme}://{address}{path}");
        let stream = self
            .machine
            .connect(address)
            .await
            .map_err(|e| format!("Get {url:?}: dial tcp {address}: {e}"))?;
        let mut request = hyper::Request::get(&path)
            .header("user-agent", "kube-probe/1.37")
            .header("accept", "*/*");
        let own_host = get
            .http_headers
            .iter()
            .any(|h| h.name.eq_ignore_ascii_case("host"));
        if !own_host {
            request = request.header("host", address.to_string());
        }
        for header in &get.http_headers {
            request = request.header(&header.name, &header.value);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
        let status = if scheme == "https" {
            https(stream, address, request).await
        } else {
            exchange(stream, request).await
        };
        let status = status.map_err(|e| format!("Get {url:?}: {e}"))?;
        if (200..400).contains(&status) {
            Ok(())
        } else {
            Err(format!("HTTP probe failed with statuscode: {status}"))
        }
    }
}

type Request = hyper::Request<Empty<Bytes>>;

async fn https(
    stream: Box<dyn runtime::Duplex>,
    address: SocketAddr,
    request: Request,
) -> Result<u16, String> {
    let config = pki::unverified_client_config().map_err(|e| e.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = rustls::pki_types::ServerName::IpAddress(address.ip().into());
    let stream = connector.connect(name, stream).await.map_err(|e| e.to_string())?;
    exchange(stream, request).await
}

async fn exchange<S>(stream: S, request: Request) -> Result<u16, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| e.to_string())?;
    let asking = async {
        let answer = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let status = answer.status().as_u16();
        // The body says nothing; it is read a little so that the server sees a polite client.
        let _ = Limited::new(answer.into_body(), 10 * 1024).collect().await;
        Ok(status)
    };
    tokio::select! {
        biased;
        status = asking => status,
        Err(error) = connection => Err(error.to_string()),
    }
}

impl Subject {
    fn address(&self, host: &str, port: &IntOrString) -> Result<SocketAddr, String> {
        let host = if host.is_empty() { &self.ip } else { host };
        let ip = host.parse().map_err(|_| format!("invalid address {host:?}"))?;
        let number = match port {
            IntOrString::Int(number) => u16::try_from(*number).ok(),
            IntOrString::Name(name) => name.parse().ok().or_else(|| {
                let ports = self
                    .pod
                    .container(&self.container)
                    .map(|c| c.ports.as_slice())
                    .unwrap_or_default();
                ports.iter().find(|p| p.name == *name).map(|p| p.container_port)
            }),
        };
        let port = number
            .filter(|n| *n != 0)
            .ok_or_else(|| format!("invalid port {port:?}"))?;
        Ok(SocketAddr::new(ip, port))
    }
}

/// The probes of one pod's running containers.
#[derive(Debug)]
pub struct Probes {
    prober: Prober,
    recorder: Recorder,
    registry: Arc<Registry>,
    tasks: Tasks,
    findings: Arc<Mutex<Findings>>,
    running: BTreeMap<(ContainerId, Kind), AbortHandle>,
}

impl Probes {
    /// None yet. Their tasks live in `tasks`.
    pub fn new(prober: Prober, recorder: Recorder, registry: Arc<Registry>, tasks: Tasks) -> Self {
        Self {
            prober,
            recorder,
            registry,
            tasks,
            findings: Arc::default(),
            running: BTreeMap::new(),
        }
    }

    /// What they found so far.
    pub fn findings(&self) -> Findings {
        self.findings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Starts the probes of containers that run now, ends those of others.
    pub fn sync(&mut self, subjects: Vec<Subject>) {
        let alive: BTreeSet<&ContainerId> = subjects.iter().map(|s| &s.id).collect();
        self.running.retain(|(id, _), task| {
            let keep = alive.contains(id);
            if !keep {
                task.abort();
            }
            keep
        });
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        findings.unready.retain(|id| alive.contains(id));
        findings.starting.retain(|id| alive.contains(id));
        findings.condemned.retain(|id, _| alive.contains(id));
        drop(findings);
        for subject in subjects {
            let pod = subject.pod.clone();
            let Some(container) = pod.container(&subject.container) else {
                continue;
            };
            for (kind, probe) in probes_of(container) {
                if !self.running.contains_key(&(subject.id.clone(), kind)) {
                    self.start(subject.clone(), kind, probe.clone());
                }
            }
        }
    }

    fn start(&mut self, subject: Subject, kind: Kind, probe: Probe) {
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        match kind {
            Kind::Startup => _ = findings.starting.insert(subject.id.clone()),
            Kind::Readiness => _ = findings.unready.insert(subject.id.clone()),
            Kind::Liveness => {}
        }
        drop(findings);
        let key = (subject.id.clone(), kind);
        let worker = Worker {
            prober: self.prober.clone(),
            recorder: self.recorder.clone(),
            registry: self.registry.clone(),
            findings: self.findings.clone(),
            subject,
            kind,
            probe,
        };
        self.running.insert(key, self.tasks.spawn("probe", worker.run()));
    }
}

fn probes_of(container: &Container) -> impl Iterator<Item = (Kind, &Probe)> {
    [
        (Kind::Startup, &container.startup_probe),
        (Kind::Liveness, &container.liveness_probe),
        (Kind::Readiness, &container.readiness_probe),
    ]
    .into_iter()
    .filter_map(|(kind, probe)| probe.as_ref().map(|p| (kind, p)))
}

struct Worker {
    prober: Prober,
    recorder: Recorder,
    registry: Arc<Registry>,
    findings: Arc<Mutex<Findings>>,
    subject: Subject,
    kind: Kind,
    probe: Probe,
}

impl Worker {
    async fn run(self) {
        let probe = &self.probe;
        let period = Duration::from_secs(if probe.period_seconds == 0 {
            10
        } else {
            probe.period_seconds
        });
        let limit = Duration::from_secs(probe.timeout_seconds.max(1));
        let failures = if probe.failure_threshold == 0 {
            3
        } else {
            probe.failure_threshold
        };
        let successes = probe.success_threshold.max(1);
        self.prober
            .clock
            .sleep(Duration::from_secs(probe.initial_delay_seconds))
            .await;
        let (mut streak, mut last) = (0, None);
        loop {
            let held = self.kind != Kind::Startup && self.starting();
            if !held {
                let result = self.prober.run(&self.subject, &probe.handler, limit).await;
                if let Err(why) = &result {
                    let about = about::container(&self.subject.pod, &self.subject.container);
                    let message = format!("{} probe failed: {why}", self.kind.name());
                    self.recorder
                        .record(about, Severity::Warning, "Unhealthy", message);
                }
                streak = if last == Some(result.is_ok()) {
                    streak + 1
                } else {
                    1
                };
                last = Some(result.is_ok());
                let decided = streak >= if result.is_ok() { successes } else { failures };
                if decided && self.conclude(result.is_ok()) {
                    return;
                }
            }
            // Probes that a start-up probe holds back begin soon after it succeeded.
            self.prober
                .clock
                .sleep(if held { Duration::from_secs(1) } else { period })
                .await;
        }
    }

    fn starting(&self) -> bool {
        self.findings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .starting
            .contains(&self.subject.id)
    }

    /// Notes a result; whether this probe is over.
    fn conclude(&self, good: bool) -> bool {
        let id = &self.subject.id;
        let mut findings = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        let (changed, over) = match (self.kind, good) {
            (Kind::Startup, true) => (findings.starting.remove(id), true),
            (Kind::Readiness, true) => (findings.unready.remove(id), false),
            (Kind::Readiness, false) => (findings.unready.insert(id.clone()), false),
            (Kind::Liveness, true) => (false, false),
            (Kind::Startup | Kind::Liveness, false) => {
                let (pod, container) = (&self.subject.pod, &self.subject.container);
                let grace = self
                    .probe
                    .termination_grace_period_seconds
                    .unwrap_or_else(|| pod.grace());
                let name = self.kind.name().to_lowercase();
                let why = format!("Container {container} failed {name} probe, will be restarted");
                findings.condemned.insert(id.clone(), (grace, why));
                (true, true)
            }
        };
        drop(findings);
        if changed {
            self.registry.poke(&self.subject.pod.metadata.uid);
        }
        over
    }
}
