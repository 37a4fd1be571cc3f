//! Pods on the built-in bridge.

use cni::{Assigned, Attachment, BuiltIn, BuiltInConfig, Cni, Error, PortMapping};
use component::Tasks;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::Duration,
};
use testing::Netns;

const LIMIT: Duration = Duration::from_secs(5);

fn network(state: &Path) -> BuiltIn {
    BuiltIn::new(
        Tasks::new(),
        BuiltInConfig {
            data_dir: state.to_owned(),
            ..BuiltInConfig::default()
        },
    )
}

fn attachment(id: &str, pod: &Netns, port_mappings: Vec<PortMapping>) -> Attachment {
    Attachment {
        container_id: id.to_owned(),
        netns_path: pod.path().into(),
        ifname: "eth0".to_owned(),
        port_mappings,
        ..Attachment::default()
    }
}

/// Runs in the host's namespace; the threads of the runtime are in it too.
fn on<T: Send>(host: &Netns, work: impl Future<Output = T> + Send) -> T {
    host.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(work)
    })
}

/// Greets each client with the address that it has for the server.
fn serve(pod: &Netns, port: u16) {
    let listener = pod.run(|| TcpListener::bind(("0.0.0.0", port)).expect("a listener"));
    let greet = move || {
        while let Ok((mut stream, peer)) = listener.accept() {
            let _ = write!(stream, "{}", peer.ip());
        }
    };
    std::thread::Builder::new().spawn(greet).expect("a thread");
}

fn ask(from: &Netns, to: &str) -> std::io::Result<String> {
    let to: SocketAddr = to.parse().expect("an address");
    from.run(|| {
        let mut stream = TcpStream::connect_timeout(&to, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })
}

#[test]
fn pods_reach_each_other_the_host_and_the_world_and_nothing_is_left() {
    let (host, world, state) = (Netns::new(), Netns::new(), tempfile::tempdir().expect("a folder"));
    let pods = [Netns::new(), Netns::new()];
    let before = host.sh("ip -o link | wc -l");
    let net = network(state.path());
    assert_eq!(
        on(&host, net.status()),
        Err(Error::NotReady("cni config uninitialized".to_owned())),
        "not ready before it has a pod CIDR"
    );
    net.set_pod_cidr("10.244.3.0/24").expect("a CIDR");
    on(&host, net.status()).expect("ready");

    let first = attachment("one", &pods[0], vec![]);
    let second = attachment("two", &pods[1], vec![]);
    assert_eq!(
        on(&host, net.add(&first)),
        Ok(Assigned {
            ips: vec!["10.244.3.2".to_owned()]
        })
    );
    assert_eq!(
        on(&host, net.add(&second)),
        Ok(Assigned {
            ips: vec!["10.244.3.3".to_owned()]
        })
    );
    on(&host, net.check(&first)).expect("the attachment stands");
    assert!(pods[0].sh("ip addr show eth0").contains("10.244.3.2/24"));

    serve(&pods[1], 80);
    assert_eq!(ask(&pods[0], "10.244.3.3:80").expect("pod to pod"), "10.244.3.2");
    assert_eq!(ask(&host, "10.244.3.3:80").expect("host to pod"), "10.244.3.1");

    // The world knows no route to pods: it sees them as the node.
    let path = world.path();
    host.sh(&format!(
        "ip link add out type veth peer name eth0 netns {path}; ip addr add 192.0.2.1/24 dev out; ip link set out up"
    ));
    world.sh("ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up");
    serve(&world, 80);
    assert_eq!(ask(&pods[0], "192.0.2.2:80").expect("pod to world"), "192.0.2.1");

    on(&host, net.del(&first)).expect("detaching");
    on(&host, net.del(&first)).expect("detaching again");
    assert!(on(&host, net.check(&first)).is_err());
    assert!(!state.path().join("ferrokube/10.244.3.2").exists());
    assert!(state.path().join("ferrokube/10.244.3.3").exists());
    on(&host, net.purge()).expect("a purge");
    host.sh("ip link del out");
    assert_eq!(host.sh("ip -o link | wc -l"), before);
    assert_eq!(host.sh("nft list ruleset"), "");
    assert!(!state.path().join("ferrokube").exists());
}

#[test]
fn published_ports_lead_to_the_pod_until_it_goes() {
    let (host, outside, state) = (Netns::new(), Netns::new(), tempfile::tempdir().expect("a folder"));
    let pod = Netns::new();
    let net = network(state.path());
    net.set_pod_cidr("10.244.3.0/24").expect("a CIDR");
    let mapping = PortMapping {
        protocol: "TCP".to_owned(),
        container_port: 80,
        host_port: 8080,
        host_ip: String::new(),
    };
    let web = attachment("web", &pod, vec![mapping]);
    on(&host, net.add(&web)).expect("attaching");
    serve(&pod, 80);
    let path = outside.path();
    host.sh(&format!(
        "ip link add out type veth peer name eth0 netns {path}; ip addr add 192.0.2.1/24 dev out; ip link set out up"
    ));
    outside.sh("ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up");
    assert_eq!(
        ask(&outside, "192.0.2.1:8080").expect("from outside"),
        "192.0.2.2"
    );
    assert_eq!(
        ask(&pod, "192.0.2.1:8080").expect("from the pod itself"),
        "10.244.3.1"
    );
    ask(&host, "192.0.2.1:8080").expect("from the host");
    on(&host, net.del(&web)).expect("detaching");
    assert_eq!(
        ask(&outside, "192.0.2.1:8080").expect_err("gone").kind(),
        std::io::ErrorKind::ConnectionRefused
    );
}

#[test]
fn what_nobody_holds_is_given_back() {
    let (host, state) = (Netns::new(), tempfile::tempdir().expect("a folder"));
    let pods = [Netns::new(), Netns::new()];
    let net = network(state.path());
    net.set_pod_cidr("10.244.3.0/24").expect("a CIDR");
    let mapping = PortMapping {
        protocol: "UDP".to_owned(),
        container_port: 80,
        host_port: 8080,
        host_ip: String::new(),
    };
    on(&host, net.add(&attachment("gone", &pods[0], vec![mapping]))).expect("attaching");
    on(&host, net.add(&attachment("stays", &pods[1], vec![]))).expect("attaching");
    assert!(
        host.sh("nft -n list ruleset")
            .contains("0.0.0.0 . 17 . 8080 : 10.244.3.2 . 80")
    );
    on(
        &host,
        net.collect_garbage(&[("stays".to_owned(), "eth0".to_owned())]),
    )
    .expect("a collection");
    assert!(!host.sh("nft -n list ruleset").contains("8080"));
    let mut left: Vec<String> = std::fs::read_dir(state.path().join("ferrokube"))
        .expect("the state")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    assert_eq!(left, ["10.244.3.3", "last_reserved_ip.0", "lock"]);
    assert_eq!(host.sh("ip -o link show type veth").lines().count(), 1);
}

#[test]
fn a_failed_attachment_leaves_nothing() {
    let (host, state) = (Netns::new(), tempfile::tempdir().expect("a folder"));
    let pods = [Netns::new(), Netns::new()];
    let net = network(state.path());
    net.set_pod_cidr("10.244.3.0/30").expect("a CIDR");
    on(&host, net.add(&attachment("one", &pods[0], vec![]))).expect("the only address");
    let links = host.sh("ip -o link | wc -l");
    let full = on(&host, net.add(&attachment("two", &pods[1], vec![]))).expect_err("no address is left");
    assert!(
        full.to_string()
            .contains("no IP addresses available in range set: 10.244.3.1-10.244.3.2"),
        "{full}"
    );
    assert_eq!(host.sh("ip -o link | wc -l"), links);
    assert!(!pods[1].sh("ip -o link").contains("eth0"));
    let nowhere = Attachment {
        netns_path: "/nowhere".into(),
        ..attachment("three", &pods[1], vec![])
    };
    let error = on(&host, net.add(&nowhere)).expect_err("no such namespace");
    assert!(
        error.to_string().contains("failed to open netns \"/nowhere\""),
        "{error}"
    );
    assert_eq!(host.sh("ip -o link | wc -l"), links);
}
