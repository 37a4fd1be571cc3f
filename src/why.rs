//! `ferrokube why`: the decisions about an object, as the parts of the system recorded them.

use crate::{cli::WhyArgs, kubectl::Target};
use anyhow::{Context, Result, anyhow, bail};
use api::Gvr;
use client::{Client, HttpsTransport, ListParams, kubeconfig};
use component::Env;
use serde::Deserialize;
use std::collections::BTreeSet;

const DECISIONS: Gvr = Gvr::new("insight.ferrokube.io", "v1alpha1", "decisions");

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Decision {
    at: jiff::Timestamp,
    actor: String,
    verdict: String,
    #[serde(default)]
    reasons: Vec<Reason>,
    #[serde(default)]
    unblock: String,
}

#[derive(Debug, Deserialize)]
struct Reason {
    code: String,
    #[serde(default)]
    params: Vec<(String, String)>,
    #[serde(default)]
    cause: String,
}

/// Prints them, the latest of each part.
pub fn run(args: &WhyArgs) -> Result<()> {
    let (kind, name) = match args.object.as_slice() {
        [one] => one
            .split_once('/')
            .context("say what: KIND/NAME, such as pod/web")?,
        [kind, name] => (kind.as_str(), name.as_str()),
        _ => bail!("say what: KIND/NAME, such as pod/web"),
    };
    let row = find(&kind.to_lowercase()).with_context(|| format!("there is no resource {kind:?}"))?;
    let namespace = if row.namespaced {
        args.namespace.as_str()
    } else {
        ""
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let decisions = runtime.block_on(decisions(args, row, namespace, name))?;
    if decisions.is_empty() {
        println!("nothing was decided lately about {} {name}", row.singular);
    }
    decisions.iter().for_each(tell);
    Ok(())
}

/// The row that a person means by `deployment`, `deploy`, `deployments.apps`.
fn find(wanted: &str) -> Option<&'static resources::Row> {
    let (plain, group) = wanted
        .split_once('.')
        .map_or((wanted, None), |(plain, group)| (plain, Some(group)));
    let named = |row: &resources::Row| {
        row.plural == plain || row.singular == plain || row.short_names.contains(&plain)
    };
    resources::table()
        .iter()
        .copied()
        .find(|row| named(row) && group.is_none_or(|g| g == row.group))
}

async fn decisions(
    args: &WhyArgs,
    row: &resources::Row,
    namespace: &str,
    name: &str,
) -> Result<Vec<Decision>> {
    let target = Target::choose(args.kubeconfig.as_deref())?;
    let endpoint = kubeconfig::read(&target.path, args.kubeconfig.is_none().then_some("ferrokube"))?;
    let client = Client::new(HttpsTransport::new(endpoint, Env::system())?, "ferrokube-why");
    let params = ListParams {
        field_selector: format!("resource={},namespace={namespace},name={name}", row.gvr()),
        ..ListParams::default()
    };
    let list = client
        .list(&DECISIONS, namespace, params)
        .await
        .map_err(|status| anyhow!("{status}"))?;
    let all: Vec<Decision> = list
        .items
        .iter()
        .map(|item| item.view())
        .collect::<Result<_, _>>()?;
    let mut told = BTreeSet::new();
    let mut latest: Vec<Decision> = all
        .into_iter()
        .rev()
        .filter(|d| told.insert(d.actor.clone()))
        .collect();
    latest.reverse();
    Ok(latest)
}

fn tell(decision: &Decision) {
    println!(
        "{} {}: {}",
        decision.at.strftime("%Y-%m-%d %H:%M:%S"),
        decision.actor,
        decision.verdict
    );
    for reason in &decision.reasons {
        let facts: Vec<String> = reason
            .params
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let cause = if reason.cause.is_empty() {
            String::new()
        } else {
            format!("{}: ", reason.cause)
        };
        println!("    {cause}{} {}", reason.code, facts.join(" "));
    }
    if !decision.unblock.is_empty() {
        println!("    it goes on with {}", decision.unblock);
    }
}
