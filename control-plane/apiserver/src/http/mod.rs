//! The HTTP edge.

use resources::Row;

/// Documents about the API that are made once.
pub struct Documents {}

impl Documents {
    /// Of `rows`.
    pub fn new(_rows: &[&'static Row]) -> Self {
        Self {}
    }
}
