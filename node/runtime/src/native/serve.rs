//! The trait that the kubelet calls.

use super::{Native, link};
use crate::{
    edge::*,
    images::as_image,
    protocol::{Command, Reply},
};
use futures::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

impl Runtime for Native {
    fn version(&self) -> (String, String) {
        ("ferrokube".to_owned(), env!("CARGO_PKG_VERSION").to_owned())
    }

    fn status(&self) -> BoxFuture<'_, Result<()>> {
        async {
            let network = self.config.cni.status().await;
            network.map_err(|error| Error::Internal(format!("container runtime network not ready: {error}")))
        }
        .boxed()
    }

    fn run_sandbox(&self, config: SandboxConfig) -> BoxFuture<'_, Result<SandboxId>> {
        self.make_sandbox(config).boxed()
    }

    fn stop_sandbox(&self, id: SandboxId) -> BoxFuture<'_, Result<()>> {
        async move { self.end_sandbox(&id.0).await }.boxed()
    }

    fn remove_sandbox(&self, id: SandboxId) -> BoxFuture<'_, Result<()>> {
        async move { self.unmake(&id.0).await }.boxed()
    }

    fn sandboxes(&self) -> BoxFuture<'_, Result<Vec<SandboxStatus>>> {
        async { Ok(self.sandbox_statuses()) }.boxed()
    }

    fn create_container(
        &self,
        sandbox: SandboxId,
        config: ContainerConfig,
    ) -> BoxFuture<'_, Result<ContainerId>> {
        async move { self.make_container(&sandbox.0, config).await }.boxed()
    }

    fn start_container(&self, id: ContainerId) -> BoxFuture<'_, Result<()>> {
        async move { self.begin_container(&id.0).await }.boxed()
    }

    fn stop_container(&self, id: ContainerId, grace: Duration) -> BoxFuture<'_, Result<()>> {
        async move { self.end_container(&id.0, grace).await }.boxed()
    }

    fn update_container(&self, id: ContainerId, resources: Resources) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.limit_container(&id.0, resources) })
    }

    fn update_sandbox(&self, id: SandboxId, resources: Resources) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.limit_sandbox(&id.0, resources) })
    }

    fn remove_container(&self, id: ContainerId) -> BoxFuture<'_, Result<()>> {
        async move { self.unmake_container(&id.0).await }.boxed()
    }

    fn containers(&self, sandbox: Option<SandboxId>) -> BoxFuture<'_, Result<Vec<ContainerStatus>>> {
        async move { self.container_statuses(sandbox.as_ref().map(|id| id.0.as_str())) }.boxed()
    }

    fn reopen_log(&self, id: ContainerId) -> BoxFuture<'_, Result<()>> {
        async move {
            let (sandbox, _) = self.container(&id.0)?;
            match link::request(
                &self.socket(&sandbox),
                Command::ReopenLog {
                    container: id.0.clone(),
                },
            )
            .await?
            .0
            {
                Reply::Done => Ok(()),
                Reply::NotFound => Err(Error::NotFound(format!("container {:?} is not running", id.0))),
                other => Err(Error::Internal(format!(
                    "reopen log: supervisor answered {other:?}"
                ))),
            }
        }
        .boxed()
    }

    fn exec(&self, request: ExecRequest, streams: Streams) -> BoxFuture<'_, Result<i32>> {
        self.run_exec(request, streams).boxed()
    }

    fn attach(&self, id: ContainerId, streams: Streams) -> BoxFuture<'_, Result<()>> {
        async move { self.run_attach(&id.0, streams).await }.boxed()
    }

    fn port_forward(&self, id: SandboxId, port: u16) -> BoxFuture<'_, Result<Box<dyn Duplex>>> {
        async move { self.dial(&id.0, port).await }.boxed()
    }

    fn image(&self, reference: String) -> BoxFuture<'_, Result<Option<Image>>> {
        async move { Ok(self.images.find(&reference).as_ref().map(as_image)) }.boxed()
    }

    fn image_root(&self) -> std::path::PathBuf {
        self.images.layers_dir()
    }

    fn images(&self) -> BoxFuture<'_, Result<Vec<Image>>> {
        async { Ok(self.images.all()) }.boxed()
    }

    fn pull(&self, reference: String, auth: Option<Auth>) -> BoxFuture<'_, Result<Image>> {
        async move { self.images.pull(&reference, auth).await }.boxed()
    }

    fn remove_image(&self, reference: String) -> BoxFuture<'_, Result<()>> {
        async move {
            self.images.remove(&reference)?;
            self.sweep_layers();
            Ok(())
        }
        .boxed()
    }

    fn stats(&self) -> BoxFuture<'_, Result<Vec<ContainerStats>>> {
        async { Ok(self.container_stats()) }.boxed()
    }

    fn events(&self) -> BoxStream<'static, RuntimeEvent> {
        let events = stream::unfold(self.events.subscribe(), async |mut receiver| {
            loop {
                match receiver.recv().await {
                    Ok(event) => return Some((event, receiver)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        events.boxed()
    }
}
