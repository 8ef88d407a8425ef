#!/usr/bin/env python3
"""A client of server.py that speaks nemesis-client/1: one thread and one connection for each process.

    > {"id":1,"p":3,"node":"n1","f":"write","key":"k4","value":7,"timeout_ms":5000}
    < {"id":1,"type":"ok"}

ok: it happened. fail: it certainly did not, and needs a code that says so (11 for a server that is not
there, 10 for an operation that is not known, 22 for a condition that does not hold). info: nobody knows.
Standard output is for answers only; write everything else to standard error.
"""
import json, queue, socket, sys, threading

out = threading.Lock()


def say(line):
    with out:
        print(json.dumps(line), flush=True)


def perform(connection, op):
    """Returns how an operation ended. An OSError is that nobody knows."""
    if op["f"] not in ("read", "write"):
        return {"type": "fail", "code": 10}
    if connection.get("socket") is None:
        try:
            connection["socket"] = socket.create_connection(nodes[op["node"]], op["timeout_ms"] / 1000)
        except OSError as e:  # nothing was sent
            return {"type": "fail", "code": 11, "text": str(e)}
        connection["file"] = connection["socket"].makefile("rwb")
    connection["socket"].settimeout(op["timeout_ms"] / 1000)
    line = f"get {op['key']}\n" if op["f"] == "read" else f"set {op['key']} {op['value']}\n"
    connection["file"].write(line.encode())
    connection["file"].flush()
    said = connection["file"].readline().decode()
    if not said.endswith("\n"):
        raise OSError("the server closed the connection")
    said = said.strip()
    if op["f"] == "write":
        return {"type": "ok"} if said == "done" else {"type": "info", "code": 13, "text": said}
    return {"type": "ok", "value": None if said == "none" else int(said)}


def process(jobs):
    connections = {}
    while (op := jobs.get()) is not None:
        connection = connections.setdefault(op["node"], {})
        try:
            ended = perform(connection, op)
        except (OSError, ValueError) as e:
            connection.clear()  # a late answer must be nobody else's
            ended = {"type": "info", "code": 0, "text": str(e)}
        say({"id": op["id"], **ended})


hello = json.loads(sys.stdin.readline())
nodes = {n["id"]: (n["addr"], n["ports"]["client"]) for n in hello["nodes"] if "client" in n["ports"]}
say({"ready": True, "ops": ["read", "write"]})
processes = {}
for op in map(json.loads, sys.stdin):
    if "close" in op:
        if op["close"] in processes:
            processes.pop(op["close"]).put(None)
        continue
    if op["p"] not in processes:
        processes[op["p"]] = queue.Queue()
        threading.Thread(target=process, args=(processes[op["p"]],), daemon=True).start()
    processes[op["p"]].put(op)
