"""A package with runtimes of one's own, installed for the pods of a test by a folder on their path."""

from pathlib import Path

CODE = """
import os
import time

import numpy as np
from safetensors.numpy import load_file


def load(folder):
    weights = load_file(folder / "weights.safetensors")
    how = (folder / "how.txt").read_text() if (folder / "how.txt").exists() else ""
    if how == "dies":
        os._exit(7)
    if how == "takes 8 GB":
        np.ones(10**9)
    if how == "is broken":
        raise ValueError("no such layer")
    when, _, code = how.partition(": ")
    if when == "load":
        exec(code)

    def run(inputs):
        while how == "loops":
            time.sleep(0.01)
        if when == "answer":
            exec(code)
        return {"y": inputs["x"] + weights["c"]}

    return run
"""
ENTRY_POINTS = """[modelcast.runtimes]
adds = runtime_of_tests:load
gone = runtime_of_tests:no_such_function
"""


def install(folder: Path) -> Path:
    """What is to stand on the path."""
    (folder / "runtime_of_tests.py").write_text(CODE)
    info = folder / "runtime_of_tests-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: runtime-of-tests\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder
