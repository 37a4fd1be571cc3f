//! Answers that other servers gave.

use super::{
    super::{Outside, Record},
    Told,
};
use crate::{
    http::answer::{PassedOn, streamed},
    security::Attributes,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures::{FutureExt, StreamExt, stream};
use http::Response;
use std::{io::Write, sync::Arc};

fn record(told: &Told) -> Arc<Record> {
    let asked = Attributes {
        verb: "get".to_owned(),
        group: "other.io".to_owned(),
        resource: "things".to_owned(),
        name: "one".to_owned(),
        is_resource: true,
        ..Attributes::default()
    };
    let audit = told.server.handler.security.audit.as_ref().unwrap();
    audit.record(&asked, Outside::default(), false).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_another_server_answers_is_not_kept() {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![0; 1 << 20];
    (0..64).for_each(|_| packer.write_all(&zeros).unwrap());
    let bomb = Bytes::from(packer.finish().unwrap());
    let endless = || stream::repeat_with(|| Ok(Bytes::from_static(b"more"))).boxed();
    for (code, body) in [
        (200, streamed(endless())),
        (500, streamed(endless())),
        (500, streamed(stream::iter([Ok(bomb)]))),
    ] {
        let told = Told::new("- level: RequestResponse\n", |_| {}).await;
        let mut response = Response::builder()
            .status(code)
            .header("content-type", "application/json")
            .header("content-encoding", "gzip")
            .body(body)
            .unwrap();
        response.extensions_mut().insert(PassedOn);
        let answered = record(&told).answered(response).now_or_never();
        assert!(answered.is_some(), "it is passed on at once");
        drop(answered);
        let events = told.last_events().await;
        let last = events.last().unwrap();
        assert_eq!(last["stage"], "ResponseComplete");
        assert_eq!(last["responseStatus"]["code"], code);
        assert!(last["responseObject"].is_null(), "{last}");
    }
}
