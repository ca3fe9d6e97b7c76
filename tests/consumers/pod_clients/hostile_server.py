"""A server that answers what no server should: ``python hostile_server.py`` prints a port for each misbehaviour.

Every connection gets the answer of its port, whatever it asks.
"""

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

MIB = 1024 * 1024
Answer = Callable[[socket.socket], None]


def says(*parts: bytes) -> Answer:
    return lambda connection: [connection.sendall(part) for part in parts] and None


def body(status: str, content: bytes, *headers: str) -> Answer:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers, "", ""]
    return says("\r\n".join(lines).encode("latin-1"), content)


def chunks(chunk: bytes, pause_seconds: float) -> Answer:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            time.sleep(pause_seconds)

    return answer


def continues(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.01)


def silent(_connection: socket.socket) -> None:
    time.sleep(600)


BOMB = gzip.compress(bytes(32 * MIB))
ANSWERS: dict[str, Answer] = {
    "garbage": says(bytes(range(256)) * 256),
    "nothing": says(b""),
    "silent": silent,
    "truncated JSON": says(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"versions": ["7", "er'),
    "JSON that ends early": body("200 OK", b'{"versions": ["7"'),
    "deep JSON": body("200 OK", b"[" * 100_000),
    "no JSON": body("200 OK", b'{"versions": [NaN, Infinity]}'),
    "HTML": body("500 Internal Server Error", b"<html>oops</html>"),
    "an error of 3 MB": body("500 Oops", json.dumps({"error": "\u00e9\x1b[2J" * (MIB // 5)}).encode()),
    "an error in JSON": body("500 Oops", b'{"error": "failed to load"}'),
    "another error in JSON": body("400 Oops", b'{"error": "bad", "code": "load_failed", "detail": {"error": {}}}'),
    "a header of 10 MB": says(b"HTTP/1.1 200 OK\r\nX: ", b"a" * (10 * MIB), b"\r\n\r\n"),
    "10 MB of headers": says(b"HTTP/1.1 200 OK\r\n", b"X-Header: something\r\n" * (10 * MIB // 21), b"\r\n{}"),
    "cookies": body("500 Oops", b"{}", *(f"Set-Cookie: c{n}={'x' * 100}" for n in range(200))),
    "a redirect to itself": body("302 Found", b"", "Location: /"),
    "a redirect elsewhere": body("307 Temporary Redirect", b"", "Location: http://127.0.0.1:1/"),
    "chunks that never end": chunks(b"x", 0.05),
    "a flood": chunks(b"x" * 65536, 0.0),
    "100 Continue for ever": continues,
    "a bomb": body("200 OK", BOMB, "Content-Encoding: gzip"),
    "two lengths": says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 7\r\n\r\n{}"),
    "a length below zero": says(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}"),
    "a status that is none": says(b"HTTP/1.1 abc OK\r\n\r\n{}"),
    "status 999": body("999 Oops", b"{}"),
    "header of no UTF-8": body("500 Oops", b"{}", "X-Said: \xff\xfe", "Content-Type: \xff"),
    "HTTP/2": says(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)),
    "TLS": says(b"\x15\x03\x03\x00\x02\x02\x28"),
}


def serve(listener: socket.socket, answer: Answer) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=one, args=(connection, answer), daemon=True).start()


def one(connection: socket.socket, answer: Answer) -> None:
    with connection, suppress(OSError):
        connection.recv(65536)
        answer(connection)


def main() -> None:
    ports = {}
    for name, answer in ANSWERS.items():
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        ports[name] = listener.getsockname()[1]
        threading.Thread(target=serve, args=(listener, answer), daemon=True).start()
    print(json.dumps(ports), flush=True)
    time.sleep(3600)


if __name__ == "__main__":
    main()
