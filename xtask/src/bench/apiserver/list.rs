//! Lists of 10,000 pods in every form.

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::objects::{PODS, PODS_PATH, pod};
use super::{Bench, Case, Sample, Side, Value, cost};
use crate::bench::load::{self, Load};
use crate::bench::median;

const ROUNDS: usize = 3;
/// Lists of one round.
const LISTS: usize = 6;

const JSON: &str = "Accept: application/json\r\n";

/// A form of the list: its cases, the query and headers that ask for it, and the fewest bytes that it has.
struct Form {
    latency: &'static str,
    cpu: &'static str,
    query: &'static str,
    headers: &'static str,
    least: usize,
}

const FORMS: &[Form] = &[
    Form {
        latency: "list-plain-latency",
        cpu: "list-plain-cpu",
        query: "",
        headers: JSON,
        least: PODS * 1500,
    },
    // What informers ask for: upstream answers it from its cache, not from etcd.
    Form {
        latency: "list-cached-latency",
        cpu: "list-cached-cpu",
        query: "?resourceVersion=0",
        headers: JSON,
        least: PODS * 1500,
    },
    Form {
        latency: "list-gzip-latency",
        cpu: "list-gzip-cpu",
        query: "?resourceVersion=0",
        headers: "Accept: application/json\r\nAccept-Encoding: gzip\r\n",
        least: PODS * 20,
    },
    Form {
        latency: "list-protobuf-latency",
        cpu: "list-protobuf-cpu",
        query: "?resourceVersion=0",
        headers: "Accept: application/vnd.kubernetes.protobuf\r\n",
        least: PODS * 500,
    },
    Form {
        latency: "list-metadata-latency",
        cpu: "list-metadata-cpu",
        query: "?resourceVersion=0",
        headers: "Accept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1\r\n",
        least: PODS * 300,
    },
];

/// Runs its cases.
pub fn run(bench: &mut Bench<'_, '_>) -> Result<()> {
    let wanted: Vec<&Form> = FORMS
        .iter()
        .filter(|form| bench.wants(&[form.latency, form.cpu]))
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    for side in &bench.sides {
        side.signal(Signal::CONT)?;
        fill(&mut side.load(64)?, 0..PODS)?;
        side.signal(Signal::STOP)?;
    }
    for form in wanted {
        let cases: [Case; 2] = [(form.latency, Value::Seconds), (form.cpu, Value::Seconds)];
        bench.rounds(ROUNDS, &cases, |side, _| lists(side, form))?;
    }
    Ok(())
}

/// Makes pods.
pub fn fill(load: &mut Load, numbers: std::ops::Range<usize>) -> Result<()> {
    let mut numbers = numbers;
    load.drive(201, || {
        numbers.next().map(|number| load::post(PODS_PATH, &pod(number)))
    })?;
    Ok(())
}

fn lists(side: &mut Side<'_>, form: &Form) -> Result<Sample> {
    let mut load = side.load(1)?;
    let request = load::get(&format!("{PODS_PATH}{}", form.query), form.headers);
    load.drive(200, repeated(&request, 1))?;
    let (mut driven, cost) = cost(side, || load.drive(200, repeated(&request, LISTS)))?;
    let bytes = driven.bytes / LISTS as u64;
    ensure!(bytes >= form.least as u64, "a list of only {bytes} bytes");
    let latency = median(&mut driven.latencies).unwrap_or_default();
    Ok(vec![latency, cost.server / LISTS as f64])
}

fn repeated(request: &[u8], times: usize) -> impl FnMut() -> Option<Vec<u8>> {
    let mut requests = std::iter::repeat_n(request.to_vec(), times);
    move || requests.next()
}
