//! What this binary is when it is started as a CNI plugin.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    path::Path,
};

/// Runs a CNI plugin when this process was started as one: by its name (`bridge`), or as `ferrokube cni bridge`.
pub fn hook() -> Option<i32> {
    let mut args = std::env::args();
    let name = args.next()?;
    let name = Path::new(&name).file_name()?.to_str()?.to_owned();
    let plugin = if cni::PLUGINS.contains(&name.as_str()) {
        name
    } else if args.next()? == "cni" {
        args.next()
            .filter(|plugin| cni::PLUGINS.contains(&plugin.as_str()))?
    } else {
        return None;
    };
    let env: BTreeMap<String, String> = std::env::vars().collect();
    let mut stdin = Vec::new();
    if std::io::stdin().read_to_end(&mut stdin).is_err() {
        return Some(1);
    }
    let (code, out) = cni::main_plugin(&plugin, &env, &stdin);
    let _ = std::io::stdout().write_all(&out);
    Some(code)
}
