//! From what this binary was made, as the build script saw it.

use apiserver::BuildInfo;

const COMMIT: &str = env!("FERROKUBE_COMMIT");
const TREE: &str = env!("FERROKUBE_TREE");
const SECONDS: &str = env!("FERROKUBE_BUILT");

/// What `--version` says after the name.
pub const TOLD: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (Kubernetes v1.37.0, commit ",
    env!("FERROKUBE_COMMIT"),
    ", ",
    env!("FERROKUBE_TREE"),
    ")"
);

/// What `/version` tells.
pub fn info() -> BuildInfo {
    let built = SECONDS.parse().unwrap_or_default();
    let built = jiff::Timestamp::from_second(built).unwrap_or_default();
    BuildInfo {
        commit: COMMIT.to_owned(),
        tree_state: TREE.to_owned(),
        date: built.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_commit_is_told() {
        let info = super::info();
        let hex = |text: &str| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(hex(&info.commit), "{info:?}");
        assert!(
            ["clean", "dirty", "archive"].contains(&info.tree_state.as_str()),
            "{info:?}"
        );
        assert!(
            info.date.ends_with('Z') && !info.date.starts_with("1970"),
            "{info:?}"
        );
        assert!(super::TOLD.contains(&info.commit));
    }
}
