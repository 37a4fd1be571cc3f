//! What of the processor time of watches no server can do without: a thread that only writes the same events, each a record of
//! TLS, to as many connections as often.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use rustls::{ServerConfig, ServerConnection};

use super::objects::{MAPS_PATH, config_map};
use super::watch::{PATIENCE, RATE, SECONDS, WATCHERS};
use super::{Bench, Value};
use crate::bench::load::{self, Load};

const CASE: &str = "watch-floor-cpu";

/// Runs its case.
pub fn run(bench: &mut Bench<'_, '_>) -> Result<()> {
    if !bench.report.wants(CASE) {
        return Ok(());
    }
    let side = &bench.sides[0];
    side.signal(Signal::CONT)?;
    let request = load::post(MAPS_PATH, &config_map("floor"));
    let (status, object) = side.load(1)?.ask(&request, PATIENCE)?;
    side.signal(Signal::STOP)?;
    ensure!(status == 201, "POST {MAPS_PATH}: {status}");
    let event = [br#"{"type":"ADDED","object":"#, &object[..], b"}\n"].concat();
    let chunk = [format!("{:x}\r\n", event.len()).as_bytes(), &event, b"\r\n"].concat();

    let (config, listener) = (side.papers.server.clone(), TcpListener::bind("127.0.0.1:0")?);
    let address = listener.local_addr()?;
    let writer = thread::spawn(move || tell(&listener, &config, &chunk));
    let mut load = Load::open(address, &side.papers.user, WATCHERS)?;
    let (all, mut came) = (event.len() * RATE * SECONDS * WATCHERS, 0);
    while came < all {
        let heard = load.wait(PATIENCE, |_, answer| {
            if let load::Answer::Body(bytes) = answer {
                came += bytes.len();
            }
        })?;
        ensure!(heard > 0, "{came} of {all} bytes came");
    }
    let told = writer.join().map_err(|_| anyhow!("the writer panicked"))??;
    bench.report.ours(CASE, Value::Percent(told.share * 100.0));
    Ok(())
}

/// The connections, which live until all is read, and the part of a processor that it took.
struct Told {
    _listeners: Vec<Listener>,
    share: f64,
}

struct Listener {
    tls: ServerConnection,
    socket: Sender,
}

/// Writes a record at once, not as one of several slices, which costs more.
struct Sender(TcpStream);

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Listener {
    fn accept(listener: &TcpListener, config: &Arc<ServerConfig>) -> Result<Listener> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut tls = ServerConnection::new(config.clone())?;
        while tls.is_handshaking() || tls.wants_write() {
            tls.complete_io(&mut stream)?;
        }
        let socket = Sender(stream);
        Ok(Listener { tls, socket })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.tls.writer().write_all(bytes)?;
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}

fn tell(listener: &TcpListener, config: &Arc<ServerConfig>, chunk: &[u8]) -> Result<Told> {
    let mut listeners = Vec::with_capacity(WATCHERS);
    for _ in 0..WATCHERS {
        let mut accepted = Listener::accept(listener, config)?;
        accepted.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        listeners.push(accepted);
    }
    let (begun, used) = (Instant::now(), used());
    for number in 0..u32::try_from(RATE * SECONDS)? {
        let due = begun + Duration::from_secs(1) * number / u32::try_from(RATE)?;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        listeners
            .iter_mut()
            .try_for_each(|listener| listener.send(chunk))?;
    }
    let share = (self::used() - used).as_secs_f64() / begun.elapsed().as_secs_f64();
    Ok(Told {
        _listeners: listeners,
        share,
    })
}

/// The processor time of this thread.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
