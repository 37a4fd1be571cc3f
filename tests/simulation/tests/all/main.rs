//! The whole cluster under a paused clock: store, API server, scheduler, controllers and kubelets, from a seed.

mod determinism;
