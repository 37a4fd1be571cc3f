//! This binary's plugins by the specification: environment and stdin in, exit code and stdout out.

use cni::main_plugin;
use std::{collections::BTreeMap, path::Path};
use testing::Netns;

fn call(host: &Netns, plugin: &str, command: &str, netns: &str, config: &str) -> (i32, String) {
    let env = BTreeMap::from(
        [
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", "one"),
            ("CNI_NETNS", netns),
            ("CNI_IFNAME", "eth0"),
            ("CNI_PATH", "/opt/cni/bin"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let (code, output) = host.run(|| main_plugin(plugin, &env, config.as_bytes()));
    (code, String::from_utf8(output).expect("text"))
}

fn config(kind: &str, state: &Path) -> String {
    let state = state.display();
    format!(
        r#"{{"cniVersion": "1.0.0", "name": "net", "type": "{kind}", "bridge": "br0", "isDefaultGateway": true, "ipMasq": true,
            "ipam": {{"type": "host-local", "dataDir": "{state}", "ranges": [[{{"subnet": "10.1.0.0/24"}}]]}}}}"#
    )
}

#[test]
fn host_local_gives_addresses_in_turn_in_upstreams_layout() {
    let (host, state) = (Netns::new(), tempfile::tempdir().expect("a folder"));
    let config = config("host-local", state.path());
    let (code, output) = call(&host, "host-local", "ADD", "/some/netns", &config);
    assert_eq!(
        (code, output.as_str()),
        (
            0,
            r#"{
  "cniVersion": "1.0.0",
  "ips": [
    {
      "address": "10.1.0.2/24",
      "gateway": "10.1.0.1"
    }
  ]
}"#
        )
    );
    let read =
        |name: &str| std::fs::read_to_string(state.path().join("net").join(name)).expect("a state file");
    assert_eq!(read("10.1.0.2"), "one\r\neth0");
    assert_eq!(read("last_reserved_ip.0"), "10.1.0.2");
    let (code, output) = call(&host, "host-local", "ADD", "/some/netns", &config);
    assert_eq!(code, 1);
    assert!(
        output.contains("10.1.0.2 has been allocated to one, duplicate allocation is not allowed"),
        "{output}"
    );
    assert_eq!(
        call(&host, "host-local", "CHECK", "/some/netns", &config),
        (0, String::new())
    );
    assert_eq!(call(&host, "host-local", "DEL", "", &config), (0, String::new()));
    let (_, output) = call(&host, "host-local", "ADD", "/some/netns", &config);
    assert!(
        output.contains("10.1.0.3/24"),
        "an address is used again as late as can be: {output}"
    );
    let garbage = config.replacen('{', r#"{"cni.dev/valid-attachments": [], "#, 1);
    assert_eq!(call(&host, "host-local", "GC", "", &garbage), (0, String::new()));
    assert!(!state.path().join("net/10.1.0.3").exists());
}

#[test]
fn ranges_wanted_addresses_and_name_servers() {
    let (host, state) = (Netns::new(), tempfile::tempdir().expect("a folder"));
    let resolv_conf = state.path().join("resolv.conf");
    std::fs::write(
        &resolv_conf,
        "nameserver 192.0.2.53\nsearch a.example b.example\noptions ndots:5\n",
    )
    .expect("a file");
    let config = format!(
        r#"{{"cniVersion": "0.4.0", "name": "net", "type": "host-local", "ipam": {{"type": "host-local", "dataDir": "{}",
            "resolvConf": "{}", "routes": [{{"dst": "0.0.0.0/0"}}], "ranges": [
            [{{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.9"}}, {{"subnet": "10.2.0.0/24", "gateway": "10.2.0.254"}}],
            [{{"subnet": "fd01::/64"}}]]}}}}"#,
        state.path().display(),
        resolv_conf.display()
    );
    let add = |id: &str, args: &str| {
        let pairs = [
            ("CNI_COMMAND", "ADD"),
            ("CNI_CONTAINERID", id),
            ("CNI_NETNS", "/n"),
            ("CNI_IFNAME", "eth0"),
            ("CNI_PATH", "/p"),
            ("CNI_ARGS", args),
        ];
        let env = BTreeMap::from(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let (code, output) = host.run(|| main_plugin("host-local", &env, config.as_bytes()));
        let text = String::from_utf8(output).expect("text");
        (code, text.split_whitespace().collect::<String>())
    };
    let first = r#"{"cniVersion":"0.4.0","ips":[{"version":"4","address":"10.1.0.9/24","gateway":"10.1.0.1"},{"version":"6","address":"fd01::2/64","gateway":"fd01::1"}],"routes":[{"dst":"0.0.0.0/0"}],"dns":{"nameservers":["192.0.2.53"],"search":["a.example","b.example"],"options":["ndots:5"]}}"#;
    assert_eq!(add("one", ""), (0, first.to_owned()));
    let (_, second) = add("two", "");
    assert!(
        second.contains(r#""address":"10.2.0.1/24","gateway":"10.2.0.254""#),
        "the next range of the set: {second}"
    );
    let (_, wanted) = add("three", "IgnoreUnknown=1;IP=10.2.0.77");
    assert!(wanted.contains(r#""address":"10.2.0.77/24""#), "{wanted}");
    let (code, taken) = add("four", "IP=10.2.0.77");
    assert!(
        code == 1 && taken.contains("requestedIPaddress10.2.0.77isnotavailable"),
        "{taken}"
    );
    assert!(
        !state.path().join("net/fd01::5").exists(),
        "what a failed call took is given back"
    );
}

#[test]
fn bridge_tells_its_interfaces() {
    let (host, pod, state) = (Netns::new(), Netns::new(), tempfile::tempdir().expect("a folder"));
    let config = config("bridge", state.path());
    let (code, output) = call(&host, "bridge", "ADD", &pod.path(), &config);
    assert_eq!(code, 0, "{output}");
    for expected in [
        r#""name": "br0""#,
        r#""name": "eth0""#,
        r#""address": "10.1.0.2/24""#,
        r#""dst": "0.0.0.0/0""#,
    ] {
        assert!(output.contains(expected), "{expected} in {output}");
    }
    assert!(pod.sh("ip route").contains("default via 10.1.0.1 dev eth0"));
    let checked = config.replacen('{', &format!(r#"{{"prevResult": {output}, "#), 1);
    assert_eq!(
        call(&host, "bridge", "CHECK", &pod.path(), &checked),
        (0, String::new())
    );
    assert_eq!(
        call(&host, "bridge", "DEL", &pod.path(), &config),
        (0, String::new())
    );
    let (code, output) = call(&host, "bridge", "CHECK", &pod.path(), &checked);
    assert!(code == 1 && output.contains("\"code\": 3"), "{output}");
}

#[test]
fn wrong_calls_get_the_specifications_errors() {
    let host = Netns::new();
    let (code, output) = call(&host, "bridge", "VERSION", "", r#"{"cniVersion": "1.0.0"}"#);
    assert_eq!(code, 0);
    assert!(
        output.contains(r#""supportedVersions""#) && output.contains(r#""1.1.0""#),
        "{output}"
    );
    let cases = [
        (
            "ADD",
            "",
            "{}",
            "\"code\": 4",
            "required env variables [CNI_NETNS] missing",
        ),
        ("FROB", "/n", "{}", "\"code\": 4", "unknown CNI_COMMAND: FROB"),
        (
            "ADD",
            "/n",
            "{",
            "\"code\": 6",
            "error unmarshalling network config",
        ),
        (
            "ADD",
            "/n",
            r#"{"cniVersion": "9.9.9", "name": "x"}"#,
            "\"code\": 1",
            "incompatible CNI versions",
        ),
        (
            "ADD",
            "/n",
            r#"{"cniVersion": "1.0.0", "name": "../x"}"#,
            "\"code\": 7",
            "invalid characters found in network name",
        ),
        (
            "ADD",
            "/n",
            r#"{"cniVersion": "1.0.0"}"#,
            "\"code\": 7",
            "missing network name",
        ),
        (
            "ADD",
            "/n",
            r#"{"cniVersion": "1.0.0", "name": "x", "vlan": 7}"#,
            "\"code\": 2",
            "does not support the field",
        ),
    ];
    for (command, netns, config, number, text) in cases {
        let (code, output) = call(&host, "bridge", command, netns, config);
        assert!(
            code == 1 && output.contains(number) && output.contains(text),
            "{command} {config}: {output}"
        );
    }
}
