//! Changes of a folder, from the kernel.

use futures::{StreamExt, stream::BoxStream};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::{os::fd::OwnedFd, path::Path};
use tokio::io::unix::AsyncFd;

/// An item each time something happened to the files of `folder`, or to what is to become the folder.
pub(super) fn watch(folder: &Path) -> BoxStream<'static, ()> {
    let there = folder.ancestors().find(|path| path.is_dir());
    match open(there.unwrap_or(folder)) {
        Ok(events) => futures::stream::unfold(events, |events| async move {
            loop {
                let mut ready = events.readable().await.ok()?;
                let mut buffer = [0u8; 4096];
                match ready.try_io(|fd| Ok(rustix::io::read(fd, &mut buffer)?)) {
                    Ok(Ok(read)) if read > 0 => break,
                    Ok(_) => return None,
                    Err(_) => {}
                }
            }
            Some(((), events))
        })
        .boxed(),
        Err(error) => {
            tracing::debug!(folder = %folder.display(), %error, "folder not watched");
            futures::stream::empty().boxed()
        }
    }
}

#[expect(
    deprecated,
    reason = "the descriptor is ours alone and lives as long as its registration; its successor is unsafe"
)]
fn open(folder: &Path) -> std::io::Result<AsyncFd<OwnedFd>> {
    let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let wanted = WatchFlags::CLOSE_WRITE
        | WatchFlags::CREATE
        | WatchFlags::MOVED_TO
        | WatchFlags::MOVED_FROM
        | WatchFlags::DELETE
        | WatchFlags::ONLYDIR;
    inotify::add_watch(&events, folder, wanted)?;
    AsyncFd::new(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn files_that_come_change_and_go_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, away) = (dir.path().join("manifests"), dir.path().join("away"));
        std::fs::create_dir(&folder).unwrap();
        let mut changes = watch(&folder);
        let file = folder.join("pod.yaml");
        let steps: [(&str, &dyn Fn()); 4] = [
            ("a file that comes", &|| std::fs::write(&file, "a").unwrap()),
            ("a file that changes", &|| std::fs::write(&file, "b").unwrap()),
            ("a file that moves away", &|| {
                std::fs::rename(&file, &away).unwrap()
            }),
            ("a file that moves here", &|| {
                std::fs::rename(&away, &file).unwrap()
            }),
        ];
        for (what, step) in steps {
            step();
            let seen = tokio::time::timeout(Duration::from_secs(20), changes.next()).await;
            assert_eq!(seen, Ok(Some(())), "waited for {what}");
        }
        let later = dir.path().join("later/manifests");
        let mut changes = watch(&later);
        std::fs::create_dir_all(&later).unwrap();
        let seen = tokio::time::timeout(Duration::from_secs(20), changes.next()).await;
        assert_eq!(seen, Ok(Some(())), "waited for a folder that comes");
    }
}
