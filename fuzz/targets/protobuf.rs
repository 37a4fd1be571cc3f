//! Bodies in upstream's protobuf form, to JSON and back.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _ = schema::json_to_protobuf(input);
    let _ = schema::protobuf_to_json(input);
    // Most inputs would fail at the envelope.
    let Some((kind, raw)) = input.split_first() else {
        return;
    };
    let kinds = [
        ("v1", "Pod"),
        ("v1", "Secret"),
        ("apps/v1", "Deployment"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("events.k8s.io/v1", "Event"),
        ("v1", "DeleteOptions"),
        ("v1", "NodeList"),
        ("certificates.k8s.io/v1", "CertificateSigningRequest"),
    ];
    let (version, kind) = kinds[usize::from(*kind) % kinds.len()];
    let meta = [
        &[10, version.len() as u8],
        version.as_bytes(),
        &[18, kind.len() as u8],
        kind.as_bytes(),
    ]
    .concat();
    let mut body = [b"k8s\0\x0a", &[meta.len() as u8][..], &meta, b"\x12"].concat();
    let mut length = raw.len();
    while length >= 128 {
        body.push(length as u8 | 128);
        length >>= 7;
    }
    body.push(length as u8);
    body.extend_from_slice(raw);
    if let Ok(json) = schema::protobuf_to_json(&body) {
        let again = schema::json_to_protobuf(&json).expect("what was read can be written");
        let back = schema::protobuf_to_json(&again).expect("what was written can be read");
        assert_eq!(String::from_utf8_lossy(&json), String::from_utf8_lossy(&back));
    }
});
