#!/usr/bin/python3
"""The parts of Kubernetes' test image agnhost that the documentation's examples use."""
import http.server
import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STARTED = time.monotonic()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        # Without the look-up of a name that the base class does.
        http.server.socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, code, text):
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        self.answer(*self.server.route(self, url.path, query))

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET


def serve(port, route):
    server = Server(("", port), Handler)
    server.route = route
    print(f"Started HTTP server on port {port}", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def serve_udp(port):
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("", port))
    while True:
        data, peer = udp.recvfrom(65536)
        words = data.decode(errors="replace").split(None, 1)
        if words[:1] == ["hostname"]:
            udp.sendto(socket.gethostname().encode(), peer)
        elif words[:1] == ["echo"]:
            udp.sendto(words[1].encode() if words[1:] else b"", peer)
        elif words[:1] == ["clientip"]:
            udp.sendto(f"{peer[0]}:{peer[1]}".encode(), peer)


def netexec(handler, path, query):
    if path == "/hostname":
        return 200, socket.gethostname()
    if path == "/echo":
        return int(query.get("code", 200)), query.get("msg", "")
    if path == "/clientip":
        return 200, "%s:%d" % handler.client_address[:2]
    if path == "/header":
        return 200, handler.headers.get(query.get("key", ""), "")
    if path == "/healthz":
        return 200, "ok"
    if path == "/exit":
        threading.Timer(0.1, os._exit, [int(query.get("code", 0))]).start()
        return 200, "exiting"
    if path == "/":
        return 200, "NOW: %s" % time.strftime("%Y-%m-%d %H:%M:%S")
    return 404, "404 page not found\n"


def liveness(_, path, __):
    """Well for ten seconds, then not any more."""
    if path != "/healthz":
        return 404, "404 page not found\n"
    age = time.monotonic() - STARTED
    return (200, "ok") if age <= 10 else (500, f"error: {age}")


def wait():
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


def option(name, default):
    for word, value in zip(sys.argv, sys.argv[1:] + [""]):
        if word == f"--{name}":
            return value
        if word.startswith(f"--{name}="):
            return word.split("=", 1)[1]
    return default


def main():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    command = sys.argv[1] if len(sys.argv) > 1 else "pause"
    if command == "netexec":
        serve(int(option("http-port", 8080)), netexec)
        threading.Thread(target=serve_udp, args=(int(option("udp-port", 8081)),), daemon=True).start()
    elif command == "serve-hostname":
        serve(int(option("port", 9376)), lambda *_: (200, socket.gethostname()))
    elif command == "liveness":
        serve(8080, liveness)
    elif command == "env":
        print(json.dumps(dict(os.environ), indent=1), flush=True)
    elif command != "pause":
        sys.exit(f"agnhost: no command {command}")
    wait()


main()
