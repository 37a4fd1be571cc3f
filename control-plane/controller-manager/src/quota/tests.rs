//! Stories of the engine: what it hears, and what it writes.

use super::engine::{Effect, Engine, Event, Why};
use api::{Gvr, Key, Object, quota};
use bytes::Bytes;
use jiff::Timestamp;
use std::sync::Arc;

const PODS: Gvr = Gvr::new("", "v1", "pods");
const SECRETS: Gvr = Gvr::new("", "v1", "secrets");

fn object(text: &str, version: u64) -> Arc<Object> {
    Arc::new(Object::parse(Bytes::from(text.to_owned()), version, &[]).unwrap())
}

fn quota(version: u64, hard: &str, status: &str) -> Event {
    let text = format!(
        r#"{{"metadata":{{"name":"q","namespace":"d","uid":"q"}},"spec":{{"hard":{hard}}},"status":{status}}}"#
    );
    Event::Quota(object(&text, version))
}

fn pod(name: &str, phase: &str, version: u64) -> Arc<Object> {
    let text = format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"d","uid":"uid-{name}"}},"status":{{"phase":"{phase}"}}}}"#
    );
    object(&text, version)
}

fn key() -> Key {
    Key::new("d", "q")
}

/// An engine, and what it did: a line an effect.
struct Story(Engine);

impl Story {
    fn new() -> Self {
        let mut story = Self(Engine::default());
        story.on(Event::Served(vec![PODS, SECRETS]));
        story
    }

    fn on(&mut self, event: Event) -> Vec<String> {
        let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        self.0.on(event, now).iter().map(told).collect()
    }

    /// One that has counted two pods, which a quota of five knows.
    fn of_two() -> Self {
        let mut story = Self::new();
        story.on(quota(
            5,
            r#"{"pods":"5"}"#,
            r#"{"hard":{"pods":"5"},"used":{"pods":"2"}}"#,
        ));
        let pods = vec![pod("a", "Running", 1), pod("b", "Running", 2)];
        assert_eq!(story.on(Event::Listed(key(), vec![(PODS, 4, pods)])), [""; 0]);
        story
    }

    fn used(&mut self, version: u64, used: u32) -> Vec<String> {
        let status = format!(r#"{{"hard":{{"pods":"5"}},"used":{{"pods":"{used}"}}}}"#);
        self.on(quota(version, r#"{"pods":"5"}"#, &status))
    }
}

fn told(effect: &Effect) -> String {
    match effect {
        Effect::List(_, gvrs) => {
            let names: Vec<String> = gvrs.iter().map(|gvr| gvr.resource.to_string()).collect();
            format!("list {}", names.join(" "))
        }
        Effect::Write(_, at, status) => {
            let (hard, used) = (quota::print(&status.hard), quota::print(&status.used));
            format!("write at {}: {hard} used {used}", at.resource_version())
        }
        Effect::Wait(_, _, why, _) => format!("wait {why:?}"),
    }
}

#[test]
fn a_new_quota_is_counted() {
    let mut story = Story::new();
    let hard = r#"{"pods":"5","requests.nvidia.com/gpu":"1","count/widgets.example.com":"1"}"#;
    assert_eq!(story.on(quota(5, hard, "{}")), ["list pods"]);
    let pods = vec![pod("a", "Running", 1), pod("b", "Succeeded", 2)];
    // What nobody can count has no number.
    assert_eq!(
        story.on(Event::Listed(key(), vec![(PODS, 4, pods)])),
        [
            "write at 5: count/widgets.example.com=1,pods=5,requests.nvidia.com/gpu=1 used pods=1,requests.nvidia.com/gpu=0"
        ]
    );
}

#[test]
fn what_goes_is_taken_off_at_once_and_what_is_on_its_way_stays() {
    let mut story = Story::of_two();
    // Admission let a third through, which is not seen yet.
    assert_eq!(story.used(6, 3), ["wait Long"]);
    let gone = Event::Gone(PODS, pod("a", "Running", 1));
    assert_eq!(story.on(gone), ["write at 6: pods=5 used pods=2"]);
    story.used(7, 2);
    assert_eq!(story.on(Event::Written(key(), true)), ["wait Long"]);
    assert_eq!(story.on(Event::Seen(PODS, pod("c", "Pending", 8))), [""; 0]);
    // A pod that ends is one less, too.
    let ended = Event::Seen(PODS, pod("b", "Failed", 9));
    assert_eq!(story.on(ended), ["write at 7: pods=5 used pods=1"]);
}

#[test]
fn a_write_that_lost_is_written_again_over_what_won() {
    let mut story = Story::of_two();
    let gone = Event::Gone(PODS, pod("a", "Running", 1));
    assert_eq!(story.on(gone), ["write at 5: pods=5 used pods=1"]);
    assert_eq!(story.used(6, 3), [""; 0]);
    assert_eq!(story.on(Event::Written(key(), false)), ["wait Short"]);
    assert_eq!(
        story.on(Event::Late(key(), 6, Why::Short)),
        ["write at 6: pods=5 used pods=2"]
    );
}

#[test]
fn what_was_charged_for_nothing_is_given_back_when_it_is_quiet() {
    let mut story = Story::of_two();
    assert_eq!(story.used(6, 4), ["wait Long"]);
    // Somebody wrote it meanwhile: the time begins anew.
    assert_eq!(story.used(7, 5), ["wait Long"]);
    assert_eq!(story.on(Event::Late(key(), 6, Why::Long)), [""; 0]);
    assert_eq!(
        story.on(Event::Late(key(), 7, Why::Long)),
        ["write at 7: pods=5 used pods=2"]
    );
}

#[test]
fn what_is_there_uncharged_is_added() {
    let mut story = Story::of_two();
    assert_eq!(
        story.on(Event::Seen(PODS, pod("c", "Running", 6))),
        ["wait Short"]
    );
    assert_eq!(
        story.on(Event::Late(key(), 5, Why::Short)),
        ["write at 5: pods=5 used pods=3"]
    );
}

#[test]
fn news_of_what_was_listed_is_none() {
    let mut story = Story::of_two();
    assert_eq!(story.on(Event::Seen(PODS, pod("z", "Running", 3))), [""; 0]);
    assert_eq!(story.on(Event::Gone(PODS, pod("z", "Running", 3))), [""; 0]);
    let other = r#"{"metadata":{"name":"a","namespace":"d","uid":"older"}}"#;
    assert_eq!(story.on(Event::Gone(PODS, object(other, 0))), [""; 0]);
}

#[test]
fn other_limits_are_counted_anew() {
    let mut story = Story::of_two();
    let event = quota(
        6,
        r#"{"pods":"3","secrets":"1"}"#,
        r#"{"hard":{"pods":"5"},"used":{"pods":"2"}}"#,
    );
    assert_eq!(story.on(event), ["list pods secrets"]);
    let lists = vec![(PODS, 4, vec![pod("a", "Running", 1)]), (SECRETS, 4, Vec::new())];
    // One pod more was charged than is there: it may be on its way.
    assert_eq!(
        story.on(Event::Listed(key(), lists)),
        ["write at 6: pods=3,secrets=1 used pods=2,secrets=0"]
    );
}

#[test]
fn the_time_of_a_pod_that_goes_is_over_some_day() {
    let mut story = Story::of_two();
    let text = r#"{"metadata":{"name":"a","namespace":"d","uid":"uid-a","deletionTimestamp":"2030-01-01T00:00:10Z","deletionGracePeriodSeconds":30}}"#;
    assert_eq!(story.on(Event::Seen(PODS, object(text, 6))), [""; 0]);
    assert_eq!(story.used(7, 2), ["wait Over"]);
    assert_eq!(story.on(Event::Late(key(), 7, Why::Over)), ["list pods"]);
}
