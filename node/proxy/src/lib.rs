//! kube-proxy: turns Services and EndpointSlices into packet rules.
