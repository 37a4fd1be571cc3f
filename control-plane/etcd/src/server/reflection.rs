//! gRPC's reflection service, in both of its versions: which services there are, and how their messages look.

use super::{GatewayError, http::Body};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use std::convert::Infallible;
use tonic_reflection::server::Builder;
use tower_service::Service;

type Answering = Box<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// The service, by its paths.
pub struct Reflection(Vec<(&'static str, Answering)>);

fn answering<S>(service: S) -> Answering
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    Box::new(move |request| {
        let mut service = service.clone();
        async move {
            match service.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
        .boxed()
    })
}

impl Reflection {
    /// Of all that the server speaks.
    pub fn new() -> Result<Self, GatewayError> {
        let known = || Builder::configure().register_encoded_file_descriptor_set(etcd_proto::DESCRIPTORS);
        let bad = |error: tonic_reflection::server::Error| GatewayError(error.to_string());
        Ok(Self(vec![
            (
                "/grpc.reflection.v1.ServerReflection/",
                answering(known().build_v1().map_err(bad)?),
            ),
            (
                "/grpc.reflection.v1alpha.ServerReflection/",
                answering(known().build_v1alpha().map_err(bad)?),
            ),
        ]))
    }

    /// Answers a request that is for it; else gives it back.
    pub async fn answer<B>(&self, request: Request<B>) -> Result<Response<Body>, Request<B>>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<tonic::codegen::StdError> + Send,
    {
        let path = request.uri().path();
        match self.0.iter().find(|(prefix, _)| path.starts_with(prefix)) {
            Some((_, answer)) => Ok(answer(request.map(Body::new)).await),
            None => Err(request),
        }
    }
}
