//! Gives space back while writers go on: frees forgotten versions, copies live records out of mostly dead segments,
//! and unlinks those once a checkpoint no longer needs them.

use crate::{
    checkpoint::{self, Capture},
    commit::Request,
    engine::{Core, Shared, hold},
    record::Record,
    segment::{Role, Segment},
    state::Location,
};
use bytes::Bytes;
use std::{io, sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// Changes that are freed, and keys that are looked at, while the lock is held.
const STEP: usize = 512;
/// How long to wait before space is looked for again on a full device.
const FULL_RETRY: Duration = Duration::from_secs(1);
/// Bytes that are copied before they are written.
const CHUNK: usize = 1 << 20;

/// Waits for something to free or to dump, until the store ends.
pub(crate) async fn upkeep(core: Arc<Core>) {
    let mut ended = core.ended.subscribe();
    loop {
        tokio::select! {
            biased;
            () = core.upkeep.notified() => {}
            () = core.env.clock.sleep(FULL_RETRY), if core.is_full() => core.keep_spare(),
            _ = ended.wait_for(|ended| *ended) => return,
        }
        while sweep(&core) {
            tokio::task::yield_now().await;
        }
        let done = match candidates(&core) {
            old if !old.is_empty() => reclaim(&core, old).await,
            _ if core.wants_checkpoint() => save(&core, Vec::new()).await,
            _ => Ok(()),
        };
        match done {
            Ok(()) => core.keep_spare(),
            Err(error) => {
                core.give_up_spare(&error);
                tracing::warn!(%error, "old segments stay until the next compaction");
            }
        }
    }
}

fn sweep(core: &Core) -> bool {
    let (compacted, sweepable) = {
        let shared = core.read();
        let compacted = shared.compacted.min(core.pinned());
        (compacted, shared.state.sweepable(compacted))
    };
    sweepable && core.write().state.sweep(compacted, STEP)
}

/// The segments that are worth to be emptied, if together they hold enough garbage: those of which less than half is
/// live, and small ones of copies, so that their number stays bounded.
fn candidates(core: &Core) -> Vec<u32> {
    let shared = core.read();
    let active = shared
        .segments
        .values()
        .filter(|segment| segment.role == Role::Log)
        .map(|segment| segment.id)
        .max();
    if core.is_full() {
        return affordable(core, &shared, active);
    }
    let all_live = shared.state.live_bytes();
    debug_assert_eq!(all_live, shared.state.live().values().sum::<u64>());
    let mut garbage = 0;
    let mut old = Vec::new();
    for segment in shared
        .segments
        .values()
        .filter(|segment| Some(segment.id) != active)
    {
        let (length, live) = (
            segment.length(),
            shared.state.live().get(&segment.id).copied().unwrap_or(0),
        );
        let small = segment.role == Role::Live && length < core.options.segment_bytes / 4;
        if small || live < length / 2 {
            garbage += length.saturating_sub(live);
            old.push(segment.id);
        }
    }
    if garbage >= core.options.segment_bytes.max(all_live / 2) {
        old
    } else {
        Vec::new()
    }
}

/// On a full device: what gives back the most for the least that must be copied first.
fn affordable(core: &Core, shared: &Shared, active: Option<u32>) -> Vec<u32> {
    let live_of = |id: u32| shared.state.live().get(&id).copied().unwrap_or(0);
    let segments = shared.segments.values();
    let mut old: Vec<(u64, u32)> = segments
        .filter(|segment| Some(segment.id) != active && live_of(segment.id) < segment.length() / 2)
        .map(|segment| (live_of(segment.id), segment.id))
        .collect();
    old.sort_unstable();
    let mut budget = core.options.spare_bytes / 2;
    old.retain(|(live, _)| {
        let fits = *live <= budget;
        budget = budget.saturating_sub(*live);
        fits
    });
    old.into_iter().map(|(_, id)| id).collect()
}

async fn reclaim(core: &Arc<Core>, old: Vec<u32>) -> io::Result<()> {
    let (worker, segments) = (core.clone(), old.clone());
    core.run(move || copy_live(&worker, &segments))
        .await
        .map_err(io::Error::other)??;
    let emptied: Vec<u32> = {
        let shared = core.read();
        let live = shared.state.live();
        old.into_iter()
            .filter(|id| live.get(id).is_none_or(|bytes| *bytes == 0))
            .collect()
    };
    save(core, emptied).await
}

/// Writes a checkpoint that does not need `emptied`, then removes those.
async fn save(core: &Arc<Core>, emptied: Vec<u32>) -> io::Result<()> {
    let (answer, capture) = oneshot::channel();
    let durable = false;
    if core
        .queue
        .send(Request::Capture { durable, answer })
        .await
        .is_err()
    {
        return Ok(());
    }
    // No answer: the store is ending, and writes its own checkpoint.
    let Ok(capture) = capture.await else { return Ok(()) };
    let worker = core.clone();
    core.run(move || save_now(&worker, &capture, &emptied))
        .await
        .map_err(io::Error::other)?
}

fn save_now(core: &Core, capture: &Capture, emptied: &[u32]) -> io::Result<()> {
    let ended = hold(&core.dumping);
    if *ended {
        return Ok(());
    }
    checkpoint::write(core, capture, emptied)?;
    let mut removed = Vec::new();
    {
        let mut shared = core.write();
        for id in emptied {
            removed.extend(shared.segments.remove(id));
            shared.state.forget_segment(*id);
        }
    }
    for segment in &removed {
        core.files.remove(&segment.role.name(segment.id))?;
    }
    Ok(())
}

struct Copier<'a> {
    core: &'a Core,
    target: Option<Arc<Segment>>,
    buffer: Vec<u8>,
    moves: Vec<(Bytes, u64, Location, Location)>,
}

fn copy_live(core: &Core, old: &[u32]) -> io::Result<()> {
    let ended = hold(&core.dumping);
    if *ended {
        return Ok(());
    }
    let mut copier = Copier {
        core,
        target: None,
        buffer: Vec::new(),
        moves: Vec::new(),
    };
    let mut last: Option<Bytes> = None;
    loop {
        let keys = core.read().state.keys_after(last.as_ref(), STEP);
        let Some((key, _)) = keys.last() else { break };
        last = Some(key.clone());
        for (key, versions) in keys {
            for version in versions
                .iter()
                .filter(|version| old.contains(&version.at.segment))
            {
                copier.copy(&key, version.revision, version.at)?;
            }
        }
    }
    copier.finish()
}

impl Copier<'_> {
    fn copy(&mut self, key: &Bytes, revision: u64, from: Location) -> io::Result<()> {
        let source = self
            .core
            .read()
            .segments
            .get(&from.segment)
            .cloned()
            .ok_or(io::ErrorKind::NotFound)?;
        let bytes = source.read(from)?;
        Record::decode(self.core.salt, &bytes).map_err(|damage| {
            io::Error::other(format!(
                "{} at {}: {damage}",
                source.role.name(source.id),
                from.offset
            ))
        })?;
        let target = match &self.target {
            Some(target) => target.clone(),
            None => {
                let id = self.core.new_segment();
                let files = self.core.files.as_ref();
                let target = Arc::new(Segment::create(files, Role::Live, id, self.core.salt, 0)?);
                self.core.write().segments.insert(id, target.clone());
                self.target.insert(target).clone()
            }
        };
        let offset = target.length() + self.buffer.len() as u64;
        let to = Location {
            segment: target.id,
            offset: offset as u32,
            length: from.length,
        };
        self.buffer.extend_from_slice(&bytes);
        self.moves.push((key.clone(), revision, from, to));
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        if offset >= self.core.options.segment_bytes {
            self.finish()?;
        }
        Ok(())
    }

    /// Writes what was copied, then points the index to it.
    fn flush(&mut self) -> io::Result<()> {
        let Some(target) = &self.target else { return Ok(()) };
        let start = target.length();
        target.file.write_at(&self.buffer, start)?;
        // A device that is given much at once lets the log wait.
        target.file.sync()?;
        target.tail_mut().start = start + self.buffer.len() as u64;
        self.buffer.clear();
        for moves in self.moves.chunks(STEP) {
            let mut shared = self.core.write();
            for (key, revision, from, to) in moves {
                shared.state.relocate(key, *revision, *from, *to);
            }
        }
        self.moves.clear();
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        self.target = None;
        Ok(())
    }
}
