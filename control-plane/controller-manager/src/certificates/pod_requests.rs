//! PodCertificateRequests, which are deleted soon (upstream `pkg/controller/certificates/cleaner/pcrcleaner.go`).

use api::{Gvr, Key, Object};
use client::Caches;
use jiff::Timestamp;
use reconcile::{Controller, LastOutcome, Plan, Watch, own_key};
use std::{sync::Arc, time::Duration};

const REQUESTS: Gvr = Gvr::new("certificates.k8s.io", "v1", "podcertificaterequests");

/// How old a request gets, answered or not.
const LIFE: Duration = Duration::from_secs(30 * 60);

/// The controller.
#[derive(Debug)]
pub struct PodCertificateRequestCleaner;

impl Controller for PodCertificateRequestCleaner {
    type Observed = Arc<Object>;

    fn name(&self) -> &'static str {
        "podcertificaterequestcleaner"
    }

    fn primary(&self) -> Gvr {
        REQUESTS
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(REQUESTS, own_key)]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Arc<Object>> {
        caches.all(&REQUESTS).get(key)
    }

    fn reconcile(&self, request: &Arc<Object>, _: &LastOutcome, now: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        match super::left(request.creation_timestamp(), LIFE, now) {
            Duration::ZERO => plan.delete("delete", &REQUESTS, request),
            left => plan.again_after(left),
        }
        plan
    }
}
