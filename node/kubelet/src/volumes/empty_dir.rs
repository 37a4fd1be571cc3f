//! emptyDir: on the disk, in memory, or of huge pages (upstream: `pkg/volume/emptydir`).

use super::{Place, Volumes};
use crate::{
    machine::Ownership,
    pod::{PodFacts, memory_limit},
    view::{EmptyDir, Pod},
};
use std::{collections::BTreeSet, path::PathBuf};

impl Volumes {
    pub(super) fn empty_dir(
        &self,
        pod: &Pod,
        empty: &EmptyDir,
        facts: &PodFacts,
        dir: PathBuf,
    ) -> Result<Place, String> {
        let fresh = self.machine.is_dir(&dir).is_err();
        let mounted = match empty.medium.as_str() {
            "" => Ok(()),
            "Memory" => self.machine.mount_tmpfs(&dir, memory_size(pod, empty, facts)),
            medium if medium.starts_with("HugePages") => {
                let page = page_size(pod, medium)?;
                self.machine.mount_huge_pages(&dir, &page)
            }
            other => return Err(format!("unknown storage medium {other:?}")),
        };
        mounted.map_err(|e| e.to_string())?;
        if fresh {
            // Later its mode is the containers' own business.
            let mode = empty.mode.unwrap_or(0o777);
            self.machine
                .make_dir(&dir, mode, None)
                .map_err(|e| e.to_string())?;
            if let Some(group) = pod.spec.security_context.fs_group {
                let to = Ownership {
                    group,
                    ..Ownership::default()
                };
                self.machine.set_group(&dir, to).map_err(|e| e.to_string())?;
            }
        }
        Ok(Place {
            path: dir,
            read_only: false,
        })
    }
}

/// Bytes of an emptyDir in memory: what is asked for, at most what the pod or the node has.
fn memory_size(pod: &Pod, empty: &EmptyDir, facts: &PodFacts) -> Option<u64> {
    let asked = empty.size_limit.map(|q| q.value());
    let limits = [Some(facts.allocatable_memory), Some(memory_limit(pod)), asked];
    let least = limits.into_iter().flatten().filter(|bytes| *bytes > 0).min();
    least.and_then(|bytes| u64::try_from(bytes).ok())
}

/// The size of the huge pages that a pod asks for.
fn page_size(pod: &Pod, medium: &str) -> Result<String, String> {
    let asked: BTreeSet<&str> = pod
        .all_containers()
        .flat_map(|c| c.resources.requests.keys().chain(c.resources.limits.keys()))
        .filter_map(|name| name.strip_prefix("hugepages-"))
        .collect();
    let wanted = medium.strip_prefix("HugePages-");
    let mut fitting = asked
        .into_iter()
        .filter(|size| wanted.is_none_or(|wanted| wanted == *size));
    match (fitting.next(), fitting.next()) {
        (Some(size), None) => Ok(size.to_owned()),
        (Some(_), Some(_)) => Err(format!(
            "medium: {medium} can't be used if container requests multiple huge page sizes"
        )),
        (None, _) => Err(format!(
            "medium {medium}: hugePages storage requested, but there is no resource request for huge pages"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(requests: &str) -> Pod {
        serde_saphyr::from_str(&format!(
            "{{spec: {{containers: [{{name: c, resources: {{limits: {requests}, requests: {requests}}}}}]}}}}"
        ))
        .unwrap()
    }

    #[test]
    fn memory_is_bounded_by_the_pod_and_the_node() {
        let facts = PodFacts {
            allocatable_memory: 1000,
            ..PodFacts::default()
        };
        let size = |requests: &str, empty: &str| {
            memory_size(&pod(requests), &serde_saphyr::from_str(empty).unwrap(), &facts)
        };
        assert_eq!(size("{}", "{medium: Memory}"), Some(1000));
        assert_eq!(size("{}", "{medium: Memory, sizeLimit: 300}"), Some(300));
        assert_eq!(
            size("{memory: 200}", "{medium: Memory, sizeLimit: 300}"),
            Some(200)
        );
        assert_eq!(
            size("{memory: 400}", "{medium: Memory, sizeLimit: 2k}"),
            Some(400)
        );
    }

    #[test]
    fn huge_pages_are_those_asked_for() {
        let two = "{hugepages-2Mi: 4Mi, hugepages-1Gi: 1Gi}";
        assert_eq!(
            page_size(&pod("{hugepages-2Mi: 4Mi}"), "HugePages").unwrap(),
            "2Mi"
        );
        assert_eq!(page_size(&pod(two), "HugePages-1Gi").unwrap(), "1Gi");
        assert_eq!(
            page_size(&pod(two), "HugePages").unwrap_err(),
            "medium: HugePages can't be used if container requests multiple huge page sizes"
        );
        assert_eq!(
            page_size(&pod("{}"), "HugePages-2Mi").unwrap_err(),
            "medium HugePages-2Mi: hugePages storage requested, but there is no resource request for huge pages"
        );
    }
}
