//! The one table of feature gates.
