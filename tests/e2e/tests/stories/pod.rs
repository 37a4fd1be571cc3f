//! What many stories do with a pod.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;
use e2e::wait;

const PATIENCE: Duration = Duration::from_secs(120);

/// The manifest of a pod that sleeps; `container` are fields of its container, `spec` of the pod.
pub fn sleeper(name: &str, container: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{tier: one}}\nspec:\n  \
         terminationGracePeriodSeconds: 1\n  containers:\n  - name: main\n    image: busybox:1.28\n    \
         command: [sleep, '3600']\n{container}{spec}"
    )
}

/// Starts a pod that sleeps and waits until it is ready.
pub fn start(c: &Cluster, name: &str, container: &str, spec: &str) -> Result<()> {
    c.apply(&sleeper(name, container, spec))?;
    until_ready(c, name)
}

/// Runs a shell command in a pod.
pub fn inside(c: &Cluster, pod: &str, script: &str) -> Result<String> {
    c.kubectl_words(&["exec", pod, "--", "sh", "-c", script], "")
}

/// Runs a shell command in a pod until its output has `part`.
pub fn inside_until(c: &Cluster, pod: &str, script: &str, part: &str) -> Result<String> {
    wait::until(&format!("`{script}` in {pod} to say {part:?}"), PATIENCE, || {
        let said = inside(c, pod, script)?;
        ensure!(said.contains(part), "it said {said:?}");
        Ok(Some(said))
    })
}

/// Waits until a pod is ready.
pub fn until_ready(c: &Cluster, pod: &str) -> Result<()> {
    c.kubectl(&format!("wait --for=condition=Ready pod/{pod} --timeout=120s"))
        .map(drop)
}

/// Waits until a pod is in that phase.
pub fn until_phase(c: &Cluster, pod: &str, phase: &str) -> Result<()> {
    c.kubectl(&format!(
        "wait --for=jsonpath={{.status.phase}}={phase} pod/{pod} --timeout=120s"
    ))
    .map(drop)
}

/// Waits for an event of the pod that has those words, in its reason or its message.
pub fn until_event(c: &Cluster, pod: &str, words: &[&str]) -> Result<()> {
    wait::until(&format!("an event of {pod} with {words:?}"), PATIENCE, || {
        let events = c.kubectl(&format!(
            "get events --no-headers --field-selector=involvedObject.name={pod}"
        ))?;
        let told = events
            .lines()
            .any(|event| words.iter().all(|part| event.contains(part)));
        ensure!(told, "there are:\n{events}");
        Ok(Some(()))
    })
}
