"""A server that knows nothing of Modelcast: it serves the number in the folder that a link leads to, when told.

``python link_server.py ROOT PORT``: ``POST /reload`` reads ROOT/adder/current/number.txt (and waits as long as
wait.txt there says), ``GET /`` answers the number, ``GET /loaded`` the name of the folder that it was read from.
"""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

root = Path(sys.argv[1]) / "adder" / "current"
loaded: dict[str, str] = {}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(200 if loaded else 404, loaded.get("folder" if self.path == "/loaded" else "number", ""))

    def do_POST(self) -> None:
        if not root.is_symlink():
            loaded.clear()
            self.answer(200, "nothing")
            return
        folder = root.resolve()
        wait = folder / "wait.txt"
        time.sleep(float(wait.read_text()) if wait.exists() else 0.0)
        try:
            number = str(int((folder / "number.txt").read_text()))
        except ValueError as error:
            self.answer(422, str(error))
            return
        except FileNotFoundError:
            self.answer(415, "no number.txt")
            return
        loaded.update(folder=folder.name, number=number)
        self.answer(200, number)

    def answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
