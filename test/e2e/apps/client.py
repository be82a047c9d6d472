#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients of server.py that check every byte and exit 1 with a reason when one is wrong.

    client.py http HOST PORT REQUESTS [PATH [HEADER: VALUE]]     keep-alive; prints {"status": count, names: {name: count}}
    client.py post HOST PORT MB          sends MB megabytes chunked and gets them back
    client.py http10 HOST PORT           an HTTP/1.0 request
    client.py raw HOST PORT TEXT         sends TEXT (with \\r\\n escapes), prints what comes
    client.py ws HOST PORT               WebSocket, small and large frames
    client.py grpc HOST PORT             unary, streams, trailers, error status
    client.py tcp HOST PORT MB           echo with half-close
    client.py banner HOST PORT           server speaks first; prints the milliseconds until it did
    client.py slow HOST PORT MB          reads /bytes slowly
    client.py tls HOST PORT NAME CA [TEXT]   a TLS handshake; prints the names of the certificate, and TEXT when it was echoed
"""
import base64
import hashlib
import http.client
import json
import os
import socket
import ssl
import struct
import sys
import threading
import time


def fail(why):
    print(f"client: {why}", file=sys.stderr)
    sys.exit(1)


def do_http(host, port, n, path="/", *headers):
    counts, names = {}, {}
    lines = dict(h.split(": ", 1) for h in headers)
    c = http.client.HTTPConnection(host, int(port), timeout=20)
    for _ in range(int(n)):
        c.request("GET", path, headers=lines)
        r = c.getresponse()
        body = r.read()
        counts[str(r.status)] = counts.get(str(r.status), 0) + 1
        if r.status == 200 and body.startswith(b"{"):
            name = json.loads(body).get("name", "")
            names[name] = names.get(name, 0) + 1
    print(json.dumps({**counts, "names": names}))


def do_post(host, port, mb):
    size, block = int(mb) << 20, os.urandom(1 << 16)
    s = socket.create_connection((host, int(port)), 60)
    sent = hashlib.sha256()

    def send():
        s.sendall(f"POST /echo HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(size // len(block)):
            sent.update(block)
            s.sendall(b"%x\r\n%s\r\n" % (len(block), block))
        s.sendall(b"0\r\n\r\n")
    t = threading.Thread(target=send)
    t.start()
    r = http.client.HTTPResponse(s, method="POST")
    r.begin()
    got, n = hashlib.sha256(), 0
    while data := r.read(1 << 16):
        got.update(data)
        n += len(data)
    t.join()
    if r.status != 200 or n != size or got.digest() != sent.digest():
        fail(f"status {r.status}, {n} of {size} bytes came back, digests {'equal' if got.digest() == sent.digest() else 'differ'}")
    print(n)


def do_http10(host, port):
    s = socket.create_connection((host, int(port)), 20)
    s.sendall(b"GET /bytes/1000 HTTP/1.0\r\nHost: " + host.encode() + b"\r\n\r\n")
    data = b""
    while block := s.recv(65536):
        data += block
    head, body = data.split(b"\r\n\r\n", 1)
    if b" 200 " not in head.split(b"\r\n")[0] or len(body) != 1000:
        fail(f"{head!r} and {len(body)} bytes")
    print("ok")


def do_raw(host, port, text):
    s = socket.create_connection((host, int(port)), 20)
    s.sendall(text.encode().decode("unicode_escape").encode("latin-1"))
    s.settimeout(5)
    try:
        while block := s.recv(65536):
            sys.stdout.write(block.decode("latin-1"))
        print("\n[closed]")
    except socket.timeout:
        print("\n[open]")
    except ConnectionResetError:
        print("\n[reset]")


def do_ws(host, port):
    s = socket.create_connection((host, int(port)), 20)
    f = s.makefile("rb")
    key = base64.b64encode(os.urandom(16)).decode()
    s.sendall(f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
    if b" 101 " not in f.readline():
        fail("not switched to WebSocket")
    while f.readline().strip():
        pass
    for n in (1, 125, 126, 65535, 65536, 1 << 20):
        data, mask = os.urandom(n), os.urandom(4)
        size = bytes([n | 128]) if n < 126 else b"\xfe" + struct.pack(">H", n) if n < 65536 else b"\xff" + struct.pack(">Q", n)
        stream = (mask * (n // 4 + 1))[:n]
        masked = (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(n, "big")
        s.sendall(b"\x82" + size + mask + masked)
        head = f.read(2)
        m = head[1]
        m = struct.unpack(">H", f.read(2))[0] if m == 126 else struct.unpack(">Q", f.read(8))[0] if m == 127 else m
        if f.read(m) != data:
            fail(f"a frame of {n} bytes came back changed")
    print("ok")


def do_grpc(host, port):
    import grpc
    channel = grpc.insecure_channel(f"{host}:{port}")
    call = lambda kind, name: getattr(channel, kind)(f"/echo.Echo/{name}")
    big = os.urandom(1 << 20)
    for payload in (b"", b"x", big):
        reply, state = call("unary_unary", "Unary").with_call(payload, timeout=20)
        if reply != payload:
            fail("unary changed")
        if not dict(state.trailing_metadata()).get("x-served-by"):
            fail("no trailers")
    if [int(r) for r in call("unary_stream", "ServerStream")(b"100", timeout=20)] != list(range(100)):
        fail("server stream")
    if call("stream_unary", "ClientStream")((b"x" * i for i in range(100)), timeout=20) != b"4950":
        fail("client stream")
    if list(call("stream_stream", "Bidi")((b"%d" % i for i in range(100)), timeout=20)) != [b"%d" % i for i in range(100)]:
        fail("bidi")
    try:
        call("unary_unary", "Unary")(b"fail", timeout=20)
        fail("the error status was lost")
    except grpc.RpcError as e:
        if e.code() != grpc.StatusCode.FAILED_PRECONDITION or e.details() != "as you wish: 100%":
            fail(f"wrong status: {e.code()} {e.details()}")
    print("ok")


def do_tcp(host, port, mb):
    size = int(mb) << 20
    s = socket.create_connection((host, int(port)), 60)
    block = os.urandom(1 << 16)

    def send():
        for _ in range(size // len(block)):
            s.sendall(block)
        s.shutdown(socket.SHUT_WR)
    t = threading.Thread(target=send)
    t.start()
    got = bytearray()
    while data := s.recv(1 << 16):
        got += data
    t.join()
    if bytes(got) != block * (size // len(block)) + b"END":
        fail(f"{len(got)} bytes, {'with' if got.endswith(b'END') else 'without'} the end after the half-close")
    print(size)


def do_banner(host, port):
    start = time.monotonic()
    s = socket.create_connection((host, int(port)), 20)
    f = s.makefile("rb")
    if f.readline() != b"HELLO\n":
        fail("no greeting")
    ms = (time.monotonic() - start) * 1000
    s.sendall(b"again\n")
    if f.readline() != b"again\n":
        fail("no echo")
    print(f"{ms:.1f}")


def do_slow(host, port, mb):
    size = int(mb) << 20
    s = socket.create_connection((host, int(port)), 60)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    s.sendall(f"GET /bytes/{size} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    r = http.client.HTTPResponse(s)
    r.begin()
    n, pattern = 0, bytes(range(256)) * 512
    while data := r.read(65536):
        if data != pattern[n % 256:n % 256 + len(data)]:
            fail(f"bytes changed near {n}")
        n += len(data)
        time.sleep(0.005)
    if n != size:
        fail(f"{n} of {size} bytes")
    print(n)


def do_tls(host, port, name, ca, text=""):
    context = ssl.create_default_context(cafile=ca)
    with context.wrap_socket(socket.create_connection((host, int(port)), 20), server_hostname=name) as s:
        names = [value for _, value in s.getpeercert()["subjectAltName"]]
        s.sendall(text.encode())
        got = b""
        while len(got) < len(text) and (data := s.recv(65536)):
            got += data
    print(json.dumps({"names": names, "answer": got.decode()}))


if __name__ == "__main__":
    globals()[f"do_{sys.argv[1]}"](*sys.argv[2:])
