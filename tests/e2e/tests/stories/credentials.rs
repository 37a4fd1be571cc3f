//! Ways to say who one is, with real kubectl: a file of tokens, a bootstrap token, another issuer.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use component::jwt::PublicKey;
use e2e::cluster::Cluster;
use e2e::{process, wait};

use crate::expect::{has, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![tokens_of_a_file_of_bootstrap_and_of_another_issuer];

/// An issuer's server. It ends with the value.
struct Issuer(Child);

impl Drop for Issuer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const URL: &str = "https://127.0.0.1:8443";

/// Signs claims with the key of the issuer, as nothing of this project does it.
const SIGN: &str = r#"
b64() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
text="$(printf '{"alg":"RS256","kid":"one"}' | b64).$(printf '%s' "$1" | b64)"
printf '%s.%s' "$text" "$(printf '%s' "$text" | openssl dgst -sha256 -sign issuer.key | b64)"
"#;

fn openssl(c: &Cluster, line: &str) -> Result<String> {
    let mut command = c.lab.network_command("openssl");
    process::output(command.args(line.split(' ')).current_dir(c.lab.folder()))
}

/// Starts the issuer, whose key, certificate and documents are in the folder of the lab.
fn issuer(c: &Cluster) -> Result<Issuer> {
    let folder = c.lab.folder();
    openssl(
        c,
        "req -x509 -newkey rsa:2048 -noenc -keyout issuer.key -out issuer.crt -days 2 -subj /CN=issuer -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=serverAuth",
    )?;
    let keys = PublicKey::read_all(&fs::read_to_string(folder.join("issuer.crt"))?);
    let keys = keys.map_err(anyhow::Error::msg)?;
    let jwk = keys.first().context("the issuer has a key")?.jwk();
    fs::create_dir_all(folder.join(".well-known"))?;
    let configuration = format!(r#"{{"issuer":"{URL}","jwks_uri":"{URL}/keys"}}"#);
    fs::write(folder.join(".well-known/openid-configuration"), configuration)?;
    let keys = format!(
        r#"{{"keys":[{{"kty":"RSA","use":"sig","kid":"one","n":"{}","e":"{}"}}]}}"#,
        jwk.n, jwk.e
    );
    fs::write(folder.join("keys"), keys)?;
    let mut command = c.lab.network_command("openssl");
    command
        .args(["s_server", "-quiet", "-accept", "127.0.0.1:8443", "-WWW"])
        .args(["-cert", "issuer.crt", "-key", "issuer.key"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(Issuer(command.spawn().context("openssl s_server")?))
}

/// kubectl with a token and nothing else.
fn kubectl(c: &Cluster, token: &str, words: &[&str]) -> Command {
    let ca = c.data_dir().join("pki/ca.crt").display().to_string();
    let mut all = vec![
        "--server=https://127.0.0.1:6443",
        "--certificate-authority",
        &ca,
        "--token",
        token,
    ];
    all.extend(words);
    let mut command = c.kubectl_command(&all);
    command.env("KUBECONFIG", "/dev/null");
    command
}

/// Who the token says one is, and in which groups.
fn who(c: &Cluster, token: &str) -> Result<String> {
    let path = "jsonpath={.status.userInfo.username} {.status.userInfo.groups}";
    process::output(&mut kubectl(c, token, &["auth", "whoami", "--output", path]))
}

const BOOTSTRAP: &str = "
apiVersion: v1
kind: Secret
metadata: {name: bootstrap-token-07401b, namespace: kube-system}
type: bootstrap.kubernetes.io/token
stringData: {token-id: 07401b, token-secret: f395accd246ae52d, usage-bootstrap-authentication: 'true'}
";

fn tokens_of_a_file_of_bootstrap_and_of_another_issuer(c: &mut Cluster) -> Result<()> {
    same(c.stop()?, 0)?;
    let issuer = issuer(c)?;
    let folder = c.lab.folder().to_owned();
    fs::write(folder.join("tokens.csv"), "secret-of-ann,ann,7,\"dev,ops\"\n")?;
    let certificate = fs::read_to_string(folder.join("issuer.crt"))?;
    let certificate: String = certificate
        .lines()
        .map(|line| format!("      {line}\n"))
        .collect();
    fs::write(
        folder.join("authentication.yaml"),
        format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n- issuer:\n    url: {URL}\n    \
             audiences: [cluster]\n    certificateAuthority: |\n{certificate}  claimMappings:\n    \
             username: {{expression: '\"sso:\" + claims.sub'}}\n    groups: {{expression: claims.roles}}\n"
        ),
    )?;
    let [tokens, config] =
        ["tokens.csv", "authentication.yaml"].map(|name| folder.join(name).display().to_string());
    let more = [
        "-d",
        "--token-auth-file",
        &tokens,
        "--authentication-config",
        &config,
    ];
    process::output(&mut c.up_command(&more))?;

    same(
        who(c, "secret-of-ann")?,
        "ann [\"dev\",\"ops\",\"system:authenticated\"]",
    )?;
    c.in_namespace("kube-system").apply(BOOTSTRAP)?;
    let bootstrap = "system:bootstrap:07401b [\"system:bootstrappers\",\"system:authenticated\"]";
    same(who(c, "07401b.f395accd246ae52d")?, bootstrap)?;

    let sign = |claims: &str| {
        let mut bash = c.lab.network_command("bash");
        process::output(bash.args(["-c", SIGN, "sign", claims]).current_dir(&folder))
    };
    let claims = |audience: &str, exp: &str| {
        format!(r#"{{"iss":"{URL}","aud":"{audience}","exp":{exp},"sub":"eve","roles":["readers"]}}"#)
    };
    let eve = sign(&claims("cluster", "4102444800"))?;
    // The issuer is found in the background.
    let known = wait::until("the issuer to be found", Duration::from_secs(30), || {
        who(c, &eve).map(Some)
    });
    same(known?, "sso:eve [\"readers\",\"system:authenticated\"]")?;
    c.kubectl("create clusterrolebinding readers --clusterrole=view --group=readers")?;
    process::output(&mut kubectl(c, &eve, &["get", "pods"]))?;

    for bad in [
        sign(&claims("another", "4102444800"))?,
        sign(&claims("cluster", "1000000000"))?,
        eve[..eve.len() - 4].to_owned(),
        "secret-of-bob".to_owned(),
        "07401b.0000000000000000".to_owned(),
    ] {
        let done = process::run(&mut kubectl(c, &bad, &["get", "pods"]), "")?;
        ensure!(done.code != 0, "{bad} was taken");
        has(&done.stderr, &["You must be logged in to the server"])?;
    }
    drop(issuer);
    c.kubectl("delete clusterrolebinding readers")?;
    c.stop_detached()?;
    c.up().map(drop)
}
