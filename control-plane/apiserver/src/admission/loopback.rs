//! The server's way to itself, for plugins that write: with all of authorization and admission, as `system:apiserver`.

use crate::{Server, security::User};
use api::Status;
use client::Client;
use std::sync::{Arc, OnceLock, Weak};

/// The way, once the server is there. Clones are the same.
#[derive(Clone, Default)]
pub struct Loopback(Arc<OnceLock<Weak<Server>>>);

impl Loopback {
    pub(crate) fn connect(&self, server: &Arc<Server>) {
        // Connected once, by the server that made it.
        let _ = self.0.set(Arc::downgrade(server));
    }

    /// A client of the server.
    pub fn client(&self) -> Result<Client, Status> {
        let server = self.0.get().and_then(Weak::upgrade);
        let server = server.ok_or_else(|| Status::unavailable("the server is starting or shutting down"))?;
        let user = User::new("system:apiserver", &["system:masters", "system:authenticated"]);
        Ok(Client::new(server.local(user), "kube-apiserver"))
    }
}
