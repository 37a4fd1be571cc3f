//! The pods that a kubelet makes.

use super::{Call, MIRROR, NODES, gone, node_of};
use crate::security::node::unfit_for_a_mirror;
use api::{Object, Status};

impl Call<'_> {
    /// A mirror pod goes with its node.
    fn mirror_owner(&self, pod: &Object) -> Result<(), Status> {
        let node = self.node;
        let only = |what: &str| {
            self.refuse(format!(
                "node {node:?} can only create pods with {what} set to itself"
            ))
        };
        let owner = match pod.owners() {
            [owner] => owner,
            [] => return only("an owner reference"),
            _ => return only("a single owner reference"),
        };
        let named = (
            owner.api_version.as_str(),
            owner.kind.as_str(),
            owner.name.as_str(),
        );
        if named != ("v1", "Node", node) {
            return only("an owner reference");
        }
        if !owner.controller {
            return only("a controller owner reference");
        }
        if owner.block_owner_deletion {
            return self.refuse(format!(
                "node {node:?} must not set blockOwnerDeletion on an owner reference"
            ));
        }
        let Some(known) = self.reader.get(&NODES, "", node) else {
            return Err(gone("node", node));
        };
        match known.uid() == owner.uid {
            true => Ok(()),
            false => self.refuse(format!(
                "node {node} UID mismatch: expected {} got {}",
                owner.uid,
                known.uid()
            )),
        }
    }

    /// Of pods a node makes mirrors of its own static ones, which refer to nothing.
    pub(super) fn create_pod(&self) -> Result<(), Status> {
        let (node, Some(pod)) = (self.node, self.new) else {
            return Ok(());
        };
        if pod.annotation(MIRROR).is_none() {
            let why =
                format!("pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods");
            return self.refuse(why);
        }
        let spec = node_of(pod);
        if spec.node_name != node {
            return self.refuse(format!(
                "node {node:?} can only create pods with spec.nodeName set to itself"
            ));
        }
        self.mirror_owner(pod)?;
        match unfit_for_a_mirror(pod) {
            Some(what) => self.refuse(format!("node {node:?} can not create pods that reference {what}")),
            None => Ok(()),
        }
    }
}
