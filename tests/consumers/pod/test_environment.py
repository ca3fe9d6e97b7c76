"""What loaders and servers say when their machine, and not the version, is to blame; and what they say of a version."""

import errno
import os

import pytest

from modelcast.consumers.pod.environment import environment_code, environment_code_of


class OutOfMemoryError(RuntimeError):
    """As torch.cuda has one."""


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("RuntimeError: CUDA out of memory. Tried to allocate 2 GiB", "out_of_resources"),
        (
            "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`",
            "out_of_resources",
        ),
        ("CUDNN_STATUS_NOT_INITIALIZED", "out_of_resources"),
        ("[Errno 24] Too many open files: '/models/a'", "out_of_resources"),
        (
            "Load model from a.onnx failed:system error number 24",
            "out_of_resources",
        ),
        ("pthread_create failed, error code: 11", "out_of_resources"),
        ("RuntimeError: can't start new thread", "out_of_resources"),
        ("std::bad_alloc", "out_of_resources"),
        ("Failed to increase the shared memory pool size for key 'x'. [Errno 28]", "out_of_resources"),
        ("Unable to create shared memory region", "out_of_resources"),
        ("[Errno 5] Input/output error", "io_error"),
        ("OSError: [Errno 116]", "io_error"),
        ("[Errno 107] Transport endpoint is not connected: '/models/adder'", "io_error"),
        ("[Errno 13] Permission denied: '/models/a/7/model.bin'", "not_delivered"),
        ("CUDA driver version is insufficient for CUDA runtime version", "unsupported"),
        ("libGL.so.1: cannot open shared object file: No such file or directory", "unsupported"),
        ("/lib/libc.so.6: version `GLIBC_2.38' not found", "unsupported"),
        ("undefined symbol: _ZN3c104impl8GPUTrace", "unsupported"),
        ("ModuleNotFoundError: No module named 'sklearn'", "unsupported"),
        ("cannot import name 'x' from 'y'", "unsupported"),
        ("Unsupported model IR version: 12, max supported IR version: 10", "unsupported"),
        ("NOT_IMPLEMENTED : Could not find an implementation for Foo(19) node", "unsupported"),
        ("AssertionError: Torch not compiled with CUDA enabled", "unsupported"),
        ("Stub process 'x_0_0' is not healthy.", "server_failed"),
        ("Worker process stopped unexpectedly with exit code 9.", "server_failed"),
        ("version 2 is at UNAVAILABLE state: Internal: Stub process 'adder_0_0' is not healthy.;", "server_failed"),
        ("BrokenPipeError: [Errno 32] Broken pipe", "server_failed"),
        ("HTTPError: 403 Client Error: Forbidden for url: https://hub/x", "server_failed"),
        ("HTTPError: 503 Server Error: Service Unavailable for url", "server_failed"),
        ("HTTPError: 418 Client Error: I'm a teapot", "server_failed"),
        ("HTTPSConnectionPool(host='hub'): Max retries exceeded", "server_failed"),
        ("[Errno 113] to 10.0.0.1", "server_failed"),
        ("OSError: We couldn't connect to 'https://hub' to load this file", "server_failed"),
        ("OSError: You are trying to access a gated repo.", "server_failed"),
        ("EndpointConnectionError: Could not connect to the endpoint URL", "server_failed"),
        ("NoCredentialsError: Unable to locate credentials", "server_failed"),
        ("ClientError: An error occurred (AccessDenied) when calling the GetObject operation", "server_failed"),
        ("ClientError: An error occurred (403) when calling the HeadObject operation: Forbidden", "server_failed"),
        ("RuntimeError: Found no NVIDIA driver on your system.", "unsupported"),
        ("RuntimeError: No HIP GPUs are available", "unsupported"),
        ("Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False", "unsupported"),
        ("importlib.metadata.PackageNotFoundError: No package metadata was found for x", "unsupported"),
        ("model type `qwen9` but Transformers does not recognize this architecture", "unsupported"),
        ("Error Code 6: engine plan file is not compatible with this version of TensorRT", "unsupported"),
    ],
)
def test_what_lies_outside_the_version_is_told_from_it(message: str, code: str) -> None:
    assert environment_code(message) == code


@pytest.mark.parametrize(
    "message",
    [
        "",
        "ValueError: invalid literal for int() with base 10: 'no number'",
        "Protobuf parsing failed",
        "KeyError: 'state_dict'",
        "RuntimeError: Error(s) in loading state_dict for Net: size mismatch for fc.weight: torch.Size([500, 403])",
        "safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge",
        "_pickle.UnpicklingError: invalid load key, '\\x0b'.",
        "[Errno 2] No such file or directory: 'weights.bin'",
        "This is an invalid model. Type Error: Type 'tensor(int64)' of input parameter (x) is invalid",
        "output 'y' is 500 at 503, recorded is 2",
    ],
)
def test_what_is_wrong_with_a_version_is_not_excused(message: str) -> None:
    assert environment_code(message) == ""


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def raised_while(error: Exception, context: Exception) -> Exception:
    error.__context__ = context
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "out_of_resources"),
        (OutOfMemoryError("HIP: tried 2 GiB"), "out_of_resources"),
        (OSError(errno.ENOSPC, "No space left on device"), "out_of_resources"),
        (OSError(errno.EIO, "Input/output error"), "io_error"),
        (ImportError("libGL.so.1"), "unsupported"),
        (raised_from(ValueError("can't load it"), OSError(errno.EMFILE, "…")), "out_of_resources"),
        (raised_while(RuntimeError("can't load it"), MemoryError()), "out_of_resources"),
        (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "weights.bin"), ""),
        (raised_from(ValueError("can't load it"), KeyError("layer")), ""),
    ],
)
def test_an_error_is_judged_by_its_class_its_words_and_what_it_came_from(error: Exception, code: str) -> None:
    assert environment_code_of(error) == code


def test_errors_that_name_each_other_are_judged_all_the_same() -> None:
    first, second = ValueError("a"), ValueError("b")
    assert environment_code_of(raised_from(first, raised_from(second, first))) == ""
