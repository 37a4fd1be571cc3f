//! The threads that a process works with.

use anyhow::{Context as _, Result};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// As much as a first thread has: documents are read by recursion, as deep as they may be nested. Only what is used is taken.
const STACK: usize = 8 << 20;

/// A runtime with workers of this name.
pub fn runtime(name: &'static str) -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder
        .enable_all()
        .worker_threads(2)
        .max_blocking_threads(64)
        .thread_name(name)
        .thread_stack_size(STACK)
        .thread_keep_alive(Duration::from_secs(5));
    builder.build().context("cannot start threads")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deep_body_does_not_overflow_a_stack() {
        let runtime = runtime("test").unwrap();
        let read = async {
            for (open, close, times) in [("{a: ", "}", 119), ("[", "]", 119), ("[{a: ", "}]", 59)] {
                let text = [&open.repeat(times), "1", &close.repeat(times)].concat();
                assert!(schema::yaml_to_json(text.as_bytes()).is_ok(), "{open}");
                let text = [&open.repeat(10_000), "1", &close.repeat(10_000)].concat();
                assert!(schema::yaml_to_json(text.as_bytes()).is_err(), "{open}");
            }
        };
        runtime.block_on(async { runtime.spawn(read).await.unwrap() });
    }
}
