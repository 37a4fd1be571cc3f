//! Bodies in CBOR, to JSON and back.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    if let Ok(json) = schema::cbor_to_json(body) {
        let any = schema::check_untyped(&json).expect("JSON");
        assert!(any.duplicate().is_empty());
        if let Ok(again) = schema::json_to_cbor(&json) {
            let back = schema::cbor_to_json(&again).expect("our own CBOR");
            // Times under a tag are text from then on, so it is the second round that changes nothing.
            let third = schema::json_to_cbor(&back).expect("our own JSON");
            assert_eq!(schema::cbor_to_json(&third).as_deref(), Ok(&back[..]));
        }
    }
    let _ = schema::json_to_cbor(body);
});
