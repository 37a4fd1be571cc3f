//! A disk on which nothing becomes durable for a while.

use crate::hooked::{Hooked, Hooks};
use etcd::{Disk, replica::Folders};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Gives folders in which nothing becomes durable as long as it is said.
pub fn folders(stuck: Arc<AtomicBool>) -> Folders {
    let stuck = Arc::new(Stuck(stuck));
    Arc::new(move |dir| Ok(Hooked::new(Disk::new(dir)?, stuck.clone())))
}

struct Stuck(Arc<AtomicBool>);

impl Hooks for Stuck {
    fn sync(&self) {
        while self.0.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
