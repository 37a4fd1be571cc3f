//! `/containerLogs`.

use super::{Answer, query, stream};
use crate::{
    Kubelet,
    logs::{LogOptions, LogReader},
    pod::container_id,
    view::ContainerStatus,
};
use api::Status;
use futures::StreamExt;
use hyper::{Request, body::Incoming};
use jiff::{SignedDuration, Timestamp};
use runtime::{ContainerId, ContainerState, RuntimeEvent};
use std::{collections::BTreeMap, sync::Arc};

impl Kubelet {
    pub(super) async fn logs(
        self: Arc<Self>,
        request: &Request<Incoming>,
        ns: &str,
        pod: &str,
        container: &str,
    ) -> Answer {
        let query = query(request);
        let now = self.shared.env.clock.wall();
        let options = options(&query, now)?;
        let previous = super::flag(&query, &["previous"]);
        let (id, path, running) = self.log_of(ns, pod, container, previous).await?;
        let follow = options.follow && running && !previous;
        let events = self.shared.runtime.events();
        let reader = LogReader::open(path.as_ref(), LogOptions { follow, ..options });
        let reader =
            reader.map_err(|e| Status::internal(format!("failed to open log file {path:?}: {e}")))?;
        let ended = async move {
            let mut events = events;
            while let Some(event) = events.next().await {
                if matches!(&event, RuntimeEvent::Exited(_, other) if *other == id) {
                    return;
                }
            }
        };
        let state = (reader, Box::pin(ended), follow);
        let chunks = futures::stream::unfold(state, |(mut reader, mut ended, mut follow)| async move {
            loop {
                match reader.read() {
                    Ok(bytes) if !bytes.is_empty() => return Some((Ok(bytes), (reader, ended, follow))),
                    Err(error) => return Some((Err(error), (reader, ended, false))),
                    Ok(_) if !follow || reader.done() => return None,
                    Ok(_) => {}
                }
                tokio::select! {
                    biased;
                    changed = reader.changed() => follow = changed.is_ok(),
                    // What was written before the end is read once more.
                    () = &mut ended => follow = false,
                }
            }
        });
        Ok(stream(chunks))
    }

    /// The log of a container: its instance, its path, whether it still runs.
    async fn log_of(
        &self,
        ns: &str,
        pod: &str,
        container: &str,
        previous: bool,
    ) -> Result<(ContainerId, String, bool), Status> {
        let input = self.find(ns, pod)?;
        let spec = input.pod.container(container);
        if spec.is_none() {
            return Err(Status::bad_request(format!(
                "container {container:?} not found in pod {pod:?}"
            )));
        }
        let instances = self.instances(&input.pod.metadata.uid, container).await?;
        let told = input
            .pod
            .status
            .container(container)
            .and_then(|s| s.last_state.terminated.clone());
        let before = told.map(|t| t.container_id).filter(|_| previous);
        let is_it = |c: &&runtime::ContainerStatus| {
            before.as_deref() == Some(&container_id(&self.shared.runtime_name, &c.id))
        };
        let found = if previous {
            instances.iter().find(is_it)
        } else {
            instances.first()
        };
        // A container made but never started has said nothing; the one before it may have.
        let found = match found {
            Some(c) if c.state == ContainerState::Created && !previous => instances.get(1),
            other => other,
        };
        match found {
            Some(found) => Ok((
                found.id.clone(),
                found.log_path.clone(),
                found.state == ContainerState::Running,
            )),
            None if previous => {
                let name = format!("previous terminated container {container:?} in pod {pod:?} not found");
                Err(Status::bad_request(name))
            }
            None => {
                let status = self.status_of(ns, pod, container);
                let reason = status.and_then(|s| s.state.waiting).map(|w| w.reason);
                let reason = reason
                    .filter(|r| !r.is_empty())
                    .unwrap_or_else(|| "ContainerCreating".to_owned());
                let why = match reason.as_str() {
                    "ErrImagePull" | "ErrImageNeverPull" => "image can't be pulled".to_owned(),
                    "ImagePullBackOff" => "trying and failing to pull image".to_owned(),
                    other => other.to_owned(),
                };
                Err(Status::bad_request(format!(
                    "container {container:?} in pod {pod:?} is waiting to start: {why}"
                )))
            }
        }
    }

    fn status_of(&self, ns: &str, pod: &str, container: &str) -> Option<ContainerStatus> {
        self.find(ns, pod).ok()?.pod.status.container(container).cloned()
    }
}

fn options(query: &BTreeMap<String, Vec<String>>, now: Timestamp) -> Result<LogOptions, Status> {
    let value = |name: &str| query.get(name).and_then(|v| v.last()).filter(|v| !v.is_empty());
    let number = |name: &str, least: i64| match value(name).map(|v| v.parse::<i64>()) {
        None => Ok(None),
        Some(Ok(n)) if n >= least => Ok(Some(n)),
        Some(_) => Err(Status::bad_request(format!(
            "{name}: must be greater than or equal to {least}"
        ))),
    };
    let size = |n: Option<i64>| n.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    let since_seconds =
        number("sinceSeconds", 1)?.map(|s| now.saturating_sub(SignedDuration::from_secs(s)).unwrap_or(now));
    let since_time = value("sinceTime").map(|t| t.parse::<Timestamp>()).transpose();
    let since_time = since_time.map_err(|e| Status::bad_request(format!("sinceTime: {e}")))?;
    if since_seconds.is_some() && since_time.is_some() {
        return Err(Status::bad_request(
            "at most one of `sinceTime` or `sinceSeconds` may be specified",
        ));
    }
    let stream = match value("stream").map(String::as_str) {
        None | Some("All") => String::new(),
        Some("Stdout") => "stdout".to_owned(),
        Some("Stderr") => "stderr".to_owned(),
        Some(other) => {
            return Err(Status::bad_request(format!(
                "stream: Unsupported value: {other:?}"
            )));
        }
    };
    Ok(LogOptions {
        follow: super::flag(query, &["follow"]),
        tail: size(number("tailLines", 0)?),
        since: since_seconds.or(since_time),
        timestamps: super::flag(query, &["timestamps"]),
        limit: size(number("limitBytes", 1)?),
        stream,
    })
}
