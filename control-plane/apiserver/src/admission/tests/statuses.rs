//! Statuses that clients may write.

use super::with;
use api::{Gvr, Key};
use client::{Patch, Target, Write};

/// A write of the status changes nothing else, and a write of the rest not the status.
#[tokio::test(start_paused = true)]
async fn the_status_of_a_quota_and_of_an_api_service_is_written_by_itself() {
    let story = with(&[], "").await;
    let quotas = (Gvr::new("", "v1", "resourcequotas"), Key::new("default", "q"));
    let services = Gvr::new("apiregistration.k8s.io", "v1", "apiservices");
    let services = (services, Key::cluster("v1alpha1.wardle.example.com"));
    for ((gvr, key), spec, other, status, none) in [
        (
            quotas,
            r#""hard":{"pods":"5"}"#,
            r#""hard":{"pods":"6"}"#,
            r#""used":{"pods":"2"}"#,
            r#""used":null"#,
        ),
        (
            services,
            r#""group":"wardle.example.com","version":"v1alpha1","groupPriorityMinimum":2000,"versionPriority":200,
            "insecureSkipTLSVerify":true,"service":{"namespace":"default","name":"api"}"#,
            r#""versionPriority":300"#,
            r#""conditions":[{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"m","reason":"Story","status":"True","type":"Seen"}]"#,
            r#""conditions":null"#,
        ),
    ] {
        let body = format!(r#"{{"metadata":{{"name":"{}"}},"spec":{{{spec}}}}}"#, key.name);
        let target = Target::collection(&gvr, &key.namespace);
        let made = story.client.write(target, Write::Create(body.into())).await;
        made.unwrap();
        for (sub, status_sent, changed) in [("status", status, false), ("", none, true)] {
            let patch = format!(r#"{{"spec":{{{other}}},"status":{{{status_sent}}}}}"#);
            let target = Target::object(&gvr, &key).sub(sub);
            let written = story
                .client
                .write(target, Write::Patch(Patch::Merge, patch.into()));
            let written = written.await.unwrap();
            let text = String::from_utf8_lossy(written.body());
            // Another condition is beside it.
            assert!(text.contains(status.trim_end_matches(']')), "{sub}: {text}");
            assert_eq!(text.contains(other), changed, "{sub}: {text}");
        }
    }
}
