//! A server of some paths, and a client that sends any frame.

use bytes::Bytes;
use component::Env;
use futures::stream;
use http::{HeaderMap, HeaderValue, Request, Response, request::Parts};
use http_body::Frame as Frames;
use http_body_util::{BodyExt, Full, StreamBody};
use http2::{Answering, Incoming, Limits, Service};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;

/// Calls that wait for the test to answer them.
pub type Late = Arc<Mutex<Vec<(Vec<u8>, Answering)>>>;

/// `/small` sends a message back, `/late` when the test says so, `/echo` a body as it comes, `/bytes/N` so many bytes,
/// `/large/N` too once there is leave to make them; `/endless` never ends, and `/never` never begins.
#[derive(Clone, Default)]
pub struct Echo {
    pub late: Late,
    /// How often a head was looked at.
    pub heads: Arc<Mutex<usize>>,
    /// Parts of endless bodies that were made, and large answers.
    pub made: Arc<Mutex<usize>>,
    pub limits: Limits,
}

#[derive(Clone, Copy)]
pub enum Known {
    Small,
    Late,
}

impl Service for Echo {
    type Known = Known;

    fn known(&self, head: &Parts) -> Option<Known> {
        *self.heads.lock().unwrap() += 1;
        match head.uri.path() {
            "/small" => Some(Known::Small),
            "/late" => Some(Known::Late),
            _ => None,
        }
    }

    fn most(&self) -> usize {
        1 << 20
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn call(&self, known: &Known, message: &[u8], answering: Answering) {
        match known {
            Known::Small => {
                answering.message(|out| out.extend_from_slice(message));
            }
            Known::Late => self.late.lock().unwrap().push((message.to_vec(), answering)),
        }
    }

    fn request(
        &self,
        request: Request<Incoming>,
        answering: Answering,
    ) -> impl Future<Output = ()> + Send + 'static {
        let made = self.made.clone();
        async move {
            let path = request.uri().path().to_owned();
            if path == "/echo" {
                return answering.respond(Response::new(request.into_body()), None).await;
            }
            if let Some(count) = path.strip_prefix("/bytes/").and_then(|count| count.parse().ok()) {
                let body = Full::new(Bytes::from(vec![7; count]));
                return answering.respond(Response::new(body), None).await;
            }
            if let Some(count) = path.strip_prefix("/large/").and_then(|count| count.parse().ok()) {
                let Ok(turn) = answering.turn(u32::MAX).await else {
                    return;
                };
                *made.lock().unwrap() += 1;
                let body = Full::new(Bytes::from(vec![7; count]));
                return answering.respond(Response::new(body), Some(turn)).await;
            }
            if path == "/endless" {
                let parts = stream::repeat_with(move || {
                    *made.lock().unwrap() += 1;
                    Ok::<_, Infallible>(Frames::data(Bytes::from(vec![7; 1 << 14])))
                });
                return answering
                    .respond(Response::new(StreamBody::new(parts)), None)
                    .await;
            }
            if path == "/never" {
                let _answering = answering;
                return std::future::pending().await;
            }
            // What was small was odd: it is told how long its body is.
            let mut trailers = HeaderMap::new();
            if let Ok(body) = request.into_body().collect().await {
                trailers.insert("length", HeaderValue::from(body.to_bytes().len()));
            }
            answering.begin(Response::new(())).end(trailers);
        }
    }
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub content: Vec<u8>,
}

impl Frame {
    pub fn new(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Self {
        let content = content.to_vec();
        Self {
            kind,
            flags,
            stream,
            content,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = (self.content.len() as u32).to_be_bytes()[1..].to_vec();
        out.extend([self.kind, self.flags]);
        out.extend(self.stream.to_be_bytes());
        out.extend(&self.content);
        out
    }

    /// The code of a RST_STREAM or a GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.content[at..at + 4].try_into().unwrap())
    }
}

/// A block of headers that leaves the tables as they are.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            if text.len() < 127 {
                out.push(text.len() as u8);
            } else {
                out.push(127);
                let mut rest = text.len() - 127;
                while rest >= 128 {
                    out.push(rest as u8 | 128);
                    rest >>= 7;
                }
                out.push(rest as u8);
            }
            out.extend(text.as_bytes());
        }
    }
    out
}

pub fn path(path: &str) -> Vec<u8> {
    block(&[(":method", "POST"), (":scheme", "http"), (":path", path)])
}

pub fn message(text: &[u8]) -> Vec<u8> {
    [&[0][..], &(text.len() as u32).to_be_bytes(), text].concat()
}

pub struct Client {
    pub socket: DuplexStream,
    pub env: Env,
    pub echo: Echo,
    read: Vec<u8>,
}

impl Client {
    /// One that has said nothing, and whose server sends so many bytes unread.
    pub fn silent(buffer: usize) -> Self {
        Self::limited(buffer, Limits::default())
    }

    fn limited(buffer: usize, limits: Limits) -> Self {
        let (socket, theirs) = tokio::io::duplex(buffer);
        let echo = Echo {
            limits,
            ..Echo::default()
        };
        let env = Env::system();
        let (its, service) = (env.clone(), echo.clone());
        env.tasks.spawn_draining("server", async move {
            http2::serve(theirs, Vec::new(), service, &its).await;
        });
        let read = Vec::new();
        Self {
            socket,
            env,
            echo,
            read,
        }
    }

    /// One that has introduced itself, with these settings.
    pub async fn with(settings: &[(u16, u32)]) -> Self {
        Self::within(Limits::default(), settings).await
    }

    /// The same, at a server with these limits.
    pub async fn within(limits: Limits, settings: &[(u16, u32)]) -> Self {
        let mut this = Self::limited(1 << 20, limits);
        let content: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        this.write(PREFACE).await;
        this.send(SETTINGS, 0, 0, &content).await;
        let first = this.next().await.unwrap();
        assert_eq!((first.kind, first.flags), (SETTINGS, 0));
        assert_eq!(this.next().await.unwrap().kind, WINDOW_UPDATE);
        assert_eq!(this.next().await.unwrap(), Frame::new(SETTINGS, ACK, 0, &[]));
        this
    }

    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        // The server may have gone.
        let _ = self.socket.write_all(bytes).await;
    }

    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, content: &[u8]) {
        self.write(&Frame::new(kind, flags, stream, content).bytes())
            .await;
    }

    pub async fn ask(&mut self, stream: u32, to: &str, last: bool) {
        let end = if last { END_STREAM } else { 0 };
        self.send(HEADERS, END_HEADERS | end, stream, &path(to)).await;
    }

    pub async fn call(&mut self, stream: u32, to: &str, text: &[u8]) {
        self.ask(stream, to, false).await;
        self.send(DATA, END_STREAM, stream, &message(text)).await;
    }

    /// The next frame; none: the server has closed.
    pub async fn next(&mut self) -> Option<Frame> {
        let waited = tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                if let Some(head) = self.read.get(..9) {
                    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                    if self.read.len() >= 9 + length {
                        let rest = self.read.split_off(9 + length);
                        let whole = std::mem::replace(&mut self.read, rest);
                        let stream = u32::from_be_bytes(whole[5..9].try_into().unwrap());
                        return Some(Frame::new(whole[3], whole[4], stream, &whole[9..]));
                    }
                }
                if self.socket.read_buf(&mut self.read).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        });
        waited.await.expect("a frame or the end within a minute")
    }

    /// All until the answer of a PING, which comes behind what was done before.
    pub async fn until_now(&mut self) -> Vec<Frame> {
        self.send(PING, 0, 0, b"untilnow").await;
        let mut seen = Vec::new();
        while let Some(frame) = self.next().await {
            if frame.kind == PING && frame.content == b"untilnow" {
                break;
            }
            seen.push(frame);
        }
        seen
    }

    /// The answer of a stream: its data, and whether it ended.
    pub async fn answer(&mut self, stream: u32) -> Vec<u8> {
        let mut data = Vec::new();
        loop {
            let frame = self.next().await.expect("an answer");
            if frame.stream != stream {
                continue;
            }
            assert_ne!(frame.kind, RST_STREAM, "{frame:?}");
            if frame.kind == DATA {
                data.extend(&frame.content);
            }
            if frame.flags & END_STREAM != 0 && frame.kind != WINDOW_UPDATE {
                return data;
            }
        }
    }

    /// How the connection ends: the code of its GOAWAY.
    pub async fn end(&mut self) -> u32 {
        let mut code = None;
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code.expect("a GOAWAY")
    }
}
