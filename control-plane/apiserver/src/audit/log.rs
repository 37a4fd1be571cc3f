//! The log: a line an event, in a file or on standard output.

use super::{
    Event, Format, LogSettings, Output,
    file::{Rotating, Rotation},
};
use component::Env;
use futures::{FutureExt, future::BoxFuture};
use std::{
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// The log.
pub(super) struct Log {
    format: Format,
    to: To,
}

enum To {
    Out,
    File(Mutex<Rotating>),
}

impl Log {
    /// Opens it.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn open(settings: &LogSettings, env: &Env) -> Result<Self, String> {
        let to = if settings.path == Path::new("-") {
            To::Out
        } else {
            let rotation = Rotation {
                max_size: settings.max_size << 20,
                max_age: settings.max_age,
                max_backups: settings.max_backups,
                compress: settings.compress,
            };
            let (clock, tasks) = (env.clock.clone(), env.tasks.clone());
            let file = Rotating::open(&settings.path, rotation, clock, tasks)
                .map_err(|error| format!("ensureLogFile: {}: {error}", settings.path.display()))?;
            To::File(Mutex::new(file))
        };
        Ok(Self {
            format: settings.format,
            to,
        })
    }

    fn put(&self, event: &Event) -> io::Result<()> {
        let mut line = match self.format {
            Format::Json => event.json(),
            Format::Legacy => event.line().into_bytes(),
        };
        line.push(b'\n');
        match &self.to {
            To::Out => io::stdout().lock().write_all(&line),
            To::File(file) => file.lock().unwrap_or_else(PoisonError::into_inner).write(&line),
        }
    }
}

impl Output for Log {
    fn write<'a>(&'a self, events: &'a [Arc<Event>]) -> BoxFuture<'a, Result<(), String>> {
        let done = events.iter().try_for_each(|event| self.put(event));
        std::future::ready(done.map_err(|error| error.to_string())).boxed()
    }
}
