//! Clients of this process reach other servers as those over HTTP do.

use super::{
    proxy,
    service::{ApiService, name_of},
};
use crate::{
    Server,
    security::{Attributes, User},
};
use api::Status;
use client::{Ask, Body, Discovered, Exchange, Target};
use component::Clock;
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use serde::Deserialize;
use std::{io, sync::Arc};

/// The way of a user to a group and version that another server answers.
pub struct Across {
    server: Arc<Server>,
    user: Arc<User>,
    service: Arc<ApiService>,
}

impl Across {
    /// If another server answers for `group` and `version`.
    pub fn find(server: &Arc<Server>, user: &Arc<User>, group: &str, version: &str) -> Option<Self> {
        Some(Self {
            service: server.aggregator.service(group, version)?,
            server: server.clone(),
            user: user.clone(),
        })
    }

    /// What is asked for with `verb`.
    pub fn attributes(&self, verb: &str, target: &Target) -> Attributes {
        let gvr = &target.gvr;
        Attributes {
            user: self.user.clone(),
            verb: verb.to_owned(),
            group: gvr.group.to_string(),
            version: gvr.version.to_string(),
            resource: gvr.resource.to_string(),
            subresource: target.subresource.to_owned(),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            is_resource: true,
            ..Attributes::default()
        }
    }

    /// The resources that it has, as it said when it was asked last.
    pub fn resources(&self) -> Result<Vec<Discovered>, Status> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Resource {
            resource: String,
            response_kind: Kind,
            scope: String,
            #[serde(default)]
            verbs: Vec<String>,
        }
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
        }
        let (group, version) = (&self.service.group, &self.service.version);
        let known = self.server.aggregator.known();
        let found = known
            .found
            .get(&name_of(group, version))
            .filter(|_| self.service.available)
            .ok_or_else(|| Status::unavailable("service unavailable"))?;
        let all: Vec<Resource> = serde_json::from_str(found.resources.get()).map_err(Status::internal)?;
        let discovered = all.into_iter().map(|resource| Discovered {
            name: resource.resource,
            kind: resource.response_kind.kind,
            namespaced: resource.scope == "Namespaced",
            verbs: resource.verbs,
        });
        Ok(discovered.collect())
    }

    async fn ask(&self, ask: &Ask) -> Result<Response<Body>, Status> {
        let remote = self.service.remote.as_ref().filter(|_| self.service.available);
        let remote = remote.ok_or_else(|| Status::unavailable("service unavailable"))?;
        let mut request: Request<_> = ask.request("").map_err(Status::internal)?;
        proxy::can_be_said(&self.user).map_err(Status::unavailable)?;
        let headers = request.headers_mut();
        proxy::identify(headers, &self.user);
        let host = HeaderValue::from_str(&remote.authority()).map_err(Status::internal)?;
        headers.insert(header::HOST, host);
        let request = request.map(|body| body.map_err(|never| match never {}).boxed_unsync());
        let mut sender = self
            .server
            .connect(remote, true)
            .await
            .map_err(Status::unavailable)?;
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| Status::unavailable(error.to_string()))?;
        // The sender is kept until the body ends: dropping it would end the connection.
        Ok(answer.map(|body| {
            let pieces = body.map_err(move |error| {
                let _keep = &sender;
                io::Error::other(error)
            });
            pieces.boxed_unsync()
        }))
    }
}

impl Exchange for Across {
    fn exchange<'a>(&'a self, ask: &'a Ask) -> BoxFuture<'a, Result<Response<Body>, Status>> {
        self.ask(ask).boxed()
    }

    fn clock(&self) -> &Clock {
        &self.server.handler.env.clock
    }
}
