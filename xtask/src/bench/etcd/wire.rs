//! A connection of the load: gRPC as frames of HTTP/2 that are put together by hand, so that it is the server that is
//! measured and not who asks. It sends what clients made with gRPC's libraries send, and checks that each call got its answer.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame before its content, and of a message before its own.
const FRAME: usize = 9;
const PREFIX: usize = 5;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// Bytes that may be on their way to us: on all streams together, and on one.
const WINDOW: u32 = 1 << 30;
const STREAM_WINDOW: u32 = 16 << 20;
/// What a server takes unasked.
const USUAL_WINDOW: i64 = 65_535;
/// The setting that says what one stream may have on its way.
const INITIAL_WINDOW_SIZE: u16 = 4;
/// Bytes that are read from a socket at once.
const BUFFER: usize = 256 << 10;

/// What came.
pub enum Came<'a> {
    /// A message.
    Message(&'a [u8]),
    /// A call that was answered: when it was sent.
    Answered(Instant),
}

/// A call that is under way.
struct Call {
    stream: u32,
    sent: Instant,
    answered: bool,
}

/// A connection whose calls are all of one method.
pub struct Connection {
    /// The socket.
    pub socket: TcpStream,
    path: &'static str,
    buffer: Box<[u8]>,
    /// What was read and is no whole frame yet.
    read: Vec<u8>,
    /// What the socket has not taken yet.
    out: Vec<u8>,
    /// Messages of streams that are not whole yet.
    parts: Vec<(u32, Vec<u8>)>,
    calls: VecDeque<Call>,
    next: u32,
    /// Bytes that the server still takes.
    window: i64,
    /// Messages that wait until it takes more.
    held: VecDeque<Vec<u8>>,
    /// Bytes that came and were not given back.
    taken: u32,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr, path: &'static str) -> Result<Connection> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let mut out = PREFACE.to_vec();
        let mut setting = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        setting.extend(STREAM_WINDOW.to_be_bytes());
        frame(&mut out, SETTINGS, 0, 0, &setting);
        frame(&mut out, WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
        (&socket).write_all(&out)?;
        socket.set_nonblocking(true)?;
        Ok(Connection {
            socket,
            path,
            buffer: vec![0; BUFFER].into(),
            read: Vec::new(),
            out: Vec::new(),
            parts: Vec::new(),
            calls: VecDeque::new(),
            next: 1,
            window: USUAL_WINDOW,
            held: VecDeque::new(),
            taken: 0,
        })
    }

    /// Whether the socket has not taken all yet.
    pub fn is_behind(&self) -> bool {
        !self.out.is_empty()
    }

    /// Calls with a message; [`Connection::flush`] sends it.
    pub fn call(&mut self, message: &[u8]) {
        match self.held.is_empty() && self.window >= (message.len() + PREFIX) as i64 {
            true => self.begin(message, true),
            false => self.held.push_back(message.to_vec()),
        }
    }

    /// Begins a call whose stream of requests stays open.
    pub fn open_stream(&mut self, message: &[u8]) {
        self.begin(message, false);
    }

    fn begin(&mut self, message: &[u8], whole: bool) {
        let stream = self.next;
        self.next += 2;
        let headers = match stream {
            1 => first_headers(self.path),
            _ => LATER_HEADERS.to_vec(),
        };
        frame(&mut self.out, HEADERS, END_HEADERS, stream, &headers);
        let length = PREFIX + message.len();
        let flags = if whole { END_STREAM } else { 0 };
        head(&mut self.out, length, DATA, flags, stream);
        self.out.push(0);
        self.out.extend((message.len() as u32).to_be_bytes());
        self.out.extend_from_slice(message);
        self.window -= length as i64;
        if whole {
            self.calls.push_back(Call {
                stream,
                sent: Instant::now(),
                answered: false,
            });
        }
    }

    /// Sends as much as the socket takes.
    pub fn flush(&mut self) -> Result<()> {
        let mut sent = 0;
        while sent < self.out.len() {
            match self.socket.write(&self.out[sent..]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("send requests"),
            }
        }
        self.out.drain(..sent);
        Ok(())
    }

    /// Tells what has come.
    pub fn receive(&mut self, mut tell: impl FnMut(Came<'_>) -> Result<()>) -> Result<()> {
        let length = match self.socket.read(&mut self.buffer) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("read answers"),
        };
        let mut read = std::mem::take(&mut self.read);
        read.extend_from_slice(&self.buffer[..length]);
        let mut at = 0;
        while let Some(head) = read.get(at..at + FRAME) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let (kind, flags) = (head[3], head[4]);
            let Some(content) = read.get(at + FRAME..at + FRAME + length) else {
                break;
            };
            at += FRAME + length;
            self.frame((kind, flags, stream), content, &mut tell)?;
        }
        read.drain(..at);
        self.read = read;
        if self.taken >= WINDOW / 2 {
            let taken = std::mem::take(&mut self.taken);
            frame(&mut self.out, WINDOW_UPDATE, 0, 0, &taken.to_be_bytes());
        }
        Ok(())
    }

    fn frame(
        &mut self,
        (kind, flags, stream): (u8, u8, u32),
        content: &[u8],
        tell: &mut impl FnMut(Came<'_>) -> Result<()>,
    ) -> Result<()> {
        match kind {
            DATA => {
                self.taken += content.len() as u32;
                self.data(stream, content, tell)?;
            }
            SETTINGS if flags & ACK == 0 => frame(&mut self.out, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(&mut self.out, PING, ACK, 0, content),
            WINDOW_UPDATE if stream == 0 => {
                let more = content.first_chunk().context("a window without a size")?;
                self.window += i64::from(u32::from_be_bytes(*more));
                self.release();
            }
            RESET | GOAWAY => bail!("the server ended stream {stream} with frame {kind}: {content:?}"),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            let place = self.calls.iter().position(|call| call.stream == stream);
            let call = place.and_then(|place| self.calls.remove(place));
            let call = call.with_context(|| format!("stream {stream} ended"))?;
            // A call that is refused has no message.
            ensure!(
                call.answered,
                "a call was refused: {}",
                String::from_utf8_lossy(content)
            );
            tell(Came::Answered(call.sent))?;
        }
        Ok(())
    }

    /// Takes bytes of messages.
    fn data(
        &mut self,
        stream: u32,
        content: &[u8],
        tell: &mut impl FnMut(Came<'_>) -> Result<()>,
    ) -> Result<()> {
        let before = self.parts.iter().position(|(of, _)| *of == stream);
        let joined = before.map(|place| {
            let (_, mut part) = self.parts.swap_remove(place);
            part.extend_from_slice(content);
            part
        });
        let mut bytes = joined.as_deref().unwrap_or(content);
        while let Some(prefix) = bytes.first_chunk::<PREFIX>() {
            let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
            let Some(message) = bytes.get(PREFIX..PREFIX + length) else {
                break;
            };
            if let Some(call) = self.calls.iter_mut().find(|call| call.stream == stream) {
                call.answered = true;
            }
            tell(Came::Message(message))?;
            bytes = &bytes[PREFIX + length..];
        }
        if !bytes.is_empty() {
            self.parts.push((stream, bytes.to_vec()));
        }
        Ok(())
    }

    /// Sends what was held for as long as the server takes it.
    fn release(&mut self) {
        while let Some(message) = self.held.front()
            && self.window >= (message.len() + PREFIX) as i64
            && let Some(message) = self.held.pop_front()
        {
            self.begin(&message, true);
        }
    }
}

fn head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    out.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, content: &[u8]) {
    head(out, content.len(), kind, flags, stream);
    out.extend_from_slice(content);
}

/// The headers of the first call: those that the tables of HPACK do not know from the beginning are put into them.
fn first_headers(path: &str) -> Vec<u8> {
    let mut out = vec![0x83, 0x86];
    let texts = [
        (vec![0x44], path),
        (vec![0x41], "127.0.0.1"),
        (vec![0x5f], "application/grpc"),
        (vec![0x7a], "bench"),
        (vec![0x40, 2, b't', b'e'], "trailers"),
    ];
    for (name, value) in texts {
        out.extend(name);
        out.push(value.len() as u8);
        out.extend(value.as_bytes());
    }
    out
}

/// The same, as the tables know them by then: the last is the first of them.
const LATER_HEADERS: &[u8] = &[0x83, 0x86, 0xc2, 0xc1, 0xc0, 0xbf, 0xbe];
