//! Files that are read again when they change.

use super::Authorities;
use component::Env;
use std::{io, path::PathBuf, time::Duration};

/// How often a file is looked at, as upstream.
const LOOK: Duration = Duration::from_secs(60);

/// Reads a file.
pub type ReadFile = Box<dyn Fn() -> io::Result<String> + Send + Sync>;

/// The files of authorities.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Of clients.
    pub client_ca: Option<PathBuf>,
    /// Of front proxies.
    pub request_header_ca: Option<PathBuf>,
}

/// Looks once a minute whether `read` has something else to say than `seen`, and gives that to `take`. What cannot be read
/// or taken is told in the log, and everything stays as it was.
pub fn follow(
    what: &'static str,
    seen: String,
    read: ReadFile,
    take: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
    env: &Env,
) {
    let clock = env.clock.clone();
    env.tasks.spawn("changed-file", async move {
        let mut seen = seen;
        loop {
            clock.sleep(LOOK).await;
            match read() {
                Ok(text) if text == seen => {}
                Ok(text) => {
                    match take(&text) {
                        Ok(()) => tracing::info!(what, "a file has changed and was read again"),
                        Err(error) => tracing::error!(what, error, "a file has changed and cannot be used"),
                    }
                    seen = text;
                }
                Err(error) => tracing::error!(what, %error, "a file cannot be read"),
            }
        }
    });
}

/// Keeps authorities as their file says.
pub fn follow_authorities(what: &'static str, file: Option<PathBuf>, authorities: &Authorities, env: &Env) {
    let Some(file) = file else { return };
    let kept = authorities.clone();
    follow(
        what,
        authorities.pem().to_string(),
        Box::new(move || std::fs::read_to_string(&file)),
        move |pem| kept.exchange(pem),
        env,
    );
}
