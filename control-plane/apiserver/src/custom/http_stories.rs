//! Stories of custom resources, told over HTTP: tables, discovery, documents, warnings.

use super::stories::{NAMES, PARTS, SCHEMA, Story, crontabs, definition, version};
use crate::http::stories::Http;

const URL: &str = "/apis/stable.example.com/v1/namespaces/default/crontabs";
const TABLE: (&str, &str) = ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
const COLUMNS: &str = r#","additionalPrinterColumns":[
    {"name":"Spec","type":"string","description":"The cron spec","jsonPath":".spec.cronSpec"},
    {"name":"Replicas","type":"integer","priority":1,"jsonPath":".spec.replicas"},
    {"name":"None","type":"string","jsonPath":".spec.none"},
    {"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}]"#;

#[tokio::test(start_paused = true)]
async fn tables_have_the_definitions_columns() {
    let story = Story::new().await;
    let parts = format!("{PARTS}{COLUMNS}");
    story
        .define(&definition(NAMES, &[version("v1", true, SCHEMA, &parts)], ""))
        .await;
    story.tab("a", r#""spec":{}"#).await.unwrap();
    let mut http = Http::new(&story.server).await;
    let table = http.ask("GET", URL, &[TABLE], "").await.text;
    let spec = r#"{"name":"Spec","type":"string","format":"","description":"The cron spec","priority":0}"#;
    assert!(table.contains(spec), "{table}");
    let described = r#""description":"Custom resource definition column (in JSONPath format): .spec.replicas","priority":1}"#;
    assert!(table.contains(described), "{table}");
    assert!(
        table.contains(r#""cells":["a","5 0 * * *",1,null,"0s"]"#),
        "{table}"
    );
    let plain = http.get(URL).await.text;
    assert!(
        plain.starts_with(r#"{"kind":"CronTabList","apiVersion":"stable.example.com/v1""#),
        "{plain}"
    );
}

#[tokio::test(start_paused = true)]
async fn documents_follow_definitions() {
    let story = Story::new().await;
    let mut http = Http::new(&story.server).await;
    let path = "/openapi/v3/apis/stable.example.com/v1";
    assert_eq!(http.get(path).await.code, 404);
    let before = http.get("/openapi/v3").await.text;
    let old = http.get("/openapi/v2").await.text;
    assert!(!before.contains("stable.example.com") && !old.contains("CronTab"));
    story.define(&crontabs()).await;
    let index = http.get("/openapi/v3").await.text;
    assert!(index.contains("/openapi/v3/apis/stable.example.com/v1?hash="));
    let document = http.get(path).await.text;
    for part in [
        r#""com.example.stable.v1.CronTab":{"properties":{"apiVersion":{"description":"APIVersion defines"#,
        r##""metadata":{"allOf":[{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}],"description""##,
        r#""replicas":{"default":1,"maximum":10,"minimum":1,"type":"integer"}"#,
        r#""com.example.stable.v1.CronTabList""#,
        r#""/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}/scale""#,
    ] {
        assert!(document.contains(part), "{part} in {document}");
    }
    assert!(
        document.contains("merge-patch+json") && !document.contains("strategic"),
        "kubectl reads here how it may patch"
    );
    let v2 = http.get("/openapi/v2").await.text;
    assert!(v2.contains(r#""com.example.stable.v1.CronTab":{"properties""#));
    let protobuf = (
        "accept",
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    );
    assert!(
        http.ask("GET", "/openapi/v2", &[protobuf], "")
            .await
            .text
            .contains("com.example.stable.v1.CronTab")
    );
    let apis = http.get("/apis").await.text;
    assert!(apis.contains(r#"{"name":"stable.example.com","versions":[{"groupVersion":"stable.example.com/v1","version":"v1"}]"#), "{apis}");
    let aggregated = (
        "accept",
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    );
    let apis = http.ask("GET", "/apis", &[aggregated], "").await.text;
    let listed = r#"{"resource":"crontabs","responseKind":{"group":"stable.example.com","version":"v1","kind":"CronTab"},"scope":"Namespaced","singularResource":"crontab","verbs":["delete","deletecollection","get","list","patch","create","update","watch"],"shortNames":["ct"],"categories":["all"],"subresources":["#;
    assert!(apis.contains(listed), "{apis}");
}

#[tokio::test(start_paused = true)]
async fn old_documents_show_what_they_can() {
    let story = Story::new().await;
    let rich = r#"{"type":"object","description":"A rich one.","properties":{"spec":{"type":"object","required":["a"],"properties":{
        "a":{"x-kubernetes-int-or-string":true,"anyOf":[{"type":"integer"},{"type":"string"}]},
        "b":{"type":"object","nullable":true,"properties":{"c":{"type":"string"}}},
        "d":{"type":"object","x-kubernetes-preserve-unknown-fields":true,"properties":{"e":{"type":"string"}}},
        "f":{"type":"object","x-kubernetes-embedded-resource":true,"properties":{"spec":{"type":"object","properties":{}}}},
        "g":{"type":"object","additionalProperties":{"type":"number","maximum":1.5,"multipleOf":0.5}},
        "h":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],"maxItems":3,
             "items":{"type":"object","required":["k"],"properties":{"k":{"type":"string","enum":["x","y"],"maxLength":5}}}},
        "i":{"type":"string","not":{"enum":["z"]}}}}}}"#;
    story
        .define(&definition(NAMES, &[version("v1", true, rich, "")], ""))
        .await;
    let mut http = Http::new(&story.server).await;
    let v3 = http.get("/openapi/v3/apis/stable.example.com/v1").await.text;
    assert!(
        v3.contains(r#""not":{"enum":["z"]}"#) && v3.contains(r#""nullable":true"#),
        "{v3}"
    );
    let v2 = http.get("/openapi/v2").await.text;
    for part in [
        r#""a":{"x-kubernetes-int-or-string":true}"#,
        r#""b":{}"#,
        r#""d":{"x-kubernetes-preserve-unknown-fields":true}"#,
        r##""f":{"properties":{"apiVersion":{"type":"string"},"kind":{"type":"string"},"metadata":{"$ref":"#/definitions/"##,
        r#""i":{"type":"string"}"#,
    ] {
        assert!(v2.contains(part), "{part}");
    }
    // What has no place in the protobuf form is told by the writer itself.
    let protobuf = (
        "accept",
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    );
    let packed = http.ask("GET", "/openapi/v2", &[protobuf], "").await;
    assert!(packed.code == 200 && packed.text.contains("A rich one."));
}

#[tokio::test(start_paused = true)]
async fn unknown_fields_and_old_versions_are_warned_of() {
    let story = Story::new().await;
    let old = version("v1", false, SCHEMA, r#","deprecated":true"#);
    story
        .define(&definition(NAMES, &[old, version("v2", true, SCHEMA, "")], ""))
        .await;
    let mut http = Http::new(&story.server).await;
    let tab = r#"{"apiVersion":"stable.example.com/v1","kind":"CronTab","metadata":{"name":"a","odd":1},"spec":{"x":1,"image":"a","image":"b"}}"#;
    let strict = http
        .ask("POST", &format!("{URL}?fieldValidation=Strict"), &[], tab)
        .await;
    assert_eq!(strict.code, 400);
    let words = r#"strict decoding error: duplicate field \"spec.image\", unknown field \"metadata.odd\", unknown field \"spec.x\""#;
    assert!(strict.text.contains(words), "{}", strict.text);
    let warned = http.ask("POST", URL, &[], tab).await;
    assert_eq!(warned.code, 201, "{}", warned.text);
    let warnings: Vec<&str> = warned
        .headers
        .get_all("warning")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    assert_eq!(
        warnings,
        [
            r#"299 - "duplicate field \"spec.image\"""#,
            r#"299 - "unknown field \"metadata.odd\"""#,
            r#"299 - "unknown field \"spec.x\"""#,
            r#"299 - "stable.example.com/v1 CronTab is deprecated""#,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn fields_of_custom_resources_are_selectable() {
    let story = Story::new().await;
    let fields = r#","selectableFields":[{"jsonPath":".spec.image"},{"jsonPath":".spec.replicas"}]"#;
    story
        .define(&definition(NAMES, &[version("v1", true, SCHEMA, fields)], ""))
        .await;
    story.tab("a", r#""spec":{"image":"x"}"#).await.unwrap();
    story
        .tab("b", r#""spec":{"image":"y","replicas":3}"#)
        .await
        .unwrap();
    let mut http = Http::new(&story.server).await;
    let names = |text: &str| -> Vec<bool> {
        ["\"name\":\"a\"", "\"name\":\"b\""]
            .iter()
            .map(|name| text.contains(name))
            .collect()
    };
    let x = http.get(&format!("{URL}?fieldSelector=spec.image%3Dx")).await;
    assert_eq!(names(&x.text), [true, false], "{}", x.text);
    let three = http.get(&format!("{URL}?fieldSelector=spec.replicas%3D3")).await;
    assert_eq!(names(&three.text), [false, true]);
    let none = http.get(&format!("{URL}?fieldSelector=spec.cronSpec%3Dx")).await;
    assert!(
        none.text.contains("field label not supported: spec.cronSpec"),
        "{}",
        none.text
    );
}
