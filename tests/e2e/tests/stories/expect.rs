//! Comparing what came with what was expected, with an error that shows both.

use std::fmt::Debug;

use anyhow::{Result, ensure};

/// Both are equal.
pub fn same<A: PartialEq<B> + Debug, B: Debug>(came: A, expected: B) -> Result<()> {
    ensure!(came == expected, "expected {expected:?}, but it is {came:?}");
    Ok(())
}

/// The text contains each part.
pub fn has(text: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(text.contains(part), "expected {part:?} in:\n{text}");
    }
    Ok(())
}

/// The text contains none of the parts.
pub fn has_not(text: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(!text.contains(part), "did not expect {part:?} in:\n{text}");
    }
    Ok(())
}
