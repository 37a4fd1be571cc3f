//! Jobs, CronJobs and DaemonSets as the documentation runs them.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;
use e2e::wait;

use super::{inside_until, until_ready};
use crate::expect::{has, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    a_cron_job_says_hello,
    a_job_computes_pi,
    an_indexed_job,
    parallel_processing_by_expansion,
    a_work_queue,
    a_job_fails_by_its_policy,
    a_job_that_fails_backs_off,
    a_finished_job_is_cleaned_up,
    a_suspended_job,
    a_daemon_set_is_updated_and_rolled_back,
];

fn a_cron_job_says_hello(c: &mut Cluster) -> Result<()> {
    let said = c.apply(
        "\
apiVersion: batch/v1
kind: CronJob
metadata:
  name: hello
spec:
  schedule: \"* * * * *\"
  jobTemplate:
    spec:
      template:
        spec:
          containers:
          - name: hello
            image: busybox:1.28
            imagePullPolicy: IfNotPresent
            command:
            - /bin/sh
            - -c
            - date; echo Hello from the Kubernetes cluster
          restartPolicy: OnFailure
",
    )?;
    same(said, "cronjob.batch/hello created\n")?;
    let (heading, rows) = c.table("get cronjob hello")?;
    same(
        heading,
        [
            "NAME",
            "SCHEDULE",
            "TIMEZONE",
            "SUSPEND",
            "ACTIVE",
            "LAST SCHEDULE",
            "AGE",
        ],
    )?;
    same(
        &rows[0][1..6],
        &["* * * * *", "<none>", "False", "0", "<none>"][..],
    )?;
    let jobs = || c.value("jobs", ".items[*].metadata.name");
    let job = wait::until("the first Job", Duration::from_secs(75), || {
        Ok(Some(jobs()?).filter(|names| names.starts_with("hello-")))
    })?;
    let job = job.split(' ').next().unwrap_or_default().to_owned();
    c.kubectl(&format!("wait --for=condition=complete job/{job} --timeout=60s"))?;
    has(
        &c.kubectl(&format!("logs job/{job}"))?,
        &["Hello from the Kubernetes cluster"],
    )?;
    let (_, rows) = c.table("get cronjob hello")?;
    ensure!(rows[0][5] != "<none>", "{rows:?}");
    has(
        &c.kubectl("describe cronjob hello")?,
        &[
            "SuccessfulCreate",
            "Created job hello-",
            "Successful Job History Limit:  3",
        ],
    )?;
    // A Job by hand.
    same(
        c.kubectl("create job by-hand --from=cronjob/hello")?,
        "job.batch/by-hand created\n",
    )?;
    c.kubectl("wait --for=condition=complete job/by-hand --timeout=60s")?;
    has(
        &c.kubectl("delete cronjob hello")?,
        &["cronjob.batch \"hello\" deleted"],
    )
}

fn a_job_computes_pi(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: batch/v1
kind: Job
metadata:
  name: pi
spec:
  template:
    spec:
      containers:
      - name: pi
        image: perl:5.34.0
        command: [\"perl\",  \"-Mbignum=bpi\", \"-wle\", \"print bpi(200)\"]
      restartPolicy: Never
  backoffLimit: 4
",
    )?;
    c.kubectl("wait --for=condition=complete job/pi --timeout=120s")?;
    let (heading, rows) = c.table("get jobs")?;
    same(heading, ["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"])?;
    same(&rows[0][..3], &["pi", "Complete", "1/1"][..])?;
    let pods = c.kubectl_words(
        &[
            "get",
            "pods",
            "--selector=batch.kubernetes.io/job-name=pi",
            "--output=jsonpath={.items[*].metadata.name}",
        ],
        "",
    )?;
    has(
        &c.kubectl(&format!("logs {pods}"))?,
        &["3.14159265358979323846264338327950288419716939937510"],
    )?;
    has(
        &c.kubectl("describe job pi")?,
        &[
            "Parallelism:      1",
            "Completions:      1",
            "Completion Mode:  NonIndexed",
            "Pods Statuses:    0 Active (0 Ready) / 1 Succeeded / 0 Failed",
            "SuccessfulCreate",
            "Completed",
            "Job completed",
        ],
    )
}

fn an_indexed_job(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: batch/v1
kind: Job
metadata:
  name: 'indexed-job'
spec:
  completions: 5
  parallelism: 3
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      initContainers:
      - name: 'input'
        image: 'docker.io/library/bash'
        command:
        - \"sh\"
        - \"-c\"
        - |
          items='foo bar baz qux xyz'
          echo $items | cut -d' ' -f$((JOB_COMPLETION_INDEX + 1)) > /input/data.txt
        volumeMounts:
        - mountPath: /input
          name: input
      containers:
      - name: 'worker'
        image: 'docker.io/library/busybox'
        command:
        - \"rev\"
        - \"/input/data.txt\"
        volumeMounts:
        - mountPath: /input
          name: input
      volumes:
      - name: input
        emptyDir: {}
",
    )?;
    c.kubectl("wait --for=condition=complete job/indexed-job --timeout=120s")?;
    let described = c.kubectl("describe jobs/indexed-job")?;
    has(
        &described,
        &[
            "Completed Indexes:  0-4",
            "Pods Statuses:      0 Active (0 Ready) / 5 Succeeded / 0 Failed",
        ],
    )?;
    let pod = c.kubectl_words(
        &[
            "get",
            "pods",
            "--selector=batch.kubernetes.io/job-completion-index=3",
            "--output=jsonpath={.items[0].metadata.name}",
        ],
        "",
    )?;
    has(&pod, &["indexed-job-3-"])?;
    same(c.kubectl(&format!("logs {pod}"))?, "xuq\n")
}

fn parallel_processing_by_expansion(c: &mut Cluster) -> Result<()> {
    let template = "\
apiVersion: batch/v1
kind: Job
metadata:
  name: process-item-$ITEM
  labels:
    jobgroup: jobexample
spec:
  template:
    metadata:
      name: jobexample
      labels:
        jobgroup: jobexample
    spec:
      containers:
      - name: c
        image: busybox:1.28
        command: [\"sh\", \"-c\", \"echo Processing item $ITEM && sleep 1\"]
      restartPolicy: Never
---
";
    let all: String = ["apple", "banana", "cherry"]
        .iter()
        .map(|item| template.replace("$ITEM", item))
        .collect();
    let said = c.kubectl_words(&["create", "--filename", "-"], &all)?;
    same(
        said,
        "job.batch/process-item-apple created\njob.batch/process-item-banana created\njob.batch/process-item-cherry created\n",
    )?;
    c.kubectl("wait --for=condition=complete job --selector jobgroup=jobexample --timeout=60s")?;
    let (_, rows) = c.table("get jobs -l jobgroup=jobexample")?;
    ensure!(rows.iter().all(|row| row[2] == "1/1"), "{rows:?}");
    let logs = c.kubectl("logs -f -l jobgroup=jobexample")?;
    for item in ["apple", "banana", "cherry"] {
        has(&logs, &[&format!("Processing item {item}")])?;
    }
    has(
        &c.kubectl("delete job -l jobgroup=jobexample")?,
        &["job.batch \"process-item-apple\" deleted"],
    )
}

fn a_work_queue(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: redis-master
  labels:
    app: redis
spec:
  containers:
    - name: master
      image: redis
      env:
        - name: MASTER
          value: \"true\"
      ports:
        - containerPort: 6379
---
apiVersion: v1
kind: Service
metadata:
  name: redis
spec:
  ports:
    - port: 6379
      targetPort: 6379
  selector:
    app: redis
",
    )?;
    until_ready(c, "redis-master")?;
    let push = "redis-cli rpush job2 apple banana cherry date fig grape lemon melon orange";
    same(inside_until(c, "redis-master", push, "9")?, "9\n")?;
    c.apply(
        "\
apiVersion: batch/v1
kind: Job
metadata:
  name: job-wq-2
spec:
  parallelism: 2
  template:
    metadata:
      name: job-wq-2
    spec:
      containers:
      - name: c
        image: redis
        command:
        - sh
        - -c
        - 'while item=$(redis-cli -h redis lpop job2) && [ -n \"$item\" ]; do echo Working on $item; sleep 0.2; done; echo Queue empty, exiting'
      restartPolicy: OnFailure
",
    )?;
    c.kubectl("wait --for=condition=complete job/job-wq-2 --timeout=100s")?;
    let logs = c.kubectl("logs -l job-name=job-wq-2 --tail=-1")?;
    let worked: Vec<&str> = logs
        .lines()
        .filter(|line| line.starts_with("Working on"))
        .collect();
    same(worked.len(), 9)?;
    same(c.value("job job-wq-2", ".status.succeeded")?, "2")
}

fn a_job_fails_by_its_policy(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: batch/v1
kind: Job
metadata:
  name: job-pod-failure-policy-failjob
spec:
  completions: 8
  parallelism: 2
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: main
        image: docker.io/library/bash:5
        command: [\"sh\"]
        args:
        - -c
        - echo \"Hello world! I'm going to exit with 42 to simulate a software bug.\" && sleep 1 && exit 42
  backoffLimit: 6
  podFailurePolicy:
    rules:
    - action: FailJob
      onExitCodes:
        containerName: main
        operator: In
        values: [42]
",
    )?;
    c.kubectl("wait --for=condition=failed job/job-pod-failure-policy-failjob --timeout=60s")?;
    let conditions = c.value("job job-pod-failure-policy-failjob", ".status.conditions")?;
    has(
        &conditions,
        &[
            "FailureTarget",
            "PodFailurePolicy",
            "Container main for pod",
            "failed with exit code 42 matching FailJob rule at index 0",
        ],
    )
}

fn a_job_that_fails_backs_off(c: &mut Cluster) -> Result<()> {
    c.apply(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: failing\nspec:\n  backoffLimit: 1\n  template:\n    spec:\n      \
         restartPolicy: Never\n      containers:\n      - name: c\n        image: busybox:1.28\n        command: [\"false\"]\n",
    )?;
    c.kubectl("wait --for=condition=failed job/failing --timeout=120s")?;
    same(c.value("job failing", ".status.failed")?, "2")?;
    let (_, rows) = c.table("get job failing")?;
    same(&rows[0][1..3], &["Failed", "0/1"][..])?;
    has(
        &c.kubectl("describe job failing")?,
        &[
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        ],
    )
}

fn a_finished_job_is_cleaned_up(c: &mut Cluster) -> Result<()> {
    c.apply(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: pi-with-ttl\nspec:\n  ttlSecondsAfterFinished: 3\n  template:\n    \
         spec:\n      containers:\n      - name: pi\n        image: busybox:1.28\n        command: [\"true\"]\n      \
         restartPolicy: Never\n",
    )?;
    c.kubectl("wait --for=condition=complete job/pi-with-ttl --timeout=60s")?;
    c.kubectl("wait --for=delete job/pi-with-ttl --timeout=30s")
        .map(drop)
}

fn a_suspended_job(c: &mut Cluster) -> Result<()> {
    c.apply(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: myjob\nspec:\n  suspend: true\n  parallelism: 1\n  completions: 2\n  \
         template:\n    spec:\n      containers:\n      - name: c\n        image: busybox:1.28\n        command: [sleep, '1']\n      \
         restartPolicy: Never\n",
    )?;
    c.until_value(
        "job myjob",
        ".status.conditions[?(@.type==\"Suspended\")].status",
        "True",
    )?;
    let (_, rows) = c.table("get job myjob")?;
    same(&rows[0][1], "Suspended")?;
    same(c.kubectl("get pods --selector job-name=myjob")?, "")?;
    c.kubectl_words(
        &[
            "patch",
            "job/myjob",
            "--type=strategic",
            "--patch",
            r#"{"spec":{"suspend":false}}"#,
        ],
        "",
    )?;
    c.kubectl("wait --for=condition=complete job/myjob --timeout=60s")?;
    let events = c.kubectl("events --for job/myjob")?;
    has(
        &events,
        &[
            "Suspended",
            "Job suspended",
            "Resumed",
            "Job resumed",
            "Completed",
        ],
    )
}

fn a_daemon_set_is_updated_and_rolled_back(c: &mut Cluster) -> Result<()> {
    let manifest = "\
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: fluentd-elasticsearch
  labels:
    k8s-app: fluentd-logging
spec:
  selector:
    matchLabels:
      name: fluentd-elasticsearch
  updateStrategy:
    type: RollingUpdate
    rollingUpdate:
      maxUnavailable: 1
  template:
    metadata:
      labels:
        name: fluentd-elasticsearch
    spec:
      tolerations:
      - key: node-role.kubernetes.io/control-plane
        operator: Exists
        effect: NoSchedule
      containers:
      - name: fluentd-elasticsearch
        image: quay.io/fluentd_elasticsearch/fluentd:v5.0.1
        volumeMounts:
        - name: varlog
          mountPath: /var/log
      terminationGracePeriodSeconds: 30
      volumes:
      - name: varlog
        hostPath:
          path: /var/log
";
    c.apply(manifest)?;
    let rolled = "rollout status ds/fluentd-elasticsearch --timeout=60s";
    has(
        &c.kubectl(rolled)?,
        &["daemon set \"fluentd-elasticsearch\" successfully rolled out"],
    )?;
    let (heading, rows) = c.table("get ds")?;
    same(
        heading,
        [
            "NAME",
            "DESIRED",
            "CURRENT",
            "READY",
            "UP-TO-DATE",
            "AVAILABLE",
            "NODE SELECTOR",
            "AGE",
        ],
    )?;
    same(&rows[0][1..7], &["1", "1", "1", "1", "1", "<none>"][..])?;
    c.apply(&manifest.replace(":v5.0.1", ":v2.6.0"))?;
    c.kubectl(rolled)?;
    same(
        c.kubectl("set image ds/fluentd-elasticsearch fluentd-elasticsearch=busybox:1.28")?,
        "daemonset.apps/fluentd-elasticsearch image updated\n",
    )?;
    let history = c.kubectl("rollout history daemonset fluentd-elasticsearch")?;
    has(
        &history,
        &["REVISION  CHANGE-CAUSE", "1         <none>", "3         <none>"],
    )?;
    has(
        &c.kubectl("rollout history daemonset fluentd-elasticsearch --revision=1")?,
        &["fluentd:v5.0.1"],
    )?;
    has(
        &c.kubectl("rollout undo daemonset fluentd-elasticsearch --to-revision=1")?,
        &["daemonset.apps/fluentd-elasticsearch rolled back"],
    )?;
    c.kubectl(rolled)?;
    same(
        c.value(
            "pods --selector name=fluentd-elasticsearch",
            ".items[*].spec.containers[0].image",
        )?,
        "quay.io/fluentd_elasticsearch/fluentd:v5.0.1",
    )?;
    c.kubectl("delete ds fluentd-elasticsearch")?;
    c.kubectl("wait --for=delete pod --selector name=fluentd-elasticsearch --timeout=60s")
        .map(drop)
}
