//! CertificateApproval, CertificateSigning and CertificateSubjectRestriction: who may say yes to a certificate signing
//! request, who may sign it, and what nobody may ask for (upstream `plugin/pkg/admission/certificates`).

use super::{Attributes, Authorizer, authentication::Subject};
use crate::admission::{self, Remote};
use api::{Gvr, Object, Status};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use futures::{FutureExt, future::BoxFuture};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use x509_parser::{certification_request::X509CertificationRequest, pem::Pem, prelude::FromDer};

const GROUP: &str = "certificates.k8s.io";
const REQUESTS: Gvr = Gvr::new(GROUP, "v1", "certificatesigningrequests");
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

/// What is guarded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Approval,
    Signing,
    Subject,
}

/// A guard of certificate signing requests: one of the three plugins.
pub struct Certificates {
    part: Part,
    authorizer: Arc<dyn Authorizer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: Spec,
    status: Written,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    request: String,
    signer_name: String,
}

/// What a signer writes.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    certificate: Option<Box<RawValue>>,
    conditions: Option<Box<RawValue>>,
}

impl Written {
    fn text(&self) -> [&str; 2] {
        [&self.certificate, &self.conditions].map(|part| {
            let text = part.as_deref().map_or("", RawValue::get);
            if matches!(text, "null" | "[]" | "\"\"") {
                ""
            } else {
                text
            }
        })
    }
}

fn view(object: Option<&Object>) -> View {
    object.and_then(|object| object.view().ok()).unwrap_or_default()
}

/// The subject that a request in base64 asks for: its common name and organizations.
pub(super) fn subject(request: &str) -> Result<(String, Vec<String>), String> {
    let text = BASE64.decode(request).map_err(|e| e.to_string())?;
    let block = Pem::iter_from_buffer(&text).next().and_then(Result::ok);
    let block = block
        .filter(|b| b.label == "CERTIFICATE REQUEST")
        .ok_or("PEM block type must be CERTIFICATE REQUEST")?;
    let (_, request) = X509CertificationRequest::from_der(&block.contents).map_err(|e| e.to_string())?;
    let subject = Subject::read(&request.certification_request_info.subject)?;
    Ok((subject.name, subject.groups))
}

impl Certificates {
    /// CertificateApproval: `authorizer` is asked for `approve`.
    pub fn approval(authorizer: Arc<dyn Authorizer>) -> Self {
        let part = Part::Approval;
        Self { part, authorizer }
    }

    /// CertificateSigning: `authorizer` is asked for `sign`.
    pub fn signing(authorizer: Arc<dyn Authorizer>) -> Self {
        let part = Part::Signing;
        Self { part, authorizer }
    }

    /// CertificateSubjectRestriction.
    pub fn subject_restriction(authorizer: Arc<dyn Authorizer>) -> Self {
        let part = Part::Subject;
        Self { part, authorizer }
    }

    /// Whether the user has the power over a signer, or over all of its domain.
    async fn has(&self, attributes: &Attributes, verb: &str, signer: &str) -> bool {
        let asked = |name: String| Attributes {
            user: attributes.user.clone(),
            verb: verb.to_owned(),
            group: GROUP.to_owned(),
            version: "*".to_owned(),
            resource: "signers".to_owned(),
            name,
            is_resource: true,
            ..Attributes::default()
        };
        let domain = signer.split('/').next().unwrap_or("");
        for name in [signer.to_owned(), format!("{domain}/*")] {
            if self.authorizer.authorize(&asked(name)).get().await.allowed() {
                return true;
            }
        }
        false
    }
}

impl Remote for Certificates {
    fn validates(&self, request: &admission::Attributes<'_>) -> bool {
        request.request().group == GROUP
    }

    fn validate<'a>(&'a self, request: &'a admission::Attributes<'_>) -> BoxFuture<'a, Result<(), Status>> {
        self.check(request).boxed()
    }
}

impl Certificates {
    async fn check(&self, request: &admission::Attributes<'_>) -> Result<(), Status> {
        let (attributes, old, new) = (
            request.request(),
            request.old.as_deref(),
            request.object.as_deref(),
        );
        if (attributes.group.as_str(), attributes.resource.as_str()) != (GROUP, &*REQUESTS.resource) {
            return Ok(());
        }
        let Some(object) = new else { return Ok(()) };
        let refuse = |why: String| Err(Status::forbidden(&REQUESTS, object.name(), &why));
        let (was, is) = (view(old), view(new));
        let signer = &was.spec.signer_name;
        let may = async |verb| {
            if self.has(attributes, verb, signer).await {
                return Ok(());
            }
            refuse(format!(
                "user not permitted to {verb} requests with signerName {signer:?}"
            ))
        };
        match attributes.subresource.as_str() {
            "approval" if self.part == Part::Approval => may("approve").await,
            "status" if self.part == Part::Signing && was.status.text() != is.status.text() => {
                may("sign").await
            }
            "" if self.part == Part::Subject && old.is_none() && is.spec.signer_name == CLIENT => {
                match subject(&is.spec.request) {
                    Err(why) => refuse(format!("failed to parse CSR: {why}")),
                    Ok((_, groups)) if groups.iter().any(|g| g == "system:masters") => refuse(format!(
                        "use of {CLIENT} signer with system:masters group is not allowed"
                    )),
                    Ok(_) => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
