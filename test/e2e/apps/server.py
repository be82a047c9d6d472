#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The applications that the end-to-end tests put behind a sidecar, one a protocol.

    server.py http PORT [NAME]     GET / describes the request as JSON; POST /echo gives the body back; /bytes/N, /status/N,
                                   /fails-at/NAME/N (a status, of the server with that name only),
                                   /sleep/SECONDS, /chunked/N, /ws (WebSocket echo), /ready (503 while FILE /tmp/unready exists)
    server.py http10 PORT          the same, answering in HTTP/1.0
    server.py grpc PORT            /echo.Echo/{Unary,ServerStream,ClientStream,Bidi}: raw bytes, with trailers
    server.py https PORT NAME DIR  as http, behind TLS with DIR/tls.crt and DIR/tls.key; with DIR/ca.crt clients need a certificate
    server.py tcp PORT             echoes until the client half-closes, then sends END and closes
    server.py banner PORT          speaks first: HELLO, then echoes lines
"""
import base64
import hashlib
import json
import os
import socket
import socketserver
import ssl
import struct
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = os.environ.get("HOSTNAME", socket.gethostname())


class Web(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = 0            # requests of this process: a mirror target is asked for it

    def log_message(self, *args):
        pass

    def reply(self, status, body, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            whole = bytearray()
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                if not size:
                    while self.rfile.readline().strip():
                        pass
                    return bytes(whole)
                whole += self.rfile.read(size)
                self.rfile.readline()
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def describe(self):
        body = self.body()
        return json.dumps({"name": NAME, "method": self.command, "path": self.path, "version": self.request_version,
                           "headers": {k.lower(): v for k, v in self.headers.items()}, "length": len(body),
                           "client": self.client_address[0], "seen": Web.seen}).encode() + b"\n"

    def do_GET(self):
        parts = self.path.split("?")[0].split("/")
        if parts[1] != "seen" and parts[1] != "ready":
            Web.seen += 1
        if parts[1] == "bytes":
            self.send_bytes(int(parts[2]))
        elif parts[1] == "chunked":
            self.send_chunks(int(parts[2]))
        elif parts[1] == "status":
            self.reply(int(parts[2]), b"as you wish\n")
        elif parts[1] == "fails-at" and parts[2] == NAME:
            self.reply(int(parts[3]), b"as you wish\n")
        elif parts[1] == "sleep":
            time.sleep(float(parts[2]))
            self.reply(200, b"awake\n")
        elif parts[1] == "ready":
            self.reply(503 if os.path.exists("/tmp/unready") else 200, b"\n")
        elif parts[1] == "ws":
            self.websocket()
        elif parts[1] == "echo":
            self.reply(200, self.body())
        elif parts[1] == "digest":
            self.reply(200, hashlib.sha256(self.body()).hexdigest().encode())
        else:
            self.reply(200, self.describe(), Content_Type="application/json")

    do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_GET

    def send_bytes(self, n):
        self.send_response(200)
        self.send_header("Content-Length", str(n))
        self.end_headers()
        block = bytes(range(256)) * 256
        while n > 0:
            self.wfile.write(block[:n])
            n -= len(block)

    def send_chunks(self, n):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Trailer", "X-Sum")
        self.end_headers()
        for i in range(n):
            self.wfile.write(b"5\r\n%05d\r\n" % i)
        self.wfile.write(b"0\r\nX-Sum: %d\r\n\r\n" % n)

    def websocket(self):
        accept = hashlib.sha1((self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept).decode())
        self.end_headers()
        self.close_connection = True
        while True:
            head = self.rfile.read(2)
            if len(head) < 2:
                return
            n = head[1] & 127
            n = struct.unpack(">H", self.rfile.read(2))[0] if n == 126 else struct.unpack(">Q", self.rfile.read(8))[0] if n == 127 else n
            mask, data = self.rfile.read(4), self.rfile.read(n)
            data = bytes(b ^ mask[i & 3] for i, b in enumerate(data))
            size = bytes([n]) if n < 126 else b"\x7e" + struct.pack(">H", n) if n < 65536 else b"\x7f" + struct.pack(">Q", n)
            self.wfile.write(head[:1] + size + data)
            if head[0] & 15 == 8:
                return


class Old(Web):
    protocol_version = "HTTP/1.0"


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)
        self.request.sendall(b"END")


class Banner(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"HELLO\n")
        for line in self.rfile:
            self.wfile.write(line)


class Sockets(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def serve_grpc(port):
    import grpc
    from concurrent import futures

    def trailers(context):
        context.set_trailing_metadata((("x-served-by", NAME),))

    def unary(request, context):
        trailers(context)
        if request.startswith(b"fail"):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as you wish: 100%")
        return request

    def server_stream(request, context):
        trailers(context)
        for i in range(int(request)):
            yield b"%d" % i

    def client_stream(requests, context):
        trailers(context)
        return b"%d" % sum(len(r) for r in requests)

    def bidi(requests, context):
        trailers(context)
        yield from requests

    handlers = {"Unary": grpc.unary_unary_rpc_method_handler(unary), "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
                "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream), "Bidi": grpc.stream_stream_rpc_method_handler(bidi)}
    server = grpc.server(futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", handlers),))
    server.add_insecure_port(f"0.0.0.0:{port}")
    server.start()
    server.wait_for_termination()


def main():
    global NAME
    role, port = sys.argv[1], int(sys.argv[2])
    NAME = sys.argv[3] if len(sys.argv) > 3 else NAME
    if role == "grpc":
        return serve_grpc(port)
    kinds = {"http": (Server, Web), "https": (Server, Web), "http10": (Server, Old), "tcp": (Sockets, Echo), "banner": (Sockets, Banner)}
    server, handler = kinds[role]
    it = server(("0.0.0.0", port), handler)
    if role == "https":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(f"{sys.argv[4]}/tls.crt", f"{sys.argv[4]}/tls.key")
        if os.path.exists(f"{sys.argv[4]}/ca.crt"):
            tls.verify_mode = ssl.CERT_REQUIRED
            tls.load_verify_locations(f"{sys.argv[4]}/ca.crt")
        it.socket = tls.wrap_socket(it.socket, server_side=True)
    it.serve_forever()


if __name__ == "__main__":
    main()
