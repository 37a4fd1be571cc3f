//! Decisions for others of this process: who asks a kubelet, and may they (what TokenReview and SubjectAccessReview
//! are over the wire).

use crate::{
    Server,
    security::{Attributes, User},
};
use api::Status;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;

impl Server {
    /// Whether the bearer of `token`, or of `certificate` (DER, its chain verified), may do `verb` on the subresource
    /// `subresource` of the node `node`.
    pub async fn authorize_node(
        &self,
        token: Option<&str>,
        certificate: Option<Vec<u8>>,
        verb: &str,
        subresource: &str,
        node: &str,
    ) -> Result<(), Status> {
        let mut request = http::Request::builder();
        if let Some(token) = token {
            request = request.header(http::header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let (parts, ()) = request
            .body(())
            .map_err(|e| Status::bad_request(e.to_string()))?
            .into_parts();
        let chain: Vec<CertificateDer<'static>> = certificate.into_iter().map(CertificateDer::from).collect();
        let user = self
            .handler
            .security
            .authn
            .authenticate(&parts, &chain)
            .get()
            .await
            .map_err(|_| Status::unauthorized())?;
        let asked = Attributes {
            user: Arc::new(user.unwrap_or_else(User::anonymous)),
            verb: verb.to_owned(),
            version: "v1".to_owned(),
            resource: "nodes".to_owned(),
            subresource: subresource.to_owned(),
            name: node.to_owned(),
            is_resource: true,
            ..Attributes::default()
        };
        self.authorize(&asked).await
    }
}
