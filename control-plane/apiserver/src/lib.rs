//! kube-apiserver: one handler for every resource over a watch cache.
