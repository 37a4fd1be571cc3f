//! In-process clusters, a virtual clock and fixtures for tests. Never linked into the product.
