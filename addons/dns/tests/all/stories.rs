//! Services and slices in, answers out; the messages are read by hickory, which knows nothing of our code.

use dns::{Name, Query, Rcode, Service, Slice, Verdict, Zone, answer};
use hickory_proto::{op::Message, serialize::binary::BinDecodable};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Story {
    namespaces: Vec<String>,
    services: BTreeMap<String, Service>,
    #[serde(default)]
    slices: BTreeMap<String, Slice>,
}

const STORY: &str = "
namespaces: [default, kube-system, empty]
services:
  default/web: {clusterIPs: [10.96.0.20, 'fd00::20'], ports: [{name: http, protocol: TCP, port: 80}]}
  default/db: {ports: [{name: sql, protocol: TCP, port: 5432}]}
  default/outside: {externalName: Example.COM}
  default/alias: {externalName: web.default.svc.cluster.local}
slices:
  default/db-1:
    service: db
    ports: [{name: sql, protocol: TCP, port: 5432}]
    endpoints:
      - {addresses: [10.244.0.5], hostname: db-0, ready: true}
      - {addresses: [10.244.0.6], ready: true}
      - {addresses: [10.244.0.7], ready: false}
";

fn name((namespace, name): (&str, &str)) -> (String, String) {
    (namespace.to_owned(), name.to_owned())
}

pub(crate) fn zone() -> Zone {
    let story: Story = serde_saphyr::from_str(STORY).expect("a story");
    let mut zone = Zone::new("cluster.local", &["10.96.0.10".parse().expect("an address")]).expect("a zone");
    story
        .namespaces
        .iter()
        .for_each(|namespace| zone.set_namespace(namespace, true));
    for (key, slice) in story.slices {
        zone.set_slice(&name(key.split_once('/').expect("a name")), Some(slice));
    }
    for (key, service) in story.services {
        zone.set_service(&name(key.split_once('/').expect("a name")), Some(service));
    }
    zone
}

/// The answer as text: code, answers, then a bar and the rest.
fn ask(zone: &Zone, question: &str) -> String {
    let (about, kind) = question.split_once(' ').expect("a name and a type");
    let kind: hickory_proto::rr::RecordType = kind.parse().expect("a type");
    let query = Query::new(Name::new(about).expect("a name"), kind.into());
    let answer = match answer(zone, &query) {
        Verdict::Answer(answer) => answer,
        Verdict::Alias(answer, target) => {
            return format!("{} records, then ask for {target}", answer.answers.len());
        }
        Verdict::Forward => return "ask others".to_owned(),
    };
    let message = Message::from_bytes(&query.encode(&answer, 65535, 0)).expect("a message");
    tell(&message)
}

pub(crate) fn tell(message: &Message) -> String {
    let mut lines = vec![message.metadata.response_code.to_string()];
    for (title, section) in [
        ("", &message.answers),
        ("authority ", &message.authorities),
        ("additional ", &message.additionals),
    ] {
        let mut told: Vec<String> = section
            .iter()
            .map(|record| {
                format!(
                    "{title}{} {} {} {}",
                    record.name,
                    record.ttl,
                    record.record_type(),
                    record.data
                )
            })
            .collect();
        told.sort();
        lines.extend(told);
    }
    lines.join("\n")
}

#[test]
fn a_service_has_its_addresses_in_any_case() {
    let zone = zone();
    assert_eq!(
        ask(&zone, "web.default.svc.cluster.local A"),
        "No Error\nweb.default.svc.cluster.local. 5 A 10.96.0.20"
    );
    assert_eq!(
        ask(&zone, "WEB.Default.svc.cluster.LOCAL A"),
        "No Error\nweb.default.svc.cluster.local. 5 A 10.96.0.20"
    );
    assert_eq!(
        ask(&zone, "web.default.svc.cluster.local AAAA"),
        "No Error\nweb.default.svc.cluster.local. 5 AAAA fd00::20"
    );
    assert_eq!(
        ask(&zone, "_http._tcp.web.default.svc.cluster.local SRV"),
        "No Error\n_http._tcp.web.default.svc.cluster.local. 5 SRV 0 100 80 web.default.svc.cluster.local.\n\
         additional web.default.svc.cluster.local. 5 A 10.96.0.20\n\
         additional web.default.svc.cluster.local. 5 AAAA fd00::20"
    );
    assert_eq!(
        ask(&zone, "20.0.96.10.in-addr.arpa PTR"),
        "No Error\n20.0.96.10.in-addr.arpa. 5 PTR web.default.svc.cluster.local."
    );
    assert_eq!(
        ask(&zone, "dns-version.cluster.local TXT"),
        "No Error\ndns-version.cluster.local. 5 TXT 1.1.0"
    );
}

#[test]
fn a_headless_service_has_its_endpoints() {
    let zone = zone();
    assert_eq!(
        ask(&zone, "db.default.svc.cluster.local A"),
        "No Error\ndb.default.svc.cluster.local. 5 A 10.244.0.5\ndb.default.svc.cluster.local. 5 A 10.244.0.6"
    );
    assert_eq!(
        ask(&zone, "db-0.db.default.svc.cluster.local A"),
        "No Error\ndb-0.db.default.svc.cluster.local. 5 A 10.244.0.5"
    );
    assert_eq!(
        ask(&zone, "_sql._tcp.db.default.svc.cluster.local SRV"),
        "No Error\n_sql._tcp.db.default.svc.cluster.local. 5 SRV 0 50 5432 10-244-0-6.db.default.svc.cluster.local.\n\
         _sql._tcp.db.default.svc.cluster.local. 5 SRV 0 50 5432 db-0.db.default.svc.cluster.local.\n\
         additional 10-244-0-6.db.default.svc.cluster.local. 5 A 10.244.0.6\n\
         additional db-0.db.default.svc.cluster.local. 5 A 10.244.0.5"
    );
    assert_eq!(
        ask(&zone, "5.0.244.10.in-addr.arpa PTR"),
        "No Error\n5.0.244.10.in-addr.arpa. 5 PTR db-0.db.default.svc.cluster.local."
    );
}

#[test]
fn no_such_name_and_no_such_data_differ() {
    let zone = zone();
    let code = |question: &str| ask(&zone, question).lines().next().unwrap_or_default().to_owned();
    for (question, expected) in [
        ("nope.default.svc.cluster.local A", "Non-Existent Domain"),
        ("web.nowhere.svc.cluster.local A", "Non-Existent Domain"),
        ("db-0.web.default.svc.cluster.local A", "Non-Existent Domain"),
        ("db.default.svc.cluster.local AAAA", "No Error"),
        ("default.svc.cluster.local A", "No Error"),
        ("empty.svc.cluster.local A", "No Error"),
        ("svc.cluster.local A", "No Error"),
        ("cluster.local A", "No Error"),
        ("_tcp.web.default.svc.cluster.local A", "No Error"),
    ] {
        assert_eq!(code(question), expected, "{question}");
        let told = ask(&zone, question);
        assert!(
            told.contains("\nauthority cluster.local. 5 SOA ns.dns.cluster.local. hostmaster.cluster.local."),
            "{told}"
        );
    }
    assert_eq!(
        ask(&zone, "10-244-9-9.default.pod.cluster.local A")
            .lines()
            .count(),
        2
    );
    assert_eq!(
        code("10-244-9-9.nowhere.pod.cluster.local A"),
        "Non-Existent Domain"
    );
}

#[test]
fn other_names_are_asked_of_others() {
    let zone = zone();
    assert_eq!(ask(&zone, "example.com A"), "ask others");
    assert_eq!(ask(&zone, "notcluster.local A"), "ask others");
    assert_eq!(ask(&zone, "1.2.0.192.in-addr.arpa PTR"), "ask others");
    assert_eq!(
        ask(&zone, "outside.default.svc.cluster.local A"),
        "1 records, then ask for example.com."
    );
    assert_eq!(
        ask(&zone, "alias.default.svc.cluster.local A"),
        "No Error\nalias.default.svc.cluster.local. 5 CNAME web.default.svc.cluster.local.\n\
         web.default.svc.cluster.local. 5 A 10.96.0.20"
    );
}

#[test]
fn what_goes_is_gone_and_what_changes_is_new() {
    let mut zone = zone();
    let untouched = Zone::new("cluster.local", &[]).expect("a zone");
    zone.set_slice(&name(("default", "db-1")), None);
    assert!(ask(&zone, "db-0.db.default.svc.cluster.local A").starts_with("Non-Existent Domain"));
    assert!(ask(&zone, "db.default.svc.cluster.local A").starts_with("Non-Existent Domain"));
    assert_eq!(ask(&zone, "5.0.244.10.in-addr.arpa PTR"), "ask others");
    let moved = Service {
        cluster_ips: vec!["10.96.0.30".parse().expect("an address")],
        ..Service::default()
    };
    zone.set_service(&name(("default", "web")), Some(moved));
    assert!(ask(&zone, "web.default.svc.cluster.local A").ends_with("A 10.96.0.30"));
    assert_eq!(ask(&zone, "20.0.96.10.in-addr.arpa PTR"), "ask others");
    for service in ["web", "db", "outside", "alias"] {
        zone.set_service(&name(("default", service)), None);
    }
    assert!(ask(&zone, "web.default.svc.cluster.local A").starts_with("Non-Existent Domain"));
    assert_eq!(
        ask(&zone, "dns-version.cluster.local TXT"),
        ask(&untouched, "dns-version.cluster.local TXT")
    );
}

#[test]
fn an_answer_that_is_too_long_for_a_datagram_says_so() {
    let mut zone = zone();
    let endpoint = |n: u8| dns::Endpoint {
        addresses: vec![std::net::IpAddr::from([10, 244, 1, n])],
        ready: true,
        ..dns::Endpoint::default()
    };
    let slice = Slice {
        service: "db".to_owned(),
        endpoints: (0..200).map(endpoint).collect(),
        ..Slice::default()
    };
    zone.set_slice(&name(("default", "db-2")), Some(slice));
    let query = Query::new(Name::new("db.default.svc.cluster.local").expect("a name"), 1);
    let Verdict::Answer(answer) = answer(&zone, &query) else {
        panic!("an answer")
    };
    let bytes = query.encode(&answer, query.datagram_limit(), 7);
    let short = Message::from_bytes(&bytes).expect("a message");
    assert!(bytes.len() <= 512 && short.metadata.truncation && short.answers.len() > 10);
    let whole = Message::from_bytes(&query.encode(&answer, 65535, 7)).expect("a message");
    assert!(!whole.metadata.truncation);
    assert_eq!(whole.answers.len(), 202);
    let first = |turn| {
        Message::from_bytes(&query.encode(&answer, 65535, turn))
            .expect("a message")
            .answers[0]
            .data
            .to_string()
    };
    assert_ne!(first(0), first(1), "clients that take the first are spread");
}

#[test]
fn wrong_messages_get_errors_or_nothing() {
    assert_eq!(Query::parse(&[0; 11]), Err(dns::Invalid::Ignore));
    let question = Query::new(Name::new("a.b").expect("a name"), 1).to_message();
    let with = |at: usize, byte: u8| {
        let mut message = question.clone();
        message[at] = byte;
        message
    };
    assert_eq!(
        Query::parse(&with(2, 0x81)),
        Err(dns::Invalid::Ignore),
        "an answer is not answered"
    );
    let code = |message: &[u8]| match Query::parse(message) {
        Err(dns::Invalid::Reply(reply)) => reply[3] & 15,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(&with(2, 0x28)), Rcode::NotImplemented as u8);
    assert_eq!(code(&with(5, 2)), Rcode::FormatError as u8);
    assert_eq!(code(&question[..question.len() - 1]), Rcode::FormatError as u8);
    assert_eq!(code(&with(12, 0xc0)), Rcode::FormatError as u8);
}
