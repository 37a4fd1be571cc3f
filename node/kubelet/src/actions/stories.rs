//! Golden stories: a pod, what is there, and the plan.

use super::{Backoff, Failure, Memory, Observed, pod_actions};
use crate::view::Pod;
use jiff::Timestamp;
use runtime::{ContainerId, ContainerState, ContainerStatus, SandboxId, SandboxStatus};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Story {
    story: String,
    pod: Pod,
    #[serde(default)]
    sandboxes: Vec<Sandbox>,
    #[serde(default)]
    containers: Vec<Instance>,
    #[serde(default)]
    memory: Remembered,
    #[serde(default)]
    now: i64,
    plan: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sandbox {
    id: String,
    #[serde(default)]
    attempt: u32,
    #[serde(default)]
    lost: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Instance {
    id: String,
    name: String,
    #[serde(default)]
    attempt: u32,
    sandbox: String,
    #[serde(default)]
    exited: Option<i32>,
    #[serde(default)]
    created: bool,
    #[serde(default)]
    finished: i64,
    #[serde(default)]
    image: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Remembered {
    restarts: BTreeMap<String, Vec<i64>>,
    condemned: BTreeMap<String, String>,
    starting: Vec<String>,
    hooked: Vec<String>,
    attempts: BTreeMap<String, u32>,
    gone: bool,
    failure: String,
    finished: bool,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

impl Instance {
    fn status(self) -> ContainerStatus {
        let state = match self.exited {
            Some(_) => ContainerState::Exited,
            None if self.created => ContainerState::Created,
            None => ContainerState::Running,
        };
        ContainerStatus {
            id: ContainerId(self.id),
            sandbox: SandboxId(self.sandbox),
            name: self.name,
            attempt: self.attempt,
            state,
            finished_at: at(self.finished),
            exit_code: self.exited.unwrap_or(0),
            image: self.image,
            ..ContainerStatus::default()
        }
    }
}

impl Remembered {
    fn memory(self) -> Memory {
        let mut memory = Memory {
            gone: self.gone,
            finished: self.finished,
            attempts: self.attempts,
            ..Memory::default()
        };
        for (name, times) in self.restarts {
            let mut backoff = Backoff::default();
            times.into_iter().for_each(|t| backoff.next(at(t), at(t)));
            memory.backoff.insert(name, backoff);
        }
        memory.condemned = self
            .condemned
            .into_iter()
            .map(|(id, why)| (ContainerId(id), (30, why)))
            .collect();
        memory.starting = self.starting.into_iter().map(ContainerId).collect();
        memory.hooked = self.hooked.into_iter().map(ContainerId).collect();
        memory.failure = (!self.failure.is_empty()).then(|| Failure {
            reason: self.failure,
            message: String::new(),
        });
        memory
    }
}

#[test]
fn plans_are_as_told() {
    let stories: Vec<Story> = serde_saphyr::from_str(include_str!("stories.yaml")).unwrap();
    assert!(stories.len() > 20);
    for story in stories {
        let sandboxes = story.sandboxes.into_iter().map(|s| SandboxStatus {
            id: SandboxId(s.id),
            attempt: s.attempt,
            ready: !s.lost,
            ..SandboxStatus::default()
        });
        let containers = story.containers.into_iter().map(Instance::status).collect();
        let observed = Observed::new(sandboxes.collect(), containers);
        let actions = pod_actions(&story.pod, &observed, &story.memory.memory(), at(story.now));
        let plan: Vec<String> = actions.iter().map(ToString::to_string).collect();
        assert_eq!(plan, story.plan, "{}", story.story);
    }
}
