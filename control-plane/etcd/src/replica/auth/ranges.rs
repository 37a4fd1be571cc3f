//! The keys that somebody may read or write: ranges that do not touch each other.

use bytes::Bytes;

/// From the first key to the second, which is not in it; `None`: to the end of all keys.
type Range = (Bytes, Option<Bytes>);

/// Keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range>);

/// The keys of a request: one, those before `end`, or with an `end` of a zero byte all from `key` on.
fn range(key: &Bytes, end: &Bytes) -> Range {
    match end.as_ref() {
        [] => {
            let mut next = key.to_vec();
            next.push(0);
            (key.clone(), Some(next.into()))
        }
        [0] => (key.clone(), None),
        _ => (key.clone(), Some(end.clone())),
    }
}

/// Whether one end is not before another.
fn reaches(end: Option<&Bytes>, other: Option<&Bytes>) -> bool {
    match (end, other) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(end), Some(other)) => end >= other,
    }
}

impl<'a> FromIterator<(&'a Bytes, &'a Bytes)> for Ranges {
    fn from_iter<T: IntoIterator<Item = (&'a Bytes, &'a Bytes)>>(ranges: T) -> Self {
        let mut all: Vec<Range> = ranges.into_iter().map(|(key, end)| range(key, end)).collect();
        all.sort();
        let mut merged: Vec<Range> = Vec::new();
        for (start, end) in all {
            match merged.last_mut() {
                Some((_, last)) if reaches(last.as_ref(), Some(&start)) => {
                    if reaches(end.as_ref(), last.as_ref()) {
                        *last = end;
                    }
                }
                _ => merged.push((start, end)),
            }
        }
        Self(merged)
    }
}

impl Ranges {
    /// Whether all the keys of a request are in it.
    pub fn contain(&self, key: &Bytes, end: &Bytes) -> bool {
        let (start, end) = range(key, end);
        let before = self.0.partition_point(|(first, _)| *first <= start);
        let Some((_, last)) = before.checked_sub(1).and_then(|at| self.0.get(at)) else {
            return false;
        };
        let within = last.as_ref().is_none_or(|last| *last > start);
        within && reaches(last.as_ref(), end.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn ranges_that_meet_are_one() {
        let given = [
            ("a", ""),
            ("b", "d"),
            ("d", "f"),
            ("m", "\0"),
            ("c", "e"),
            ("p", "q"),
        ];
        let given: Vec<(Bytes, Bytes)> = given.iter().map(|(a, b)| (bytes(a), bytes(b))).collect();
        let ranges: Ranges = given.iter().map(|(a, b)| (a, b)).collect();
        let may = |key, end| ranges.contain(&bytes(key), &bytes(end));
        assert_eq!(ranges.0.len(), 3);
        for (key, end) in [
            ("a", ""),
            ("b", ""),
            ("b", "f"),
            ("e", ""),
            ("m", ""),
            ("z", "\0"),
            ("n", "zz"),
        ] {
            assert!(may(key, end), "{key} {end:?}");
        }
        for (key, end) in [
            ("aa", ""),
            ("a", "b"),
            ("a", "\0"),
            ("f", ""),
            ("e", "g"),
            ("l", "n"),
            ("", "\0"),
        ] {
            assert!(!may(key, end), "{key} {end:?}");
        }
        assert!(!Ranges::default().contain(&bytes("a"), &bytes("")));
    }
}
