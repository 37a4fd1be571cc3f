//! Who signs for which signer name.

use super::{
    Signer,
    request::{CLIENT, KUBELET_CLIENT, KUBELET_SERVING, LEGACY},
};
use jiff::SignedDuration;
use std::sync::Arc;

/// The shortest life of a certificate.
const SHORTEST: SignedDuration = SignedDuration::from_mins(10);

/// The CAs by which this controller manager signs, each for one of the built-in signer names. Where there is none,
/// somebody else signs.
#[derive(Clone, Debug)]
pub struct Signers {
    /// `kubernetes.io/kube-apiserver-client`.
    pub client: Option<Arc<Signer>>,
    /// `kubernetes.io/kube-apiserver-client-kubelet`.
    pub kubelet_client: Option<Arc<Signer>>,
    /// `kubernetes.io/kubelet-serving`.
    pub kubelet_serving: Option<Arc<Signer>>,
    /// `kubernetes.io/legacy-unknown`.
    pub legacy_unknown: Option<Arc<Signer>>,
    /// The longest life of a certificate, and that of one whose request does not say.
    pub longest: SignedDuration,
}

impl Default for Signers {
    /// Nobody signs.
    fn default() -> Self {
        Self {
            client: None,
            kubelet_client: None,
            kubelet_serving: None,
            legacy_unknown: None,
            longest: SignedDuration::from_hours(365 * 24),
        }
    }
}

impl Signers {
    /// One CA for all, for a year.
    pub fn one(signer: Signer) -> Self {
        let signer = Some(Arc::new(signer));
        Self {
            client: signer.clone(),
            kubelet_client: signer.clone(),
            kubelet_serving: signer.clone(),
            legacy_unknown: signer,
            ..Self::default()
        }
    }

    pub(super) fn of(&self, name: &str) -> Option<&Arc<Signer>> {
        let signer = match name {
            CLIENT => &self.client,
            KUBELET_CLIENT => &self.kubelet_client,
            KUBELET_SERVING => &self.kubelet_serving,
            LEGACY => &self.legacy_unknown,
            _ => return None,
        };
        signer.as_ref()
    }

    /// How long a certificate lives whose request wishes so many seconds.
    pub(super) fn life(&self, wished: Option<i64>) -> SignedDuration {
        let Some(wished) = wished else {
            return self.longest;
        };
        SignedDuration::from_secs(wished).max(SHORTEST).min(self.longest)
    }
}
