"""Sends what no client would send, with the standard library alone, and looks that it is answered and harms nobody else."""
import base64, json, os, socket, ssl, struct, sys, tempfile, threading

namespace = sys.argv[1]
config = json.load(open("KUBECONFIG.json"))
cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
host, port = cluster["server"].removeprefix("https://").split(":")


def file(data):
    with tempfile.NamedTemporaryFile(delete=False) as out:
        out.write(base64.b64decode(data))
    return out.name


files = [file(user["client-certificate-data"]), file(user["client-key-data"]), file(cluster["certificate-authority-data"])]
context = ssl.create_default_context(cafile=files[2])
context.check_hostname = False
context.load_cert_chain(files[0], files[1])
for name in files:
    os.unlink(name)
pod = f"/api/v1/namespaces/{namespace}/pods/shell"
maps = f"/api/v1/namespaces/{namespace}/configmaps"


def connect(alpn=None):
    raw = socket.create_connection((host, int(port)), 20)
    if alpn:
        context.set_alpn_protocols(alpn)
    else:
        context.set_alpn_protocols(["http/1.1"])
    return context.wrap_socket(raw, server_hostname=host)


def head(method, path, headers, length=None):
    lines = [f"{method} {path} HTTP/1.1", "Host: x"] + headers
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def until(stream, end):
    data = b""
    while end not in data:
        more = stream.recv(65536)
        if not more:
            break
        data += more
    return data


def ask(method, path, body=b"", kind="application/json"):
    """The code and the text of an answer."""
    with connect() as stream:
        stream.sendall(head(method, path, ["Connection: close", f"Content-Type: {kind}", "Accept: application/json"], len(body)) + body)
        data = b""
        while True:
            more = stream.recv(65536)
            if not more:
                break
            data += more
    first, _, rest = data.partition(b"\r\n\r\n")
    return int(first.split()[1]), rest.decode("utf-8", "replace")


def drained(stream):
    """Reads what comes until the other end closes."""
    total = 0
    try:
        while True:
            more = stream.recv(65536)
            if not more:
                return total
            total += len(more)
    except (ConnectionError, ssl.SSLError, TimeoutError):
        return total


# Bodies.
deep = 20000
good = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"a":"b"}}'
for body, kind, code, part in [
    (b"\xef\xbb\xbf" + good, "application/json", 400, "invalid character"),
    (b'{"kind":"ConfigMap","apiVersion":"v1","data":{"a":"\xff\xfe"}}', "application/json", 400, "UTF-8"),
    (b'{"x":' * deep + b"1" + b"}" * deep, "application/json", 400, "max depth"),
    (b"[" * deep, "application/json", 400, ""),
    (b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","generation":1e999}}', "application/json", 400, "cannot unmarshal number"),
    (b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","generation":' + b"9" * 100000 + b"}}", "application/json", 400, "cannot unmarshal number"),
    (b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","generation":NaN}}', "application/json", 400, "invalid character 'N'"),
    (b"a: &a [x]\n" + b"b: [" + b"*a," * 5 + b"]\n---\nc: d\n", "application/yaml", 400, ""),
    (b"- " * deep, "application/yaml", 400, ""),
    (b"k8s\0\xff\xff\xff\xff\xff\xff\xff", "application/vnd.kubernetes.protobuf", 400, ""),
    (good, "application/cbor", 415, "unknown format"),
    (good, "text/html", 415, "unknown format"),
    (good, "application/x-www-form-urlencoded", 415, ""),
]:
    told, text = ask("POST", maps, body, kind)
    assert told == code and part in text and '"kind":"Status"' in text, (body[:60], kind, told, text[:400])
told, text = ask("POST", maps + "?fieldValidation=Strict", b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","name":"b"}}')
assert told == 400 and 'duplicate field \\"metadata.name\\"' in text, text
for path in [
    maps + "?labelSelector=" + "(" * 5000,
    maps + "?fieldSelector=%ff%fe=1",
    maps + "?limit=999999999999999999999999",
    maps + "?continue=%00%01",
    maps + "?resourceVersion=x&resourceVersionMatch=y",
    maps + "?timeoutSeconds=-1&watch=1e9",
    "/apis/%2e%2e/%00/" + "x/" * 2000,
]:
    told, text = ask("GET", path)
    assert 200 <= told < 500, (path[:80], told, text[:300])

# Requests that are none.
for data in [b"\x00" * 4096, b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"x" * 1000000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 4096,
             b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\n"]:
    with connect() as stream:
        try:
            stream.sendall(data)
        except (ConnectionError, ssl.SSLError):
            pass
        stream.settimeout(5)
        drained(stream)
with connect(["h2"]) as stream:
    stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">I", 0xFFFFFF04)[1:] + b"\xff" * 4096)
    stream.settimeout(5)
    drained(stream)

# Bodies and streams that are left in the middle.
for _ in range(20):
    with connect() as stream:
        stream.sendall(head("POST", maps, ["Content-Type: application/json"], 100000) + good)
    with connect() as stream:
        stream.sendall(head("GET", maps + "?watch=1", []))
        until(stream, b"\r\n\r\n")

# Garbage behind an upgrade, as SPDY and as WebSocket.
socket_headers = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
spdy = ["Connection: Upgrade", "Upgrade: SPDY/3.1", "X-Stream-Protocol-Version: v4.channel.k8s.io"]
execute = pod + "/exec?command=cat&stdin=1&stdout=1"
ways = []
for version in ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io"]:
    ways.append((execute, socket_headers + ["Sec-WebSocket-Protocol: " + version]))
ways.append((pod + "/attach?stdin=1&stdout=1", socket_headers + ["Sec-WebSocket-Protocol: v5.channel.k8s.io"]))
ways.append((pod + "/portforward?ports=80", socket_headers + ["Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io"]))
ways.append((execute, spdy))
ways.append((pod + "/attach?stdin=1&stdout=1", spdy))
ways.append((pod + "/portforward", spdy[:2] + ["X-Stream-Protocol-Version: portforward.k8s.io"]))


def frame(opcode, data, mask=True, length=None):
    length = len(data) if length is None else length
    out = bytes([0x80 | opcode])
    flag = 0x80 if mask else 0
    if length < 126:
        out += bytes([flag | length])
    elif length < 65536:
        out += bytes([flag | 126]) + struct.pack(">H", length)
    else:
        out += bytes([flag | 127]) + struct.pack(">Q", length)
    return out + (b"\0\0\0\0" if mask else b"") + data


noise = bytes((i * 7919 + 13) % 256 for i in range(65536))
garbage = [
    noise,
    b"\x80\x03\x00\x01\x01\xff\xff\xff" + noise,
    b"\x80\x03\x00\x01\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00",
    b"\x80\x03\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01" * 5000,
    frame(2, b""),
    frame(2, b"\x09" + noise),
    frame(2, b"\xff\x00") + frame(2, b"\xff\x00"),
    frame(2, b"\x04" + b"}" * 60000),
    frame(1, b"4{\"Width\":-1}"),
    frame(2, b"\x00x", mask=False),
    frame(9, b"x" * 200),
    frame(2, b"x", length=1 << 62),
    frame(15, b"x"),
]
for path, headers in ways:
    for data in garbage:
        with connect() as stream:
            stream.settimeout(20)
            stream.sendall(head("POST" if headers[1].endswith("3.1") else "GET", path, headers))
            answer = until(stream, b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 101"), (path, headers, answer[:300])
            try:
                stream.sendall(data)
                stream.settimeout(0.2)
                stream.recv(65536)
            except (ConnectionError, ssl.SSLError, TimeoutError):
                pass

# Slow writers keep nobody waiting.
slow = [connect() for _ in range(50)]
for stream in slow:
    stream.sendall(head("POST", maps, ["Content-Type: application/json"], 1000) + b"{")
for method, path, body in [("POST", maps, good), ("GET", maps + "/a", b""), ("DELETE", maps + "/a", b"")]:
    told, text = ask(method, path, body)
    assert told in (200, 201), (method, told, text[:300])
for stream in slow:
    stream.close()
print("done")
