//! Definitions of custom resources. There are none yet, and whoever asks is told so: kubectl looks among them before it
//! says that a kind is not known.

use api::Gvr;

/// Group of the definitions.
pub const GROUP: &str = "apiextensions.k8s.io";
/// Its version.
pub const VERSION: &str = "v1";
/// The resource.
pub const PLURAL: &str = "customresourcedefinitions";

/// Whether a request asks for them.
pub fn are_asked_for(gvr: &Gvr) -> bool {
    *gvr == Gvr::new(GROUP, VERSION, PLURAL)
}

/// All of them.
pub fn list() -> &'static str {
    r#"{"kind":"CustomResourceDefinitionList","apiVersion":"apiextensions.k8s.io/v1","metadata":{},"items":[]}"#
}
