use crate::{
    lab::Lab,
    registry::{Entry, busybox, layer},
};
use runtime::*;
use std::fs;

#[tokio::test]
async fn an_image_is_pulled_by_its_short_name() {
    let lab = Lab::new("pull").await;
    let image = lab.native().pull("busybox:1".to_owned(), None).await.unwrap();
    assert_eq!(image.tags, ["docker.io/library/busybox:1"]);
    assert!(
        image.id.starts_with("sha256:") && image.size > 100_000,
        "{image:?}"
    );
    for name in [
        "busybox:1",
        "docker.io/library/busybox:1",
        &image.id,
        &image.digests[0],
    ] {
        assert_eq!(
            lab.native().image(name.to_owned()).await.unwrap().as_ref(),
            Some(&image),
            "{name}"
        );
    }
    let by_digest = lab.native().pull(image.digests[0].clone(), None).await.unwrap();
    assert_eq!(by_digest.id, image.id);
    assert_eq!(lab.native().image("busybox:2".to_owned()).await.unwrap(), None);
    assert_eq!(lab.native().images().await.unwrap().len(), 1);
    lab.native().remove_image(image.id).await.unwrap();
    let left: Vec<_> = fs::read_dir(lab.dir.path().join("data/images/layers"))
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert_eq!(left, ["empty"]);
}

#[tokio::test]
async fn a_broken_download_goes_on() {
    let lab = Lab::new("resume").await;
    *lab.registry.cut.lock().unwrap() = Some(50_000);
    lab.native().pull("busybox:1".to_owned(), None).await.unwrap();
    assert_eq!(*lab.registry.cut.lock().unwrap(), None, "the cut was made");
}

#[tokio::test]
async fn layers_lie_over_each_other() {
    let lab = Lab::new("layers").await;
    let second = layer(&[
        Entry::Dir("a"),
        Entry::File("a/stays", 0o644, b"1"),
        Entry::File("a/goes", 0o644, b"1"),
        Entry::Dir("b"),
        Entry::File("b/hidden", 0o644, b"1"),
        Entry::File("linked", 0o640, b"same"),
        Entry::Hard("hard", "linked"),
    ]);
    let third = layer(&[
        Entry::File("a/.wh.goes", 0o644, b""),
        Entry::Dir("b"),
        Entry::File("b/.wh..wh..opq", 0o644, b""),
        Entry::File("b/new", 0o644, b"1"),
    ]);
    lab.registry
        .image("library/layers", "latest", "{}", &[busybox(), second, third]);
    let sandbox = lab.sandbox(|_| {}).await;
    let mut config = lab.script("c", "ls /a; ls /b; cat /hard; [ /hard -ef /linked ] && echo; ");
    config.image = "layers".to_owned();
    let (_, lines) = lab.run(&sandbox, config).await;
    assert_eq!(lines, ["stdout F stays", "stdout F new", "stdout F same"]);
}

#[tokio::test]
async fn a_layer_cannot_lead_out_of_itself() {
    let lab = Lab::new("escape").await;
    let outside = lab.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let target = outside.display().to_string();
    let evil = [
        layer(&[Entry::File("../../../../evil", 0o644, b"x")]),
        layer(&[
            Entry::Symlink("out", &target),
            Entry::File("out/evil", 0o644, b"x"),
        ]),
        layer(&[
            Entry::Symlink("up", "../../../../../.."),
            Entry::File(&format!("up{target}/evil"), 0o644, b"x"),
        ]),
        layer(&[Entry::Hard("shadow", "/etc/shadow")]),
        layer(&[Entry::File("d/.wh...", 0o644, b"")]),
    ];
    for (at, layer) in evil.into_iter().enumerate() {
        lab.registry
            .image(&format!("library/evil{at}"), "latest", "{}", &[layer]);
        let _ = lab.native().pull(format!("evil{at}"), None).await;
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(!lab.dir.path().join("evil").exists() && !lab.dir.path().join("data/evil").exists());
    let error = lab.native().pull("evil0".to_owned(), None).await.unwrap_err();
    assert!(matches!(error, Error::ImagePull(_)), "{error:?}");
    assert!(
        lab.native().pull("evil3".to_owned(), None).await.is_err(),
        "a hard link to what is not in the layer"
    );
    assert!(lab.native().image("evil3".to_owned()).await.unwrap().is_none());
}

#[tokio::test]
async fn what_cannot_be_pulled_says_why() {
    let lab = Lab::new("unpulled").await;
    let error = lab.native().pull("nosuch:1".to_owned(), None).await.unwrap_err();
    let name = "docker.io/library/nosuch:1";
    let want = format!(
        "failed to pull and unpack image \"{name}\": failed to resolve reference \"{name}\": {name}: not found"
    );
    assert!(
        matches!(&error, Error::ImagePull(text) if *text == want),
        "{error:?}"
    );
    let error = lab
        .native()
        .pull("127.0.0.1:1/x".to_owned(), None)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::RegistryUnavailable(text) if text.contains("refused")),
        "{error:?}"
    );
    let error = lab.native().pull("Bad Name".to_owned(), None).await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    // A blob that is not what the manifest says.
    let good = layer(&[Entry::Dir("x")]);
    lab.registry
        .image("library/forged", "latest", "{}", std::slice::from_ref(&good));
    let sneaky = layer(&[Entry::File("sneaky", 0o755, b"x")]);
    lab.registry.image("library/other", "latest", "{}", &[sneaky]);
    lab.registry.forge("library/forged", "library/other");
    let error = lab.native().pull("forged".to_owned(), None).await.unwrap_err();
    assert!(
        matches!(&error, Error::ImagePull(text) if text.contains("unexpected commit digest")),
        "{error:?}"
    );
    assert_eq!(lab.native().images().await.unwrap(), []);
}

#[tokio::test]
async fn a_guarded_repository_wants_a_token() {
    let lab = Lab::new("token").await;
    lab.registry
        .image("guarded/x", "1", "{}", &[layer(&[Entry::Dir("x")])]);
    let name = format!("127.0.0.1:{}/guarded/x:1", lab.registry.port);
    let error = lab.native().pull(name.clone(), None).await.unwrap_err();
    assert!(
        matches!(&error, Error::ImagePull(text) if text.contains("failed to authorize")),
        "{error:?}"
    );
    let auth = Auth {
        username: "user".to_owned(),
        password: "secret".to_owned(),
    };
    let image = lab.native().pull(name.clone(), Some(auth)).await.unwrap();
    assert_eq!(image.tags, [name]);
}

#[tokio::test]
async fn a_certificate_is_checked() {
    let mut lab = Lab::new("tls").await;
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (authority, dir) = (made.cert.pem(), lab.dir.path().to_owned());
    fs::write(dir.join("ca.pem"), authority).unwrap();
    let port = lab.registry.serve_tls(&lab.env.tasks, &made).await;
    lab.registry.image("x", "1", "{}", &[layer(&[Entry::Dir("x")])]);
    let mut pull = async |tls: &str| {
        let text = format!(
            "mirrors:\n  tls.test:\n    endpoint: [\"https://127.0.0.1:{port}\"]\n\
            configs:\n  \"127.0.0.1:{port}\":\n    tls: {{{tls}}}\n"
        );
        fs::write(dir.join("registries.yaml"), text).unwrap();
        lab.open();
        lab.native().pull("tls.test/x:1".to_owned(), None).await
    };
    let unknown = pull("").await.unwrap_err();
    assert!(
        matches!(&unknown, Error::RegistryUnavailable(text) if text.contains("certificate")),
        "{unknown:?}"
    );
    pull(&format!("ca_file: {}", dir.join("ca.pem").display()))
        .await
        .unwrap();
    pull("insecure_skip_verify: true").await.unwrap();
}
