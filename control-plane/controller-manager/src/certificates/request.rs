//! What a certificate signing request asks for, and whether its signer gives it
//! (upstream `pkg/apis/certificates/helpers.go`).

use std::collections::BTreeSet;
use x509_parser::{
    certification_request::X509CertificationRequest,
    extensions::{GeneralName, ParsedExtension},
    pem::Pem,
    prelude::FromDer,
};

/// The text of a request, decoded from PEM.
pub(super) struct Text(Vec<u8>);

impl Text {
    /// `Err`: upstream's words.
    pub fn new(pem: &[u8]) -> Result<Self, String> {
        let wrong = || "PEM block type must be CERTIFICATE REQUEST".to_owned();
        let block = Pem::iter_from_buffer(pem).next().and_then(Result::ok);
        let block = block
            .filter(|b| b.label == "CERTIFICATE REQUEST")
            .ok_or_else(wrong)?;
        Ok(Self(block.contents))
    }

    /// The request itself. Its own signature shows that who asks has the key.
    pub fn request(&self) -> Result<Request<'_>, String> {
        let (_, request) = X509CertificationRequest::from_der(&self.0).map_err(|e| e.to_string())?;
        request.verify_signature().map_err(|e| e.to_string())?;
        // Others may read strings that are not read here: what cannot be judged is not signed.
        let subject = &request.certification_request_info.subject;
        for part in subject.iter_organization().chain(subject.iter_common_name()) {
            part.as_str().map_err(|e| format!("subject: {e}"))?;
        }
        Ok(Request(request))
    }
}

/// A request.
pub struct Request<'a>(X509CertificationRequest<'a>);

impl Request<'_> {
    /// The subject, as it stands there.
    pub(super) fn subject(&self) -> &[u8] {
        self.0.certification_request_info.subject.as_raw()
    }

    /// The public key, as it stands there.
    pub(super) fn key(&self) -> &[u8] {
        self.0.certification_request_info.subject_pki.raw
    }

    /// The names and addresses, as they stand there.
    pub(super) fn names_der(&self) -> Option<&[u8]> {
        let info = &self.0.certification_request_info;
        info.iter_attributes().find_map(|attribute| {
            let x509_parser::cri_attributes::ParsedCriAttribute::ExtensionRequest(asked) =
                attribute.parsed_attribute()
            else {
                return None;
            };
            let names = |e: &&x509_parser::extensions::X509Extension<'_>| {
                matches!(e.parsed_extension(), ParsedExtension::SubjectAlternativeName(_))
            };
            asked.extensions.iter().find(names).map(|e| e.value)
        })
    }

    /// How many names it has: of hosts and addresses, of mail, URIs.
    fn counts(&self) -> [usize; 4] {
        let mut counts = [0; 4];
        for extension in self.0.requested_extensions().into_iter().flatten() {
            let ParsedExtension::SubjectAlternativeName(names) = extension else {
                continue;
            };
            for name in &names.general_names {
                match name {
                    GeneralName::DNSName(_) => counts[0] += 1,
                    GeneralName::IPAddress(_) => counts[1] += 1,
                    GeneralName::RFC822Name(_) => counts[2] += 1,
                    GeneralName::URI(_) => counts[3] += 1,
                    _ => {}
                }
            }
        }
        counts
    }

    fn organizations(&self) -> Vec<&str> {
        let subject = &self.0.certification_request_info.subject;
        subject
            .iter_organization()
            .filter_map(|o| o.as_str().ok())
            .collect()
    }

    /// The common name; of several the last, which is what the API server takes.
    pub(super) fn common_name(&self) -> &str {
        let subject = &self.0.certification_request_info.subject;
        let names = subject.iter_common_name().filter_map(|n| n.as_str().ok());
        names.last().unwrap_or("")
    }
}

const KUBERNETES: &str = "kubernetes.io/";

/// The signers of this controller manager.
pub(super) const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
pub(super) const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
pub(super) const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
pub(super) const LEGACY: &str = "kubernetes.io/legacy-unknown";

/// Whether `signer` signs the request; `None`: it is none of ours. `Err`: why not.
pub(super) fn check(signer: &str, request: &Request<'_>, usages: &[String]) -> Option<Result<(), String>> {
    if !signer.starts_with(KUBERNETES) {
        return None;
    }
    match signer {
        LEGACY => Some(Ok(())),
        CLIENT => Some(check_client(usages)),
        KUBELET_CLIENT => Some(check_kubelet_client(request, usages)),
        KUBELET_SERVING => Some(check_kubelet_serving(request, usages)),
        _ => None,
    }
}

fn check_client(usages: &[String]) -> Result<(), String> {
    for usage in usages {
        if !["digital signature", "key encipherment", "client auth"].contains(&usage.as_str()) {
            return Err(format!("invalid usage for client certificate: {usage}"));
        }
    }
    if usages.iter().any(|u| u == "client auth") {
        Ok(())
    } else {
        Err("missing required usage for client certificate: client auth".to_owned())
    }
}

/// The usages must be those; that of an RSA key for encipherment may be left out, for other keys have no use for it.
fn check_usages(usages: &[String], purpose: &str) -> Result<(), String> {
    let asked: BTreeSet<&str> = usages.iter().map(String::as_str).collect();
    let short: BTreeSet<&str> = ["digital signature", purpose].into();
    let long: BTreeSet<&str> = ["digital signature", "key encipherment", purpose].into();
    if asked == short || asked == long {
        return Ok(());
    }
    let list = |set: &BTreeSet<&str>| set.iter().copied().collect::<Vec<_>>().join(" ");
    Err(format!(
        "usages did not match [{}] or [{}]",
        list(&long),
        list(&short)
    ))
}

/// A certificate by which a kubelet speaks to the API server.
pub(super) fn check_kubelet_client(request: &Request<'_>, usages: &[String]) -> Result<(), String> {
    check_organization(request)?;
    let whats = ["DNS", "IP", "Email", "URI"];
    for (what, count) in whats.iter().zip(request.counts()) {
        if count > 0 {
            return Err(format!("{what} subjectAltNames are not allowed"));
        }
    }
    check_common_name(request)?;
    check_usages(usages, "client auth")
}

fn check_kubelet_serving(request: &Request<'_>, usages: &[String]) -> Result<(), String> {
    check_organization(request)?;
    let [dns, ip, mail, uri] = request.counts();
    if dns + ip == 0 {
        return Err("DNS or IP subjectAltName is required".to_owned());
    }
    for (what, count) in [("Email", mail), ("URI", uri)] {
        if count > 0 {
            return Err(format!("{what} subjectAltNames are not allowed"));
        }
    }
    check_usages(usages, "server auth")?;
    check_common_name(request)
}

fn check_organization(request: &Request<'_>) -> Result<(), String> {
    if request.organizations() == ["system:nodes"] {
        Ok(())
    } else {
        Err("subject organization is not system:nodes".to_owned())
    }
}

fn check_common_name(request: &Request<'_>) -> Result<(), String> {
    if request.common_name().starts_with("system:node:") {
        Ok(())
    } else {
        Err("subject common name does not begin with system:node:".to_owned())
    }
}
