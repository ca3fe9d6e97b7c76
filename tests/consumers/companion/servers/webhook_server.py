"""A server that knows nothing of Modelcast, told and asked by JSON: ``python webhook_server.py PORT``.

``POST /models/NAME`` with {"at": FOLDER, "as": NUMBER} and the right key reads FOLDER/number.txt (and waits as long as
wait.txt there says). ``GET /models/NAME`` says what it has in memory, ``DELETE`` lets go of it.
A file ``later.txt`` has it answer 202 and load afterwards. ``POST /fault`` with a word has it misbehave from then on:
"hang", "error" (500), "lie" (it names another version than it has), "spoil" (its disk changes what it is to load), ""
(it behaves).
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

KEY = "Bearer key-of-the-server"
memory: dict[str, dict[str, object]] = {}
fault = [""]


def read(folder: Path, name: str, version: int, digest: str) -> None:
    wait = folder / "wait.txt"
    time.sleep(float(wait.read_text()) if wait.exists() else 0.0)
    number = int((folder / "number.txt").read_text())
    memory[name] = {"loaded": {"version": version, "digest": digest}, "number": number}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        if self.misbehaves():
            return None
        if name not in memory:
            return self.answer(404, {"error": "not loaded"})
        if fault[0] == "lie":
            return self.answer(200, {"loaded": {"version": 99, "digest": f"sha256:{'9' * 64}"}, "number": 99})
        return self.answer(200, memory[name])

    def misbehaves(self) -> bool:
        if fault[0] == "hang":
            time.sleep(600)
        if fault[0] == "error":
            self.answer(500, {"error": "internal trouble"})
        return fault[0] in {"hang", "error"}

    def do_DELETE(self) -> None:
        memory.pop(self.path.rpartition("/")[2], None)
        self.answer(200, {})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/fault":
            fault[0] = asked
            return self.answer(200, {})
        if self.misbehaves():
            return None
        if self.headers["Authorization"] != KEY:
            return self.answer(401, {"error": "who are you"})
        name, folder = self.path.rpartition("/")[2], Path(asked["at"])
        if not (folder / "number.txt").exists():
            return self.answer(415, {"error": "no number.txt"})
        if fault[0] == "spoil":
            (folder / "number.txt").write_text("spoilt")
        if (folder / "later.txt").exists():
            threading.Timer(1.0, read, (folder, name, asked["as"], asked["digest"])).start()
            return self.answer(202, {})
        try:
            read(folder, name, asked["as"], asked["digest"])
        except ValueError as error:
            return self.answer(422, {"error": str(error)})
        return self.answer(200, {})

    def answer(self, status: int, body: object) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
