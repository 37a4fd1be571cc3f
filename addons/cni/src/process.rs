//! Running a plugin's executable: environment in, configuration on stdin, result on stdout.

use crate::spec::{Failure, code};
use std::{
    env::join_paths,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

/// The parameters of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    pub command: String,
    pub container_id: String,
    pub netns: PathBuf,
    pub ifname: String,
    pub args: String,
    pub path: Vec<PathBuf>,
}

/// Runs the plugin and waits for it; what it printed. Blocking.
pub(crate) fn run(plugin: &str, environment: &Environment, input: &[u8]) -> Result<Vec<u8>, Failure> {
    if plugin.is_empty() || plugin.contains('/') {
        return Err(Failure::new(
            code::INVALID_CONFIG,
            format!("invalid plugin name: {plugin:?}"),
        ));
    }
    let candidates = environment.path.iter().map(|folder| folder.join(plugin));
    let program = candidates.clone().find(|file| file.is_file()).ok_or_else(|| {
        let folders: Vec<String> = environment
            .path
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        Failure::new(
            code::INVALID_CONFIG,
            format!("failed to find plugin {plugin:?} in path {folders:?}"),
        )
    })?;
    let path = join_paths(&environment.path).map_err(|e| Failure::internal("CNI_PATH", e))?;
    let mut command = Command::new(program);
    command
        .env("CNI_COMMAND", &environment.command)
        .env("CNI_PATH", path);
    command
        .env("CNI_CONTAINERID", &environment.container_id)
        .env("CNI_NETNS", &environment.netns);
    command
        .env("CNI_IFNAME", &environment.ifname)
        .env("CNI_ARGS", &environment.args);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|e| Failure::internal("starting the plugin", e))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A plugin that does not read its input closes the pipe; what it answers tells.
        let _ = stdin.write_all(input);
    }
    let output = child
        .wait_with_output()
        .map_err(|e| Failure::internal("waiting for the plugin", e))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        let errors = String::from_utf8_lossy(&output.stderr);
        let text = if errors.trim().is_empty() {
            output.status.to_string()
        } else {
            errors.trim().to_owned()
        };
        Failure::new(code::INTERNAL, text)
    }))
}
