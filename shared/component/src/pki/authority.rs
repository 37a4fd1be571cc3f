//! The certificate authority and the folder it lives in.

use super::{
    leaf::{self, Leaf, Purpose},
    rotation::{Files, Rotation},
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use time::{Duration, OffsetDateTime};

/// The PKI cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read or written.
    #[error("{path}: {error}", path = .0.display(), error = .1)]
    File(PathBuf, io::Error),
    /// A certificate or key is broken.
    #[error("{0}: {1}")]
    Broken(String, String),
}

/// A CA, with its key.
pub struct Authority {
    dir: PathBuf,
    files: Files,
    common_name: String,
    certificate: String,
    trusted: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.dir.display())
    }
}

impl Authority {
    /// Opens the CA in `dir` (`ca.crt`, `ca.key`), or makes one there, good for ten years. Takes the steps of its
    /// replacement that are due; one that ends within a year is replaced.
    pub fn open(dir: &Path, now: jiff::Timestamp) -> Result<Self, PkiError> {
        Self::named(dir, "ca", "kubernetes", now)
    }

    /// The same for one of several in the folder: `NAME.crt` and `NAME.key`, made for `common_name`.
    pub fn named(dir: &Path, name: &str, common_name: &str, now: jiff::Timestamp) -> Result<Self, PkiError> {
        let file = |e| PkiError::File(dir.to_owned(), e);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(file)?;
        let files = Files::new(dir, name);
        files.advance(common_name, now)?;
        let certificate = read(&files.certificate())?;
        let broken =
            |e: rcgen::Error| PkiError::Broken(files.certificate().display().to_string(), e.to_string());
        let key = KeyPair::from_pem(&read(&files.key())?).map_err(broken)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key).map_err(broken)?;
        Ok(Self {
            dir: dir.to_owned(),
            trusted: [certificate.as_str(), &files.others()].concat(),
            files,
            common_name: common_name.to_owned(),
            certificate,
            issuer,
        })
    }

    /// The certificates to trust, PEM: that of the CA, and while it is replaced that of the next or of the one before.
    pub fn trusted(&self) -> &str {
        &self.trusted
    }

    /// Where its replacement stands.
    pub fn rotation(&self) -> Rotation {
        self.files.rotation()
    }

    /// Begins to replace it: the next one is trusted when it is opened again, and signs `overlap` later.
    pub fn begin_rotation(
        &self,
        now: jiff::Timestamp,
        overlap: jiff::SignedDuration,
    ) -> Result<(), PkiError> {
        self.files.begin(&self.common_name, now, overlap)
    }

    /// Forgets the one before, when it is opened again.
    pub fn finish_rotation(&self) -> Result<(), PkiError> {
        self.files.finish()
    }

    /// The CA's certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// The leaf `name` from the folder (`NAME.crt`, `NAME.key`), or a new one if there is none that is still good for
    /// a while, is of this CA and says what is asked for.
    pub fn leaf(&self, name: &str, purpose: &Purpose, now: jiff::Timestamp) -> Result<Leaf, PkiError> {
        leaf::open(self, name, purpose, now)
    }

    /// The PEM of the private key `name.key` in the folder, made if missing, with its public half in `name.pub`: the
    /// key that signs service account tokens.
    pub fn signing_key(&self, name: &str) -> Result<String, PkiError> {
        let path = self.dir.join(format!("{name}.key"));
        if !path.exists() {
            let broken = |e: rcgen::Error| PkiError::Broken(name.to_owned(), e.to_string());
            let key = KeyPair::generate().map_err(broken)?;
            write(&self.dir.join(format!("{name}.pub")), &key.public_key_pem())?;
            write(&path, &key.serialize_pem())?;
        }
        read(&path)
    }
}

pub(super) fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|e| PkiError::File(path.to_owned(), e))
}

/// Writes a file for its owner alone, whole or not at all.
pub(super) fn write(path: &Path, text: &str) -> Result<(), PkiError> {
    let file = |e| PkiError::File(path.to_owned(), e);
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut out = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .map_err(file)?;
    io::Write::write_all(&mut out, text.as_bytes())
        .and_then(|()| out.sync_all())
        .map_err(file)?;
    fs::rename(&new, path).map_err(file)
}

pub(super) fn offset(now: jiff::Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(now.as_second()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

pub(super) fn make(crt: &Path, key: &Path, common_name: &str, now: jiff::Timestamp) -> Result<(), PkiError> {
    let broken = |e: rcgen::Error| PkiError::Broken(crt.display().to_string(), e.to_string());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyCertSign,
    ];
    // A little into the past, for clocks of other machines.
    params.not_before = offset(now) - Duration::minutes(5);
    params.not_after = offset(now) + Duration::days(3650);
    let pair = KeyPair::generate().map_err(broken)?;
    let certificate = params.self_signed(&pair).map_err(broken)?;
    write(key, &pair.serialize_pem())?;
    write(crt, &certificate.pem())
}
