//! One connection of the load: TLS over a socket that does not block, and the next answer's bytes.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustls::{ClientConfig, ClientConnection, pki_types::ServerName};

use super::answer::{Answer, Reader};

/// How long a server may take to say hello.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Bytes that are read from a socket at once.
const BUFFER: usize = 128 << 10;

/// A connection to a server.
pub struct Connection {
    /// The socket.
    pub stream: TcpStream,
    tls: ClientConnection,
    reader: Reader,
    /// What the socket gives at once; TLS alone would ask for much less.
    buffer: Box<[u8]>,
}

impl Connection {
    /// Connects and shakes hands.
    pub fn open(address: SocketAddr, config: Arc<ClientConfig>) -> Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, HANDSHAKE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(HANDSHAKE))?;
        let mut tls = ClientConnection::new(config, ServerName::IpAddress(address.ip().into()))?;
        let mut socket = &stream;
        while tls.is_handshaking() || tls.wants_write() {
            tls.complete_io(&mut socket).context("TLS handshake")?;
        }
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            tls,
            reader: Reader::default(),
            buffer: vec![0; BUFFER].into(),
        })
    }

    /// Sends a request; it is small enough for the socket to take it at once.
    pub fn send(&mut self, request: &[u8]) -> Result<()> {
        self.tls.writer().write_all(request)?;
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.stream).context("send a request")?;
        }
        Ok(())
    }

    /// Tells what has come.
    pub fn receive(&mut self, mut tell: impl FnMut(Answer<'_>)) -> Result<()> {
        let mut encrypted = match self.stream.read(&mut self.buffer) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(length) => &self.buffer[..length],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("read an answer"),
        };
        while !encrypted.is_empty() {
            self.tls.read_tls(&mut encrypted)?;
            self.tls.process_new_packets().context("TLS")?;
            loop {
                let mut plain = self.tls.reader();
                let bytes = match plain.fill_buf() {
                    Ok(bytes) if !bytes.is_empty() => bytes,
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                        return Err(error).context("read an answer");
                    }
                    _ => break,
                };
                self.reader.read(bytes, &mut tell)?;
                let length = bytes.len();
                plain.consume(length);
            }
        }
        Ok(())
    }
}
