//! Decision records: why a pod of this node runs or does not, from its status. Reasons are upstream's (`ErrImagePull`,
//! `CrashLoopBackOff`, `CreateContainerConfigError`, …).

use crate::{resources::PODS, view::PodStatus};
use api::{
    Key,
    decision::{Reason, Record, Verdict},
};
use jiff::Timestamp;

/// The record that a status amounts to.
pub(crate) fn record(now: Timestamp, key: &Key, version: u64, status: &PodStatus) -> Record {
    let containers = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses);
    let waiting = containers.filter_map(|c| c.state.waiting.as_ref().map(|w| (c, w)));
    // A container that is merely on its way is no reason.
    let blocked =
        waiting.filter(|(_, w)| !matches!(w.reason.as_str(), "" | "ContainerCreating" | "PodInitializing"));
    let mut reasons: Vec<Reason> = blocked
        .map(|(container, waiting)| {
            Reason::new("ContainerWaiting")
                .with("container", &container.name)
                .with("reason", &waiting.reason)
                .with("message", &waiting.message)
        })
        .collect();
    let verdict = match (reasons.is_empty(), status.phase.as_str()) {
        (false, _) => Verdict::Blocked,
        (true, "Failed") => Verdict::Failed,
        (true, "Pending") => Verdict::Deferred,
        (true, _) => Verdict::Done,
    };
    if reasons.is_empty() {
        reasons.push(Reason::new("PodPhase").with("phase", &status.phase));
    }
    let mut record = Record::new(now, "kubelet", &PODS, key, verdict);
    record.resource_version = version;
    record.reasons = reasons;
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: &str) -> (Verdict, String) {
        let status: PodStatus = serde_json::from_str(status).unwrap();
        let record = record(Timestamp::UNIX_EPOCH, &Key::new("d", "web"), 7, &status);
        (
            record.verdict,
            record.reasons[0]
                .params
                .iter()
                .map(|(_, v)| v.as_str())
                .collect::<Vec<_>>()
                .join(" "),
        )
    }

    #[test]
    fn a_status_says_what_is_in_the_way() {
        let waits = r#"{"phase":"Pending","containerStatuses":[{"name":"c","state":{"waiting":{"reason":"ErrImagePull","message":"no such image"}}}]}"#;
        assert_eq!(
            verdict(waits),
            (Verdict::Blocked, "c ErrImagePull no such image".to_owned())
        );
        let starts = r#"{"phase":"Pending","containerStatuses":[{"name":"c","state":{"waiting":{"reason":"ContainerCreating"}}}]}"#;
        assert_eq!(verdict(starts), (Verdict::Deferred, "Pending".to_owned()));
        assert_eq!(
            verdict(r#"{"phase":"Running"}"#),
            (Verdict::Done, "Running".to_owned())
        );
    }
}
