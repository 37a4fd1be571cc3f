//! Rules for what a signer issued to a pod.

use super::trust::blocks;
use api::field::Error;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::certificates::v1::{PodCertificateRequest, PodCertificateRequestStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509CertificationRequest};

const CHAIN: &str = "status.certificateChain";
const BEFORE: &str = "status.notBefore";
const AFTER: &str = "status.notAfter";
const REFRESH: &str = "status.beginRefreshAt";

/// The longest chain.
const LONGEST: usize = 100 * 1024;

/// How far from now a certificate may begin.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// A certificate is not renewed nearer to its begin and its end.
const MARGIN: SignedDuration = SignedDuration::from_mins(10);

fn refused(path: &str, why: impl Into<String>) -> Error {
    crate::rules::wrong(path, why)
}

/// What is wrong with when it begins.
pub(super) fn begins(request: &PodCertificateRequest, now: Timestamp) -> Option<Error> {
    let Time(before) = request.status.as_ref()?.not_before.as_ref()?;
    let far = before.duration_since(now).abs() >= SKEW;
    far.then(|| {
        let why = "must be set to within 5 minutes of kube-apiserver's current time";
        Error::invalid(BEFORE, before, why)
    })
}

/// Rules for a status that says `Issued`.
pub(super) fn check(request: &PodCertificateRequest, errors: &mut Vec<Error>) {
    let Some(status) = &request.status else { return };
    let text = status.certificate_chain.as_deref().unwrap_or_default();
    if text.len() > LONGEST {
        errors.push(Error::too_long(CHAIN, LONGEST));
        return;
    }
    let chain: Vec<_> = blocks(text).collect();
    let Some(leaf) = chain.first() else {
        errors.push(refused(
            CHAIN,
            "issued certificate chain must contain at least one certificate",
        ));
        return;
    };
    if chain.iter().any(|block| block.label != "CERTIFICATE") {
        let why = "issued certificate chain must consist entirely of CERTIFICATE PEM blocks";
        errors.push(refused(CHAIN, why));
        return;
    }
    let Ok(([], certificate)) = X509Certificate::from_der(&leaf.contents) else {
        errors.push(refused(CHAIN, "leaf certificate does not parse as valid X.509"));
        return;
    };
    let between = chain.iter().skip(1);
    let mut broken = between.filter(|block| X509Certificate::from_der(&block.contents).is_err());
    if broken.next().is_some() {
        errors.push(refused(
            CHAIN,
            "intermediate certificate does not parse as valid X.509",
        ));
        return;
    }
    names(&certificate, errors);
    let asked = X509CertificationRequest::from_der(&request.spec.stub_pkc_s10_request.0);
    if !asked.is_ok_and(|(_, asked)| {
        asked.certification_request_info.subject_pki.raw == certificate.public_key().raw
    }) {
        let why = "leaf certificate was not issued to the requested public key";
        errors.push(refused(CHAIN, why));
        return;
    }
    let longest = request.spec.max_expiration_seconds.unwrap_or_default();
    times(status, &certificate, longest, errors);
}

fn names(certificate: &X509Certificate<'_>, errors: &mut Vec<Error>) {
    let names = certificate.subject_alternative_name().ok().flatten();
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        let why = match name {
            GeneralName::DNSName("") => "leaf certificate should not contain empty DNSName",
            GeneralName::DNSName(name) if name.contains("..") => {
                "leaf certificate's DNSName should not contain '..'"
            }
            GeneralName::DNSName(name) if name.starts_with('.') || name.ends_with('.') => {
                "leaf certificate's DNSName should not start or end with '.'"
            }
            GeneralName::RFC822Name(name) if !name.contains('@') => {
                "leaf certificate should not contain invalid EmailAddress"
            }
            _ => continue,
        };
        errors.push(refused(CHAIN, why));
    }
}

fn times(
    status: &PodCertificateRequestStatus,
    certificate: &X509Certificate<'_>,
    longest: i32,
    errors: &mut Vec<Error>,
) {
    let consistent = "must be present and consistent with the issued certificate";
    let range = "must be present and in the range [notbefore+10min, notafter-10min]";
    let told = [
        (BEFORE, &status.not_before, consistent),
        (AFTER, &status.not_after, consistent),
        (REFRESH, &status.begin_refresh_at, range),
    ];
    let missing = told.iter().filter(|(_, time, _)| time.is_none());
    errors.extend(missing.map(|(path, _, why)| Error::required(*path, *why)));
    let [Some(Time(before)), Some(Time(after)), Some(Time(refresh))] = told.map(|(_, time, _)| time) else {
        return;
    };
    let validity = certificate.validity();
    let (begin, end) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let wrong = if before.as_second() != begin {
        Error::invalid(
            BEFORE,
            before,
            "must be set to the NotBefore time encoded in the leaf certificate",
        )
    } else if after.as_second() != end {
        Error::invalid(
            AFTER,
            after,
            "must be set to the NotAfter time encoded in the leaf certificate",
        )
    } else if end - begin < 3600 {
        refused(CHAIN, "leaf certificate lifetime must be >= 1 hour")
    } else if end - begin > i64::from(longest) {
        let why = format!("leaf certificate lifetime must be <= spec.maxExpirationSeconds ({longest})");
        refused(CHAIN, why)
    } else if refresh.duration_since(*before) < MARGIN {
        Error::invalid(
            REFRESH,
            refresh,
            "must be at least 10 minutes after status.notBefore",
        )
    } else if after.duration_since(*refresh) < MARGIN {
        Error::invalid(
            REFRESH,
            refresh,
            "must be at least 10 minutes before status.notAfter",
        )
    } else {
        return;
    };
    errors.push(wrong);
}
