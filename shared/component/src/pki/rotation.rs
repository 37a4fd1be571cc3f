//! The CA is replaced in steps, so that at each moment who shows a certificate and who looks at it trust each other:
//!
//! 1. the next CA is made and trusted, and does not sign yet;
//! 2. when everybody has heard of it, it signs, all leaves are made anew, and the old one is still trusted;
//! 3. when nothing that the old one signed is left, it is forgotten.
//!
//! Where it stands is in the folder: `NAME-next.crt`, `NAME-next.key`, `NAME-old.crt`, and since when in `NAME-rotation.json`.

use super::authority::{PkiError, make, read, write};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Nothing that a CA signed here lives longer.
const LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);

/// A CA that ends before what it would sign now is replaced.
const RENEW: SignedDuration = LONGEST;

/// How long those who trust the CA have to hear of the next one, when it is replaced by itself.
const OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// Where the replacement of a CA stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// There is one CA.
    Steady,
    /// The next one is trusted and signs from then on.
    Announced(Timestamp),
    /// The one before is trusted until then.
    Retiring(Timestamp),
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Since {
    since: Timestamp,
    /// Seconds.
    overlap: i64,
}

/// The files of a CA.
pub(super) struct Files {
    dir: PathBuf,
    name: String,
}

impl Files {
    pub fn new(dir: &Path, name: &str) -> Self {
        Self {
            dir: dir.to_owned(),
            name: name.to_owned(),
        }
    }

    fn path(&self, end: &str) -> PathBuf {
        self.dir.join(format!("{}{end}", self.name))
    }

    pub fn certificate(&self) -> PathBuf {
        self.path(".crt")
    }

    pub fn key(&self) -> PathBuf {
        self.path(".key")
    }

    fn since(&self) -> Option<Since> {
        serde_json::from_str(&fs::read_to_string(self.path("-rotation.json")).ok()?).ok()
    }

    fn tell(&self, now: Timestamp, overlap: SignedDuration) -> Result<(), PkiError> {
        let since = Since {
            since: now,
            overlap: overlap.as_secs(),
        };
        let path = self.path("-rotation.json");
        let text = serde_json::to_string(&since);
        let text = text.map_err(|e| PkiError::Broken(path.display().to_string(), e.to_string()))?;
        write(&path, &text)
    }

    /// Where it stands.
    pub fn rotation(&self) -> Rotation {
        let Some(Since { since, overlap }) = self.since() else {
            return Rotation::Steady;
        };
        if self.path("-next.crt").exists() {
            Rotation::Announced(since + SignedDuration::from_secs(overlap))
        } else if self.path("-old.crt").exists() {
            Rotation::Retiring(since + LONGEST)
        } else {
            Rotation::Steady
        }
    }

    /// The certificates to trust beside the one that signs, PEM.
    pub fn others(&self) -> String {
        ["-next.crt", "-old.crt"]
            .iter()
            .filter_map(|end| fs::read_to_string(self.path(end)).ok())
            .collect()
    }

    /// Makes the next CA. One that is under way goes on as it is.
    pub fn begin(&self, common_name: &str, now: Timestamp, overlap: SignedDuration) -> Result<(), PkiError> {
        if self.path("-next.crt").exists() {
            return Ok(());
        }
        self.tell(now, overlap)?;
        make(&self.path("-next.crt"), &self.path("-next.key"), common_name, now)
    }

    /// Takes the steps that are due, and those that were begun.
    pub fn advance(&self, common_name: &str, now: Timestamp) -> Result<(), PkiError> {
        if !self.certificate().exists() {
            return make(&self.certificate(), &self.key(), common_name, now);
        }
        if self.path("-next.crt").exists() && !self.path("-next.key").exists() {
            // The process ended between the two.
            self.rename("-next.crt", ".crt")?;
        }
        if let Rotation::Announced(at) = self.rotation()
            && at <= now
        {
            self.switch(now)?;
        }
        if let Rotation::Retiring(until) = self.rotation()
            && until <= now
        {
            self.finish()?;
        }
        let left = self.end()?.duration_since(now);
        if left <= SignedDuration::ZERO {
            // Nobody trusts it any more: there is nothing to overlap with.
            make(&self.certificate(), &self.key(), common_name, now)?;
            return self.finish();
        }
        if left < RENEW && self.rotation() == Rotation::Steady {
            self.begin(common_name, now, OVERLAP)?;
        }
        Ok(())
    }

    /// The next CA signs, the one before is still trusted.
    fn switch(&self, now: Timestamp) -> Result<(), PkiError> {
        write(&self.path("-old.crt"), &read(&self.certificate())?)?;
        self.tell(now, SignedDuration::ZERO)?;
        self.rename("-next.key", ".key")?;
        self.rename("-next.crt", ".crt")
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), PkiError> {
        let from = self.path(from);
        fs::rename(&from, self.path(to)).map_err(|e| PkiError::File(from, e))
    }

    /// Only the CA that signs is trusted from now on.
    pub fn finish(&self) -> Result<(), PkiError> {
        for end in ["-old.crt", "-rotation.json"] {
            let path = self.path(end);
            if path.exists() {
                fs::remove_file(&path).map_err(|e| PkiError::File(path, e))?;
            }
        }
        Ok(())
    }

    /// When the CA's certificate ends.
    fn end(&self) -> Result<Timestamp, PkiError> {
        let path = self.certificate();
        let broken = |why: String| PkiError::Broken(path.display().to_string(), why);
        let text = read(&path)?;
        let (_, block) =
            x509_parser::pem::parse_x509_pem(text.as_bytes()).map_err(|e| broken(e.to_string()))?;
        let certificate = block.parse_x509().map_err(|e| broken(e.to_string()))?;
        let end = certificate.validity().not_after.timestamp();
        Timestamp::from_second(end).map_err(|e| broken(e.to_string()))
    }
}
