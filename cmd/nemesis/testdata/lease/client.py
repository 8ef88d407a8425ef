#!/usr/bin/env python3
"""Leases in Redis, for nemesis-client/1: a key holds the name of its lease, and expires."""
import json, queue, socket, sys, threading

ACQUIRE = "if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return redis.call('INCR', 'fence') end return 0"
RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
TAKE = ACQUIRE.replace("'NX', ", "")  # whoever holds it
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
out = threading.Lock()


def say(line):
    with out:
        print(json.dumps(line), flush=True)


def call(connection, op, *words):
    timeout = op["timeout_ms"] / 1000
    if "socket" not in connection:
        connection["socket"] = socket.create_connection(nodes[op["node"]], timeout)
        connection["file"] = connection["socket"].makefile("rb")
    connection["socket"].settimeout(timeout)
    words = [str(w).encode() for w in words]
    connection["socket"].sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
    line = connection["file"].readline()
    if line[:1] == b"$" and line[:2] != b"$-":
        line = connection["file"].read(int(line[1:]) + 2)
    if not line.endswith(b"\r\n") or line[:1] == b"-":
        raise OSError(line.decode())
    return None if line[:2] == b"$-" else line[1:-2] if line[:1] in b":+" else line[:-2]


def perform(connection, op):
    f, key, grant = op["f"], op["key"], op.get("value")
    if f == "acquire":
        lease = f"{hello['seed']}-{op['id']}"
        token = int(call(connection, op, "EVAL", TAKE if sys.argv[1] == "held" else ACQUIRE, 1, key, lease, hello["ttl_ms"]))
        if not token:
            return {"type": "fail", "code": 22, "value": {"held": True}}
        return {"type": "ok", "value": {"lease": lease, "token": token, "ttl": hello["ttl_ms"]}}
    if f == "holder":
        lease = call(connection, op, "GET", key)
        return {"type": "ok", "value": lease and {"lease": lease.decode()}}
    if call(connection, op, "EVAL", RELEASE if f == "release" else RENEW, 1, key, grant["lease"], hello["ttl_ms"]) == b"1":
        return {"type": "ok", "value": None if f == "release" else {**grant, "ttl": hello["ttl_ms"]}}
    return {"type": "fail", "code": 22, "value": {"gone": True}}


def process(jobs):
    connection = {}
    while (op := jobs.get()) is not None:
        try:
            done = perform(connection, op)
        except OSError as e:
            connection.clear()
            done = {"type": "info", "code": 0, "text": str(e)}
        say({"id": op["id"], **done})


hello = json.loads(sys.stdin.readline())
nodes = {n["id"]: (n["addr"], n["ports"]["client"]) for n in hello["nodes"]}
say({"ready": True, "ops": ["acquire", "renew", "release", "holder"]})
processes = {}
for op in map(json.loads, sys.stdin):
    if "p" in op and op["p"] not in processes:
        processes[op["p"]] = queue.Queue()
        threading.Thread(target=process, args=(processes[op["p"]],), daemon=True).start()
    processes[op.get("p", op.get("close"))].put(op if "p" in op else None)
