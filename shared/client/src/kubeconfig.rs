//! kubeconfig files (upstream `client-go/tools/clientcmd`): read as a way to an API server; written so that one
//! context is put in and everything else in the file stays.

use crate::{Credential, Endpoint};
use base64::{Engine, engine::general_purpose::STANDARD};
use component::pki::Leaf;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// A file cannot be read or written.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    File(PathBuf, io::Error),
    /// It is no kubeconfig.
    #[error("{path}: {what}", path = .0.display(), what = .1)]
    Broken(PathBuf, String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    current_context: String,
    contexts: Option<Vec<Context>>,
    clusters: Option<Vec<Cluster>>,
    users: Option<Vec<User>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Context {
    name: String,
    context: ContextBody,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContextBody {
    cluster: String,
    user: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cluster {
    name: String,
    cluster: ClusterBody,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct ClusterBody {
    server: String,
    tls_server_name: Option<String>,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: bool,
    proxy_url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct User {
    name: String,
    user: UserBody,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct UserBody {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    exec: Option<serde::de::IgnoredAny>,
    auth_provider: Option<serde::de::IgnoredAny>,
    username: Option<String>,
}

struct Reader<'a>(&'a Path);

impl Reader<'_> {
    fn broken(&self, what: impl Into<String>) -> KubeconfigError {
        KubeconfigError::Broken(self.0.to_owned(), what.into())
    }

    /// Data in the file, or a file beside it.
    fn pem(
        &self,
        what: &str,
        data: Option<&String>,
        file: Option<&PathBuf>,
    ) -> Result<String, KubeconfigError> {
        if let Some(data) = data.filter(|data| !data.is_empty()) {
            let bytes = STANDARD
                .decode(data.trim())
                .map_err(|e| self.broken(format!("{what}-data: {e}")))?;
            return String::from_utf8(bytes).map_err(|e| self.broken(format!("{what}-data: {e}")));
        }
        let Some(file) = file.filter(|file| !file.as_os_str().is_empty()) else {
            return Ok(String::new());
        };
        let file = self.beside(file);
        fs::read_to_string(&file).map_err(|e| KubeconfigError::File(file, e))
    }

    /// Relative paths are relative to the kubeconfig.
    fn beside(&self, file: &Path) -> PathBuf {
        self.0
            .parent()
            .map_or_else(|| file.to_owned(), |dir| dir.join(file))
    }

    fn leaf(&self, user: &UserBody) -> Result<Option<Leaf>, KubeconfigError> {
        let certificate = self.pem(
            "client-certificate",
            user.client_certificate_data.as_ref(),
            user.client_certificate.as_ref(),
        )?;
        let key = self.pem(
            "client-key",
            user.client_key_data.as_ref(),
            user.client_key.as_ref(),
        )?;
        match (certificate.is_empty(), key.is_empty()) {
            (true, true) => Ok(None),
            (false, false) => Ok(Some(Leaf { certificate, key })),
            _ => Err(self.broken("client-certificate and client-key must both be there, or neither")),
        }
    }

    fn endpoint(&self, cluster: ClusterBody, user: UserBody) -> Result<Endpoint, KubeconfigError> {
        for (is, what) in [
            (
                cluster.insecure_skip_tls_verify,
                "insecure-skip-tls-verify is not supported: give the certificate-authority",
            ),
            (cluster.proxy_url.is_some(), "proxy-url is not supported"),
            (
                user.exec.is_some(),
                "exec is not supported: give a certificate or a token",
            ),
            (
                user.auth_provider.is_some(),
                "auth-provider is not supported: give a certificate or a token",
            ),
            (
                user.username.is_some(),
                "username is not supported: give a certificate or a token",
            ),
        ] {
            if is {
                return Err(self.broken(what));
            }
        }
        let ca = self.pem(
            "certificate-authority",
            cluster.certificate_authority_data.as_ref(),
            cluster.certificate_authority.as_ref(),
        )?;
        let leaf = self.leaf(&user)?;
        let credential = match (user.token.filter(|t| !t.is_empty()), user.token_file) {
            (_, Some(file)) => Credential::TokenFile(self.beside(&file)),
            (Some(token), None) => Credential::Token(token),
            (None, None) => Credential::None,
        };
        Ok(Endpoint {
            server: cluster.server,
            ca,
            server_name: cluster.tls_server_name,
            leaf,
            credential,
        })
    }
}

/// The way that the context `context` (`None`: the file's current one) of the file at `path` names.
pub fn read(path: &Path, context: Option<&str>) -> Result<Endpoint, KubeconfigError> {
    let reader = Reader(path);
    let text = fs::read_to_string(path).map_err(|e| KubeconfigError::File(path.to_owned(), e))?;
    let file: File = serde_saphyr::from_str(&text).map_err(|e| reader.broken(e.to_string()))?;
    let wanted = context.unwrap_or(&file.current_context);
    let missing = |what: &str, name: &str| reader.broken(format!("{what} {name:?} does not exist"));
    if wanted.is_empty() {
        return Err(reader.broken("current-context is not set"));
    }
    let context = file.contexts.into_iter().flatten().find(|c| c.name == wanted);
    let context = context.ok_or_else(|| missing("context", wanted))?.context;
    let cluster = file
        .clusters
        .into_iter()
        .flatten()
        .find(|c| c.name == context.cluster);
    let cluster = cluster
        .ok_or_else(|| missing("cluster", &context.cluster))?
        .cluster;
    let user = match context.user.as_str() {
        "" => UserBody::default(),
        name => {
            file.users
                .into_iter()
                .flatten()
                .find(|u| u.name == name)
                .ok_or_else(|| missing("user", name))?
                .user
        }
    };
    reader.endpoint(cluster, user)
}

/// The credentials of all users of the file at `path`, by name: ways that lead nowhere.
pub fn users(path: &Path) -> Result<BTreeMap<String, Endpoint>, KubeconfigError> {
    let reader = Reader(path);
    let text = fs::read_to_string(path).map_err(|e| KubeconfigError::File(path.to_owned(), e))?;
    let file: File = serde_saphyr::from_str(&text).map_err(|e| reader.broken(e.to_string()))?;
    let users = file.users.into_iter().flatten();
    users
        .map(|user| Ok((user.name, reader.endpoint(ClusterBody::default(), user.user)?)))
        .collect()
}

/// YAML of any shape: what is in a user's file and not ours must stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(BTreeMap<String, Node>),
}

fn text(value: &str) -> Node {
    Node::Text(value.to_owned())
}

fn map<const N: usize>(entries: [(&str, Node); N]) -> Node {
    Node::Map(
        entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    )
}

/// Puts a named entry into a list of the file, in place of one of the same name.
fn put(file: &mut BTreeMap<String, Node>, list: &str, kind: &str, name: &str, body: Node) {
    let entry = map([("name", text(name)), (kind, body)]);
    remove(file, list, name);
    match file.get_mut(list) {
        Some(Node::List(entries)) => entries.push(entry),
        _ => {
            file.insert(list.to_owned(), Node::List(vec![entry]));
        }
    }
}

fn remove(file: &mut BTreeMap<String, Node>, list: &str, name: &str) {
    if let Some(Node::List(entries)) = file.get_mut(list) {
        entries.retain(|entry| !matches!(entry, Node::Map(map) if map.get("name") == Some(&text(name))));
    }
}

fn bodies(endpoint: &Endpoint) -> (Node, Node) {
    let mut cluster = BTreeMap::from([("server".to_owned(), text(&endpoint.server))]);
    if !endpoint.ca.is_empty() {
        cluster.insert(
            "certificate-authority-data".to_owned(),
            Node::Text(STANDARD.encode(&endpoint.ca)),
        );
    }
    if let Some(name) = &endpoint.server_name {
        cluster.insert("tls-server-name".to_owned(), text(name));
    }
    let mut user = BTreeMap::new();
    if let Some(leaf) = &endpoint.leaf {
        user.insert(
            "client-certificate-data".to_owned(),
            Node::Text(STANDARD.encode(&leaf.certificate)),
        );
        user.insert(
            "client-key-data".to_owned(),
            Node::Text(STANDARD.encode(&leaf.key)),
        );
    }
    match &endpoint.credential {
        Credential::None => {}
        Credential::Token(token) => {
            user.insert("token".to_owned(), text(token));
        }
        Credential::TokenFile(path) => {
            user.insert("tokenFile".to_owned(), text(&path.to_string_lossy()));
        }
    }
    (Node::Map(cluster), Node::Map(user))
}

fn load(path: &Path) -> Result<BTreeMap<String, Node>, KubeconfigError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(KubeconfigError::File(path.to_owned(), error)),
    };
    if text.trim().is_empty() {
        return Ok(BTreeMap::new());
    }
    match serde_saphyr::from_str(&text)
        .map_err(|e| KubeconfigError::Broken(path.to_owned(), e.to_string()))?
    {
        Node::Map(map) => Ok(map),
        Node::Null => Ok(BTreeMap::new()),
        _ => Err(KubeconfigError::Broken(
            path.to_owned(),
            "it is not a kubeconfig".to_owned(),
        )),
    }
}

/// Puts cluster, user and context `name` into the file at `path` (made, with its folder, if it is not there) and makes
/// the context the current one. Everything else in the file stays. Only the owner may read it.
pub fn merge(path: &Path, name: &str, endpoint: &Endpoint) -> Result<(), KubeconfigError> {
    let mut file = load(path)?;
    file.entry("apiVersion".to_owned()).or_insert_with(|| text("v1"));
    file.entry("kind".to_owned()).or_insert_with(|| text("Config"));
    let (cluster, user) = bodies(endpoint);
    put(&mut file, "clusters", "cluster", name, cluster);
    put(&mut file, "users", "user", name, user);
    put(
        &mut file,
        "contexts",
        "context",
        name,
        map([("cluster", text(name)), ("user", text(name))]),
    );
    file.insert("current-context".to_owned(), text(name));
    save(path, file)
}

/// Takes cluster, user and context `name` out of the file at `path` again. Nothing happens when they are not there.
pub fn withdraw(path: &Path, name: &str) -> Result<(), KubeconfigError> {
    let before = load(path)?;
    let mut file = before.clone();
    for list in ["clusters", "users", "contexts"] {
        remove(&mut file, list, name);
    }
    if file.get("current-context") == Some(&text(name)) {
        file.insert("current-context".to_owned(), text(""));
    }
    if file == before { Ok(()) } else { save(path, file) }
}

/// Written whole, then put in place; a file that was there keeps its owner, a link keeps pointing.
fn save(path: &Path, file: BTreeMap<String, Node>) -> Result<(), KubeconfigError> {
    let failed = |e| KubeconfigError::File(path.to_owned(), e);
    let yaml = serde_saphyr::to_string(&Node::Map(file));
    let yaml = yaml.map_err(|e| KubeconfigError::Broken(path.to_owned(), e.to_string()))?;
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if let Some(dir) = target.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir).map_err(failed)?;
    }
    let mut draft = target.clone().into_os_string();
    draft.push(".new");
    let mut out = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(failed)?;
    out.set_permissions(fs::Permissions::from_mode(0o600))
        .map_err(failed)?;
    if let Ok(old) = fs::metadata(&target) {
        std::os::unix::fs::fchown(&out, Some(old.uid()), Some(old.gid())).map_err(failed)?;
    }
    out.write_all(yaml.as_bytes())
        .and_then(|()| out.sync_all())
        .map_err(failed)?;
    fs::rename(&draft, &target).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = r#"# mine
apiVersion: v1
kind: Config
preferences: {colors: true}
clusters:
- name: work
  cluster:
    server: https://10.0.0.1:6443
    insecure-skip-tls-verify: true
    extensions:
    - name: minikube
      extension: {last-update: "2024-01-01", version: "1.30"}
contexts:
- context: {cluster: work, user: me, namespace: "0123"}
  name: work
current-context: work
users:
- name: me
  user:
    exec: {command: aws, args: ["eks", "get-token", "--cluster-name", "yes"], env: null, interactiveMode: IfAvailable}
- name: bot
  user: {token: "123456"}
"#;

    fn endpoint() -> Endpoint {
        Endpoint {
            server: "https://127.0.0.1:6443".to_owned(),
            ca: "CA\n".repeat(400),
            server_name: None,
            leaf: Some(Leaf {
                certificate: "CERT\n".to_owned(),
                key: "KEY\n".to_owned(),
            }),
            credential: Credential::None,
        }
    }

    #[test]
    fn the_rest_of_the_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        fs::write(&path, USERS).unwrap();
        let before = load(&path).unwrap();
        merge(&path, "ferrokube", &endpoint()).unwrap();
        merge(&path, "ferrokube", &endpoint()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read_back = read(&path, None).unwrap();
        assert_eq!(read_back.server, "https://127.0.0.1:6443");
        assert_eq!(read_back.ca, endpoint().ca);
        assert_eq!(read_back.leaf.unwrap().key, "KEY\n");
        let bot = load(&path).unwrap();
        withdraw(&path, "ferrokube").unwrap();
        let mut after = load(&path).unwrap();
        assert_eq!(
            after.insert("current-context".to_owned(), text("work")),
            Some(text(""))
        );
        assert_eq!(after, before);
        let Some(Node::List(users)) = bot.get("users") else {
            panic!("no users")
        };
        assert_eq!(users.len(), 3);
        let names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["config"], "no draft is left");
    }

    #[test]
    fn a_new_file_and_files_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/down/config");
        let token = Endpoint {
            leaf: None,
            credential: Credential::Token("123".to_owned()),
            ..endpoint()
        };
        merge(&path, "ferrokube", &token).unwrap();
        assert!(matches!(read(&path, None).unwrap().credential, Credential::Token(token) if token == "123"));
        let beside = "current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n\
                      clusters: [{name: c, cluster: {server: 'https://h:1', certificate-authority: ca.crt, tls-server-name: k}}]\n\
                      users: [{name: u, user: {client-certificate: a.crt, client-key: a.key, tokenFile: t}}]\n";
        let path = dir.path().join("beside");
        fs::write(&path, beside).unwrap();
        for name in ["ca.crt", "a.crt", "a.key"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let read_back = read(&path, Some("a")).unwrap();
        assert_eq!(
            (read_back.ca.as_str(), read_back.server_name.as_deref()),
            ("ca.crt", Some("k"))
        );
        assert_eq!(read_back.leaf.unwrap().certificate, "a.crt");
        assert!(matches!(read_back.credential, Credential::TokenFile(file) if file == dir.path().join("t")));
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        let told = |content: &str, context| {
            fs::write(&path, content).unwrap();
            let text = read(&path, context).unwrap_err().to_string();
            text.split_once(": ").unwrap().1.to_owned()
        };
        assert_eq!(told("", None), "current-context is not set");
        assert_eq!(told(USERS, Some("home")), r#"context "home" does not exist"#);
        assert!(told(USERS, None).starts_with("insecure-skip-tls-verify is not supported"));
        assert!(!told("clusters: {", None).is_empty());
        fs::write(&path, "- a\n").unwrap();
        assert!(merge(&path, "x", &endpoint()).is_err());
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "- a\n",
            "a file that is no kubeconfig is left alone"
        );
    }
}
