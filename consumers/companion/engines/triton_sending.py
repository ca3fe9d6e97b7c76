"""A load whose files travel with it, sent to Triton by a process of its own.

Protobuf and gRPC copy such a message several times and hold the interpreter meanwhile, whatever the thread: a gigabyte
stalled everything else here, answers to health checks too, for seconds.

The process reads one line of JSON (address, token, name, config, seconds, size in bytes by path), then the files; it
writes Triton's status and message as JSON, both empty once Triton has loaded the model.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from modelcast.consumers.pod_clients.port import LoadFailed

RESTRICTION_HEADER = "triton-grpc-protocol-modelcast-token"


class TritonToken:
    """Adds the server's token to each call, as a plugin of Triton's clients.

    As Triton's own restriction of protocols has it, and as a bearer token for what stands before it.
    """

    def __init__(self, token: str) -> None:
        self._headers = {RESTRICTION_HEADER: token, "authorization": f"Bearer {token}"}

    def __call__(self, request: Any) -> None:
        """Called by the client before each request."""
        request.headers.update(self._headers)


def send_load(
    address: str, name: str, config: str, files: Mapping[str, bytes], seconds: float, token: str = ""
) -> tuple[str, str] | None:
    """Have Triton load ``files`` as ``name``; its status and message if it refuses. Blocks.

    Raises:
        LoadFailed: the process ended without an answer.
    """
    sizes = {path: len(content) for path, content in files.items()}
    head = {"address": address, "name": name, "config": config, "seconds": seconds, "sizes": sizes, "token": token}
    command = [sys.executable, "-P", "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):  # its exit code says more
            process.stdin.write(json.dumps(head).encode() + b"\n")
            for content in files.values():
                process.stdin.write(content)
            process.stdin.close()
        answer = process.stdout.read()
    if process.returncode != 0:
        message = f"the process that sends the files ended with {process.returncode}"
        raise LoadFailed(message, code="out_of_resources", subject=name, hint="look into the companion's log")
    status, message = json.loads(answer)
    return (status, message) if status else None


def main() -> None:
    """Read a load from stdin, send it, print the answer."""
    import tritonclient.grpc as triton
    from tritonclient.utils import InferenceServerException

    head = json.loads(sys.stdin.buffer.readline())
    files = {path: sys.stdin.buffer.read(size) for path, size in head["sizes"].items()}
    if [len(content) for content in files.values()] != list(head["sizes"].values()):
        raise SystemExit("the companion has ended")
    client = triton.InferenceServerClient(head["address"])
    if head["token"]:
        client.register_plugin(TritonToken(head["token"]))
    answer = ("", "")
    try:
        client.load_model(head["name"], config=head["config"], files=files, client_timeout=head["seconds"])
    except InferenceServerException as error:
        answer = (str(error.status()), str(error.message()))
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
