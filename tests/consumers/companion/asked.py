"""Asking a V2 server itself, without its companion."""

import http.client
import json

QUESTION = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT32", "data": [0]}]}


def infer(port: int, model: str = "adder") -> int | None:
    """The first number of its answer; None: it does not serve the model."""
    status, body = post(port, f"/v2/models/{model}/infer", QUESTION)
    return int(body["outputs"][0]["data"][0]) if status == 200 else None


def alive(port: int) -> bool:
    """Whether it answers at all."""
    return request(port, "GET", "/v2/health/live")[0] == 200


def post(port: int, path: str, body: object) -> tuple[int, dict]:  # type: ignore[type-arg]
    """Status and answer."""
    return request(port, "POST", path, json.dumps(body))


def request(port: int, method: str, path: str, body: str | None = None) -> tuple[int, dict]:  # type: ignore[type-arg]
    """Status and answer ({} where that is no JSON)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        raw = answer.read()
        try:
            return answer.status, json.loads(raw or b"{}")
        except ValueError:
            return answer.status, {}
    finally:
        connection.close()
