"""Servers built to the published descriptions of four kinds: ``python described_server.py KIND REPOSITORY PORT``.

They know the paths, fields and states of those descriptions, refuse what is not in them, and hold one number a version
where the real ones hold a model. What the real ones do beyond their description is not shown by them.
"""

import json
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

Answer = tuple[int, object]


def number_in(folder: Path, name: str) -> int:
    wait = folder / "wait.txt"
    time.sleep(float(wait.read_text()) if wait.exists() else 0.0)
    return int((folder / name).read_text())


class TensorFlowServing:
    """REST API of TensorFlow Serving, and its model configuration file (``model_server_config.proto``), polled."""

    def __init__(self, repository: Path) -> None:
        self.file = repository / "models.config"
        self.loaded: dict[str, dict[int, int]] = {}
        self.failed: dict[str, dict[int, str]] = {}
        self.loading: set[tuple[str, int]] = set()
        self.aspired: dict[str, int] = {}
        self.config = _model_server_config()
        threading.Thread(target=self.poll, daemon=True).start()

    def poll(self) -> None:
        while True:
            text = self.file.read_text() if self.file.exists() else ""
            named = text_format.Parse(text, self.config()).model_config_list.config
            self.aspired = {m.name: m.model_version_policy.specific.versions[0] for m in named}
            for gone in set(self.loaded) - set(self.aspired):
                del self.loaded[gone]
            for model in named:
                assert model.model_platform == "tensorflow", model
                self.manage(model.name, Path(model.base_path), self.aspired[model.name])
            time.sleep(0.1)

    def manage(self, name: str, base: Path, version: int) -> None:
        loaded, failed = self.loaded.setdefault(name, {}), self.failed.setdefault(name, {})
        if version in loaded:
            for old in set(loaded) - {version}:
                del loaded[old]
        elif (base / str(version)).is_dir() and version not in failed and (name, version) not in self.loading:
            self.loading.add((name, version))
            threading.Thread(target=self.load, args=(name, base, version), daemon=True).start()
        if version not in failed:
            failed.clear()

    def load(self, name: str, base: Path, version: int) -> None:
        try:
            self.loaded[name][version] = number_in(base / str(version), "saved_model.pb")
        except ValueError as error:
            self.failed[name][version] = str(error)
        self.loading.discard((name, version))

    def answer(self, method: str, path: str, _query: dict[str, str], _body: Any) -> Answer:
        name, _, verb = path.removeprefix("/v1/models/").partition(":")
        loaded, failed = self.loaded.get(name, {}), self.failed.get(name, {})
        if (method, verb) == ("POST", "predict"):
            return (200, {"predictions": [loaded[max(loaded)]]}) if loaded else (404, {"error": "Servable not found"})
        rows = [
            *(_status(v, "AVAILABLE", "OK", "") for v in loaded),
            *(_status(v, "LOADING", "OK", "") for m, v in self.loading if m == name),
            *(_status(v, "END", "INVALID_ARGUMENT", why) for v, why in failed.items()),
        ]
        if not rows:
            return 404, {"error": f"Could not find any versions of model {name}"}
        return 200, {"model_version_status": rows}


def _status(version: int, state: str, code: str, message: str) -> dict[str, object]:
    return {"version": str(version), "state": state, "status": {"error_code": code, "error_message": message}}


def _model_server_config() -> Callable[[], Any]:
    """ModelServerConfig of tensorflow_serving/config/model_server_config.proto, as far as it is used."""
    kinds = descriptor_pb2.FieldDescriptorProto
    messages: dict[str, list[tuple[str, int, int, str]]] = {
        "Specific": [("versions", 1, kinds.TYPE_INT64, "*")],
        "ServableVersionPolicy": [("specific", 102, kinds.TYPE_MESSAGE, "Specific")],
        "ModelConfig": [
            ("name", 1, kinds.TYPE_STRING, ""),
            ("base_path", 2, kinds.TYPE_STRING, ""),
            ("model_platform", 4, kinds.TYPE_STRING, ""),
            ("model_version_policy", 7, kinds.TYPE_MESSAGE, "ServableVersionPolicy"),
        ],
        "ModelConfigList": [("config", 1, kinds.TYPE_MESSAGE, "*ModelConfig")],
        "ModelServerConfig": [("model_config_list", 1, kinds.TYPE_MESSAGE, "ModelConfigList")],
    }
    file = descriptor_pb2.FileDescriptorProto(name="model_server_config.proto", package="t", syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, number, kind, of in fields:
            label = kinds.LABEL_REPEATED if of.startswith("*") else kinds.LABEL_OPTIONAL
            made = message.field.add(name=field, number=number, type=kind, label=label)
            if of.lstrip("*"):
                made.type_name = f".t.{of.lstrip('*')}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found: Callable[[], Any] = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.ModelServerConfig"))
    return found


class TorchServe:
    """Management API of TorchServe 0.12 (and ``/predictions``, at the same port)."""

    REGISTER = frozenset({"url", "model_name", "handler", "runtime", "batch_size", "max_batch_delay",
                          "initial_workers", "synchronous", "response_timeout", "startup_timeout"})  # fmt: skip

    def __init__(self, _repository: Path) -> None:
        self.models: dict[str, dict[str, dict[str, Any]]] = {}
        self.default: dict[str, str] = {}

    def answer(self, method: str, path: str, query: dict[str, str], _body: Any) -> Answer:
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if parts[0] == "predictions":
            versions = self.models.get(parts[1], {})
            return (200, versions[self.default[parts[1]]]["number"]) if versions else (404, _fault(404, "not found"))
        if method == "POST":
            return self.register(query)
        name, rest = parts[1] if len(parts) > 1 else "", parts[2:]
        versions = self.models.get(name, {})
        if not versions:
            return 404, _fault(404, f"Model not found: {name}")
        if method == "GET":
            wanted = list(versions) if rest == ["all"] else [rest[0] if rest else self.default[name]]
            return 200, [_described(name, version, versions[version]) for version in wanted]
        if method == "PUT" and rest[1:] == ["set-default"]:
            self.default[name] = rest[0]
            return 200, {"status": "Default version succesfully updated"}
        if method == "DELETE":
            if rest[0] == self.default[name] and len(versions) > 1:
                return 403, _fault(403, "Cannot remove default version")
            del versions[rest[0]]
            return 200, {"status": f'Model "{name}" unregistered'}
        return 405, _fault(405, "Requested method is not allowed")

    def register(self, query: dict[str, str]) -> Answer:
        if strange := set(query) - self.REGISTER:
            return 400, _fault(400, f"unknown parameter {strange}")
        name, file = query["model_name"], Path(unquote(urlsplit(query["url"]).path))
        try:
            with zipfile.ZipFile(file) as archive:
                version = json.loads(archive.read("MAR-INF/MANIFEST.json"))["model"]["modelVersion"]
                if version in self.models.get(name, {}):
                    return 409, _fault(409, f"Model version {version} is already registered for model {name}")
                time.sleep(float(archive.read("wait.txt")) if "wait.txt" in archive.namelist() else 0.0)
                number = int(archive.read("number.txt"))
        except ValueError:  # the real one keeps what its worker raised to its log
            return 500, _fault(500, f"Failed to start workers for model {name} version: {version}")
        self.models.setdefault(name, {})[version] = {"url": query["url"], "number": number}
        self.default.setdefault(name, version)
        return 200, {"status": f'Model "{name}" Version: {version} registered with 1 initial workers'}


def _described(name: str, version: str, model: dict[str, Any]) -> dict[str, object]:
    workers = [{"id": "9000", "startTime": "", "status": "READY", "gpu": False, "memoryUsage": 1}]
    return {"modelName": name, "modelVersion": version, "modelUrl": model["url"], "minWorkers": 1, "workers": workers}


def _fault(code: int, message: str) -> dict[str, object]:
    return {"code": code, "type": "Exception", "message": message}


class SGLang:
    """Weight updates of SGLang's HTTP server: paused while they are read, labelled once they are."""

    UPDATE = frozenset(
        {
            *("model_path", "load_format", "abort_all_requests", "weight_version", "is_async", "flush_cache"),
            *("torch_empty_cache", "keep_pause", "recapture_cuda_graph", "token_step"),
        }
    )

    def __init__(self, _repository: Path) -> None:
        self.number: int | None = None
        self.label = "default"
        self.paused = False

    def answer(self, method: str, path: str, _query: dict[str, str], body: Any) -> Answer:
        if (method, path) == ("GET", "/model_info"):
            return 200, {"model_path": "base", "is_generation": True, "weight_version": self.label}
        if path == "/generate":
            if self.paused:  # the real one lets it wait
                return 503, {}
            return (200, {"text": str(self.number)}) if self.number is not None else (404, {})
        if path == "/pause_generation":
            if body.get("mode") not in {"abort", "retract", "in_place"}:
                return 422, {"detail": "mode"}
            self.paused = True
            return 200, {"status": "ok"}
        if path == "/continue_generation":
            self.paused = False
            return 200, {"status": "ok"}
        if path == "/update_weights_from_disk":
            return self.update(body)
        return 404, {"detail": "Not Found"}

    def update(self, body: dict[str, Any]) -> Answer:
        if strange := set(body) - self.UPDATE:
            return 422, {"detail": f"extra fields {strange}"}
        if not self.paused or body.get("flush_cache") is not True:
            return 500, {"message": "flush cache failed: requests are running", "success": False}
        try:
            number = number_in(Path(body["model_path"]), "number.txt")
        except ValueError as error:
            return 400, {"success": False, "message": f"Failed to update weights: {error}. Rolling back to original."}
        self.number, self.label = number, body["weight_version"]
        return 200, {"success": True, "message": "Succeeded to update model weights.", "num_paused_requests": 0}


class VLLM:
    """Runtime LoRA updates of vLLM's OpenAI server, in development mode."""

    def __init__(self, _repository: Path) -> None:
        self.adapters: dict[str, tuple[str, int]] = {}
        self.cached: dict[str, int] = {}  # the prefix cache: answers by adapter name, whatever its weights are now

    def answer(self, method: str, path: str, _query: dict[str, str], body: Any) -> Answer:
        if (method, path) == ("GET", "/v1/models"):
            base = {"id": "base", "object": "model", "root": "base", "parent": None}
            cards = [{"id": n, "object": "model", "root": p, "parent": "base"} for n, (p, _) in self.adapters.items()]
            return 200, {"object": "list", "data": [base, *cards]}
        if path == "/reset_prefix_cache":
            self.cached.clear()
            return 200, None
        if path == "/v1/completions":
            name = body["model"]
            if name not in self.adapters:
                return 404, {"error": {"message": f"The model `{name}` does not exist."}}
            return 200, {"choices": [{"text": str(self.cached.setdefault(name, self.adapters[name][1]))}]}
        if path == "/v1/load_lora_adapter":
            return self.load(body)
        if path == "/v1/unload_lora_adapter":
            if self.adapters.pop(body["lora_name"], None) is None:
                return 404, {"error": {"message": "The lora adapter cannot be found.", "type": "NotFoundError"}}
            return 200, "Success: LoRA adapter removed successfully."
        return 404, {"detail": "Not Found"}

    def load(self, body: dict[str, Any]) -> Answer:
        if strange := set(body) - {"lora_name", "lora_path", "load_inplace"}:
            return 422, {"detail": f"extra fields {strange}"}
        if body["lora_name"] in self.adapters and not body.get("load_inplace"):
            return 400, {"error": {"message": "The lora adapter has already been loaded.", "type": "InvalidUserInput"}}
        folder = Path(body["lora_path"])
        if not (folder / "adapter_config.json").exists():
            return 404, {"error": {"message": "No adapter found for path.", "type": "NotFoundError"}}
        try:
            self.adapters[body["lora_name"]] = (str(folder), number_in(folder, "number.txt"))
        except ValueError as error:
            return 400, {"error": {"message": str(error), "type": "BadRequestError", "code": 400}}
        return 200, "Success: LoRA adapter added successfully."


KINDS = {"tensorflow": TensorFlowServing, "torchserve": TorchServe, "sglang": SGLang, "vllm": VLLM}


def main() -> None:
    server = KINDS[sys.argv[1]](Path(sys.argv[2]))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            status, body = server.answer(self.command, parts.path, query, json.loads(raw) if raw else {})
            answer = json.dumps(body).encode() if body is not None else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_DELETE = handle_any

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Handler).serve_forever()


if __name__ == "__main__":
    main()
