//! ABAC: policies in a file, an object a line (upstream `pkg/auth/authorizer/abac`).

use crate::security::{Answer, Attributes, Authorizer, Decision, PathRule, ResourceRule, Rules, User};
use serde::Deserialize;
use serde_json::value::RawValue;

const VERSION: &str = "abac.authorization.kubernetes.io/v1beta1";
const KIND: &str = "Policy";

/// The policies of a file.
#[derive(Debug, Default)]
pub struct Abac(Vec<Policy>);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Line {
    api_version: String,
    kind: String,
    spec: Option<Box<RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Policy {
    user: String,
    group: String,
    readonly: bool,
    #[serde(rename = "apiGroup")]
    api_group: String,
    resource: String,
    namespace: String,
    non_resource_path: String,
}

impl Abac {
    /// Reads the text of the file `name`. Comments start with `#`.
    ///
    /// # Errors
    /// The first line that is no policy, by its number.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut policies = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let bad =
                |why: String| format!("error reading policy file {name}, line {}: {line}: {why}", at + 1);
            policies.push(Policy::parse(trimmed).map_err(bad)?);
        }
        Ok(Self(policies))
    }
}

impl Policy {
    fn parse(line: &str) -> Result<Self, String> {
        let bad = |why: String| format!("couldn't get version/kind; json parse error: {why}");
        let of: Line = serde_json::from_str(line).map_err(|error| bad(error.to_string()))?;
        let spec = of.spec.as_deref().map_or("{}", RawValue::get);
        // Serde would take lists for objects as well.
        if !line.starts_with('{') || !spec.starts_with('{') {
            return Err(bad("cannot unmarshal what is no object".to_owned()));
        }
        match (of.api_version.as_str(), of.kind.as_str()) {
            ("", _) => return Err(format!("Object 'apiVersion' is missing in '{line}'")),
            (_, "") => return Err(format!("Object 'Kind' is missing in '{line}'")),
            (VERSION, KIND) => {}
            (version, kind) => {
                return Err(format!("no kind {kind:?} is registered for version {version:?}"));
            }
        }
        let mut policy: Self = serde_json::from_str(spec).map_err(|error| bad(error.to_string()))?;
        if policy.user == "*" || policy.group == "*" {
            // Everybody who is known.
            policy.user = String::new();
            policy.group = "system:authenticated".to_owned();
        }
        Ok(policy)
    }

    /// Of nobody if it names nobody.
    fn is_of(&self, user: &User) -> bool {
        let named = !(self.user.is_empty() && self.group.is_empty());
        named
            && (self.user.is_empty() || self.user == user.name)
            && (self.group.is_empty() || user.in_group(&self.group))
    }

    fn allows(&self, asked: &Attributes) -> bool {
        let any = |wanted: &str, value: &str| wanted == "*" || wanted == value;
        let reads = matches!(asked.verb.as_str(), "get" | "list" | "watch");
        if self.readonly && !reads {
            return false;
        }
        if asked.is_resource {
            return any(&self.namespace, &asked.namespace)
                && any(&self.resource, &asked.resource)
                && any(&self.api_group, &asked.group);
        }
        let path = self.non_resource_path.as_str();
        let below = path.ends_with('*') && asked.path.starts_with(path.trim_end_matches('*'));
        path == asked.path || below
    }

    fn verbs(&self) -> Vec<String> {
        let verbs: &[&str] = if self.readonly {
            &["get", "list", "watch"]
        } else {
            &["*"]
        };
        verbs.iter().map(|&verb| verb.to_owned()).collect()
    }
}

impl Authorizer for Abac {
    fn authorize(&self, attributes: &Attributes) -> Answer<Decision> {
        let allowed =
            (self.0.iter()).any(|policy| policy.is_of(&attributes.user) && policy.allows(attributes));
        match allowed {
            true => Decision::allow("").into(),
            false => Decision::no_opinion("No policy matched.").into(),
        }
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        let mut rules = Rules::default();
        let inside = |policy: &&Policy| policy.namespace == "*" || policy.namespace == namespace;
        for policy in self.0.iter().filter(|policy| policy.is_of(user)).filter(inside) {
            if !policy.resource.is_empty() {
                rules.resources.push(ResourceRule {
                    verbs: policy.verbs(),
                    api_groups: vec![policy.api_group.clone()],
                    resources: vec![policy.resource.clone()],
                    resource_names: Vec::new(),
                });
            }
            if !policy.non_resource_path.is_empty() {
                rules.paths.push(PathRule {
                    verbs: policy.verbs(),
                    paths: vec![policy.non_resource_path.clone()],
                });
            }
        }
        rules
    }
}
