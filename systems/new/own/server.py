#!/usr/bin/env python3
"""Registers, served line by line: "get KEY" is answered by the value or "none", "set KEY VALUE" by "done".

What was acknowledged is there after the server was killed, it says.
"""
import os, socketserver, sys, threading

host, port, data = sys.argv[1], int(sys.argv[2]), sys.argv[3]
log = open(os.path.join(data, "log"), "a+")
lock = threading.Lock()
log.seek(0)
values = dict(line.split() for line in log if line.endswith("\n"))


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            words = line.decode().split()
            with lock:
                if words[0] == "get":
                    said = values.get(words[1], "none")
                else:
                    values[words[1]] = words[2]
                    log.write(f"{words[1]} {words[2]}\n")
                    said = "done"
            self.wfile.write((said + "\n").encode())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


Server((host, port), Handler).serve_forever()
