//! Tasks on ConfigMaps, Secrets, the downward API and declarative management.

use anyhow::Result;
use e2e::cluster::Cluster;

use super::{inside, inside_until, until_phase, until_ready};
use crate::expect::{has, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    config_maps_from_files_and_literals,
    a_config_map_that_changes,
    credentials_from_a_secret,
    pod_information_in_files,
    pod_information_in_variables,
    commands_arguments_and_variables,
    host_aliases,
    declarative_management,
    kustomize,
    imperative_commands,
];

fn config_maps_from_files_and_literals(c: &mut Cluster) -> Result<()> {
    let folder = c.lab.folder().join(format!("config-{}", c.namespace));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("game.properties"), "enemies=aliens\nlives=3\n")?;
    std::fs::write(folder.join("ui.properties"), "color.good=purple\n")?;
    same(
        c.kubectl(&format!(
            "create configmap game-config --from-file={}",
            folder.display()
        ))?,
        "configmap/game-config created\n",
    )?;
    has(
        &c.kubectl("describe configmaps game-config")?,
        &[
            "game.properties:\n----\nenemies=aliens\nlives=3",
            "ui.properties:\n----\ncolor.good=purple",
        ],
    )?;
    c.kubectl(
        "create configmap special-config --from-literal=special.how=very --from-literal=special.type=charm",
    )?;
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: dapi-test-pod
spec:
  containers:
    - name: test-container
      image: registry.k8s.io/busybox:1.27.2
      command: [ \"/bin/sh\", \"-c\", \"echo $(SPECIAL_LEVEL_KEY) $(SPECIAL_TYPE_KEY); ls /etc/config/\" ]
      env:
        - name: SPECIAL_LEVEL_KEY
          valueFrom:
            configMapKeyRef:
              name: special-config
              key: special.how
        - name: SPECIAL_TYPE_KEY
          valueFrom:
            configMapKeyRef:
              name: special-config
              key: special.type
      volumeMounts:
      - name: config-volume
        mountPath: /etc/config
  volumes:
    - name: config-volume
      configMap:
        name: special-config
  restartPolicy: Never
",
    )?;
    until_phase(c, "dapi-test-pod", "Succeeded")?;
    same(
        c.kubectl("logs dapi-test-pod")?,
        "very charm\nspecial.how\nspecial.type\n",
    )
}

fn a_config_map_that_changes(c: &mut Cluster) -> Result<()> {
    c.kubectl("create configmap sport --from-literal=sport=football")?;
    c.apply(
        "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: configmap-volume
  labels:
    app.kubernetes.io/name: configmap-volume
spec:
  replicas: 3
  selector:
    matchLabels:
      app.kubernetes.io/name: configmap-volume
  template:
    metadata:
      labels:
        app.kubernetes.io/name: configmap-volume
    spec:
      containers:
        - name: alpine
          image: alpine:3
          command:
            - /bin/sh
            - -c
            - while true; do echo \"$(date) My preferred sport is $(cat /etc/config/sport)\";
              sleep 1; done;
          volumeMounts:
            - name: config-volume
              mountPath: /etc/config
      volumes:
        - name: config-volume
          configMap:
            name: sport
",
    )?;
    c.kubectl("rollout status deployment/configmap-volume --timeout=60s")?;
    let patch = r#"{"data":{"sport":"cricket"}}"#;
    c.kubectl_words(&["patch", "configmap", "sport", "--patch", patch], "")?;
    inside_until(c, "deploy/configmap-volume", "cat /etc/config/sport", "cricket").map(drop)
}

fn credentials_from_a_secret(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Secret
metadata:
  name: test-secret
data:
  username: bXktYXBw
  password: Mzk1MjgkdmRnN0pi
",
    )?;
    has(
        &c.kubectl("describe secret test-secret")?,
        &["Type:  Opaque", "password:  12 bytes", "username:  6 bytes"],
    )?;
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: secret-test-pod
spec:
  containers:
    - name: test-container
      image: nginx
      envFrom:
      - secretRef:
          name: test-secret
      volumeMounts:
        - name: secret-volume
          mountPath: /etc/secret-volume
          readOnly: true
  volumes:
    - name: secret-volume
      secret:
        secretName: test-secret
        defaultMode: 0400
",
    )?;
    until_ready(c, "secret-test-pod")?;
    same(
        inside(
            c,
            "secret-test-pod",
            "cat /etc/secret-volume/username; echo; cat /etc/secret-volume/password; echo; echo $username",
        )?,
        "my-app\n39528$vdg7Jb\nmy-app\n",
    )?;
    has(
        &inside(c, "secret-test-pod", "ls -lL /etc/secret-volume/password")?,
        &["-r--------"],
    )
}

fn pod_information_in_files(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: kubernetes-downwardapi-volume-example
  labels:
    zone: us-est-coast
    cluster: test-cluster1
    rack: rack-22
  annotations:
    build: two
    builder: john-doe
spec:
  containers:
    - name: client-container
      image: registry.k8s.io/busybox:1.27.2
      command: [\"sh\", \"-c\", \"sleep 1h\"]
      resources:
        limits:
          cpu: 250m
          memory: 64Mi
      volumeMounts:
        - name: podinfo
          mountPath: /etc/podinfo
  volumes:
    - name: podinfo
      downwardAPI:
        items:
          - path: \"labels\"
            fieldRef:
              fieldPath: metadata.labels
          - path: \"annotations\"
            fieldRef:
              fieldPath: metadata.annotations
          - path: \"cpu_limit\"
            resourceFieldRef:
              containerName: client-container
              resource: limits.cpu
              divisor: 1m
          - path: \"mem_limit\"
            resourceFieldRef:
              containerName: client-container
              resource: limits.memory
",
    )?;
    let pod = "kubernetes-downwardapi-volume-example";
    until_ready(c, pod)?;
    same(
        inside(c, pod, "cat /etc/podinfo/labels")?,
        "cluster=\"test-cluster1\"\nrack=\"rack-22\"\nzone=\"us-est-coast\"",
    )?;
    has(
        &inside(c, pod, "cat /etc/podinfo/annotations")?,
        &["build=\"two\"\nbuilder=\"john-doe\"\n"],
    )?;
    same(
        inside(c, pod, "cat /etc/podinfo/cpu_limit /etc/podinfo/mem_limit")?,
        "25067108864",
    )?;
    c.kubectl(&format!("label pod {pod} rack=rack-23 --overwrite"))?;
    inside_until(c, pod, "cat /etc/podinfo/labels", "rack-23").map(drop)
}

fn pod_information_in_variables(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: dapi-envars-fieldref
spec:
  containers:
    - name: test-container
      image: registry.k8s.io/busybox:1.27.2
      command: [ \"sh\", \"-c\"]
      args:
      - echo $MY_POD_NAME $MY_POD_NAMESPACE $MY_POD_SERVICE_ACCOUNT; echo $MY_NODE_NAME $MY_POD_IP; echo $MY_CPU_REQUEST $MY_MEM_LIMIT
      resources:
        requests:
          memory: \"32Mi\"
          cpu: \"125m\"
        limits:
          memory: \"64Mi\"
          cpu: \"250m\"
      env:
        - name: MY_NODE_NAME
          valueFrom:
            fieldRef:
              fieldPath: spec.nodeName
        - name: MY_POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        - name: MY_POD_NAMESPACE
          valueFrom:
            fieldRef:
              fieldPath: metadata.namespace
        - name: MY_POD_IP
          valueFrom:
            fieldRef:
              fieldPath: status.podIP
        - name: MY_POD_SERVICE_ACCOUNT
          valueFrom:
            fieldRef:
              fieldPath: spec.serviceAccountName
        - name: MY_CPU_REQUEST
          valueFrom:
            resourceFieldRef:
              containerName: test-container
              resource: requests.cpu
        - name: MY_MEM_LIMIT
          valueFrom:
            resourceFieldRef:
              containerName: test-container
              resource: limits.memory
  restartPolicy: Never
",
    )?;
    until_phase(c, "dapi-envars-fieldref", "Succeeded")?;
    let node = c.value("pod dapi-envars-fieldref", ".spec.nodeName")?;
    let ip = c.value("pod dapi-envars-fieldref", ".status.podIP")?;
    same(
        c.kubectl("logs dapi-envars-fieldref")?,
        format!(
            "dapi-envars-fieldref {} default\n{node} {ip}\n1 67108864\n",
            c.namespace
        ),
    )
}

fn commands_arguments_and_variables(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: dependent-envars-demo
spec:
  restartPolicy: Never
  containers:
    - name: dependent-envars-demo
      args:
        - printf UNCHANGED_REFERENCE=$UNCHANGED_REFERENCE'\\n'; printf SERVICE_ADDRESS=$SERVICE_ADDRESS'\\n';printf ESCAPED_REFERENCE=$ESCAPED_REFERENCE'\\n';
      command:
        - sh
        - -c
      image: busybox:1.28
      env:
        - name: SERVICE_PORT
          value: \"80\"
        - name: SERVICE_IP
          value: \"172.17.0.1\"
        - name: UNCHANGED_REFERENCE
          value: \"$(PROTOCOL)://$(SERVICE_IP):$(SERVICE_PORT)\"
        - name: PROTOCOL
          value: \"https\"
        - name: SERVICE_ADDRESS
          value: \"$(PROTOCOL)://$(SERVICE_IP):$(SERVICE_PORT)\"
        - name: ESCAPED_REFERENCE
          value: \"$$(PROTOCOL)://$(SERVICE_IP):$(SERVICE_PORT)\"
",
    )?;
    until_phase(c, "dependent-envars-demo", "Succeeded")?;
    same(
        c.kubectl("logs dependent-envars-demo")?,
        "UNCHANGED_REFERENCE=$(PROTOCOL)://172.17.0.1:80\nSERVICE_ADDRESS=https://172.17.0.1:80\nESCAPED_REFERENCE=$(PROTOCOL)://172.17.0.1:80\n",
    )?;
    c.apply(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: command-demo\nspec:\n  containers:\n  - name: command-demo-container\n    \
         image: busybox:1.28\n    command: [\"printenv\"]\n    args: [\"HOSTNAME\", \"KUBERNETES_PORT\"]\n  restartPolicy: OnFailure\n",
    )?;
    until_phase(c, "command-demo", "Succeeded")?;
    same(
        c.kubectl("logs command-demo")?,
        "command-demo\ntcp://10.96.0.1:443\n",
    )
}

fn host_aliases(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: hostaliases-pod
spec:
  restartPolicy: Never
  hostAliases:
  - ip: \"127.0.0.1\"
    hostnames:
    - \"foo.local\"
    - \"bar.local\"
  - ip: \"10.1.2.3\"
    hostnames:
    - \"foo.remote\"
    - \"bar.remote\"
  containers:
  - name: cat-hosts
    image: busybox:1.28
    command:
    - cat
    args:
    - \"/etc/hosts\"
",
    )?;
    until_phase(c, "hostaliases-pod", "Succeeded")?;
    has(
        &c.kubectl("logs hostaliases-pod")?,
        &[
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n",
            "\thostaliases-pod\n",
            "# Entries added by HostAliases.\n127.0.0.1\tfoo.local\tbar.local\n10.1.2.3\tfoo.remote\tbar.remote\n",
        ],
    )
}

fn declarative_management(c: &mut Cluster) -> Result<()> {
    let manifest = crate::deployments::NGINX.replace("  replicas: 3\n", "  minReadySeconds: 5\n");
    has(
        &c.kubectl_words(&["diff", "--filename", "-"], &manifest)
            .err()
            .map(|error| format!("{error:#}"))
            .unwrap_or_default(),
        &["+kind: Deployment", "+  name: nginx-deployment"],
    )?;
    same(c.apply(&manifest)?, "deployment.apps/nginx-deployment created\n")?;
    has(
        &c.kubectl("get deployment nginx-deployment -o yaml")?,
        &[
            "kubectl.kubernetes.io/last-applied-configuration: |",
            "minReadySeconds: 5",
        ],
    )?;
    same(
        c.kubectl("scale deployment/nginx-deployment --replicas=2")?,
        "deployment.apps/nginx-deployment scaled\n",
    )?;
    let newer = manifest
        .replace("  minReadySeconds: 5\n", "")
        .replace("1.14.2", "1.16.1");
    let changed = c.try_kubectl(&["diff", "--filename", "-"], &newer)?;
    same(changed.code, 1)?;
    has(
        &changed.stdout,
        &[
            "-      - image: nginx:1.14.2",
            "+      - image: nginx:1.16.1",
            "-  minReadySeconds: 5",
        ],
    )?;
    same(c.apply(&newer)?, "deployment.apps/nginx-deployment configured\n")?;
    let spec = c.value("deployment nginx-deployment", ".spec")?;
    has(&spec, &[r#""replicas":2"#, "nginx:1.16.1"])?;
    crate::expect::has_not(&spec, &["minReadySeconds"])?;
    same(c.try_kubectl(&["diff", "--filename", "-"], &newer)?.code, 0)
}

fn kustomize(c: &mut Cluster) -> Result<()> {
    let folder = c.lab.folder().join(format!("kustomize-{}", c.namespace));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(
        folder.join("kustomization.yaml"),
        "namePrefix: dev-\nlabels:\n- pairs:\n    app: my-nginx\n  includeSelectors: true\nresources:\n- deployment.yaml\n\
         configMapGenerator:\n- name: example-configmap-1\n  literals:\n  - FOO=Bar\nimages:\n- name: nginx\n  newTag: 1.16.1\n",
    )?;
    std::fs::write(folder.join("deployment.yaml"), crate::deployments::NGINX)?;
    let folder = folder.display();
    has(
        &c.kubectl(&format!("apply -k {folder}"))?,
        &[
            "configmap/dev-example-configmap-1-",
            "deployment.apps/dev-nginx-deployment created",
        ],
    )?;
    has(
        &c.kubectl(&format!("get -k {folder}"))?,
        &[
            "configmap/dev-example-configmap-1-",
            "deployment.apps/dev-nginx-deployment",
        ],
    )?;
    same(
        c.value(
            "deployment dev-nginx-deployment",
            ".spec.template.spec.containers[0].image",
        )?,
        "nginx:1.16.1",
    )?;
    c.kubectl(&format!("diff -k {folder}"))?;
    has(
        &c.kubectl(&format!("delete -k {folder}"))?,
        &["deployment.apps \"dev-nginx-deployment\" deleted"],
    )
}

fn imperative_commands(c: &mut Cluster) -> Result<()> {
    same(
        c.kubectl("create deployment nginx --image=nginx:1.14.2 --replicas=2")?,
        "deployment.apps/nginx created\n",
    )?;
    same(
        c.kubectl("expose deployment nginx --port=80 --name=web")?,
        "service/web exposed\n",
    )?;
    same(
        c.kubectl("autoscale deployment nginx --min=2 --max=5 --cpu=80%")?,
        "horizontalpodautoscaler.autoscaling/nginx autoscaled\n",
    )?;
    same(
        c.kubectl("set image deployment/nginx nginx=nginx:1.16.1")?,
        "deployment.apps/nginx image updated\n",
    )?;
    same(
        c.kubectl("set env deployment/nginx MODE=fast")?,
        "deployment.apps/nginx env updated\n",
    )?;
    same(
        c.kubectl("set resources deployment/nginx --limits=cpu=200m,memory=64Mi")?,
        "deployment.apps/nginx resource requirements updated\n",
    )?;
    same(
        c.kubectl("annotate deployment nginx note=here")?,
        "deployment.apps/nginx annotated\n",
    )?;
    same(
        c.kubectl("label deployment nginx tier=front")?,
        "deployment.apps/nginx labeled\n",
    )?;
    c.kubectl("rollout status deployment/nginx --timeout=60s")?;
    let mut complete = c.lab.network_command(e2e::artifacts::kubectl());
    complete.env("KUBECONFIG", c.kubeconfig());
    complete.args([
        "__complete",
        "get",
        "deployments",
        "--namespace",
        &c.namespace,
        "ngi",
    ]);
    let names = e2e::process::output(&mut complete)?;
    has(&names, &["nginx\n"])?;
    has(
        &c.kubectl("get deployments --output custom-columns=NAME:.metadata.name,IMAGE:.spec.template.spec.containers[0].image")?,
        &["NAME    IMAGE", "nginx   nginx:1.16.1"],
    )?;
    same(
        c.kubectl("create job busy --image=busybox:1.28 -- true")?,
        "job.batch/busy created\n",
    )?;
    same(
        c.kubectl("create quota none --hard=count/widgets.example.com=1")?,
        "resourcequota/none created\n",
    )?;
    same(
        c.kubectl("create poddisruptionbudget budget --selector=app=nginx --min-available=1")?,
        "poddisruptionbudget.policy/budget created\n",
    )?;
    same(
        c.kubectl("create ingress simple --rule=foo.com/bar=web:80")?,
        "ingress.networking.k8s.io/simple created\n",
    )?;
    same(c.kubectl("auth can-i create deployments")?, "yes\n")?;
    has(&c.kubectl("auth can-i --list")?, &["Resources", "*.*", "[*]"])
}
