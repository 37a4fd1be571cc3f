//! kube-controller-manager: one row a controller, all on the runtime of reconcile.
