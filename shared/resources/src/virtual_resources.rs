//! Resources that are asked, never stored: the reviews. Discovery lists them; the API server answers them.

/// A resource without storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualResource {
    /// API group.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// Plural name.
    pub plural: &'static str,
    /// Singular name.
    pub singular: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Asked of a namespace.
    pub namespaced: bool,
    /// Verbs.
    pub verbs: &'static [&'static str],
}

const fn review(
    group: &'static str,
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
    namespaced: bool,
) -> VirtualResource {
    VirtualResource {
        group,
        version: "v1",
        plural,
        singular,
        kind,
        namespaced,
        verbs: &["create"],
    }
}

static VIRTUAL: &[VirtualResource] = &[
    review("", "bindings", "binding", "Binding", true),
    review(
        "authentication.k8s.io",
        "selfsubjectreviews",
        "selfsubjectreview",
        "SelfSubjectReview",
        false,
    ),
    review(
        "authentication.k8s.io",
        "tokenreviews",
        "tokenreview",
        "TokenReview",
        false,
    ),
    review(
        "authorization.k8s.io",
        "localsubjectaccessreviews",
        "localsubjectaccessreview",
        "LocalSubjectAccessReview",
        true,
    ),
    review(
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        "selfsubjectaccessreview",
        "SelfSubjectAccessReview",
        false,
    ),
    review(
        "authorization.k8s.io",
        "selfsubjectrulesreviews",
        "selfsubjectrulesreview",
        "SelfSubjectRulesReview",
        false,
    ),
    review(
        "authorization.k8s.io",
        "subjectaccessreviews",
        "subjectaccessreview",
        "SubjectAccessReview",
        false,
    ),
];

/// Resources without storage, for discovery. `TokenRequest`, `Eviction` and `Scale` are not among them: they are
/// subresources and stand in their rows.
pub fn virtual_resources() -> &'static [VirtualResource] {
    VIRTUAL
}
