//! The one controller runtime: caches, key queue, pure function, executor.
