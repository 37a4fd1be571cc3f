//! Claims of devices, and what is told of them.

use super::{Small, run};
use crate::Op;

const CLAIM: &str = r#"{"apiVersion":"resource.k8s.io/v1","kind":"ResourceClaim","metadata":{"name":"gpu","namespace":"ns"},"spec":{"devices":{"requests":[{"name":"one","exactly":{"deviceClassName":"c"}},{"name":"any","firstAvailable":[{"name":"big","deviceClassName":"c"}]}]}},"status":STATUS}"#;
const ALLOCATION: &str = r#"{"devices":{"results":[{"request":"one","driver":"gpu.example.com","pool":"n1/a","device":"d1"},{"request":"any/big","driver":"gpu.example.com","pool":"n1/a","device":"d2"}]}}"#;

fn claim(status: &str) -> String {
    CLAIM.replace("STATUS", status)
}

fn allocated(more: &str) -> String {
    claim(&format!(r#"{{"allocation":{ALLOCATION}{more}}}"#))
}

/// The causes of a refused status.
fn status(new: &str, old: &str, cluster: &Small) -> Result<String, Vec<String>> {
    run(new, Some(old), Op::Status, cluster).map_err(|status| {
        let causes = status.details.unwrap_or_default().causes;
        let told = |cause: api::Cause| format!("{}: {}", cause.field, cause.message);
        causes.into_iter().map(told).collect()
    })
}

#[test]
fn the_status_of_a_claim_is_checked() {
    let user = |uid: &str| format!(r#"{{"resource":"pods","name":"p","uid":"{uid}"}}"#);
    let (one, two) = (user("1"), user("2"));
    let device = |name: &str, more: &str| {
        format!(r#"{{"driver":"gpu.example.com","pool":"n1/a","device":"{name}"{more}}}"#)
    };
    let (d1, d9) = (device("d1", ""), device("d9", ""));
    let big = device("d1", &format!(r#","data":{{"x":"{}"}}"#, "y".repeat(10 << 10)));
    let text = device("d1", r#","data":"x""#);
    let pending = claim("{}");
    let goes = |body: &str| {
        body.replace(
            r#""name":"gpu","#,
            r#""name":"gpu","deletionTimestamp":"2026-01-02T03:04:05Z","finalizers":["a/b"],"#,
        )
    };
    let other = ALLOCATION.replace("d2", "d3");
    let cases: &[(String, String, &[&str])] = &[
        (
            allocated(&format!(r#","reservedFor":[{one},{two}],"devices":[{d1}]"#)),
            pending.clone(),
            &[],
        ),
        (
            claim(&format!(r#"{{"reservedFor":[{one}]}}"#)),
            pending.clone(),
            &["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"],
        ),
        (
            allocated(&format!(r#","reservedFor":[{one},{one}]"#)),
            pending.clone(),
            &[r#"status.reservedFor[1]: Duplicate value: "1""#],
        ),
        (
            allocated(r#","reservedFor":[{"resource":"","name":"","uid":""}]"#),
            pending.clone(),
            &[
                "status.reservedFor[0].resource: Required value",
                "status.reservedFor[0].name: Required value",
                "status.reservedFor[0].uid: Required value",
            ],
        ),
        (
            goes(&allocated(&format!(r#","reservedFor":[{one},{two}]"#))),
            goes(&allocated(&format!(r#","reservedFor":[{one}]"#))),
            &[
                "status.reservedFor: Forbidden: new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set",
            ],
        ),
        (
            allocated(&format!(r#","devices":[{d9}]"#)),
            pending.clone(),
            &[
                r#"status.devices[0]: Invalid value: "gpu.example.com/n1/a/d9": must be an allocated device in the claim"#,
            ],
        ),
        (
            allocated(&format!(r#","devices":[{d1},{d1}]"#)),
            pending.clone(),
            &[r#"status.devices[1]: Duplicate value: "gpu.example.com/n1/a/d1""#],
        ),
        (
            allocated(&format!(r#","devices":[{text}]"#)),
            pending.clone(),
            &[r#"status.devices[0].data: Invalid value: "<value omitted>": must be a valid JSON object"#],
        ),
        (
            allocated(&format!(r#","devices":[{big}]"#)),
            pending.clone(),
            &["status.devices[0].data: Too long: may not be more than 10240 bytes"],
        ),
        (
            claim(&format!(
                r#"{{"allocation":{}}}"#,
                ALLOCATION.replace("any/big", "any/small")
            )),
            pending.clone(),
            &[
                r#"status.allocation.devices.results[1].request: Invalid value: "any/small": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"#,
            ],
        ),
    ];
    for (new, old, wanted) in cases {
        let found = status(new, old, &Small::usual()).err().unwrap_or_default();
        assert_eq!(found, *wanted, "{new}");
    }
    let changed = claim(&format!(r#"{{"allocation":{other}}}"#));
    let found = status(&changed, &allocated(""), &Small::usual()).unwrap_err();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("status.allocation: Invalid value: "),
        "{found:?}"
    );
    assert!(found[0].ends_with(": field is immutable"), "{found:?}");
    status(&pending, &allocated(""), &Small::usual()).expect("what is bound may be let go");
}

#[test]
fn nothing_is_told_of_a_device_that_is_given_back() {
    let device = r#"{"driver":"gpu.example.com","pool":"n1/a","device":"d1"}"#;
    let old = allocated(&format!(r#","devices":[{device}]"#));
    let new = claim(&format!(r#"{{"devices":[{device}]}}"#));
    let stored = status(&new, &old, &Small::usual()).unwrap();
    assert!(stored.ends_with(r#""status":{}}"#), "{stored}");
}

#[test]
fn administrators_say_where_devices_of_others_are_given() {
    let namespace = |label: &str| {
        let body = format!(
            r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"ns","labels":{{"resource.kubernetes.io/admin-access":"{label}"}}}}}}"#
        );
        Small::usual().with("namespaces", &body)
    };
    let wish = r#"[{"name":"a","exactly":{"deviceClassName":"c"}},{"name":"one","exactly":{"deviceClassName":"c","adminAccess":true}}]"#;
    let spec = format!(r#"{{"devices":{{"requests":{wish}}}}}"#);
    let head = r#""apiVersion":"resource.k8s.io/v1","metadata":{"name":"x","namespace":"ns"}"#;
    let claim = format!(r#"{{"kind":"ResourceClaim",{head},"spec":{spec}}}"#);
    let template = format!(r#"{{"kind":"ResourceClaimTemplate",{head},"spec":{{"spec":{spec}}}}}"#);
    let why = "admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the \
               containing namespace";
    for body in [&claim, &template] {
        for cluster in [Small::usual(), namespace("false"), namespace("True")] {
            let status = run(body, None, Op::Create, &cluster).unwrap_err();
            let wanted = format!("is invalid: spec.devices.requests[1].adminAccess: Forbidden: {why}");
            assert!(status.message.ends_with(&wanted), "{}", status.message);
        }
        run(body, None, Op::Create, &namespace("true")).unwrap();
    }
    let stored = run(&claim, None, Op::Create, &namespace("true")).unwrap();
    let result = r#"{"request":"one","driver":"d.io","pool":"p","device":"d","adminAccess":true}"#;
    let given = stored.replace(
        r#""status":{}"#,
        &format!(r#""status":{{"allocation":{{"devices":{{"results":[{result}]}}}}}}"#),
    );
    let found = status(&given, &stored, &Small::usual()).unwrap_err();
    assert_eq!(
        found,
        [format!(
            "status.allocation.devices.results[0].adminAccess: Forbidden: {why}"
        )]
    );
    let given = status(&given, &stored, &namespace("true")).unwrap();
    status(&given, &given, &Small::usual()).expect("what was given stays");
}
