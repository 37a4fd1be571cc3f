//! metrics-server: the resource use of nodes and pods, gathered from the kubelets and served as `metrics.k8s.io`. It
//! never stores history.
//!
//! This crate holds nothing yet: it keeps metrics-server's place in the architecture until the add-ons are built.
