//! The three patches: a document and a patch, with a NUL between.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let (document, patch) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let pod = schema::type_of("", "v1", "Pod").expect("a built-in kind");
    let is_json = |text: Vec<u8>| {
        let _: serde::de::IgnoredAny = serde_json::from_slice(&text).expect("JSON");
    };
    let whole = br#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{"x":"y"},"finalizers":["a","b"]},"spec":{"containers":[{"name":"a","image":"i","ports":[{"containerPort":80,"protocol":"TCP"}],"env":[{"name":"E","value":"v"}]},{"name":"b"}],"volumes":[{"name":"v","emptyDir":{}}],"tolerations":[{"key":"k"}]}}"#;
    for document in [document, &whole[..]] {
        let _ = schema::json_patch(document, patch).map(is_json);
        let _ = schema::merge_patch(document, patch).map(is_json);
        let _ = schema::strategic_merge(document, patch, pod).map(is_json);
    }
});
