//! Lists of 10,000 pods in every form.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::objects::{PODS, PODS_PATH, pod};
use super::{Bench, Case, Sample, Side, Value, cost};
use crate::bench::load::{self, Load};
use crate::bench::median;

const ROUNDS: usize = 3;
/// How long a round lists, and the fewest lists of one.
const ROUND: Duration = Duration::from_secs(1);
const LISTS: usize = 4;

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
    load.drive(200, repeated(&request, 1, Duration::ZERO))?;
    let (mut driven, cost) = cost(side, || load.drive(200, repeated(&request, LISTS, ROUND)))?;
    let lists = driven.latencies.len() as f64;
    let bytes = driven.bytes as f64 / lists;
    ensure!(bytes >= form.least as f64, "a list of only {bytes} bytes");
    let latency = median(&mut driven.latencies).unwrap_or_default();
    println!(
        "  {lists} lists of {bytes:.0} bytes, the load took {:.1} ms each",
        cost.load / lists * 1e3
    );
    Ok(vec![latency, cost.server / lists])
}

/// The same request, at least so many times and so long.
fn repeated(request: &[u8], least: usize, time: Duration) -> impl FnMut() -> Option<Vec<u8>> {
    let (begun, mut asked) = (Instant::now(), 0);
    move || {
        asked += 1;
        (asked <= least || begun.elapsed() < time).then(|| request.to_vec())
    }
}
