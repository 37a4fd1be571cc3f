//! What a slow request waited for.

use super::{Told, widget};
use crate::{
    audit::Outside,
    fixture,
    http::{answer, stories::Http},
    security::{Attributes, User},
};
use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use resources::{Cell, Row};
use std::{sync::Arc, time::Duration};

const RULES: &str = "- {level: Metadata, omitStages: [RequestReceived]}\n";

/// A table of widgets takes its time.
static SLOW: Row = Row {
    cells: |object, _| {
        std::thread::sleep(Duration::from_millis(510));
        vec![Cell::Text(object.name().to_owned())]
    },
    ..fixture::WIDGETS
};

#[tokio::test]
async fn what_it_took_to_make_the_answer_is_told() {
    let mut rows = fixture::small_table();
    rows.retain(|row| row.plural != SLOW.plural);
    rows.push(&SLOW);
    let told = Told::of(rows, RULES, |_| {}).await.inhabited().await;
    let mut http = Http::new(&told.server).await;
    let made = http.ask("POST", super::WIDGETS, &[], &widget("a")).await;
    assert_eq!(made.code, 201);
    assert!(told.events()[0]["annotations"]["apiserver.latency.k8s.io/total"].is_null());
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let answer = http.ask("GET", super::WIDGETS, &table, "").await;
    assert_eq!(answer.code, 200);
    let events = told.events();
    for part in ["transform-response-object", "total"] {
        let told = &events[0]["annotations"][format!("apiserver.latency.k8s.io/{part}")];
        let millis = told.as_str().and_then(|told| told.strip_suffix("ms"));
        let millis = millis.and_then(|millis| millis.parse::<f64>().ok());
        assert!(millis.is_some_and(|millis| millis >= 510.0), "{part}: {events:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_goes_out_in_pieces_is_told_when_the_client_has_it() {
    let told = Told::new(RULES, |_| {}).await;
    let asked = Attributes {
        user: Arc::new(User::new("ann", &[])),
        verb: "list".to_owned(),
        resource: "widgets".to_owned(),
        is_resource: true,
        ..Attributes::default()
    };
    let audit = told.server.handler.security.audit.clone().unwrap();
    let record = audit.record(&asked, Outside::default(), false).unwrap();
    record.begin().await.unwrap();
    let pieces = (0..3).map(|number| Ok(Bytes::from(vec![number; 10])));
    let response = Response::new(answer::streamed(futures::stream::iter(pieces)));
    let mut body = record.answered(response).await.into_body();
    assert!(told.events().is_empty());
    while let Some(frame) = body.frame().await {
        assert_eq!(frame.unwrap().into_data().unwrap().len(), 10);
        tokio::time::advance(Duration::from_millis(200)).await;
    }
    drop(body);
    let events = told.last_events().await;
    let annotations = &events[0]["annotations"];
    assert_eq!(annotations["apiserver.latency.k8s.io/response-write"], "600ms");
    assert_eq!(annotations["apiserver.latency.k8s.io/total"], "600ms");
}
