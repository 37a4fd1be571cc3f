//! Rotation: a log over its size is renamed and the runtime starts a new file.

use crate::worker::Shared;
use runtime::{ContainerState, ContainerStatus};
use std::{path::Path, sync::Arc, time::Duration};

const PERIOD: Duration = Duration::from_secs(30);

/// Looks at the logs of running containers now and then.
pub(crate) async fn rotate(shared: Arc<Shared>) {
    loop {
        shared.env.clock.sleep(PERIOD).await;
        let Ok(containers) = shared.runtime.containers(None).await else {
            continue;
        };
        for container in containers.iter().filter(|c| c.state == ContainerState::Running) {
            if shared.machine.size(container.log_path.as_ref()) > shared.config.log_max_size
                && let Err(error) = rotate_one(&shared, container).await
            {
                tracing::warn!(log = container.log_path, %error, "log not rotated");
            }
        }
    }
}

async fn rotate_one(shared: &Shared, container: &ContainerStatus) -> Result<(), crate::Error> {
    let path = Path::new(&container.log_path);
    let (Some(folder), Some(file)) = (path.parent(), path.file_name().and_then(|f| f.to_str())) else {
        return Ok(());
    };
    let old = format!("{file}.");
    let mut rotated: Vec<String> = shared
        .machine
        .children(folder)
        .into_iter()
        .filter(|name| name.starts_with(&old))
        .collect();
    rotated.sort();
    // The current file and the one that it becomes count too.
    let excess = (rotated.len() + 2).saturating_sub(shared.config.log_max_files);
    for name in rotated.iter().take(excess) {
        shared.machine.remove_tree(&folder.join(name))?;
    }
    let stamp = shared.env.clock.wall().strftime("%Y%m%d-%H%M%S").to_string();
    let target = folder.join(format!("{file}.{stamp}"));
    shared.machine.rename(path, &target)?;
    if let Err(error) = shared.runtime.reopen_log(container.id.clone()).await {
        // The container goes on writing to the old file: it keeps its name.
        shared.machine.rename(&target, path)?;
        return Err(error.into());
    }
    Ok(())
}
