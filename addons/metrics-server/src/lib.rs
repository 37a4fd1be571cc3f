//! metrics-server: resource use of nodes and pods.
