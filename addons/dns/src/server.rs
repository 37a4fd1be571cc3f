//! The server: datagrams and streams, answered from the zone, or forwarded.

use crate::{Answer, Query, Rcode, Verdict, Zone, answer, forward, forward::Upstreams, message::Invalid};
use component::Env;
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
};

const DATAGRAM: usize = 4096;
const STREAM_LIMIT: usize = 65535;
/// How long a client's stream may be silent.
const SILENCE: Duration = Duration::from_secs(10);
/// Forwarded questions and streams at one time; more are not taken.
const CONCURRENT: usize = 1000;

/// Answers from a zone that others keep current. Clones share all.
#[derive(Clone, Debug)]
pub struct Server {
    zone: Arc<RwLock<Zone>>,
    upstreams: Upstreams,
    env: Env,
    turn: Arc<AtomicUsize>,
    room: Arc<Semaphore>,
}

impl Server {
    /// A server of `zone`; what is not in it is asked of `upstreams`.
    pub fn new(zone: Arc<RwLock<Zone>>, upstreams: Upstreams, env: Env) -> Self {
        Self {
            zone,
            upstreams,
            env,
            turn: Arc::default(),
            room: Arc::new(Semaphore::new(CONCURRENT)),
        }
    }

    /// Listens at an address by UDP and TCP until the tasks stop; the address (its port is chosen if it was 0).
    pub async fn listen(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        let udp = Arc::new(UdpSocket::bind(address).await?);
        let bound = udp.local_addr()?;
        let tcp = TcpListener::bind(bound).await?;
        let server = self.clone();
        self.env
            .tasks
            .spawn("dns-udp", async move { server.datagrams(udp).await });
        let server = self.clone();
        self.env
            .tasks
            .spawn("dns-tcp", async move { server.streams(tcp).await });
        Ok(bound)
    }

    async fn datagrams(&self, socket: Arc<UdpSocket>) {
        let mut buffer = [0; DATAGRAM];
        loop {
            // An error belongs to an earlier answer whose client is gone.
            let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
                continue;
            };
            let message = &buffer[..length];
            match self.decide(message, false) {
                Decision::Reply(reply) => _ = socket.send_to(&reply, client).await,
                Decision::Ignore => {}
                Decision::Ask(question) => {
                    let Ok(place) = self.room.clone().try_acquire_owned() else {
                        continue;
                    };
                    let (server, socket, message) = (self.clone(), socket.clone(), message.to_vec());
                    self.env.tasks.spawn("dns-forward", async move {
                        let reply = server.ask(&question, &message, false).await;
                        let _ = socket.send_to(&reply, client).await;
                        drop(place);
                    });
                }
            }
        }
    }

    async fn streams(&self, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                self.env.clock.sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Ok(place) = self.room.clone().try_acquire_owned() else {
                continue;
            };
            let server = self.clone();
            self.env.tasks.spawn("dns-stream", async move {
                let _ = server.stream(stream).await;
                drop(place);
            });
        }
    }

    async fn stream(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let read = async {
                let length = stream.read_u16().await?;
                let mut message = vec![0; usize::from(length)];
                stream.read_exact(&mut message).await.map(|_| message)
            };
            let Some(message) = self.env.clock.timeout(SILENCE, read).await else {
                return Ok(());
            };
            let message = message?;
            let reply = match self.decide(&message, true) {
                Decision::Reply(reply) => reply,
                Decision::Ignore => return Ok(()),
                Decision::Ask(question) => self.ask(&question, &message, true).await,
            };
            stream
                .write_all(&[&(reply.len() as u16).to_be_bytes(), reply.as_slice()].concat())
                .await?;
        }
    }

    fn decide(&self, message: &[u8], stream: bool) -> Decision {
        let query = match Query::parse(message) {
            Ok(query) => query,
            Err(Invalid::Ignore) => return Decision::Ignore,
            Err(Invalid::Reply(reply)) => return Decision::Reply(reply),
        };
        let zone = self.zone.read().unwrap_or_else(PoisonError::into_inner);
        match answer(&zone, &query) {
            Verdict::Answer(answer) => Decision::Reply(self.encode(&query, &answer, stream)),
            verdict => Decision::Ask(Box::new((query, verdict))),
        }
    }

    fn encode(&self, query: &Query, answer: &Answer, stream: bool) -> Vec<u8> {
        let limit = if stream {
            STREAM_LIMIT
        } else {
            query.datagram_limit()
        };
        query.encode(answer, limit, self.turn.fetch_add(1, Ordering::Relaxed))
    }

    /// Finds out elsewhere.
    async fn ask(&self, (query, verdict): &(Query, Verdict), message: &[u8], stream: bool) -> Vec<u8> {
        let failure = Answer {
            rcode: Rcode::ServerFailure,
            ..Answer::default()
        };
        let Verdict::Alias(known, target) = verdict else {
            let found = self.upstreams.ask(&self.env, message, stream).await;
            return found.unwrap_or_else(|| self.encode(query, &failure, stream));
        };
        let question = Query::new(target.clone(), query.kind).to_message();
        match self.upstreams.ask(&self.env, &question, stream).await {
            Some(found) => {
                let mut answer = known.clone();
                answer.answers.extend(forward::records(&found));
                self.encode(query, &answer, stream)
            }
            None => self.encode(query, &failure, stream),
        }
    }
}

enum Decision {
    Reply(Vec<u8>),
    Ask(Box<(Query, Verdict)>),
    Ignore,
}
