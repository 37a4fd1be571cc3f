//! Stories of the aggregation layer.
