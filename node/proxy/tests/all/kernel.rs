//! The rules at work: a host namespace, pods behind a bridge in it, a client, real connections.

use proxy::{Action, Destination, Protocol, Rules, nftables::Nftables};
use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};
use testing::Netns;

const LIMIT: Duration = Duration::from_secs(5);

/// A host with pods 10.244.0.2, .3, … on a bridge.
struct Lab {
    host: Netns,
    pods: Vec<Netns>,
}

impl Lab {
    fn new(pods: usize) -> Self {
        let host = Netns::new();
        host.sh(
            "ip link add cni0 type bridge && ip addr add 10.244.0.1/24 dev cni0 && ip link set cni0 up
            echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
            ip addr add fd01::1/64 dev cni0 nodad && ip route add fd00::/64 dev cni0
            ip addr add 192.0.2.1/32 dev lo && ip route add 10.96.0.0/12 dev cni0
            echo 1 > /proc/sys/net/ipv4/ip_forward
            echo 0 > /proc/sys/net/ipv4/conf/all/send_redirects
            echo 0 > /proc/sys/net/ipv4/conf/cni0/send_redirects
            echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables || true",
        );
        let make = |index: usize| {
            let pod = Netns::new();
            let (address, path) = (index + 2, pod.path());
            host.sh(&format!(
                "ip link add veth{index} type veth peer name eth0 netns {path}
                 ip link set veth{index} master cni0 up && bridge link set dev veth{index} hairpin on"
            ));
            // A /32 as our own plugin's: neighbours are reached through the host, so that answers pass its rules.
            pod.sh(&format!(
                "ip addr add 10.244.0.{address}/32 dev eth0 && ip link set eth0 up
                 ip route add 10.244.0.1 dev eth0 && ip route add default via 10.244.0.1
                 ip addr add fd01::{address}/128 dev eth0 nodad
                 ip route add fd01::1 dev eth0 && ip route add default via fd01::1"
            ));
            pod
        };
        let pods = (0..pods).map(make).collect();
        Self { host, pods }
    }

    /// Serves, in a pod, its own address and the client's to every client, over TCP and UDP on one port.
    fn serve(&self, pod: usize, port: u16) {
        let name = format!("10.244.0.{}", pod + 2);
        let (listener, socket) = self.pods[pod].run(|| {
            (
                TcpListener::bind(("::", port)).expect("a listener"),
                UdpSocket::bind(("::", port)).expect("a socket"),
            )
        });
        let udp_name = name.clone();
        detach(move || {
            while let Ok((mut stream, peer)) = listener.accept() {
                let _ = write!(stream, "{name} {}", peer.ip().to_canonical());
            }
        });
        detach(move || {
            let mut buffer = [0; 64];
            while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                let _ = socket.send_to(
                    format!("{udp_name} {}", peer.ip().to_canonical()).as_bytes(),
                    peer,
                );
            }
        });
    }
}

/// Serves until the test process ends.
fn detach(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().spawn(work).expect("a thread");
}

fn tcp(from: &Netns, to: &str) -> std::io::Result<String> {
    let to: SocketAddr = to.parse().expect("an address");
    from.run(|| {
        let mut stream = TcpStream::connect_timeout(&to, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })
}

fn udp(from: &Netns, local_port: u16, to: &str) -> std::io::Result<String> {
    from.run(|| {
        let socket = UdpSocket::bind(("0.0.0.0", local_port))?;
        socket.set_read_timeout(Some(LIMIT))?;
        socket.connect(to)?;
        socket.send(b"?")?;
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    })
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn balance(endpoints: &[&str], sticky: Option<u32>) -> Action {
    let endpoints = endpoints
        .iter()
        .map(|e| e.parse().expect("an endpoint"))
        .collect();
    Action::Balance {
        endpoints,
        sticky,
        masquerade: true,
    }
}

fn service(rules: &mut Rules, address: &str, port: u16, action: &Action) {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        rules.0.insert(
            Destination {
                address: ip(address),
                protocol,
                port,
            },
            action.clone(),
        );
    }
}

fn nftables() -> Nftables {
    Nftables::new(vec!["10.244.0.0/16".parse().expect("a CIDR")])
}

#[test]
fn connections_are_balanced_refused_and_forgotten() {
    let lab = Lab::new(3);
    lab.serve(0, 8080);
    lab.serve(1, 8080);
    let client = &lab.pods[2];
    let mut nft = nftables();
    let mut rules = Rules::default();
    let both = balance(&["10.244.0.2:8080", "10.244.0.3:8080"], None);
    service(&mut rules, "10.96.0.20", 80, &both);
    service(&mut rules, "0.0.0.0", 30080, &both);
    service(&mut rules, "10.96.0.21", 80, &Action::Reject);
    lab.host.run(|| nft.apply(&rules)).expect("rules");

    let reached = |ask: &dyn Fn() -> std::io::Result<String>| -> BTreeSet<String> {
        (0..40).map(|_| ask().expect("an answer")).collect()
    };
    let direct = BTreeSet::from([
        "10.244.0.2 10.244.0.4".to_owned(),
        "10.244.0.3 10.244.0.4".to_owned(),
    ]);
    assert_eq!(reached(&|| tcp(client, "10.96.0.20:80")), direct);
    assert_eq!(reached(&|| udp(client, 0, "10.96.0.20:80")), direct);
    let masqueraded = BTreeSet::from([
        "10.244.0.2 10.244.0.1".to_owned(),
        "10.244.0.3 10.244.0.1".to_owned(),
    ]);
    assert_eq!(reached(&|| tcp(&lab.host, "10.96.0.20:80")), masqueraded);
    assert_eq!(reached(&|| tcp(client, "192.0.2.1:30080")), direct);

    // A local sender is told by the failed call itself when its packet is refused on the way out.
    for (who, from, udp_kind) in [
        ("a pod", client, ErrorKind::ConnectionRefused),
        ("the host", &lab.host, ErrorKind::PermissionDenied),
    ] {
        let refused = tcp(from, "10.96.0.21:80").expect_err("a refusal");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{who}: {refused}");
        let refused = udp(from, 0, "10.96.0.21:80").expect_err("a refusal");
        assert_eq!(refused.kind(), udp_kind, "{who}: {refused}");
    }

    // A client keeps its UDP port; its endpoint goes: the next packet must reach the other one.
    let first = udp(client, 40000, "10.96.0.20:80").expect("an answer");
    let (gone, stays) = if first.starts_with("10.244.0.2") {
        ("10.244.0.2", "10.244.0.3")
    } else {
        ("10.244.0.3", "10.244.0.2")
    };
    service(
        &mut rules,
        "10.96.0.20",
        80,
        &balance(&[&format!("{stays}:8080")], None),
    );
    lab.host.run(|| nft.apply(&rules)).expect("rules");
    let second = udp(client, 40000, "10.96.0.20:80").expect("an answer");
    assert!(second.starts_with(stays), "{second} after {gone} went");

    lab.host.run(Nftables::purge).expect("a purge");
    assert_eq!(lab.host.sh("nft list ruleset"), "");
}

#[test]
fn ipv6_services_are_balanced_and_refused_too() {
    let lab = Lab::new(2);
    lab.serve(0, 8080);
    let mut rules = Rules::default();
    service(
        &mut rules,
        "fd00::20",
        80,
        &balance(&["[fd01::2]:8080"], Some(60)),
    );
    service(&mut rules, "fd00::21", 80, &Action::Reject);
    lab.host.run(|| nftables().apply(&rules)).expect("rules");
    assert_eq!(
        tcp(&lab.pods[1], "[fd00::20]:80").expect("an answer"),
        "10.244.0.2 fd01::3"
    );
    assert_eq!(
        tcp(&lab.pods[1], "[fd00::20]:80").expect("an answer"),
        "10.244.0.2 fd01::3"
    );
    assert_eq!(
        tcp(&lab.pods[0], "[fd00::20]:80").expect("an answer from itself"),
        "10.244.0.2 fd01::1"
    );
    let refused = tcp(&lab.pods[1], "[fd00::21]:80").expect_err("a refusal");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{refused}");
}

#[test]
fn a_table_that_others_removed_is_put_up_anew() {
    let host = Netns::new();
    let mut nft = nftables();
    let mut rules = Rules::default();
    service(&mut rules, "10.96.0.20", 80, &Action::Reject);
    host.run(|| nft.apply(&rules)).expect("rules");
    host.sh("nft flush ruleset");
    service(&mut rules, "10.96.0.21", 80, &Action::Reject);
    host.run(|| nft.apply(&rules)).expect("rules");
    assert_eq!(
        host.sh("nft list map inet ferrokube-proxy no-endpoints-4")
            .matches("goto reject")
            .count(),
        4
    );
}

#[test]
fn a_pod_reaches_itself_through_its_service() {
    let lab = Lab::new(1);
    lab.serve(0, 8080);
    let mut rules = Rules::default();
    service(&mut rules, "10.96.0.20", 80, &balance(&["10.244.0.2:8080"], None));
    lab.host.run(|| nftables().apply(&rules)).expect("rules");
    assert_eq!(
        tcp(&lab.pods[0], "10.96.0.20:80").expect("an answer"),
        "10.244.0.2 10.244.0.1"
    );
}

#[test]
fn a_sticky_client_stays_until_its_endpoint_goes() {
    let lab = Lab::new(4);
    (0..3).for_each(|pod| lab.serve(pod, 8080));
    let all = ["10.244.0.2:8080", "10.244.0.3:8080", "10.244.0.4:8080"];
    let mut nft = nftables();
    let mut rules = Rules::default();
    service(&mut rules, "10.96.0.20", 80, &balance(&all, Some(10800)));
    lab.host.run(|| nft.apply(&rules)).expect("rules");
    let ask = || tcp(&lab.pods[3], "10.96.0.20:80").expect("an answer");
    let first = ask();
    assert!((0..20).all(|_| ask() == first), "the client stays at {first}");
    let left: Vec<&str> = all
        .iter()
        .copied()
        .filter(|e| !e.starts_with(first.split(' ').next().expect("a word")))
        .collect();
    service(&mut rules, "10.96.0.20", 80, &balance(&left, Some(10800)));
    lab.host.run(|| nft.apply(&rules)).expect("rules");
    let second = ask();
    assert_ne!(first, second);
    assert!((0..20).all(|_| ask() == second), "the client stays at {second}");
}

#[test]
fn differences_lead_to_the_same_rules_as_a_fresh_start() {
    let host = Netns::new();
    let listing = || host.sh("nft -n list ruleset");
    let mut nft = nftables();
    let mut rules = Rules::default();
    service(
        &mut rules,
        "10.96.0.20",
        80,
        &balance(&["10.244.0.2:80", "10.244.0.3:80"], None),
    );
    service(&mut rules, "10.96.0.21", 80, &Action::Reject);
    service(
        &mut rules,
        "10.96.0.22",
        80,
        &balance(&["10.244.0.2:80"], Some(60)),
    );
    host.run(|| nft.apply(&rules)).expect("rules");
    rules
        .0
        .retain(|destination, _| destination.address != ip("10.96.0.22"));
    service(&mut rules, "10.96.0.20", 80, &balance(&["10.244.0.3:80"], None));
    service(&mut rules, "10.96.0.21", 80, &Action::Drop);
    service(&mut rules, "fd00::20", 80, &balance(&["[fd01::5]:80"], None));
    host.run(|| nft.apply(&rules)).expect("rules");
    let by_differences = sorted(&listing());
    host.run(|| nftables().apply(&rules)).expect("rules");
    assert_eq!(by_differences, sorted(&listing()));
    assert!(
        by_differences.contains("10.96.0.20 . 6 . 80 : goto balance-4-1"),
        "{by_differences}"
    );
    assert!(
        by_differences.contains("10.96.0.21 . 17 . 80 : drop"),
        "{by_differences}"
    );
}

/// The words of a listing in order, since the order within sets is the kernel's own.
fn sorted(listing: &str) -> String {
    let mut lines: Vec<String> = listing
        .replace("elements = {", "\n")
        .split(['\n', ','])
        .map(|line| {
            line.trim_matches(|c: char| c.is_whitespace() || c == '}')
                .to_owned()
        })
        .filter(|line| !line.is_empty())
        .collect();
    lines.sort();
    lines.join("\n")
}

#[test]
fn ten_thousand_services_are_one_transaction() {
    let host = Netns::new();
    let mut rules = Rules::default();
    for index in 0..10_000u32 {
        let address = std::net::Ipv4Addr::from(0x0a60_0100 + index).to_string();
        service(
            &mut rules,
            &address,
            80,
            &balance(&["10.244.0.2:80", "10.244.0.3:80"], None),
        );
    }
    host.run(|| nftables().apply(&rules)).expect("rules");
    let listing = host.sh("nft list map inet ferrokube-proxy services-4");
    assert_eq!(listing.matches("goto").count(), 20_000);
    assert_eq!(host.sh("nft list chains inet").matches("balance-").count(), 1);
}
