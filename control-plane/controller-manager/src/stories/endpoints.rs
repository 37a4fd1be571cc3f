//! Slices of at most a hundred, and changes that touch no more of them than they must.

use super::{NOW, plan, told};
use crate::EndpointSliceController;
use api::Key;
use reconcile::LastOutcome;

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: d, uid: svc}
spec: {selector: {app: web}, clusterIP: 10.96.0.9, ipFamilies: [IPv4], ports: [{name: http, port: 80, targetPort: 8080, protocol: TCP}]}
";

fn pods(count: u32) -> String {
    let pod = |number: u32| {
        format!(
            "---
apiVersion: v1
kind: Pod
metadata: {{name: web-{number}, namespace: d, uid: uid-{number}, labels: {{app: web}}}}
spec: {{nodeName: a, containers: []}}
status:
  phase: Running
  podIP: 10.1.{}.{}
  podIPs: [{{ip: 10.1.{}.{}}}]
  conditions: [{{type: Ready, status: 'True'}}]
",
            number / 250,
            number % 250 + 1,
            number / 250,
            number % 250 + 1
        )
    };
    (0..count).map(pod).collect()
}

fn addresses(line: &str) -> usize {
    line.matches("\"10.1.").count()
}

#[tokio::test(start_paused = true)]
async fn a_slice_holds_a_hundred() {
    let text = SERVICE.to_owned() + &pods(250);
    let plan = plan(
        EndpointSliceController,
        &Key::new("d", "web"),
        &text,
        &LastOutcome::default(),
        NOW,
    )
    .await;
    let told = told(&plan);
    let mut sizes: Vec<usize> = told
        .lines()
        .filter(|line| line.starts_with("create endpointslices"))
        .map(addresses)
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [50, 100, 100], "{}", told.lines().count());
}

#[tokio::test(start_paused = true)]
async fn what_is_right_is_left_alone_and_one_pod_more_is_one_write() {
    let key = Key::new("d", "web");
    let last = LastOutcome::default();
    let text = SERVICE.to_owned() + &pods(120);
    let made = plan(EndpointSliceController, &key, &text, &last, NOW).await;
    let slices: String = told(&made)
        .lines()
        .enumerate()
        .map(|(number, line)| {
            let body = line
                .split_once(" {")
                .map(|(_, body)| format!("{{{body}"))
                .unwrap_or_default();
            let meta = format!(r#""metadata":{{"name":"web-s{number}","uid":"s{number}","#);
            format!(
                "---\n{}\n",
                body.replace(r#""metadata":{"#, &meta)
                    .replace(r#""generateName":"web-","#, "")
            )
        })
        .collect();
    assert_eq!(slices.matches("EndpointSlice").count(), 2);
    let again = plan(
        EndpointSliceController,
        &key,
        &(text.clone() + &slices),
        &last,
        NOW,
    )
    .await;
    assert_eq!(told(&again), "", "nothing changed");
    let more = SERVICE.to_owned() + &pods(121) + &slices;
    let more = told(&plan(EndpointSliceController, &key, &more, &last, NOW).await);
    assert_eq!(more.lines().count(), 1, "{more}");
    assert_eq!(addresses(&more), 21, "the slice with room");
}
