//! A webhook that knows everybody's tokens, and how often it was asked.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::Result;

const ANSWER: &str = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":true,"user":{"username":"ann","groups":["dev"]}}}"#;

/// Listens on loopback as long as the benchmark runs.
pub struct Reviewer {
    /// Where a server finds it.
    pub kubeconfig: PathBuf,
    asked: Arc<AtomicUsize>,
}

impl Reviewer {
    /// Starts it; `folder` is for the kubeconfig, `authority` is a file of certificates, which plain HTTP does not use.
    pub fn start(folder: &Path, authority: &Path) -> Result<Reviewer> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (server, authority) = (listener.local_addr()?, authority.display());
        let kubeconfig = folder.join("reviewer.yaml");
        fs::write(
            &kubeconfig,
            format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: reviewer\n\
                 clusters: [{{name: reviewer, cluster: {{server: 'http://{server}/', certificate-authority: '{authority}'}}}}]\n\
                 contexts: [{{name: reviewer, context: {{cluster: reviewer, user: reviewer}}}}]\n\
                 users: [{{name: reviewer, user: {{}}}}]\n"
            ),
        )?;
        let asked = Arc::<AtomicUsize>::default();
        let counts = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counts = counts.clone();
                // A connection that breaks is the server's to open again.
                thread::spawn(move || drop(answer(&stream, &counts)));
            }
        });
        Ok(Reviewer { kubeconfig, asked })
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: &TcpStream, asked: &AtomicUsize) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
        if line.trim().is_empty() {
            let mut question = vec![0; length];
            reader.read_exact(&mut question)?;
            asked.fetch_add(1, Ordering::SeqCst);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ";
            write!(stream, "{head}{}\r\n\r\n{ANSWER}", ANSWER.len())?;
        }
    }
}
