//! Cluster DNS: answers from a zone kept current by events, and forwards the rest.
