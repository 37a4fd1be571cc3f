//! PodCertificateRequest: a kubelet asks for a certificate for a pod.

use super::{issued, validation};
use crate::{
    Row, STATUS, Version, WriteRequest,
    names::{self, NameRule},
    rules,
    write::{Kind, write},
};
use api::{Status, field, field::Error};
use k8s_openapi::api::certificates::v1::{
    PodCertificateRequest, PodCertificateRequestSpec, PodCertificateRequestStatus,
};
use p521::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use x509_parser::{
    oid_registry::OID_SIG_ECDSA_WITH_SHA512,
    prelude::{FromDer, X509CertificationRequest},
    public_key::PublicKey,
};

/// The longest request.
const REQUEST: usize = 10 * 1024;

/// How long a certificate may live, in seconds: at least, at most by a signer of Kubernetes, at most by others.
const SHORTEST: i32 = 3600;
const LONGEST_OF_OURS: i32 = 86_400;
const LONGEST: i32 = 91 * 86_400;

const CONDITIONS: &str = "status.conditions";
/// What is said last: nothing changes after it.
const ENDS: [&str; 3] = ["Issued", "Denied", "Failed"];

pub(crate) static ROW: Row = Row {
    prefix: "/registry/podcertificaterequests",
    unconditional: false,
    on_demand: &[Version::same("v1beta1")],
    subresources: &[STATUS],
    fields: &["spec.signerName", "spec.podName", "spec.nodeName"],
    ..Row::usual(
        "certificates.k8s.io",
        "PodCertificateRequest",
        "podcertificaterequests",
        "podcertificaterequest",
        write::<PodCertificateRequest>,
    )
};

impl Kind for PodCertificateRequest {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        self.spec.max_expiration_seconds.get_or_insert(86400);
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(PodCertificateRequestStatus::default());
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    /// A certificate that is issued begins now.
    fn admit_status(&mut self, old: &Self, request: &WriteRequest<'_>) -> Result<(), Status> {
        match issued::begins(self, request.now) {
            Some(error) if end_of(old).is_none() && end_of(self) == Some("Issued") => {
                Err(Status::invalid(ROW.group, ROW.kind, request.name, vec![error]))
            }
            _ => Ok(()),
        }
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        spec(&self.spec, errors);
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        rules::immutable("spec", &self.spec, &old.spec, errors);
    }

    fn validate_status(&self, old: &Self, errors: &mut Vec<Error>) {
        let before = errors.len();
        conditions(self, errors);
        if errors.len() > before {
            return;
        }
        let empty = PodCertificateRequestStatus::default();
        let [new, was] = [self, old].map(|request| request.status.as_ref().unwrap_or(&empty));
        let mut wrong = |why: &str| errors.push(rules::wrong("status", why));
        match (end_of(old), end_of(self)) {
            (Some(_), _) if new != was => {
                wrong("immutable after PodCertificateRequest is issued, denied, or failed");
            }
            (Some(_), _) => {}
            (None, Some("Issued")) => issued::check(self, errors),
            (None, Some(_)) => {
                let told = PodCertificateRequestStatus {
                    conditions: new.conditions.clone(),
                    ..PodCertificateRequestStatus::default()
                };
                if *new != told {
                    wrong(
                        "non-condition status fields must be empty when denying or failing the PodCertificateRequest",
                    );
                }
            }
            (None, None) if new != was => {
                wrong(r#"status is immutable unless transitioning to "Issued", "Denied", or "Failed""#);
            }
            (None, None) => {}
        }
    }
}

fn spec(spec: &PodCertificateRequestSpec, errors: &mut Vec<Error>) {
    validation::signer_name("spec.signerName", &spec.signer_name, errors);
    let named: [(&str, &str, NameRule); 3] = [
        ("spec.podName", &spec.pod_name, names::dns_subdomain),
        (
            "spec.serviceAccountName",
            &spec.service_account_name,
            names::dns_subdomain,
        ),
        ("spec.nodeName", &spec.node_name, names::dns_subdomain),
    ];
    for (path, name, rule) in named {
        errors.extend(rule(name).into_iter().map(|why| Error::invalid(path, name, why)));
    }
    for (path, uid) in [
        ("spec.podUID", &spec.pod_uid),
        ("spec.serviceAccountUID", &spec.service_account_uid),
        ("spec.nodeUID", &spec.node_uid),
    ] {
        match uid.len() {
            0 => errors.push(Error::invalid(path, uid, "must not be empty")),
            129.. => errors.push(Error::too_long(path, 128)),
            _ => {}
        }
    }
    for key in spec.unverified_user_annotations.iter().flat_map(|all| all.keys()) {
        if !key.contains('/') {
            let why = "must be a domain-prefixed key (such as \"acme.io/foo\")";
            errors.push(Error::invalid("spec.unverifiedUserAnnotations", key, why));
        }
    }
    let longest = if spec.signer_name.starts_with("kubernetes.io/") {
        LONGEST_OF_OURS
    } else {
        LONGEST
    };
    if let Some(seconds) = spec.max_expiration_seconds
        && !(SHORTEST..=longest).contains(&seconds)
    {
        let why = format!("must be in the range [{SHORTEST}, {longest}]");
        errors.push(Error::invalid("spec.maxExpirationSeconds", seconds, why));
    }
    let path = "spec.stubPKCS10Request";
    if spec.stub_pkc_s10_request.0.len() > REQUEST {
        errors.push(Error::too_long(path, REQUEST));
    } else if let Err(why) = request(&spec.stub_pkc_s10_request.0) {
        errors.push(rules::wrong(path, why));
    }
}

/// Rules for the request in it: it is signed by its key, which is of a kind that certificates are made for.
fn request(text: &[u8]) -> Result<(), String> {
    let Ok(([], request)) = X509CertificationRequest::from_der(text) else {
        return Err("must be a valid DER-serialized PKCS#10 certificate signing request".to_owned());
    };
    let key = request.certification_request_info.subject_pki.parsed();
    match key {
        Ok(PublicKey::RSA(key)) if ![3072, 4096].contains(&key.key_size()) => {
            return Err("RSA keys must have modulus size 3072 or 4096".to_owned());
        }
        Ok(PublicKey::RSA(_) | PublicKey::EC(_) | PublicKey::Unknown(_)) => {}
        _ => return Err("unknown public key type; supported types are Ed25519, ECDSA, and RSA".to_owned()),
    }
    let verified = match &key {
        Ok(PublicKey::EC(key)) if key.key_size() > 384 => p521_verifies(key.data(), &request),
        _ => request.verify_signature().is_ok(),
    };
    match verified {
        true => Ok(()),
        false => Err("could not verify the signature of the request".to_owned()),
    }
}

/// Whether a key on P-521, which the others know nothing of, has signed the request.
fn p521_verifies(key: &[u8], request: &X509CertificationRequest<'_>) -> bool {
    let key = VerifyingKey::from_sec1_bytes(key);
    let signature = Signature::from_der(&request.signature_value.data);
    let with_sha512 = request.signature_algorithm.algorithm == OID_SIG_ECDSA_WITH_SHA512;
    with_sha512
        && key.is_ok_and(|key| {
            signature.is_ok_and(|signature| {
                key.verify(request.certification_request_info.raw, &signature)
                    .is_ok()
            })
        })
}

/// The condition that ends the request.
fn end_of(request: &PodCertificateRequest) -> Option<&str> {
    let conditions = request.status.as_ref()?.conditions.as_deref()?;
    let mut ends = conditions.iter().filter(|condition| condition.status == "True");
    ends.find_map(|condition| ENDS.iter().find(|end| **end == condition.type_).copied())
}

fn conditions(request: &PodCertificateRequest, errors: &mut Vec<Error>) {
    let status = request.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref());
    let mut known = 0;
    for (index, condition) in conditions.unwrap_or_default().iter().enumerate() {
        let path = field::index(CONDITIONS, index);
        let (kind, place) = (condition.type_.as_str(), field::child(&path, "type"));
        if !ENDS.contains(&kind) {
            errors.push(Error::not_supported(place, kind, &["Denied", "Failed", "Issued"]));
            continue;
        }
        known += 1;
        if known > 1 {
            let why = r#"There may be at most one condition with type "Issued", "Denied", or "Failed""#;
            errors.push(Error::invalid(place, kind, why));
        }
        rules::one_of(
            Some(&condition.status),
            &["True"],
            &field::child(&path, "status"),
            errors,
        );
        rules::required(&field::child(&path, "reason"), &condition.reason, errors);
    }
}
