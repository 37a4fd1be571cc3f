//! Server-side apply: managed fields, a live object and a configuration, with NULs between.
#![no_main]

use libfuzzer_sys::fuzz_target;
use schema::apply::{self, FieldSet, Node, Versions, Writer};

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(3, |byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (config, live, managed) = (part(), part(), part());
    let _ = apply::read_managed(managed).map(|mut managers| apply::write_managed(&mut managers));
    let _ = (apply::is_reset(managed), apply::same_but_times(managed, live));
    let Ok(config) = apply::config(config) else {
        return;
    };
    let pod = schema::type_of("", "v1", "Pod").expect("a built-in kind");
    // What is stored has the form of its kind.
    let live = Some(live).filter(|live| schema::check(live, pod).is_ok_and(|found| found.0.is_empty()));
    let reset = FieldSet::of(&["status"]);
    let writer = Writer {
        name: "fuzz",
        version: "v1",
        subresource: "",
        now: jiff::Timestamp::UNIX_EPOCH,
        reset: &reset,
    };
    for node in [Node::of(pod), Node::Deduced] {
        let versions = Versions {
            node: &|_| Some(node),
            convert: &|json, _, _| Ok(json.to_vec()),
        };
        if let Ok(applied) = apply::apply(versions, writer, "Pod", live, managed, &config, true) {
            let _: serde::de::IgnoredAny = serde_json::from_slice(&applied.json).expect("JSON");
            let again = apply::apply(
                versions,
                writer,
                "Pod",
                Some(&applied.json),
                &applied.managed,
                &config,
                false,
            );
            assert_eq!(again.expect("nothing is in the way").json, applied.json);
        }
        if let Some(live) = live {
            let _ = apply::update(versions, writer, Some(live), &config, managed, managed);
        }
    }
});
