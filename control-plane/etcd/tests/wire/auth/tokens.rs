//! How somebody says who it is.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_over_when_it_is_not_used_or_its_user_changes() {
    let etcd = Ours::start(cheap).await;
    let mut client = Client::new(&etcd.url).await;
    client.people().await;
    let (ann, root) = (
        client.token("ann", "secret").await.unwrap(),
        client.token("root", "toor").await.unwrap(),
    );
    let change = pb::AuthUserChangePasswordRequest {
        name: "ann".to_owned(),
        password: "new".to_owned(),
        ..Default::default()
    };
    client.auth.user_change_password(by(&root, change)).await.unwrap();
    let over = "etcdserver: invalid auth token";
    told(
        client.kv.range(by(&ann, get("a"))).await,
        Code::Unauthenticated,
        over,
    );
    let ann = client.token("ann", "new").await.unwrap();
    client.kv.range(by(&ann, get("a"))).await.unwrap();
    client
        .auth
        .auth_disable(by(&root, pb::AuthDisableRequest {}))
        .await
        .unwrap();
    client.kv.range(get("z")).await.unwrap();
    client.auth.auth_enable(pb::AuthEnableRequest {}).await.unwrap();
    told(
        client.kv.range(by(&ann, get("a"))).await,
        Code::Unauthenticated,
        over,
    );
    let long = pb::AuthUserAddRequest {
        name: "long".to_owned(),
        password: "x".repeat(73),
        ..Default::default()
    };
    let root = client.token("root", "toor").await.unwrap();
    told(
        client.auth.user_add(by(&root, long)).await,
        Code::Unknown,
        "bcrypt: password length exceeds 72 bytes",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_tokens_are_given_and_taken() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (private, public) = (file("key.pem"), file("key.pub"));
    let openssl = |args: &[&str]| {
        let done = std::process::Command::new("openssl").args(args).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    openssl(&["genrsa", "-out", &private, "2048"]);
    openssl(&["rsa", "-in", &private, "-pubout", "-out", &public]);
    let both = format!("jwt,pub-key={public},priv-key={private},sign-method=RS256,ttl=10m");
    let tokens = Tokens::parse(&both).unwrap();
    let etcd = Ours::start(|settings| {
        cheap(settings);
        settings.tokens = tokens.clone();
    })
    .await;
    let mut client = Client::new(&etcd.url).await;
    client.people().await;
    let ann = client.token("ann", "secret").await.unwrap();
    assert_eq!(ann.split('.').count(), 3, "{ann}");
    client.kv.put(by(&ann, put("b"))).await.unwrap();
    told(
        client.kv.put(by(&ann, put("a"))).await,
        Code::PermissionDenied,
        DENIED,
    );
    let forged = format!("{}x", ann.split_at(ann.len() - 8).0);
    let bad = client.kv.range(by(&forged, get("a"))).await;
    told(bad, Code::Unauthenticated, "etcdserver: invalid auth token");
    // What a token may is what its user may as of the revision that it names.
    let root = client.token("root", "toor").await.unwrap();
    let more = pb::AuthRoleAddRequest {
        name: "more".to_owned(),
    };
    client.auth.role_add(by(&root, more)).await.unwrap();
    let old = client.kv.put(by(&ann, put("b"))).await;
    told(
        old,
        Code::InvalidArgument,
        "etcdserver: revision of auth store is old",
    );
    let ann = client.token("ann", "secret").await.unwrap();
    client.kv.put(by(&ann, put("b"))).await.unwrap();
    for (text, why) in [
        ("other", "auth: invalid auth options: other"),
        ("jwt", "auth: invalid auth signature method: \"\""),
        (
            "jwt,sign-method=none",
            "auth: invalid auth signature method: \"none\"",
        ),
        ("jwt,sign-method=RS256", "auth: missing key data"),
        ("jwt,sign-method=RS256,pub-key=/nothing", "/nothing: No such file"),
        (
            "jwt,sign-method=RS256,colour=red",
            "auth: invalid auth options: colour=red",
        ),
    ] {
        let error = Tokens::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(why), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_a_certificate_is_the_user_that_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let now = Env::system().clock.wall();
    let authority = Authority::open(dir.path(), now).unwrap();
    let purpose = Purpose::server("etcd", vec!["127.0.0.1".to_owned()]);
    let leaf = authority.leaf("server", &purpose, now).unwrap();
    for name in ["root", "ann", "stranger"] {
        authority.leaf(name, &Purpose::client(name, &[]), now).unwrap();
    }
    let secure = crate::secure::server(&leaf, authority.certificate());
    let settings = |settings: &mut Settings| {
        cheap(settings);
        settings.client_names = true;
    };
    let etcd = Ours::start_with(settings, Some(secure)).await;
    let path = |name: &str| dir.path().join(name).display().to_string();
    let as_user = async |name: &str, args: &str| {
        let (ca, cert, key) = (
            path("ca.crt"),
            path(&format!("{name}.crt")),
            path(&format!("{name}.key")),
        );
        let mut all = vec!["--cacert", &ca, "--cert", &cert, "--key", &key];
        all.extend(args.split(' '));
        let said = ctl(&etcd.url, &all).await;
        format!("{}{}", said.out, said.err)
    };
    for line in [
        "user add root --no-password",
        "user add ann --no-password",
        "user grant-role root root",
        "role add r",
        "role grant-permission r readwrite a",
        "user grant-role ann r",
        "auth enable",
    ] {
        let said = as_user("stranger", line).await;
        assert!(!said.contains("Error"), "{line}: {said}");
    }
    assert_eq!(as_user("ann", "put a 1").await, "OK\n");
    assert!(as_user("ann", "put b 1").await.contains("permission denied"));
    assert!(as_user("stranger", "get a").await.contains("permission denied"));
    assert_eq!(as_user("root", "get a").await, "a\n1\n");
    let guess = as_user("root", "--user ann:x get a").await;
    assert!(
        guess.contains("password was given for no password user"),
        "{guess}"
    );
}
