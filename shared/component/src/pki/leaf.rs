//! Leaf certificates.

use super::authority::{Authority, PkiError, offset, read, write};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use time::Duration;

const LIFE_DAYS: i64 = 365;
/// A leaf is renewed when a third of its life is left.
const RENEW_DAYS: i64 = LIFE_DAYS / 3;

/// What a leaf is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purpose {
    /// Common name: the user name of a client.
    pub common_name: String,
    /// Organizations: the groups of a client.
    pub organizations: Vec<String>,
    /// DNS names and IP addresses of a server; empty for a client only.
    pub names: Vec<String>,
    /// It may be shown as a client's certificate.
    pub client: bool,
}

impl Purpose {
    /// A client certificate of a user with groups.
    pub fn client(user: &str, groups: &[&str]) -> Self {
        let organizations = groups.iter().map(|g| (*g).to_owned()).collect();
        Self {
            common_name: user.to_owned(),
            organizations,
            names: Vec::new(),
            client: true,
        }
    }

    /// A server certificate for names and addresses.
    pub fn server(common_name: &str, names: Vec<String>) -> Self {
        Self {
            common_name: common_name.to_owned(),
            organizations: Vec::new(),
            names,
            client: false,
        }
    }
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// Certificate, PEM.
    pub certificate: String,
    /// Key, PEM.
    pub key: String,
}

impl Leaf {
    /// In the forms that TLS takes.
    pub fn der(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), PkiError> {
        let broken =
            |e: rustls::pki_types::pem::Error| PkiError::Broken("certificate".to_owned(), e.to_string());
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(broken)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(broken)?;
        Ok((chain, key))
    }
}

pub(super) fn open(
    authority: &Authority,
    name: &str,
    purpose: &Purpose,
    now: jiff::Timestamp,
) -> Result<Leaf, PkiError> {
    let (crt, key) = (
        authority.dir().join(format!("{name}.crt")),
        authority.dir().join(format!("{name}.key")),
    );
    if crt.exists() && key.exists() {
        let leaf = Leaf {
            certificate: read(&crt)?,
            key: read(&key)?,
        };
        if is_good(&leaf, authority, purpose, now) {
            return Ok(leaf);
        }
    }
    let leaf = issue(authority, purpose, now)?;
    write(&key, &leaf.key)?;
    write(&crt, &leaf.certificate)?;
    Ok(leaf)
}

fn issue(authority: &Authority, purpose: &Purpose, now: jiff::Timestamp) -> Result<Leaf, PkiError> {
    let broken = |e: rcgen::Error| PkiError::Broken(purpose.common_name.clone(), e.to_string());
    let mut params = CertificateParams::new(purpose.names.clone()).map_err(broken)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, purpose.common_name.as_str());
    for organization in &purpose.organizations {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization.as_str());
    }
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    if !purpose.names.is_empty() {
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    if purpose.client {
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ClientAuth);
    }
    params.use_authority_key_identifier_extension = true;
    params.not_before = offset(now) - Duration::minutes(5);
    params.not_after = offset(now) + Duration::days(LIFE_DAYS);
    let key = KeyPair::generate().map_err(broken)?;
    let certificate = params.signed_by(&key, authority.issuer()).map_err(broken)?;
    Ok(Leaf {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

fn is_good(leaf: &Leaf, authority: &Authority, purpose: &Purpose, now: jiff::Timestamp) -> bool {
    let Ok((chain, _)) = leaf.der() else { return false };
    let Some((_, found)) = chain
        .first()
        .and_then(|c| x509_parser::parse_x509_certificate(c).ok())
    else {
        return false;
    };
    let Ok(ca) = CertificateDer::from_pem_slice(authority.certificate().as_bytes()) else {
        return false;
    };
    let Ok((_, ca)) = x509_parser::parse_x509_certificate(&ca) else {
        return false;
    };
    let left = found.validity().not_after.timestamp() - now.as_second();
    let lasts = left > RENEW_DAYS * 86_400 && found.validity().not_before.timestamp() <= now.as_second();
    let subject = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let name = subject(
        found
            .subject()
            .iter_common_name()
            .filter_map(|a| a.as_str().ok())
            .collect(),
    );
    let groups = subject(
        found
            .subject()
            .iter_organization()
            .filter_map(|a| a.as_str().ok())
            .collect(),
    );
    let ours = found.verify_signature(Some(ca.public_key())).is_ok();
    lasts
        && ours
        && name == [purpose.common_name.as_str()]
        && groups == purpose.organizations
        && names(&found) == expected(purpose)
}

fn expected(purpose: &Purpose) -> Vec<String> {
    let mut names = purpose.names.clone();
    names.sort();
    names
}

fn names(found: &x509_parser::certificate::X509Certificate<'_>) -> Vec<String> {
    use x509_parser::extensions::GeneralName;
    let Ok(Some(extension)) = found.subject_alternative_name() else {
        return Vec::new();
    };
    let one = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|b| std::net::IpAddr::from(b).to_string()),
            16 => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|b| std::net::IpAddr::from(b).to_string()),
            _ => None,
        },
        _ => None,
    };
    let mut names: Vec<String> = extension.value.general_names.iter().filter_map(one).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{SignedDuration, Timestamp};

    #[test]
    fn a_leaf_is_kept_while_good_and_renewed_when_it_ages_or_its_purpose_changes() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let ca = Authority::open(dir.path(), now).unwrap();
        let purpose = Purpose::server("kube-apiserver", vec!["10.96.0.1".into(), "kubernetes".into()]);
        let first = ca.leaf("apiserver", &purpose, now).unwrap();
        let again = Authority::open(dir.path(), now).unwrap();
        assert_eq!(
            again.leaf("apiserver", &purpose, now).unwrap().certificate,
            first.certificate
        );
        let aged = now + SignedDuration::from_hours(24 * 300);
        assert_ne!(
            again.leaf("apiserver", &purpose, aged).unwrap().certificate,
            first.certificate
        );
        let other = Purpose::server("kube-apiserver", vec!["10.96.0.1".into()]);
        let changed = again.leaf("apiserver", &other, now).unwrap();
        assert_ne!(changed.certificate, first.certificate);
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(dir.path().join("apiserver.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
