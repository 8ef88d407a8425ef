#!/usr/bin/env python3
"""A client of Redis for nemesis (nemesis-client/1): registers, one thread and connection a process."""
import json, queue, socket, sys, threading

CAS = "if redis.call('GET',KEYS[1])==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2]) return 1 end return 0"
out = threading.Lock()

def say(line):
    with out:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

class Refused(Exception): """Nothing was sent: the operation certainly did not happen."""

class Redis:
    def __init__(self, address):
        self.address, self.sock = address, None

    def call(self, timeout, *words):
        if self.sock is None:
            try:
                self.sock = socket.create_connection(self.address, timeout)
            except OSError as e:
                raise Refused(str(e))
            self.file = self.sock.makefile("rb")
        try:
            self.sock.settimeout(timeout)
            words = [str(w).encode() for w in words]
            self.sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
            line = self.file.readline()
            if line.startswith(b"$-1"):
                return None
            if line.startswith(b"$"):
                line = self.file.read(int(line[1:]) + 2)
            if not line.endswith(b"\r\n"):
                raise OSError("the connection was closed")
            return line[:-2].decode()
        except OSError:
            self.sock = None  # a late answer must be nobody else's
            raise

def perform(redis, op):
    timeout, f, key, value = op["timeout_ms"] / 1000, op["f"], op.get("key"), op.get("value")
    if f == "read":
        got = redis.call(timeout, "GET", key)
        if got is None or got.isdigit():
            return {"type": "ok", "value": got if got is None else int(got)}
    elif f == "write":
        got = redis.call(timeout, "SET", key, value)
        if got == "+OK":
            return {"type": "ok"}
    elif f == "cas":
        got = redis.call(timeout, "EVAL", CAS, 1, key, *value)
        if got in (":1", ":0"):
            return {"type": "ok"} if got == ":1" else {"type": "fail", "code": 22}
    else:
        return {"type": "fail", "code": 10}
    definite = got.startswith(("-READONLY", "-LOADING"))
    return {"type": "fail" if definite else "info", "code": 11 if definite else 13, "text": got}

def process(jobs):
    connections = {}
    while (op := jobs.get()) is not None:
        redis = connections.setdefault(op["node"], Redis(nodes[op["node"]]))
        try:
            done = perform(redis, op)
        except Refused as e:
            done = {"type": "fail", "code": 11, "text": str(e)}
        except OSError as e:  # it was sent, and nobody knows
            done = {"type": "info", "code": 0, "text": str(e)}
        say({"id": op["id"], **done})

nodes = {n["id"]: (n["addr"], n["ports"]["client"]) for n in json.loads(sys.stdin.readline())["nodes"]}
say({"ready": True, "ops": ["read", "write", "cas"]})
processes = {}
for op in map(json.loads, sys.stdin):
    if "p" in op and op["p"] not in processes:
        processes[op["p"]] = queue.Queue()
        threading.Thread(target=process, args=(processes[op["p"]],), daemon=True).start()
    processes[op.get("p", op.get("close"))].put(op if "p" in op else None)
