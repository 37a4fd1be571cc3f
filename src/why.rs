//! `ferrokube why`: the decisions about an object, as the parts of the system recorded them.

use crate::cli::WhyArgs;
use anyhow::{Context, Result, bail};

/// Prints them.
pub fn run(args: &WhyArgs) -> Result<()> {
    let (kind, name) = match args.object.as_slice() {
        [one] => one.split_once('/').context("say what: KIND/NAME, such as pod/web")?,
        [kind, name] => (kind.as_str(), name.as_str()),
        _ => bail!("say what: KIND/NAME, such as pod/web"),
    };
    let wanted = kind.to_lowercase();
    let (plain, group) = wanted.split_once('.').map_or((wanted.as_str(), None), |(plain, group)| (plain, Some(group)));
    let row = resources::table().iter().find(|row| {
        let named = row.plural == plain || row.singular == plain || row.short_names.contains(&plain);
        named && group.is_none_or(|g| g == row.group)
    });
    let row = row.with_context(|| format!("there is no resource {kind:?}"))?;
    let namespace = if row.namespaced { args.namespace.as_str() } else { "" };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let decisions = runtime.block_on(crate::insight::decisions(args.kubeconfig.as_deref(), row, namespace, name))?;
    if decisions.is_empty() {
        println!("nothing was decided lately about {} {name}", row.singular);
    }
    decisions.iter().for_each(|decision| println!("{decision}"));
    Ok(())
}
