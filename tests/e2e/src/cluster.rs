//! A cluster in a lab: `ferrokube up`, and kubectl against it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal};

use crate::lab::Lab;
use crate::process::Output;
use crate::{artifacts, kernel, process, wait};

/// How long a cluster may take to come up or to go down before that is an error.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest that one call of kubectl may take, in seconds.
const KUBECTL_LIMIT: &str = "180";

/// A cluster, as seen from one namespace; it is stopped and removed with its lab when the last view of it is dropped.
#[derive(Debug)]
pub struct Cluster {
    /// The namespace that kubectl works in.
    pub namespace: String,
    binary: PathBuf,
    running: Arc<Running>,
    /// The machine that it runs on.
    pub lab: Arc<Lab>,
}

/// The process of a cluster, if there is one. It is stopped with the last view; the lab ends what does not end by itself.
#[derive(Debug, Default)]
struct Running(Mutex<Option<Child>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let child = self.lock().take();
        let _ = child.map(|child| end(child, Signal::TERM));
    }
}

impl Cluster {
    /// Makes a machine, with nothing started on it.
    pub fn new() -> Result<Cluster> {
        Cluster::with_binary(
            artifacts::ferrokube().context("no ferrokube binary: build it, or name it in $FERROKUBE")?,
        )
    }

    /// Makes a machine for this binary.
    pub fn with_binary(binary: PathBuf) -> Result<Cluster> {
        Ok(Cluster {
            namespace: "default".to_owned(),
            binary,
            running: Arc::default(),
            lab: Arc::new(Lab::new()?),
        })
    }

    /// The same cluster, seen from another namespace.
    pub fn in_namespace(&self, namespace: &str) -> Cluster {
        Cluster {
            namespace: namespace.to_owned(),
            binary: self.binary.clone(),
            running: self.running.clone(),
            lab: self.lab.clone(),
        }
    }

    /// The kubeconfig that the cluster writes.
    pub fn kubeconfig(&self) -> PathBuf {
        self.lab.folder().join("kubeconfig")
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.lab.folder().join("data")
    }

    /// The log of the cluster.
    pub fn log(&self) -> PathBuf {
        self.lab.folder().join("ferrokube.log")
    }

    /// What the running cluster printed.
    pub fn output(&self) -> PathBuf {
        self.lab.folder().join("ferrokube.out")
    }

    /// `ferrokube up` with the settings of this cluster, and more.
    pub fn up_command(&self, more: &[&str]) -> Command {
        let mut command = self.ferrokube(&["up", "--data-dir"]);
        command
            .arg(self.data_dir())
            .arg("--kubeconfig")
            .arg(self.kubeconfig());
        command.arg("--registries").arg(self.lab.registries());
        // The disk is the machine's, which may be nearly full: pods stay all the same.
        command.arg("--eviction-hard=memory.available<100Mi").args(more);
        command
    }

    /// A ferrokube command on the machine.
    pub fn ferrokube(&self, arguments: &[&str]) -> Command {
        let mut command = self.lab.command(&self.binary);
        command.args(arguments);
        command
    }

    /// Starts the cluster and waits until it says that it is ready. The answer is how long that took.
    pub fn up(&mut self) -> Result<Duration> {
        let mut running = self.running.lock();
        ensure!(running.is_none(), "the cluster runs already");
        let output = self.output();
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = self.up_command(&[]);
        command
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(log);
        let start = Instant::now();
        let child = running.insert(command.spawn().context("start ferrokube")?);
        // An early end is an answer too: there is nothing more to wait for.
        let answer = wait::until("ferrokube up to say that it is ready", PATIENCE, || {
            let said = fs::read_to_string(&output)?;
            if said
                .lines()
                .any(|line| line.trim() == "ready" || line.starts_with("ready "))
            {
                return Ok(Some(Ok(())));
            }
            let ended = child.try_wait()?;
            Ok(ended.map(|status| Err(anyhow!("ferrokube up ended with {status}, having said:\n{said}"))))
        });
        let took = start.elapsed();
        answer.and_then(|ended| ended).map(|()| took).map_err(|error| {
            anyhow!(
                "{error:#}
{}",
                self.log_tail()
            )
        })
    }

    /// Stops a cluster that was started with `up -d`.
    pub fn stop_detached(&self) -> Result<()> {
        let mut stop = self.ferrokube(&["stop", "--data-dir"]);
        process::output(stop.arg(self.data_dir())).map(drop)
    }

    /// Starts the cluster if it does not run, since a story that failed may have left it stopped, or detached.
    pub fn see_that_it_runs(&mut self) -> Result<()> {
        let ended = match &mut *self.running.lock() {
            Some(child) => child.try_wait()?.is_some(),
            None => true,
        };
        if ended {
            *self.running.lock() = None;
            self.stop_detached()?;
            self.up()?;
        }
        Ok(())
    }

    /// The process of the running cluster, as seen outside of the lab.
    pub fn pid(&self) -> Result<u32> {
        let running = self.running.lock();
        process_of(running.as_ref().context("the cluster does not run")?)
    }

    /// Stops the cluster as a service manager does and gives its exit code.
    pub fn stop(&mut self) -> Result<i32> {
        self.end(Signal::TERM)
    }

    /// Stops the cluster as Ctrl-C does and gives its exit code.
    pub fn interrupt(&mut self) -> Result<i32> {
        self.end(Signal::INT)
    }

    /// Ends the cluster as a crash does.
    pub fn kill(&mut self) -> Result<()> {
        self.end(Signal::KILL).map(drop)
    }

    fn end(&mut self, signal: Signal) -> Result<i32> {
        let child = self.running.lock().take().context("the cluster does not run")?;
        end(child, signal).map_err(|error| anyhow!("{error:#}\n{}", self.log_tail()))
    }

    /// A kubectl command in the network of the cluster and in the namespace of the story, with a limit of time.
    pub fn kubectl_command(&self, arguments: &[&str]) -> Command {
        self.command_of(&artifacts::kubectl(), arguments)
    }

    /// The same with that kubectl.
    pub fn command_of(&self, kubectl: &std::path::Path, arguments: &[&str]) -> Command {
        let mut command = self.lab.network_command("timeout");
        // In the foreground, since a command in a process group of its own may not read from a terminal.
        command
            .arg("--foreground")
            .arg(KUBECTL_LIMIT)
            // Who kills the command kills `timeout`, and kubectl has to go with it.
            .args(["setpriv", "--pdeathsig", "KILL"])
            .arg(kubectl)
            .args(["--namespace", &self.namespace])
            .args(arguments);
        command
            .env("KUBECONFIG", self.kubeconfig())
            .env_remove("KUBERNETES_SERVICE_HOST");
        command
    }

    /// Runs kubectl, whatever comes of it.
    pub fn try_kubectl(&self, arguments: &[&str], input: &str) -> Result<Output> {
        process::run(&mut self.kubectl_command(arguments), input)
    }

    /// Runs kubectl with the words of a line, and gives what it printed; an exit code other than 0 is an error.
    pub fn kubectl(&self, line: &str) -> Result<String> {
        self.kubectl_words(&line.split_whitespace().collect::<Vec<_>>(), "")
    }

    /// Runs kubectl with these words and this input; as `kubectl` else.
    pub fn kubectl_words(&self, words: &[&str], input: &str) -> Result<String> {
        let done = self.try_kubectl(words, input)?;
        ensure!(
            done.code == 0,
            "kubectl {} ended with {}:\n{}{}",
            words.join(" "),
            done.code,
            done.stdout,
            done.stderr
        );
        Ok(done.stdout)
    }

    /// Applies a manifest.
    pub fn apply(&self, manifest: &str) -> Result<String> {
        self.kubectl_words(&["apply", "--filename", "-"], manifest)
    }

    /// Runs kubectl with these words and this input, expects that it fails, and gives what it said.
    pub fn refused(&self, words: &[&str], input: &str) -> Result<String> {
        let done = self.try_kubectl(words, input)?;
        ensure!(
            done.code != 0,
            "kubectl {} did not fail, but said:\n{}",
            words.join(" "),
            done.stdout
        );
        Ok(done.stderr + &done.stdout)
    }

    /// One value of an object, by kubectl's JSONPath.
    pub fn value(&self, object: &str, path: &str) -> Result<String> {
        let path = format!("jsonpath={{{path}}}");
        let words: Vec<&str> = ["get"]
            .into_iter()
            .chain(object.split_whitespace())
            .chain(["--output", &path])
            .collect();
        self.kubectl_words(&words, "")
    }

    /// The heading of what `kubectl get` prints, and its rows, by columns.
    pub fn table(&self, line: &str) -> Result<(Vec<String>, Vec<Vec<String>>)> {
        let said = self.kubectl(line)?;
        // Columns are parted by three spaces; a value, such as "3 (2s ago)", may have one.
        let columns = |line: &str| {
            let cells = line.split("   ").map(str::trim).filter(|cell| !cell.is_empty());
            cells.map(str::to_owned).collect::<Vec<_>>()
        };
        let mut lines = said.lines();
        let heading = lines.next().map(columns).unwrap_or_default();
        Ok((heading, lines.map(columns).collect()))
    }

    /// Waits until a value is as expected.
    pub fn until_value(&self, object: &str, path: &str, expected: &str) -> Result<()> {
        wait::until(
            &format!("{path} of {object} to be {expected:?}"),
            PATIENCE,
            || {
                let value = self.value(object, path)?;
                if value == expected {
                    Ok(Some(()))
                } else {
                    bail!("it is {value:?}")
                }
            },
        )
    }

    /// Prints what one needs to see why a story failed.
    pub fn diagnose(&self) {
        for line in [
            "get all,endpointslices --output wide",
            "describe pods",
            "get events --all-namespaces",
        ] {
            let words: Vec<&str> = line.split(' ').chain(["--request-timeout=5s"]).collect();
            match self.try_kubectl(&words, "") {
                Ok(done) => println!("--- kubectl {line}\n{}{}", done.stdout, done.stderr),
                Err(error) => println!("--- kubectl {line}: {error:#}"),
            }
        }
        println!("--- {}", self.log_tail());
    }

    /// The last lines of the log.
    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        format!(
            "the end of the log:\n{}",
            lines[lines.len().saturating_sub(100)..].join("\n")
        )
    }
}

fn process_of(child: &Child) -> Result<u32> {
    kernel::child_of(child.id()).context("the cluster's process is gone")
}

/// Ends a cluster's process and gives its exit code.
fn end(mut child: Child, signal: Signal) -> Result<i32> {
    use std::os::unix::process::ExitStatusExt as _;
    let pid = Pid::from_raw(i32::try_from(process_of(&child)?)?).context("a pid is not 0")?;
    rustix::process::kill_process(pid, signal)?;
    let status = wait::until("ferrokube up to end", PATIENCE, || Ok(child.try_wait()?))?;
    Ok(status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}
