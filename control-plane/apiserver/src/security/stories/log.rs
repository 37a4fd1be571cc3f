//! What the log says while a story goes on.

use std::{
    cell::RefCell,
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
    subscriber::DefaultGuard,
};

type Lines = Arc<Mutex<Vec<String>>>;

thread_local! {
    /// All that are kept in this thread.
    static KEPT: RefCell<Vec<Lines>> = const { RefCell::new(Vec::new()) };
}

/// The lines of the log that this thread writes, as long as it is kept. Several may be kept at once.
pub struct Log(
    Lines,
    #[expect(dead_code, reason = "lines are taken until it goes")] DefaultGuard,
);

struct Writer;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}

impl Subscriber for Writer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        KEPT.with_borrow(|kept| {
            for lines in kept {
                lines.lock().unwrap().push(line.0.clone());
            }
        });
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Log {
    /// From now on.
    pub fn keep() -> Self {
        let lines = Lines::default();
        KEPT.with_borrow_mut(|kept| kept.push(lines.clone()));
        Self(lines, tracing::subscriber::set_default(Writer))
    }

    /// What was said since the last time, in lines.
    pub fn said(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap()).join("\n")
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        KEPT.with_borrow_mut(|kept| kept.retain(|lines| !Arc::ptr_eq(lines, &self.0)));
    }
}
