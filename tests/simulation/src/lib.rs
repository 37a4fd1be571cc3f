//! The whole cluster under a paused clock, from a seed. All of it is in the tests.
