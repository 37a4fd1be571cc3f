//! A kubelet asks for tokens of the pods that run on its node.

use super::{Call, NodeRestriction, PODS, audience, gone, node_of};
use crate::security::Attributes;
use api::{Object, Status};
use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenView {
    spec: TokenSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TokenSpec {
    audiences: Vec<String>,
    bound_object_ref: BoundRef,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BoundRef {
    api_version: String,
    kind: String,
    name: String,
    uid: String,
}

impl Call<'_> {
    /// A token is for a pod of the node. The audience that is not known to be its.
    pub(super) fn token(&self) -> Result<Option<String>, Status> {
        let Some(new) = self.new.filter(|_| self.attributes.subresource == "token") else {
            return Ok(None);
        };
        let TokenSpec {
            audiences,
            bound_object_ref: bound,
        } = new.view::<TokenView>().unwrap_or_default().spec;
        let (namespace, name) = (self.attributes.namespace.as_str(), bound.name.as_str());
        if bound.api_version != "v1" || bound.kind != "Pod" || name.is_empty() {
            return self
                .refuse("node requested token not bound to a pod")
                .map(|()| None);
        }
        if bound.uid.is_empty() {
            return self
                .refuse("node requested token with a pod binding without a uid")
                .map(|()| None);
        }
        let Some(pod) = self.reader.get(&PODS, namespace, name) else {
            return Err(gone("pod", name));
        };
        if pod.uid() != bound.uid {
            let why = format!(
                "the UID in the bound object reference ({}) does not match the UID in record. The object might have been \
                 deleted and then recreated",
                bound.uid
            );
            return self.refuse(why).map(|()| None);
        }
        match node_of(&pod).node_name == self.node {
            true => self.audience(&pod, &audiences),
            false => {
                let why = "node requested token bound to a pod scheduled on a different node";
                self.refuse(why).map(|()| None)
            }
        }
    }

    /// The audience that is not named by the pod, if there is one.
    fn audience(&self, pod: &Object, audiences: &[String]) -> Result<Option<String>, Status> {
        if !self.audiences {
            return Ok(None);
        }
        let audience = match audiences {
            [] => "",
            [one] => one,
            _ => {
                return self
                    .refuse("node may only request 0 or 1 audiences")
                    .map(|()| None);
            }
        };
        let named = audience::is_named(self.reader, pod, audience)?;
        Ok((!named).then(|| audience.to_owned()))
    }
}

impl NodeRestriction {
    /// A token for somebody whom the pod does not name is for nodes with a right to it.
    pub(super) async fn foreign_audience(&self, call: &Call<'_>, audience: &str) -> Result<(), Status> {
        let attributes = call.attributes;
        let asked = Attributes {
            user: attributes.user.clone(),
            verb: "request-serviceaccounts-token-audience".to_owned(),
            version: "v1".to_owned(),
            resource: audience.to_owned(),
            namespace: attributes.namespace.clone(),
            name: attributes.name.clone(),
            is_resource: true,
            ..Attributes::default()
        };
        if self.authorizer.authorize(&asked).get().await.allowed() {
            return Ok(());
        }
        call.refuse(format!(
            "audience {audience:?} not found in pod spec volume, {} is not authorized to request tokens for this audience",
            attributes.user.name
        ))
    }
}
