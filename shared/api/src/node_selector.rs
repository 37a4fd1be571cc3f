//! Node selectors, as pods and volumes name the nodes that they may be on.

use crate::{MatchExpression, Object};

/// `v1.NodeSelector`: one of the terms must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelector {
    /// Terms.
    pub node_selector_terms: Vec<NodeSelectorTerm>,
}

/// `v1.NodeSelectorTerm`: all of it must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelectorTerm {
    /// Of labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<MatchExpression>,
    /// Of fields; there is `metadata.name`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_fields: Vec<MatchExpression>,
}

impl NodeSelector {
    /// Whether the node is meant.
    pub fn matches(&self, node: &Object) -> bool {
        self.node_selector_terms.iter().any(|term| term.matches(node))
    }
}

impl NodeSelectorTerm {
    /// Whether the node is meant. A term without requirements means none.
    pub fn matches(&self, node: &Object) -> bool {
        let labels = &self.match_expressions;
        let fields = &self.match_fields;
        (!labels.is_empty() || !fields.is_empty())
            && labels.iter().all(|e| holds(e, node.label(&e.key)))
            && fields
                .iter()
                .all(|e| e.key == "metadata.name" && holds(e, Some(node.name())))
    }
}

fn holds(expression: &MatchExpression, value: Option<&str>) -> bool {
    let listed = |v: &str| expression.values.iter().any(|w| w == v);
    let number = |text: Option<&str>| text.and_then(|t| t.parse::<i64>().ok());
    let bound = || number(expression.values.first().map(String::as_str));
    match expression.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => value.is_none_or(|v| !listed(v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => matches!((number(value), bound()), (Some(v), Some(b)) if v > b),
        "Lt" => matches!((number(value), bound()), (Some(v), Some(b)) if v < b),
        _ => false,
    }
}
