//! A change that a plugin makes of an object, as a JSON patch.

use super::Attributes;
use api::Status;
use serde::Serialize;

/// Steps, in order.
#[derive(Debug, Default)]
pub(crate) struct Change(Vec<String>);

impl Change {
    fn step(&mut self, op: &str, path: &str, value: &impl Serialize) -> Result<(), Status> {
        let path = serde_json::to_string(path).map_err(Status::internal)?;
        let value = serde_json::to_string(value).map_err(Status::internal)?;
        self.0
            .push(format!(r#"{{"op":"{op}","path":{path},"value":{value}}}"#));
        Ok(())
    }

    /// Sets what is at the JSON pointer `path`, whose parent is there; behind the last of a list for `-`.
    pub fn set(&mut self, path: &str, value: &impl Serialize) -> Result<(), Status> {
        self.step("add", path, value)
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Changes the object of a request.
    pub fn apply(self, request: &mut Attributes<'_>) -> Result<(), Status> {
        let Some(object) = request.object.as_ref().filter(|_| !self.is_empty()) else {
            return Ok(());
        };
        let patch = format!("[{}]", self.0.join(","));
        let changed = schema::json_patch(object.body(), patch.as_bytes()).map_err(Status::internal)?;
        request.set_object(changed.into())
    }
}

/// A key as a part of a JSON pointer.
pub(crate) fn part(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
