//! Server-side apply over HTTP.

use super::*;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const YAML: (&str, &str) = ("content-type", "application/apply-patch+yaml");

#[tokio::test(start_paused = true)]
async fn configurations_are_applied_as_yaml_and_json() {
    let (server, _env) = fixture::whole().await;
    let mut http = Http::new(&server).await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n  a: \"1\"\n";
    let url = format!("{MAPS}/x?fieldManager=me");
    let made = http.ask("PATCH", &url, &[YAML], yaml).await;
    assert_eq!(made.code, 201, "{}", made.text);
    let json = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"2"}}"#;
    let changed = http.ask("PATCH", &url, &[YAML], json).await;
    assert!(
        changed.code == 200 && changed.text.contains(r#""data":{"a":"2"}"#),
        "{}",
        changed.text
    );
    assert!(
        changed.text.contains(r#""manager":"me","operation":"Apply""#),
        "{}",
        changed.text
    );

    let other = format!("{MAPS}/x?fieldManager=other");
    let refused = http.ask("PATCH", &other, &[YAML], yaml).await;
    assert!(
        refused.code == 409 && refused.text.contains(r#"conflict with \"me\": .data.a"#),
        "{}",
        refused.text
    );
    let forced = http
        .ask("PATCH", &format!("{other}&force=true"), &[YAML], yaml)
        .await;
    assert_eq!(forced.code, 200);

    let twice = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: \"1\"}\ndata: {a: \"1\"}\n";
    let strict = http
        .ask(
            "PATCH",
            &format!("{other}&fieldValidation=Strict"),
            &[YAML],
            twice,
        )
        .await;
    assert!(
        strict.code == 400 && strict.text.contains("error strict decoding patch"),
        "{}",
        strict.text
    );
    let warned = http.ask("PATCH", &other, &[YAML], twice).await;
    assert!(warned.headers.contains_key("warning"), "{}", warned.text);
    let broken = http.ask("PATCH", &other, &[YAML], "a: [").await;
    assert!(
        broken.code == 400 && broken.text.contains("error decoding patch"),
        "{}",
        broken.text
    );
}

#[tokio::test(start_paused = true)]
async fn an_apply_says_who_and_no_other_patch_forces() {
    let (server, _env) = fixture::whole().await;
    let mut http = Http::new(&server).await;
    let nobody = http.ask("PATCH", &format!("{MAPS}/x"), &[YAML], "{}").await;
    let why = "fieldManager: Required value: is required for apply patch";
    assert!(nobody.code == 422 && nobody.text.contains(why), "{}", nobody.text);
    let merge = ("content-type", "application/merge-patch+json");
    let forced = http
        .ask("PATCH", &format!("{MAPS}/x?force=true"), &[merge], "{}")
        .await;
    let why = "force: Forbidden: may not be specified for non-apply patch";
    assert!(forced.code == 422 && forced.text.contains(why), "{}", forced.text);
    let cbor = ("content-type", "application/apply-patch+cbor");
    let cbor = http
        .ask("PATCH", &format!("{MAPS}/x?fieldManager=a"), &[cbor], "")
        .await;
    assert!(
        cbor.code == 415 && cbor.text.contains("application/apply-patch+yaml"),
        "{}",
        cbor.text
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_is_a_manager_by_its_name() {
    let (server, _env) = fixture::whole().await;
    let mut http = Http::new(&server).await;
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"1"}}"#;
    let agent = [
        ("user-agent", "my-tool/v1.2 (linux)"),
        ("content-type", "application/json"),
    ];
    let made = http.ask("POST", MAPS, &agent, body).await;
    assert!(
        made.text.contains(r#""manager":"my-tool","operation":"Update""#),
        "{}",
        made.text
    );
    let long = format!("{MAPS}?fieldManager={}", "a".repeat(129));
    let refused = http.ask("POST", &long, &agent, body).await;
    let why = r#"CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes"#;
    assert!(
        refused.code == 422 && refused.text.contains(why),
        "{}",
        refused.text
    );
}
