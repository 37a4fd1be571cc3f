//! Waiting for something that has no event to wait for, with a time-out that says what it was.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks until the answer is there. An error names what was waited for and the last reason why it was not there.
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    let mut last = String::from("no answer yet");
    while start.elapsed() < limit {
        match ask() {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(error) => last = format!("{error:#}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("waited {} s for {what}: {last}", limit.as_secs())
}
