//! kube-scheduler: queue, snapshot, plugins, binding.
