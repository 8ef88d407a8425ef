#!/usr/bin/env python3
"""Priority queues over HTTP, by name: the smallest element comes out first, and each once.

    POST   /queue/NAME       with an element, such as [3,17]   201
    GET    /queue/NAME       the smallest element              200, or 204 when the queue is empty
    DELETE /queue/NAME       takes the smallest element out    200, or 204 when the queue is empty
"""
import collections, heapq, http.server, json, os, sys, threading

queues = collections.defaultdict(list)
lock = threading.Lock()
audit = open(sys.argv[3], "a")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one packet

    def answer(self, status, element=None):
        body = b"" if element is None else json.dumps(element).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        element = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with lock:
            heapq.heappush(queues[self.path], element)
        self.answer(201)

    def smallest(self):
        with lock:
            return queues[self.path][0] if queues[self.path] else None

    def do_GET(self):
        element = self.smallest()
        self.answer(200 if element else 204, element)

    def do_DELETE(self):
        element = self.smallest()
        if element is None:
            return self.answer(204)
        print(self.path, element, file=audit, flush=True)
        os.fsync(audit.fileno())  # nobody holds the lock meanwhile
        with lock:
            if queues[self.path]:
                heapq.heappop(queues[self.path])
        self.answer(200, element)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
