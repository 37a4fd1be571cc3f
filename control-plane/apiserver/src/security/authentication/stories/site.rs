//! A small HTTPS server, which answers as it is told.

use bytes::Bytes;
use component::{
    Clock, Tasks,
    pki::{Authority, Purpose, Rotating, asking_server_config},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// How a path is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// 200 with a body.
    Json(String),
    /// Another code.
    Code(u16, &'static str),
    /// To somewhere else.
    Redirect(String),
    /// Never.
    Hang,
    /// Bytes that are no HTTP.
    Garbage,
    /// More than anybody wants.
    Huge,
}

/// The server. It ends with the value.
pub struct Site {
    pub url: String,
    pub ca: String,
    replies: Arc<Mutex<BTreeMap<String, Reply>>>,
    asked: Arc<Mutex<Vec<(String, Bytes)>>>,
    tasks: Tasks,
    _folder: tempfile::TempDir,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

impl Site {
    pub async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = Clock::system().wall();
        let authority = Authority::open(folder.path(), now).unwrap();
        let purpose = Purpose::server("site", vec!["127.0.0.1".to_owned()]);
        let shown = Rotating::open(&authority, "site", purpose, now).unwrap();
        let mut tls = asking_server_config(shown).unwrap();
        tls.alpn_protocols.clear();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = Self {
            url: format!("https://{}", listener.local_addr().unwrap()),
            ca: authority.certificate().to_owned(),
            replies: Arc::default(),
            asked: Arc::default(),
            tasks: Tasks::new(),
            _folder: folder,
        };
        let (replies, asked, tasks) = (site.replies.clone(), site.asked.clone(), site.tasks.clone());
        site.tasks.spawn("site", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, replies, asked) = (acceptor.clone(), replies.clone(), asked.clone());
                tasks.spawn("connection", async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        answer(stream, &replies, &asked).await;
                    }
                });
            }
        });
        site
    }

    /// Answers `path` so from now on.
    pub fn says(&self, path: &str, reply: Reply) {
        self.replies.lock().unwrap().insert(path.to_owned(), reply);
    }

    /// The bodies of what was asked at `path`.
    pub fn asked(&self, path: &str) -> Vec<Bytes> {
        let asked = self.asked.lock().unwrap();
        let here = asked.iter().filter(|(at, _)| at == path);
        here.map(|(_, body)| body.clone()).collect()
    }
}

type Asked = Arc<Mutex<Vec<(String, Bytes)>>>;

async fn answer(
    mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    replies: &Arc<Mutex<BTreeMap<String, Reply>>>,
    asked: &Asked,
) {
    let mut text = Vec::new();
    let end = loop {
        if let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut text).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let head = String::from_utf8_lossy(&text[..end]).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.trim().parse().unwrap());
    while text.len() < end + length {
        if stream.read_buf(&mut text).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let path = String::from_utf8_lossy(&text[..end]);
    let path = path
        .split(' ')
        .nth(1)
        .unwrap()
        .split('?')
        .next()
        .unwrap()
        .to_owned();
    asked
        .lock()
        .unwrap()
        .push((path.clone(), Bytes::copy_from_slice(&text[end..])));
    let reply = replies.lock().unwrap().get(&path).cloned();
    let whole = |code: u16, more: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {code} X\r\ncontent-length: {length}\r\n{more}connection: close\r\n\r\n{body}")
    };
    let answer = match reply {
        Some(Reply::Json(body)) => whole(200, "", &body),
        Some(Reply::Code(code, body)) => whole(code, "", body),
        Some(Reply::Redirect(to)) => whole(302, &format!("location: {to}\r\n"), ""),
        Some(Reply::Hang) => return std::future::pending().await,
        Some(Reply::Garbage) => "\u{1}\u{2}nonsense\r\n\r\n".to_owned(),
        Some(Reply::Huge) => whole(200, "", &" ".repeat(5 << 20)),
        None => whole(404, "", "not found"),
    };
    // The other end may have left.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}
