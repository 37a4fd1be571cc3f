//! Rules for certificate requests.

use crate::{names, rules};
use api::{field, field::Error};
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec,
    CertificateSigningRequestStatus,
};
use std::collections::BTreeSet;
use x509_parser::prelude::{FromDer, Pem, X509Certificate, X509CertificationRequest, X509Error};

const CONDITIONS: &str = "status.conditions";

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// Who writes a change, and so what may change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// PUT of the object.
    Anyone,
    /// PUT of `/approval`.
    Approver,
    /// PUT of `/status`.
    Signer,
}

/// Rules for what is asked.
pub(super) fn spec(spec: &CertificateSigningRequestSpec, errors: &mut Vec<Error>) {
    if let Err(why) = request(&spec.request.0) {
        errors.push(Error::invalid("spec.request", &spec.request, why));
    }
    let usages = spec.usages.as_deref().unwrap_or_default();
    if usages.is_empty() {
        errors.push(Error::required("spec.usages", "usages must be provided"));
    }
    let mut seen = BTreeSet::new();
    for (i, usage) in usages.iter().enumerate() {
        let path = field::index("spec.usages", i);
        if !USAGES.contains(&usage.as_str()) {
            errors.push(Error::not_supported(&path, usage, &USAGES));
        }
        if !seen.insert(usage) {
            errors.push(Error::duplicate(path, usage));
        }
    }
    if spec.signer_name == "kubernetes.io/legacy-unknown" {
        let why = "the legacy signerName is not allowed via this API version";
        errors.push(Error::invalid("spec.signerName", &spec.signer_name, why));
    } else {
        signer_name("spec.signerName", &spec.signer_name, errors);
    }
    if let Some(seconds) = spec.expiration_seconds
        && seconds < 600
    {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(Error::invalid("spec.expirationSeconds", seconds, why));
    }
}

fn request(pem: &[u8]) -> Result<(), String> {
    let wrong = "PEM block type must be CERTIFICATE REQUEST";
    let block = Pem::iter_from_buffer(pem).find_map(Result::ok).ok_or(wrong)?;
    if block.label != "CERTIFICATE REQUEST" {
        return Err(wrong.to_owned());
    }
    match X509CertificationRequest::from_der(&block.contents) {
        // Who asks has the key.
        Ok((_, request)) => request.verify_signature().map_err(|error| match error {
            X509Error::SignatureUnsupportedAlgorithm => {
                "x509: cannot verify signature: algorithm unimplemented".to_owned()
            }
            _ => "x509: signature verification failure".to_owned(),
        }),
        Err(error) => Err(format!("asn1: structure error: {error}")),
    }
}

/// Rules for a text of certificates.
pub(super) fn certificates(pem: &[u8]) -> Result<(), String> {
    let mut any = false;
    for block in Pem::iter_from_buffer(pem).filter_map(Result::ok) {
        if block.label != "CERTIFICATE" {
            return Err(format!(
                "only CERTIFICATE PEM blocks are allowed, found {:?}",
                block.label
            ));
        }
        X509Certificate::from_der(&block.contents).map_err(|error| error.to_string())?;
        any = true;
    }
    if any {
        Ok(())
    } else {
        Err("must contain at least one CERTIFICATE PEM block".to_owned())
    }
}

/// Rules for the name of a signer.
pub(super) fn signer_name(path: &str, name: &str, errors: &mut Vec<Error>) {
    if name.is_empty() {
        errors.push(Error::required(path, "signerName must be provided"));
        return;
    }
    let Some((domain, rest)) = name.split_once('/').filter(|(_, rest)| !rest.contains('/')) else {
        let why = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(Error::invalid(path, name, why));
        return;
    };
    if domain.len() > 253 {
        errors.push(Error::too_long(path, 253));
    }
    let parts = [
        (domain, names::dns_label as names::NameRule),
        (rest, names::dns_subdomain),
    ];
    for (text, rule) in parts {
        let wrong = text
            .split('.')
            .map(|label| (label, rule(label)))
            .find(|(_, words)| !words.is_empty());
        for (label, words) in wrong
            .iter()
            .flat_map(|(label, words)| words.iter().map(move |w| (label, w)))
        {
            let why = format!("validating label {label:?}: {words}");
            errors.push(Error::invalid(path, text, why));
        }
    }
    if !domain.contains('.') {
        let why = "should be a domain with at least two segments separated by dots";
        errors.push(Error::invalid(path, domain, why));
    }
    if name.len() > 571 {
        errors.push(Error::too_long(path, 571));
    }
}

/// Rules for what became of it.
pub(super) fn status(status: Option<&CertificateSigningRequestStatus>, errors: &mut Vec<Error>) {
    let Some(status) = status else { return };
    let (mut seen, mut judged) = (BTreeSet::new(), None);
    for (i, condition) in status.conditions.iter().flatten().enumerate() {
        let path = field::index(CONDITIONS, i);
        let (kind, place) = (condition.type_.as_str(), field::child(&path, "type"));
        rules::required(&place, kind, errors);
        let allowed: &[&str] = match kind {
            "Approved" | "Denied" | "Failed" => &["True"],
            _ => &["False", "True", "Unknown"],
        };
        rules::one_of(
            Some(&condition.status),
            allowed,
            &field::child(&path, "status"),
            errors,
        );
        if ["Approved", "Denied"].contains(&kind) {
            if judged.is_some_and(|judged| judged != kind) {
                let why = "Approved and Denied conditions are mutually exclusive";
                errors.push(Error::invalid(&place, kind, why));
            }
            judged = Some(kind);
        }
        if !seen.insert(kind) {
            errors.push(Error::duplicate(place, kind));
        }
    }
    let certificate = status
        .certificate
        .as_ref()
        .filter(|certificate| !certificate.0.is_empty());
    if let Some(Err(why)) = certificate.map(|certificate| certificates(&certificate.0)) {
        errors.push(Error::invalid("status.certificate", "<certificate data>", why));
    }
}

/// Rules for a change.
pub(super) fn changed(
    new: &CertificateSigningRequest,
    old: &CertificateSigningRequest,
    writer: Writer,
    errors: &mut Vec<Error>,
) {
    spec(&new.spec, errors);
    status(new.status.as_ref(), errors);
    for kind in ["Approved", "Denied", "Failed"] {
        let (after, before) = (of_kind(new, kind), of_kind(old, kind));
        let why = if after.len() < before.len() {
            format!("updates may not remove a condition of type {kind:?}")
        } else if writer == Writer::Approver || kind == "Failed" || after == before {
            continue;
        } else if after.len() > before.len() {
            format!("updates may not add a condition of type {kind:?}")
        } else {
            format!("updates may not modify a condition of type {kind:?}\n")
        };
        errors.push(Error::forbidden(CONDITIONS, why));
    }
    let certificate = |request: &CertificateSigningRequest| {
        let status = request.status.as_ref();
        status
            .and_then(|status| status.certificate.clone())
            .unwrap_or_default()
    };
    let (after, before) = (certificate(new), certificate(old));
    if after != before {
        if writer != Writer::Signer {
            let why = "updates may not set certificate content";
            errors.push(Error::forbidden("status.certificate", why));
        } else if !before.0.is_empty() {
            let why = "updates may not modify existing certificate content";
            errors.push(Error::forbidden("status.certificate", why));
        }
    }
}

fn of_kind<'a>(
    request: &'a CertificateSigningRequest,
    kind: &str,
) -> Vec<&'a CertificateSigningRequestCondition> {
    let conditions = request
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions.filter(|condition| condition.type_ == kind).collect()
}
