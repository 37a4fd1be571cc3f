//! A hundred watchers of ConfigMaps, 200 of which are made each second.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::objects::{MAPS_PATH, config_map};
use super::{Bench, Case, Sample, Side, Value, cost};
use crate::bench::load::{self, Answer, Load};
use crate::bench::percentiles;

pub const WATCHERS: usize = 100;
const WRITERS: usize = 16;
pub const RATE: usize = 200;
pub const SECONDS: usize = 5;
const ROUNDS: usize = 2;
/// How long after the last write an event may come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Runs its cases.
pub fn run(bench: &mut Bench<'_, '_>) -> Result<()> {
    let cases: [Case; 3] = [
        ("watch-p99", Value::Seconds),
        ("watch-after-answer-p99", Value::Seconds),
        ("watch-cpu", Value::Percent),
    ];
    bench.rounds(ROUNDS, &cases, measure)
}

fn measure(side: &mut Side<'_>, round: usize) -> Result<Sample> {
    let mut load = side.load(WATCHERS + WRITERS)?;
    let prefix = format!("watched-{round}-");
    let from = revision(&mut side.load(1)?)?;
    let watch = format!("{MAPS_PATH}?watch=1&resourceVersion={from}");
    for watcher in 0..WATCHERS {
        load.send(watcher, &load::get(&watch, "Accept: application/json\r\n"))?;
    }
    let mut watched = Watched::new(&prefix);
    // Until all of them have their headers, they are only quick to answer, not watching.
    while load.wait(Duration::from_millis(300), |_, _| {})? > 0 {}
    let begun = Instant::now();
    let (_, cost) = cost(side, || watched.run(&mut load, &prefix))?;
    let took = begun.elapsed().as_secs_f64();
    let p99 = |mut seconds: Vec<f64>| percentiles(&mut seconds).context("no event came");
    let (half, most) = p99(watched.since(&watched.sent))?;
    let (_, delivery) = p99(watched.since(&watched.answered))?;
    println!(
        "  load {:.0}% of a processor, half of the events after {:.1} ms",
        cost.load / took * 100.0,
        half * 1e3,
    );
    Ok(vec![most, delivery, cost.server / took * 100.0])
}

/// The revision of the collection.
fn revision(load: &mut Load) -> Result<String> {
    let request = load::get(&format!("{MAPS_PATH}?limit=1"), "Accept: application/json\r\n");
    let (status, body) = load.ask(&request, PATIENCE)?;
    ensure!(status == 200, "list: {status}");
    let body = String::from_utf8_lossy(&body);
    // The list's own is the first: its metadata is before the items.
    let text = body.split(r#""resourceVersion":""#).nth(1);
    let text = text.and_then(|text| text.split('"').next());
    Ok(text.context("a list without a version")?.to_owned())
}

/// What the watchers have seen.
struct Watched {
    needle: Vec<u8>,
    /// When each write was sent.
    sent: Vec<Instant>,
    /// When each was answered, by its connection until then.
    answered: Vec<Instant>,
    writing: [usize; WRITERS],
    /// Which write each event is of, and when it was read.
    events: Vec<(usize, Instant)>,
    lines: Vec<Vec<u8>>,
    failed: Option<u16>,
}

impl Watched {
    fn new(prefix: &str) -> Watched {
        Watched {
            needle: format!(r#""name":"{prefix}"#).into_bytes(),
            sent: Vec::with_capacity(RATE * SECONDS),
            answered: Vec::with_capacity(RATE * SECONDS),
            writing: [0; WRITERS],
            events: Vec::with_capacity(RATE * SECONDS * WATCHERS),
            lines: vec![Vec::new(); WATCHERS],
            failed: None,
        }
    }

    /// Writes at the rate and reads until every watcher has seen everything.
    fn run(&mut self, load: &mut Load, prefix: &str) -> Result<()> {
        let (begun, all) = (Instant::now(), RATE * SECONDS);
        let mut free: Vec<usize> = (WATCHERS..WATCHERS + WRITERS).collect();
        while self.events.len() < all * WATCHERS || free.len() < WRITERS {
            let due = begun + Duration::from_secs(1) * u32::try_from(self.sent.len())? / u32::try_from(RATE)?;
            let more = self.sent.len() < all;
            if more
                && due <= Instant::now()
                && let Some(writer) = free.pop()
            {
                let body = config_map(&format!("{prefix}{}", self.sent.len()));
                self.writing[writer - WATCHERS] = self.sent.len();
                self.sent.push(Instant::now());
                self.answered.push(Instant::now());
                load.send(writer, &load::post(MAPS_PATH, &body))?;
            }
            let waits_for_time = more && !free.is_empty();
            let pause = if waits_for_time {
                due.saturating_duration_since(Instant::now())
            } else {
                PATIENCE
            };
            let mut freed = Vec::new();
            let came = load.wait(pause, |connection, answer| {
                if let Some(writer) = self.take(connection, answer) {
                    freed.push(writer);
                }
            })?;
            free.append(&mut freed);
            ensure!(
                self.failed.is_none(),
                "a write was answered with {:?}",
                self.failed
            );
            ensure!(
                waits_for_time || came > 0,
                "{} of {} events came",
                self.events.len(),
                all * WATCHERS
            );
        }
        Ok(())
    }

    /// Seconds from a moment of each write to each of its events; 0 for those that came before it.
    fn since(&self, moments: &[Instant]) -> Vec<f64> {
        let since = |(number, at): &(usize, Instant)| at.saturating_duration_since(moments[*number]);
        self.events
            .iter()
            .map(|event| since(event).as_secs_f64())
            .collect()
    }

    /// Takes in what came; the writer that is free then.
    fn take(&mut self, connection: usize, answer: Answer<'_>) -> Option<usize> {
        match answer {
            Answer::End(status) => {
                self.failed = self.failed.or((status != 201).then_some(status));
                // A watch that ends is no write, and its status is not that of one.
                let writer = connection.checked_sub(WATCHERS)?;
                self.answered[self.writing[writer]] = Instant::now();
                return Some(connection);
            }
            Answer::Body(bytes) if connection < WATCHERS => self.read(connection, bytes),
            Answer::Body(_) => {}
        }
        None
    }

    fn read(&mut self, watcher: usize, mut bytes: &[u8]) {
        let now = Instant::now();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = bytes.split_at(end + 1);
            let line = &mut self.lines[watcher];
            line.extend_from_slice(head);
            let number = number(line, &self.needle).filter(|number| *number < self.sent.len());
            self.events.extend(number.map(|number| (number, now)));
            line.clear();
            bytes = rest;
        }
        self.lines[watcher].extend_from_slice(bytes);
    }
}

/// The number after the prefix of the object's name.
fn number(line: &[u8], needle: &[u8]) -> Option<usize> {
    let at = line.windows(needle.len()).position(|window| window == needle)?;
    let digits = line[at + needle.len()..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_in_pieces() {
        let mut watched = Watched::new("w-0-");
        watched.sent = vec![Instant::now(); 20];
        let text = r#"{"type":"ADDED","object":{"metadata":{"name":"w-0-17"}}}"#.to_owned() + "\n";
        for piece in text.repeat(2).as_bytes().chunks(11) {
            watched.read(3, piece);
        }
        watched.read(4, b"{\"metadata\":{\"name\":\"w-0-20\"}}\n");
        watched.read(4, b"{\"metadata\":{\"name\":\"w-1-2\"}}\n");
        let numbers: Vec<usize> = watched.events.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [17, 17]);
        assert_eq!(number(br#""name":"w-0-17""#, br#""name":"w-0-"#), Some(17));
    }
}
