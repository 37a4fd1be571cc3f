use super::*;
use minicbor::{Encoder, data::Tag};
use proptest::prelude::*;
use serde_json::Value;

fn json(body: &[u8]) -> Result<String, CborError> {
    cbor_to_json(body).map(|text| String::from_utf8(text).unwrap())
}

/// What `write` writes, with the library.
fn written(write: impl FnOnce(&mut Encoder<Vec<u8>>)) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    write(&mut encoder);
    encoder.into_writer()
}

/// In the library's diagnostic notation, without blanks.
fn shown(body: &[u8]) -> String {
    minicbor::display(body).to_string().replace(' ', "")
}

#[test]
fn text_is_byte_strings_behind_the_mark_of_cbor() {
    let pod = br#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","labels":{}},"spec":{"containers":[{"name":"c"}],"priority":-5}}"#;
    let body = json_to_cbor(pod).unwrap();
    assert!(is_cbor(&body) && !is_cbor(pod));
    let text = shown(&body);
    // 55799({h'61706956...':h'7631', ...
    assert!(
        text.starts_with("55799({h'61706956657273696f6e':h'7631'"),
        "{text}"
    );
    assert!(text.contains("h'7072696f72697479':-5"), "{text}");
    assert_eq!(json(&body).unwrap().as_bytes(), pod);
}

#[test]
fn bytes_of_built_in_kinds_say_that_they_are_base64() {
    let secret = r#"{"apiVersion":"v1","kind":"Secret","data":{"k":"aGk="},"stringData":{"s":"aGk="}}"#;
    let text = shown(&json_to_cbor(secret.as_bytes()).unwrap());
    assert!(text.contains("h'6b':22(h'6869')"), "{text}");
    assert!(text.contains("h'73':h'6147"), "{text}");
    assert_eq!(json(&json_to_cbor(secret.as_bytes()).unwrap()).unwrap(), secret);
    let own = secret.replace("\"v1\"", "\"example.com/v1\"");
    assert!(!shown(&json_to_cbor(own.as_bytes()).unwrap()).contains("22("));
}

#[test]
fn numbers_take_the_fewest_bytes() {
    for (text, bytes) in [
        ("0", "00"),
        ("23", "17"),
        ("24", "1818"),
        ("256", "190100"),
        ("65536", "1a00010000"),
        ("4294967296", "1b0000000100000000"),
        ("-1", "20"),
        ("-9223372036854775808", "3b7fffffffffffffff"),
        ("1.5", "f93e00"),
        ("-0.0", "f98000"),
        ("65504.0", "f97bff"),
        ("5.960464477539063e-8", "f90001"),
        ("0.00006103515625", "f90400"),
        ("65536.0", "fa47800000"),
        ("1e-8", "fb3e45798ee2308c3a"),
        ("0.1", "fb3fb999999999999a"),
    ] {
        let mut out = Vec::new();
        encode::number(&mut out, text, false);
        let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, bytes, "{text}");
        let back: f64 = json(&out).unwrap().parse().unwrap();
        assert_eq!(back.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
    }
    let mut out = Vec::new();
    encode::number(&mut out, "1", true);
    assert_eq!(out, [0xf9, 0x3c, 0x00]);
}

#[test]
fn what_others_write_is_read() {
    let body = written(|cbor| {
        let cbor = cbor.tag(Tag::new(55799)).unwrap().begin_map().unwrap();
        cbor.str("text").unwrap().str("a\"\u{e9}").unwrap();
        cbor.bytes(b"bytes").unwrap().bytes(b"b").unwrap();
        let list = cbor.str("list").unwrap().begin_array().unwrap();
        list.u8(1)
            .unwrap()
            .i64(-2)
            .unwrap()
            .bool(true)
            .unwrap()
            .null()
            .unwrap();
        list.f16(0.5)
            .unwrap()
            .f32(0.25)
            .unwrap()
            .f64(0.1)
            .unwrap()
            .end()
            .unwrap();
        cbor.str("pieces").unwrap().begin_bytes().unwrap();
        cbor.bytes(b"x").unwrap().bytes(b"y").unwrap().end().unwrap();
        cbor.str("time")
            .unwrap()
            .tag(Tag::new(0))
            .unwrap()
            .str("2020-01-02T03:04:05Z")
            .unwrap();
        cbor.str("seconds")
            .unwrap()
            .tag(Tag::new(1))
            .unwrap()
            .u32(1_577_934_245)
            .unwrap();
        cbor.str("parts")
            .unwrap()
            .tag(Tag::new(1))
            .unwrap()
            .f64(1_577_934_245.5)
            .unwrap();
        cbor.str("url")
            .unwrap()
            .tag(Tag::new(21))
            .unwrap()
            .bytes(&[0xfb, 0xff])
            .unwrap();
        let all = cbor
            .str("all")
            .unwrap()
            .tag(Tag::new(23))
            .unwrap()
            .array(2)
            .unwrap();
        all.bytes(&[0xfb])
            .unwrap()
            .tag(Tag::new(22))
            .unwrap()
            .bytes(&[0xfb])
            .unwrap();
        cbor.str("own")
            .unwrap()
            .tag(Tag::new(4711))
            .unwrap()
            .u8(7)
            .unwrap();
        cbor.end().unwrap();
    });
    let text = r#"{"text":"a\"é","bytes":"b","list":[1,-2,true,null,0.5,0.25,0.1],"pieces":"xy","time":"2020-01-02T03:04:05Z","seconds":"2020-01-02T03:04:05Z","parts":"2020-01-02T03:04:05.5Z","url":"-_8=","all":["fb","+w=="],"own":7}"#;
    assert_eq!(json(&body).unwrap(), text);
}

#[test]
fn what_json_cannot_hold_is_refused() {
    let twice = written(|cbor| {
        cbor.map(2).unwrap().str("a").unwrap().u8(1).unwrap();
        cbor.bytes(b"a").unwrap().u8(2).unwrap();
    });
    for (body, why) in [
        (&b""[..], "EOF"),
        (&[0xa1, 0x41], "unexpected EOF"),
        (&[0x9f], "unexpected EOF"),
        (&[0xff], "cbor: unexpected \"break\" code"),
        (&[0x82, 0x01, 0xff], "cbor: unexpected \"break\" code"),
        (
            &[0x1c],
            "cbor: invalid additional information 28 for type positive integer",
        ),
        (
            &[0x01, 0x02],
            "cbor: 1 bytes of extraneous data starting at index 1",
        ),
        (
            &[0x5f, 0x61, 0x61, 0xff],
            "cbor: wrong element type UTF-8 text string for indefinite-length byte string",
        ),
        (&[0x61, 0xff], "cbor: invalid UTF-8 string"),
        (
            &twice,
            "cbor: found duplicate map key \"a\" at map element index 1",
        ),
        (
            &[0xa1, 0x01, 0x02],
            "cbor: cannot unmarshal positive integer into Go value of type string",
        ),
        (
            &[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            "cbor: cannot unmarshal positive integer into Go value of type int64 (18446744073709551615 overflows Go's int64)",
        ),
        (
            &[0xf9, 0x7e, 0x00],
            "cbor: data item of cbor type primitives with content floating-point NaN is not accepted",
        ),
        (
            &[0xfa, 0xff, 0x80, 0, 0],
            "cbor: data item of cbor type primitives with content floating-point infinity is not accepted",
        ),
        (
            &[0xf7],
            "cbor: data item of cbor type primitives with content simple value 23 is not accepted",
        ),
        (
            &[0xc2, 0x41, 0x01],
            "cbor: cannot unmarshal tag into Go value of type interface {}: bignum is forbidden",
        ),
    ] {
        assert_eq!(json(body).unwrap_err().to_string(), why, "{body:x?}");
    }
    let deep = [vec![0x81; crate::MAX_DEPTH + 1], vec![0x01]].concat();
    assert_eq!(json(&deep), Err(CborError::Depth));
    assert!(json(&deep[1..]).is_ok());
    // Lengths that are not there cost nothing.
    assert_eq!(
        json(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        Err(CborError::Truncated)
    );
    assert_eq!(
        json(&[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        Err(CborError::Truncated)
    );
}

#[test]
fn lists_are_written_item_by_item_and_events_hold_bodies() {
    let items = [r#"{"data":{"k":"aGk="}}"#, r#"{"metadata":{"name":"b"}}"#];
    let mut list = cbor_list("v1", "SecretList", br#"{"resourceVersion":"7"}"#, 2).unwrap();
    for item in items {
        list.extend(json_to_item("v1", "Secret", item.as_bytes()).unwrap());
    }
    assert!(shown(&list).contains("22(h'6869')"));
    assert_eq!(
        json(&list).unwrap(),
        r#"{"kind":"SecretList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[{"data":{"k":"aGk="}},{"metadata":{"name":"b"}}]}"#
    );
    let body = json_to_cbor(br#"{"kind":"Pod","apiVersion":"v1"}"#).unwrap();
    let item = json_to_item("v1", "Pod", br#"{"kind":"Pod","apiVersion":"v1"}"#).unwrap();
    assert_eq!(cbor_body(&item), body);
    let frame = cbor_frame("ADDED", &body);
    assert!(is_cbor(&frame));
    assert!(shown(&frame).contains("h'6f626a656374':55799({"));
    assert_eq!(
        json(&frame).unwrap(),
        r#"{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1"}}"#
    );
}

/// Whether serde_json reads the number that it writes; in the last bit it may differ.
fn exact(number: f64) -> bool {
    serde_json::from_str::<f64>(&number.to_string()).is_ok_and(|read| read == number)
        && Value::from(number)
            .to_string()
            .parse::<Value>()
            .is_ok_and(|read| read == number)
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("read as it is written", |n| exact(*n))
            .prop_map(Value::from),
        any::<f32>()
            .prop_map(f64::from)
            .prop_filter("read as it is written", |n| exact(*n))
            .prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,30}", inner, 0..6)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

proptest! {
    #[test]
    fn any_object_comes_back_from_cbor(members in prop::collection::btree_map("[a-z]{1,9}", any_value(), 0..6)) {
        let value: Value = members.into_iter().collect::<serde_json::Map<_, _>>().into();
        let body = json_to_cbor(value.to_string().as_bytes());
        let Ok(body) = body else {
            // `kind` and `apiVersion` that are no text.
            return Ok(());
        };
        let back: Value = serde_json::from_slice(&cbor_to_json(&body).unwrap()).unwrap();
        prop_assert_eq!(&back, &value);
        // The library reads one item, and nothing is left.
        let mut decoder = minicbor::Decoder::new(&body);
        decoder.skip().unwrap();
        prop_assert_eq!(decoder.position(), body.len());
    }

    #[test]
    fn any_bytes_are_json_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(text) = cbor_to_json(&body) {
            prop_assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok());
            // What we take, the library finds well-formed.
            prop_assert!(minicbor::Decoder::new(&body).skip().is_ok());
        }
    }
}
