//! The rest of the names: asked of the node's own resolvers, by their addresses in resolv.conf.

use crate::{Name, Record, kind};
use component::Env;
use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

const HEADER: usize = 12;
const RESPONSE: u8 = 0x80;
/// How long one resolver may take before the next is asked.
const PATIENCE: Duration = Duration::from_secs(2);
const DATAGRAM: usize = 65535;

/// The resolvers, in the order in which they are asked.
#[derive(Clone, Debug, Default)]
pub struct Upstreams(Vec<SocketAddr>);

impl Upstreams {
    /// These resolvers, without those at which we listen ourselves: a question must not go in a circle.
    pub fn new(resolvers: Vec<SocketAddr>, own: &[SocketAddr]) -> Self {
        let own: BTreeSet<&SocketAddr> = own.iter().collect();
        Self(
            resolvers
                .into_iter()
                .filter(|resolver| !own.contains(resolver))
                .collect(),
        )
    }

    /// The `nameserver` lines of a resolv.conf.
    pub fn parse(resolv_conf: &str) -> Vec<SocketAddr> {
        let server = |line: &str| {
            let mut words = line.split_whitespace();
            let address = words
                .next()
                .filter(|word| *word == "nameserver")
                .and_then(|_| words.next())?;
            Some(SocketAddr::new(address.parse::<IpAddr>().ok()?, 53))
        };
        resolv_conf.lines().filter_map(server).collect()
    }

    /// Hands a message on, by TCP if it came so. The answer, with the message's own number; `None` when no resolver
    /// gave one.
    pub async fn ask(&self, env: &Env, message: &[u8], tcp: bool) -> Option<Vec<u8>> {
        if message.len() < HEADER {
            return None;
        }
        for resolver in &self.0 {
            let mut question = message.to_vec();
            // A number that the client cannot know, so that nobody else can answer in the resolver's place.
            let mut id = [0; 2];
            env.random.fill(&mut id);
            question[..2].copy_from_slice(&id);
            let asked = async {
                if tcp {
                    ask_tcp(*resolver, &question).await
                } else {
                    ask_udp(*resolver, &question).await
                }
            };
            match env.clock.timeout(PATIENCE, asked).await {
                Some(Ok(mut answer)) => {
                    answer[..2].copy_from_slice(&message[..2]);
                    return Some(answer);
                }
                Some(Err(error)) => tracing::debug!(%resolver, %error, "resolver gave no answer"),
                None => tracing::debug!(%resolver, "resolver gave no answer in time"),
            }
        }
        None
    }
}

fn answers(question: &[u8], answer: &[u8]) -> bool {
    answer.len() >= HEADER && answer[..2] == question[..2] && answer[2] & RESPONSE != 0
}

async fn ask_udp(resolver: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = if resolver.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(resolver).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if answers(question, &buffer[..length]) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn ask_tcp(resolver: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(resolver).await?;
    stream
        .write_all(&[&(question.len() as u16).to_be_bytes(), question].concat())
        .await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    if answers(question, &answer) {
        Ok(answer)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// The records in the answer section of a message, of the types that may follow an alias.
pub(crate) fn records(message: &[u8]) -> Vec<Record> {
    read_records(message).unwrap_or_default()
}

fn read_records(message: &[u8]) -> Option<Vec<Record>> {
    let word = |at: usize| message.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
    let mut at = HEADER;
    for _ in 0..word(4)? {
        at = read_name(message, at)?.1 + 4;
    }
    let mut records = Vec::new();
    for _ in 0..word(6)? {
        let (name, fixed) = read_name(message, at)?;
        let (kind, class, length) = (word(fixed)?, word(fixed + 2)?, usize::from(word(fixed + 8)?));
        let ttl = u32::from(word(fixed + 4)?) << 16 | u32::from(word(fixed + 6)?);
        let data = message.get(fixed + 10..fixed + 10 + length)?;
        at = fixed + 10 + length;
        let data = match kind {
            kind::A | kind::AAAA | kind::TXT => data.to_vec(),
            kind::CNAME => read_name(message, fixed + 10)?.0.wire().to_vec(),
            _ => continue,
        };
        if class == 1 {
            records.push(Record {
                name,
                kind,
                ttl,
                data,
            });
        }
    }
    Some(records)
}

/// A name that may be compressed, and where what follows it begins.
fn read_name(message: &[u8], start: usize) -> Option<(Name, usize)> {
    let mut wire = Vec::new();
    let (mut at, mut end) = (start, None);
    // Each jump must lead back: so they end.
    loop {
        let length = *message.get(at)?;
        match length {
            0 => break,
            1..64 => {
                wire.extend(message.get(at..=at + usize::from(length))?);
                at += usize::from(length) + 1;
            }
            192.. => {
                end = end.or(Some(at + 2));
                let to = usize::from(length & 0x3f) << 8 | usize::from(*message.get(at + 1)?);
                if to >= at {
                    return None;
                }
                at = to;
            }
            _ => return None,
        }
        if wire.len() > 255 {
            return None;
        }
    }
    wire.push(0);
    Some((Name::read(&wire)?.0, end.unwrap_or(at + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Query;
    use component::Random;

    /// A question with two records, the second's name compressed.
    fn reply() -> Vec<u8> {
        let name = Name::new("a.example").expect("a name");
        let mut message = Query::new(name, kind::A).to_message();
        message[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 2]);
        message.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 4, 1, b'b', 0xc0, 14]);
        message.extend([0xc0, 35, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 7]);
        message
    }

    #[test]
    fn compressed_names_are_read() {
        let told: Vec<String> = records(&reply())
            .iter()
            .map(|r| format!("{} {} {:?}", r.name, r.kind, r.data))
            .collect();
        let target = Name::new("b.example").expect("a name");
        assert_eq!(told[0], format!("a.example. 5 {:?}", target.wire()));
        assert_eq!(told.len(), 2);
    }

    #[test]
    fn no_message_however_broken_stops_the_reader() {
        let random = Random::seeded(1);
        for _ in 0..50_000 {
            let mut message = reply();
            for _ in 0..=random.below(4) {
                let at = random.below(message.len() as u64) as usize;
                message[at] = random.below(256) as u8;
            }
            message.truncate(random.below(message.len() as u64 + 1) as usize);
            let _ = records(&message);
            message.iter_mut().skip(2).take(1).for_each(|flags| *flags = 1);
            if let Ok(query) = Query::parse(&message) {
                assert!(query.name.wire().len() <= 255);
            }
        }
    }
}
