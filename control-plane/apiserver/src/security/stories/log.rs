//! What the log says while a story goes on.

use std::{
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

/// The lines of the log that this thread writes, as long as it is kept.
pub struct Log(
    Lines,
    #[expect(dead_code, reason = "lines are taken until it goes")] DefaultGuard,
);

struct Writer(Lines);

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
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Log {
    /// From now on.
    pub fn keep() -> Self {
        let lines = Lines::default();
        let guard = tracing::subscriber::set_default(Writer(lines.clone()));
        Self(lines, guard)
    }

    /// What was said since the last time, in lines.
    pub fn said(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap()).join("\n")
    }
}
