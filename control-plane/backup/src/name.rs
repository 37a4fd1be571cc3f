//! The names of snapshots that are taken by schedule: when, and of which revision.

use etcd::Revision;
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use std::fmt;

const PREFIX: &str = "snapshot-";
const SUFFIX: &str = ".db";
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// Such a name. The older comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// When it was taken.
    pub taken: Timestamp,
    /// The newest revision in it.
    pub revision: Revision,
}

impl Name {
    /// Reads a name; others are not ours to remove.
    pub fn parse(text: &str) -> Option<Self> {
        let inner = text.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        let (time, revision) = inner.split_once('-')?;
        let taken = DateTime::strptime(TIME, time).ok()?;
        let name = Self {
            taken: taken.to_zoned(TimeZone::UTC).ok()?.timestamp(),
            revision: revision.parse().ok()?,
        };
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{PREFIX}{}-{}{SUFFIX}",
            self.taken.strftime(TIME),
            self.revision
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_when_and_of_which_revision() {
        let name = Name {
            taken: "2030-05-15T10:20:30Z".parse().unwrap(),
            revision: 1234,
        };
        assert_eq!(name.to_string(), "snapshot-20300515T102030Z-1234.db");
        assert_eq!(Name::parse(&name.to_string()), Some(name));
        for other in [
            "snapshot.db",
            "snapshot-20300515T102030Z-1234.db.part",
            "snapshot-20300515T102030Z-01234.db",
            "snapshot-20300515T102030Z-.db",
            "snapshot-20301515T102030Z-1.db",
            "mine-20300515T102030Z-1234.db",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
