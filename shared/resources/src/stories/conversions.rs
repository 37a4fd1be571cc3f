use super::*;

fn version(kind: &str, group: &str, name: &str) -> &'static crate::Version {
    by_kind(group, kind).unwrap().version(group, name).unwrap()
}

#[test]
fn events_go_between_their_groups_and_back() {
    let event = r#"{"apiVersion":"v1","count":2,"firstTimestamp":"2026-01-02T03:04:05Z","involvedObject":{"kind":"Pod","name":"web","namespace":"ns"},"kind":"Event","lastTimestamp":"2026-01-02T03:04:05Z","message":"Pulled","metadata":{"name":"web.1"},"reason":"Pulled","source":{"component":"kubelet","host":"n1"},"type":"Normal"}"#;
    let stored = create(event);
    let other = version("Event", "events.k8s.io", "v1");
    let shown = (other.from_hub.unwrap())(stored.as_bytes()).unwrap();
    let text = String::from_utf8(shown.clone()).unwrap();
    for part in [
        r#""apiVersion":"events.k8s.io/v1""#,
        r#""deprecatedCount":2"#,
        r#""note":"Pulled""#,
        r#""regarding":{"kind":"Pod","name":"web","namespace":"ns"}"#,
        r#""deprecatedSource":{"component":"kubelet","host":"n1"}"#,
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(
        String::from_utf8((other.to_hub.unwrap())(&shown).unwrap()).unwrap(),
        stored
    );
}

const HPA: &str = r#"{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"web"},"spec":{"maxReplicas":5,"behavior":{"scaleDown":{"stabilizationWindowSeconds":60}},"metrics":[METRICS],"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"}}}"#;
const CPU: &str = r#"{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}}"#;
const PODS: &str = r#"{"type":"Pods","pods":{"metric":{"name":"rps"},"target":{"type":"AverageValue","averageValue":"1k"}}}"#;
const OBJECT: &str = r#"{"type":"Object","object":{"describedObject":{"kind":"Service","name":"web"},"metric":{"name":"hits"},"target":{"type":"Value","value":"10"}}}"#;

#[test]
fn autoscalers_keep_in_annotations_what_v1_cannot_say() {
    let stored = create(&HPA.replace("METRICS", &format!("{PODS},{OBJECT},{CPU}")));
    let v1 = version("HorizontalPodAutoscaler", "autoscaling", "v1");
    let shown = (v1.from_hub.unwrap())(stored.as_bytes()).unwrap();
    let text = String::from_utf8(shown.clone()).unwrap();
    assert!(
        text.contains(r#""apiVersion":"autoscaling/v1""#)
            && text.contains(r#""targetCPUUtilizationPercentage":50"#)
    );
    assert!(text.contains(r#""autoscaling.alpha.kubernetes.io/metrics":"[{\"type\":\"Pods\",\"pods\":{\"metricName\":\"rps\",\"targetAverageValue\":\"1k\"}},"#), "{text}");
    assert_eq!(
        String::from_utf8((v1.to_hub.unwrap())(&shown).unwrap()).unwrap(),
        stored
    );
    assert_eq!(
        line(&stored),
        "web|Deployment/web|<unknown>/1k, <unknown>/10 + 1 more...|1|5|0|60s"
    );
}

#[test]
fn an_autoscaler_scales_to_zero_by_what_others_measure() {
    let with = |minimum: &str, metrics: &str| {
        let least = format!(r#""maxReplicas":5,"minReplicas":{minimum}"#);
        let body = HPA.replace("METRICS", metrics);
        body.replace(r#""maxReplicas":5"#, &least)
    };
    let external = r#"{"type":"External","external":{"metric":{"name":"queue"},"target":{"type":"Value","value":"10"}}}"#;
    for metrics in [OBJECT.to_owned(), external.to_owned(), format!("{CPU},{OBJECT}")] {
        let stored = create(&with("0", &metrics));
        assert!(stored.contains(r#""minReplicas":0"#), "{stored}");
    }
    let refused = refused(&with("0", CPU));
    let why = "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero \
               replicas";
    assert!(refused.ends_with(why), "{refused}");
    let refused = super::refused(&with("-1", OBJECT));
    let why = "spec.minReplicas: Invalid value: -1: must be greater than or equal to 0";
    assert!(refused.ends_with(why), "{refused}");
}

#[test]
fn changes_of_an_autoscaler_are_counted() {
    let stored = create(&HPA.replace("METRICS", CPU));
    assert!(stored.contains(r#""generation":1"#), "{stored}");
    let wider = stored.replace(r#""maxReplicas":5"#, r#""maxReplicas":6"#);
    assert!(update(&wider, &stored).unwrap().contains(r#""generation":2"#));
}

#[test]
fn a_v1_autoscaler_gets_the_cpu_metric() {
    let v1 = version("HorizontalPodAutoscaler", "autoscaling", "v1");
    let body = br#"{"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"web"},"spec":{"maxReplicas":5,"scaleTargetRef":{"kind":"Deployment","name":"web"}}}"#;
    let stored = create(&String::from_utf8((v1.to_hub.unwrap())(body).unwrap()).unwrap());
    assert!(stored.contains(r#""averageUtilization":80"#), "{stored}");
    assert_eq!(line(&stored), "web|Deployment/web|cpu: <unknown>/80%|1|5|0|60s");
}
