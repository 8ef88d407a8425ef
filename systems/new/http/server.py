#!/usr/bin/env python3
"""A key-value store over HTTP. Every node answers with what was written last, it says.

One node is the primary, which the others pass writes on to.
"""
import argparse, http.server, json, os, threading, time, urllib.parse, urllib.request

parser = argparse.ArgumentParser()
parser.add_argument("--listen", required=True)
parser.add_argument("--primary", required=True)
parser.add_argument("--data", required=True)
args = parser.parse_args()
primary = args.listen == args.primary
lock = threading.Lock()
values = {}
log = os.path.join(args.data, "log")


def load():
    if os.path.exists(log):
        with open(log) as f:
            for line in f:
                if line.endswith("\n"):
                    values.update(json.loads(line))


def store(key, value):
    with open(log, "a") as f:
        f.write(json.dumps({key: value}) + "\n")
        f.flush()
        os.fsync(f.fileno())
    values[key] = value


def follow():
    """Copies what the primary has, again and again."""
    while True:
        try:
            with urllib.request.urlopen(f"http://{args.primary}/all", timeout=1) as answer:
                copied = json.load(answer)
            with lock:
                values.update(copied)
        except OSError:
            pass
        time.sleep(0.2)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()

    def do_GET(self):
        if self.path == "/health":
            return self.answer(200)
        if self.path == "/role":
            return self.answer(200, "primary" if primary else "copy")
        with lock:
            if self.path == "/all":
                return self.answer(200, json.dumps(values))
            key = self.path.removeprefix("/kv/")
            if key not in values:
                return self.answer(404)
            return self.answer(200, json.dumps({"value": values[key]}))

    def change(self):
        body = self.body()
        if not primary:
            request = urllib.request.Request(f"http://{args.primary}{self.path}", body.encode(), method=self.command)
            try:
                with urllib.request.urlopen(request, timeout=2) as answer:
                    return self.answer(answer.status)
            except urllib.error.HTTPError as e:
                return self.answer(e.code)
            except OSError as e:
                return self.answer(502, str(e))
        url = urllib.parse.urlparse(self.path)
        key = url.path.removeprefix("/kv/")
        expected = urllib.parse.parse_qs(url.query).get("from")
        with lock:
            if expected and str(values.get(key)) != expected[0]:
                return self.answer(409)
            store(key, int(body))
        self.answer(200)

    do_PUT = do_POST = change

    def log_message(self, *args):
        pass


if primary:
    load()
else:
    threading.Thread(target=follow, daemon=True).start()
host, port = args.listen.split(":")
http.server.ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
