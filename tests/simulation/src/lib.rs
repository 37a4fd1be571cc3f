//! The whole cluster under a paused clock, from a seed. All of it is in the tests; it never runs a container, sends a packet
//! or waits for real time.
