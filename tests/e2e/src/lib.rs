//! The lab: see `lab`.
