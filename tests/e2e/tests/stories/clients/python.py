"""The Python client: objects, watches, the dynamic client, server-side apply, commands, ports."""
import sys, threading, time
from kubernetes import client, config, watch, dynamic
from kubernetes.client import ApiClient
from kubernetes.stream import stream, portforward

config.load_kube_config()
v1, apps = client.CoreV1Api(), client.AppsV1Api()
NS = sys.argv[1]
assert client.VersionApi().get_code().git_version.startswith("v1.")
# objects
cm = v1.create_namespaced_config_map(NS, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="a"), data={"k": "1"}))
assert cm.data == {"k": "1"}
cm.data["k"] = "2"
cm = v1.replace_namespaced_config_map("a", NS, cm)
cm = v1.patch_namespaced_config_map("a", NS, {"data": {"l": "3"}})
assert cm.data == {"k": "2", "l": "3"}, cm.data
try:
    v1.create_namespaced_config_map(NS, {"metadata": {"name": "a"}})
    raise SystemExit("made twice")
except client.ApiException as e:
    assert e.status == 409 and "already exists" in e.body, e
assert len(v1.list_namespaced_config_map(NS, limit=1).items) == 1
# watch
seen = []
w = watch.Watch()
def change():
    for i in range(3):
        v1.patch_namespaced_config_map("a", NS, {"data": {"n": str(i)}})
threading.Timer(0.5, change).start()
for event in w.stream(v1.list_namespaced_config_map, NS, field_selector="metadata.name=a", timeout_seconds=20):
    seen.append((event["type"], event["object"].data.get("n")))
    if seen[-1][1] == "2":
        w.stop()
assert seen == [("ADDED", None), ("MODIFIED", "0"), ("MODIFIED", "1"), ("MODIFIED", "2")], seen
# secrets are bytes
s = v1.create_namespaced_secret(NS, client.V1Secret(metadata=client.V1ObjectMeta(name="s"), string_data={"p": "hi"}))
assert s.data == {"p": "aGk="}
# typed deployment, scale, status
d = apps.create_namespaced_deployment(NS, client.V1Deployment(
    metadata=client.V1ObjectMeta(name="web"),
    spec=client.V1DeploymentSpec(replicas=0, selector=client.V1LabelSelector(match_labels={"app": "web"}),
        template=client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels={"app": "web"}),
            spec=client.V1PodSpec(containers=[client.V1Container(name="c", image="x")])))))
sc = apps.read_namespaced_deployment_scale("web", NS); assert not sc.spec.replicas
apps.patch_namespaced_deployment_scale("web", NS, {"spec": {"replicas": 0}})
apps.delete_namespaced_deployment("web", NS, propagation_policy="Foreground", grace_period_seconds=0)
# dynamic client, discovery
dyn = dynamic.DynamicClient(ApiClient())
maps = dyn.resources.get(api_version="v1", kind="ConfigMap")
one = maps.get(name="a", namespace=NS); assert one.data.k == "2"
applied = maps.server_side_apply(namespace=NS, body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ssa"}, "data": {"x": "y"}}, field_manager="py")
assert applied.metadata.managedFields[0].operation == "Apply", applied
for e in maps.watch(namespace=NS, timeout=2):
    assert e["type"] == "ADDED"
    break
crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "cats.py.example.com"},
  "spec": {"group": "py.example.com", "scope": "Namespaced", "names": {"kind": "Cat", "plural": "cats"},
  "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}}}]}}
client.ApiextensionsV1Api().create_custom_resource_definition(crd)
co = client.CustomObjectsApi()
for _ in range(50):
    try:
        c = co.create_namespaced_custom_object("py.example.com", "v1", NS, "cats", {"apiVersion": "py.example.com/v1", "kind": "Cat", "metadata": {"name": "tom"}, "spec": {"a": 1}})
        break
    except client.ApiException as e:
        assert e.status == 404; time.sleep(0.1)
assert co.list_namespaced_custom_object("py.example.com", "v1", NS, "cats")["items"][0]["spec"] == {"a": 1}
co.patch_namespaced_custom_object("py.example.com", "v1", NS, "cats", "tom", {"spec": {"b": 2}})
dyn.resources.invalidate_cache()
cats = dyn.resources.get(api_version="py.example.com/v1", kind="Cat")
assert cats.get(name="tom", namespace=NS).spec.b == 2
client.ApiextensionsV1Api().delete_custom_resource_definition("cats.py.example.com")
# reviews, errors
r = client.AuthorizationV1Api().create_self_subject_access_review(client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=client.V1ResourceAttributes(verb="get", resource="pods"))))
assert r.status.allowed
t = v1.create_namespaced_service_account_token("default", NS, client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=["x"])))
assert t.status.token.count(".") == 2
v1.delete_collection_namespaced_config_map(NS, label_selector="x=y")
try:
    v1.read_namespaced_pod_log("none", NS); raise SystemExit("log of nothing")
except client.ApiException as e:
    assert e.status == 404
# streams: a command, its input and errors, a terminal, a port, a log
out = stream(v1.connect_get_namespaced_pod_exec, "shell", NS, command=["sh", "-c", "echo out; echo err >&2"], stderr=True, stdin=False, stdout=True, tty=False)
assert sorted(out.split()) == ["err", "out"], out
s = stream(v1.connect_get_namespaced_pod_exec, "shell", NS, command=["sh"], stderr=True, stdin=True, stdout=True, tty=False, _preload_content=False)
s.write_stdin("echo hello; exit 7\n")
s.run_forever(timeout=20)
assert s.read_stdout() == "hello\n" and s.returncode == 7, s.returncode
assert "started" in v1.read_namespaced_pod_log("shell", NS)
s = stream(v1.connect_get_namespaced_pod_exec, "shell", NS, command=["sh", "-c", "echo port | nc -l -p 4000"], stderr=True, stdin=False, stdout=True, tty=False, _preload_content=False)
for _ in range(100):
    ports = portforward(v1.connect_get_namespaced_pod_portforward, "shell", NS, ports="4000")
    sock = ports.socket(4000)
    sock.setblocking(True)
    got = sock.recv(100)
    if got:
        break
    time.sleep(0.1)
assert got == b"port\n", got
print("done")
