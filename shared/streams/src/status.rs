//! The ERROR channel: how a command ended, as a `metav1.Status`.

use crate::Error;
use serde::Deserialize;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With this exit code.
    Exited(i32),
    /// Not at all, or nobody knows; in words.
    Failed(String),
    /// As another server tells it: a `metav1.Status`.
    Told(String),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wire {
    status: String,
    message: String,
    reason: String,
    details: Details,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    causes: Vec<Cause>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
}

impl Outcome {
    /// The data of the ERROR message.
    pub fn to_json(&self) -> String {
        match self {
            Self::Exited(0) => r#"{"metadata":{},"status":"Success"}"#.to_owned(),
            Self::Exited(code) => format!(
                concat!(
                    r#"{{"metadata":{{}},"status":"Failure","message":"command terminated with non-zero exit code: exit status {0}","#,
                    r#""reason":"NonZeroExitCode","details":{{"causes":[{{"reason":"ExitCode","message":"{0}"}}]}}}}"#
                ),
                code
            ),
            Self::Told(json) => json.clone(),
            Self::Failed(why) => {
                let message =
                    serde_json::to_string(&format!("Internal error occurred: {why}")).unwrap_or_default();
                let cause = serde_json::to_string(why).unwrap_or_default();
                format!(
                    r#"{{"metadata":{{}},"status":"Failure","message":{message},"reason":"InternalError","details":{{"causes":[{{"message":{cause}}}]}},"code":500}}"#
                )
            }
        }
    }

    /// What is said on the ERROR channel: a `Status`, or for old clients a failure in words and success not at all.
    pub fn told(&self, status: bool) -> String {
        match self {
            _ if status => self.to_json(),
            Self::Exited(0) => String::new(),
            Self::Exited(code) => format!("command terminated with non-zero exit code: exit status {code}"),
            Self::Failed(why) => format!("Internal error occurred: {why}"),
            Self::Told(json) => {
                let wire: Wire = serde_json::from_str(json).unwrap_or_default();
                wire.message
            }
        }
    }

    /// Reads the data of the ERROR message.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let wire: Wire = serde_json::from_slice(json).map_err(|e| Error::Protocol(e.to_string()))?;
        if wire.status == "Success" {
            return Ok(Self::Exited(0));
        }
        let code = wire
            .details
            .causes
            .iter()
            .find(|c| c.reason == "ExitCode")
            .and_then(|c| c.message.parse().ok());
        match code {
            Some(code) if wire.reason == "NonZeroExitCode" => Ok(Self::Exited(code)),
            _ => Ok(Self::Failed(wire.message)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_kubectl_reads_it() {
        assert_eq!(
            Outcome::Exited(3).to_json(),
            r#"{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: exit status 3","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#
        );
        for outcome in [Outcome::Exited(0), Outcome::Exited(137)] {
            assert_eq!(Outcome::parse(outcome.to_json().as_bytes()).unwrap(), outcome);
        }
        let failed = Outcome::parse(Outcome::Failed("no \"sh\"".to_owned()).to_json().as_bytes()).unwrap();
        assert_eq!(
            failed,
            Outcome::Failed("Internal error occurred: no \"sh\"".to_owned())
        );
    }
}
