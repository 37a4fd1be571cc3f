//! Names of registry hosts to addresses. A static binary cannot use the C library's resolver, which loads plugins.

use component::Env;
use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RData, RecordType},
};
use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};
use tokio::net::UdpSocket;

const TRY: Duration = Duration::from_secs(3);

/// Addresses of `host`, from `/etc/hosts` or the servers in `/etc/resolv.conf`.
pub(super) async fn addresses(env: &Env, host: &str) -> io::Result<Vec<IpAddr>> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = host.parse() {
        return Ok(vec![ip]);
    }
    let listed = in_hosts(&fs::read_to_string("/etc/hosts").unwrap_or_default(), host);
    if !listed.is_empty() {
        return Ok(listed);
    }
    if host == "localhost" {
        return Ok(vec![IpAddr::from([127, 0, 0, 1])]);
    }
    let servers = servers(&fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("lookup {host}: no DNS servers"));
    for server in servers {
        match env.clock.timeout(TRY, ask(env, server, host)).await {
            Some(Ok(found)) if !found.is_empty() => return Ok(found),
            Some(Ok(_)) => {
                last = io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("lookup {host} on {server}: no such host"),
                )
            }
            Some(Err(error)) => {
                last = io::Error::new(error.kind(), format!("lookup {host} on {server}: {error}"))
            }
            None => {
                last = io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("lookup {host} on {server}: i/o timeout"),
                )
            }
        }
    }
    Err(last)
}

fn in_hosts(hosts: &str, wanted: &str) -> Vec<IpAddr> {
    let lines = hosts
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    let found = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let ip = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(wanted)).then_some(ip)
    });
    found.collect()
}

fn servers(resolv_conf: &str) -> Vec<SocketAddr> {
    let lines = resolv_conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"));
    lines
        .filter_map(|ip| ip.trim().parse::<IpAddr>().ok())
        .map(|ip| SocketAddr::new(ip, 53))
        .collect()
}

/// The A and AAAA records of `host`, the former first.
async fn ask(env: &Env, server: SocketAddr, host: &str) -> io::Result<Vec<IpAddr>> {
    let name = Name::from_str(&format!("{}.", host.trim_end_matches('.'))).map_err(io::Error::other)?;
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let mut found = Vec::new();
    for kind in [RecordType::A, RecordType::AAAA] {
        let socket = UdpSocket::bind(any).await?;
        socket.connect(server).await?;
        let mut query = Message::query();
        let id = env.random.below(1 << 16) as u16;
        query.metadata.id = id;
        query.metadata.recursion_desired = true;
        query.add_query(Query::query(name.clone(), kind));
        socket.send(&query.to_vec().map_err(io::Error::other)?).await?;
        let mut buffer = [0u8; 4096];
        let answer = loop {
            let length = socket.recv(&mut buffer).await?;
            match Message::from_vec(&buffer[..length]) {
                Ok(answer) if answer.metadata.id == id => break answer,
                _ => {}
            }
        };
        found.extend(answer.answers.iter().filter_map(|record| match &record.data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            RData::AAAA(a) => Some(IpAddr::V6(a.0)),
            _ => None,
        }));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files() {
        assert_eq!(
            in_hosts("127.0.0.1 localhost # x\n10.0.0.5 reg reg.lan\n", "reg.lan"),
            [IpAddr::from([10, 0, 0, 5])]
        );
        assert_eq!(servers("search a\nnameserver 10.0.0.1\n").len(), 1);
    }
}
