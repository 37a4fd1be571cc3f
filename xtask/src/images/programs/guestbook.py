#!/usr/bin/python3
"""The front of the guestbook tutorial: guestbook.php?cmd=set|get on a Redis leader and its followers."""
import http.server
import json
import os
import socket
import urllib.parse


def redis(host, *words):
    with socket.create_connection((host, 6379), timeout=5) as connection:
        request = b"*%d\r\n" % len(words)
        for word in words:
            word = word.encode()
            request += b"$%d\r\n%s\r\n" % (len(word), word)
        connection.sendall(request)
        reply = connection.makefile("rb")
        line = reply.readline()
        if line.startswith(b"$-1"):
            return ""
        if line.startswith(b"$"):
            return reply.read(int(line[1:])).decode()
        return line[1:].strip().decode()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        kind, text = "text/html", "<html><head><title>Guestbook</title></head><body><h2>Guestbook</h2></body></html>\n"
        if url.path == "/guestbook.php":
            kind = "application/json"
            if query.get("cmd") == "set":
                redis(os.environ.get("REDIS_LEADER", "redis-leader"), "SET", query["key"], query["value"])
                text = json.dumps({"message": "Updated"})
            else:
                host = os.environ.get("REDIS_FOLLOWER", "redis-follower")
                text = json.dumps({"data": redis(host, "GET", query["key"])})
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("", 80), Handler).serve_forever()
