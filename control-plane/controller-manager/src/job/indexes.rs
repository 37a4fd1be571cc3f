//! Sets of completion indexes, as text such as `1,3-5,7`.

use std::{collections::BTreeSet, fmt};

/// A set of indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(pub BTreeSet<i32>);

impl Indexes {
    /// Those of a text that are less than `completions`.
    pub fn parse(text: &str, completions: i32) -> Self {
        let mut indexes = BTreeSet::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) {
                indexes.extend(first..=last.min(completions - 1));
            }
        }
        Self(indexes)
    }

    pub fn has(&self, index: i32) -> bool {
        self.0.contains(&index)
    }

    /// How many.
    pub fn total(&self) -> i32 {
        i32::try_from(self.0.len()).unwrap_or(i32::MAX)
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut runs: Vec<(i32, i32)> = Vec::new();
        for &index in &self.0 {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == index => *last = index,
                _ => runs.push((index, index)),
            }
        }
        for (number, (first, last)) in runs.into_iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Indexes;

    #[test]
    fn indexes_are_told_in_runs() {
        for (text, total) in [("", 0), ("0", 1), ("0,1", 2), ("0-2", 3), ("1,3-5,7,8,10-12", 9)] {
            let indexes = Indexes::parse(text, 100);
            assert_eq!((indexes.to_string().as_str(), indexes.total()), (text, total));
        }
        assert_eq!(
            Indexes::parse("0-9", 4).to_string(),
            "0-3",
            "fewer completions than before"
        );
    }
}
