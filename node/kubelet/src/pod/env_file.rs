//! Files of variables that an init container wrote: `NAME='value'` a line; values stand in single quotes, may have
//! several lines, and are taken as they are (upstream: `pkg/kubelet/util/env`).

use super::Objects;
use crate::view::FileKeyRef;

/// The value of a key; `None` when it may be missing and is.
pub(super) fn value(wanted: &FileKeyRef, objects: &Objects) -> Result<Option<String>, String> {
    let (path, key) = (&wanted.path, &wanted.key);
    let file = objects.files.get(&(wanted.volume_name.clone(), path.clone()));
    let Some(text) = file else {
        return if wanted.optional {
            Ok(None)
        } else {
            Err(format!("file {path:?} not found"))
        };
    };
    match find(text, key).map_err(|why| format!("couldn't parse env file {path:?}: {why}"))? {
        Some(value) => Ok(Some(value)),
        None if wanted.optional => Ok(None),
        None => Err(format!(
            "environment variable key {key:?} not found in file {path:?}"
        )),
    }
}

fn find(text: &str, key: &str) -> Result<Option<String>, String> {
    let (mut rest, mut found) = (text, None);
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(found);
        }
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        if line.starts_with('#') {
            rest = after;
            continue;
        }
        let invalid = || format!("invalid line {line:?}");
        let (name, value) = rest.split_once('=').ok_or_else(invalid)?;
        let name = name.trim_end();
        if name.is_empty() || name.contains('\n') {
            return Err(invalid());
        }
        let value = value
            .trim_start_matches([' ', '\t'])
            .strip_prefix('\'')
            .ok_or_else(invalid)?;
        let (value, after) = value.split_once('\'').ok_or_else(invalid)?;
        let (tail, after) = after.split_once('\n').unwrap_or((after, ""));
        let tail = tail.trim();
        if !tail.is_empty() && !tail.starts_with('#') {
            return Err(invalid());
        }
        if name == key {
            found = Some(value.to_owned());
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_file() {
        let text = "# settings\n\n  A='one'\nB = 'two # three' # four\nC='x\ny'\nA='last'\n";
        let of = |key: &str| find(text, key).unwrap();
        assert_eq!(of("A").as_deref(), Some("last"));
        assert_eq!(of("B").as_deref(), Some("two # three"));
        assert_eq!(of("C").as_deref(), Some("x\ny"));
        assert_eq!(of("D"), None);
        for bad in ["A=one", "A=\"one\"", "A='one''two'", "A", "='x'", "A='x"] {
            assert!(find(bad, "A").is_err(), "{bad}");
        }
    }
}
