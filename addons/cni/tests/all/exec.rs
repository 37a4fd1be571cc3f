//! A network of real executables: shell scripts that write down how they were called.

use cni::{Assigned, Attachment, Cni, Error, Exec, ExecConfig, PortMapping};
use component::Tasks;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

/// Writes its parameters to a log, and prints a result with its input's previous one folded in.
const PLUGIN: &str = r#"#!/bin/sh
input=$(cat)
echo "$(basename $0) $CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_ARGS $input" >> LOG
case $CNI_COMMAND in
ADD) echo '{"cniVersion":"1.1.0","ips":[{"address":"10.9.0.7/16"}],"routes":[{"dst":"0.0.0.0/0"}]}' ;;
STATUS) [ -e READY ] || { echo '{"cniVersion":"1.1.0","code":50,"msg":"the daemon is not up"}'; exit 1; } ;;
esac
"#;

struct Lab(tempfile::TempDir);

impl Lab {
    fn new() -> Self {
        let lab = Self(tempfile::tempdir().expect("a folder"));
        for folder in ["net.d", "bin", "cache"] {
            fs::create_dir(lab.path(folder)).expect("a folder");
        }
        for name in ["first", "second"] {
            let script = PLUGIN
                .replace("LOG", &lab.text("log"))
                .replace("READY", &lab.text("ready"));
            fs::write(lab.path("bin").join(name), script).expect("a plugin");
            fs::set_permissions(lab.path("bin").join(name), fs::Permissions::from_mode(0o755))
                .expect("executable");
        }
        lab
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn network(&self) -> Exec {
        let config = ExecConfig {
            conf_dir: self.path("net.d"),
            bin_dirs: vec![self.path("bin")],
            cache_dir: self.path("cache"),
        };
        Exec::new(Tasks::new(), config)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

fn attachment() -> Attachment {
    Attachment {
        container_id: "one".to_owned(),
        netns_path: Path::new("/run/netns/x").to_owned(),
        ifname: "eth0".to_owned(),
        pod_namespace: "default".to_owned(),
        pod_name: "web".to_owned(),
        pod_uid: "u-1".to_owned(),
        port_mappings: vec![PortMapping {
            protocol: "tcp".to_owned(),
            container_port: 80,
            host_port: 8080,
            host_ip: String::new(),
        }],
    }
}

const LIST: &str = r#"{"cniVersion": "1.1.0", "name": "chain", "plugins": [
    {"type": "first", "unknown": {"kept": [1, 2]}},
    {"type": "second", "capabilities": {"portMappings": true}}]}"#;

#[tokio::test]
async fn a_chain_runs_forth_and_back() {
    let lab = Lab::new();
    let net = lab.network();
    assert_eq!(
        net.status().await,
        Err(Error::NotReady("cni config uninitialized".to_owned()))
    );
    fs::write(lab.path("net.d/00-broken.conf"), "{").expect("a file");
    fs::write(lab.path("net.d/10-chain.conflist"), LIST).expect("a file");
    fs::write(
        lab.path("net.d/20-later.conf"),
        r#"{"cniVersion": "1.0.0", "name": "x", "type": "none"}"#,
    )
    .expect("a file");
    assert_eq!(
        net.status().await,
        Err(Error::NotReady("the daemon is not up".to_owned()))
    );
    fs::write(lab.path("ready"), "").expect("a file");
    net.status().await.expect("ready");
    fs::remove_file(lab.path("log")).expect("the log");

    assert_eq!(
        net.add(&attachment()).await,
        Ok(Assigned {
            ips: vec!["10.9.0.7".to_owned()]
        })
    );
    net.check(&attachment()).await.expect("it stands");
    // The configuration changes: the attachment ends with what it was made with.
    fs::remove_file(lab.path("net.d/10-chain.conflist")).expect("a file");
    net.del(&attachment()).await.expect("detaching");
    let args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=one;K8S_POD_UID=u-1";
    let result = r#"{"cniVersion":"1.1.0","ips":[{"address":"10.9.0.7/16"}],"routes":[{"dst":"0.0.0.0/0"}]}"#;
    let ports = r#"{"portMappings":[{"protocol":"tcp","containerPort":80,"hostPort":8080}]}"#;
    let first = r#""name":"chain","#;
    let kept = r#""type":"first","unknown":{"kept": [1, 2]}}"#;
    let call = |plugin: &str, command: &str| format!("{plugin} {command} one /run/netns/x eth0 {args} ");
    let with = format!(r#""prevResult":{result},"#);
    let of_first = |with: &str| format!(r#"{{"cniVersion":"1.1.0",{first}{with}{kept}"#);
    let of_second = |with: &str| {
        format!(r#"{{"cniVersion":"1.1.0",{first}{with}"runtimeConfig":{ports},"type":"second"}}"#)
    };
    let expected = [
        call("first", "ADD") + &of_first(""),
        call("second", "ADD") + &of_second(&with),
        call("first", "CHECK") + &of_first(&with),
        call("second", "CHECK") + &of_second(&with),
        call("second", "DEL") + &of_second(&with),
        call("first", "DEL") + &of_first(&with),
    ];
    assert_eq!(lab.log().lines().collect::<Vec<_>>(), expected);
    assert_eq!(
        fs::read_dir(lab.path("cache/results"))
            .expect("the cache")
            .count(),
        0
    );
}

#[tokio::test]
async fn a_failure_is_told_and_what_was_made_is_taken_back() {
    let lab = Lab::new();
    let failing = "#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exit 0\necho '{\"code\": 11, \"msg\": \"no addresses\", \"details\": \"later\"}'; exit 1\n";
    fs::write(lab.path("bin/second"), failing).expect("a plugin");
    fs::write(lab.path("net.d/10-chain.conflist"), LIST).expect("a file");
    let error = lab.network().add(&attachment()).await.expect_err("a failure");
    assert_eq!(
        error.to_string(),
        "plugin type=\"second\" failed (ADD): no addresses; later"
    );
    let commands: Vec<String> = lab
        .log()
        .lines()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(commands, ["first ADD", "first DEL"]);

    let missing = LIST.replace("\"second\"", "\"nowhere\"");
    fs::write(lab.path("net.d/10-chain.conflist"), missing).expect("a file");
    let error = lab.network().add(&attachment()).await.expect_err("a failure");
    assert!(
        error
            .to_string()
            .contains("failed to find plugin \"nowhere\" in path"),
        "{error}"
    );
}
