"""The product's words: which labels metrics have, which words are retired, and where words can be read."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pydantic import BaseModel

ROOT = Path(__file__).parents[3]
FOLDERS = ("agents", "cli", "consumers", "dashboard", "deltas", "infra", "producers", "schemas")
LABELS = {
    "model": "a model's name",
    "region": "a region's name",
    "version": "a version that a pod holds",
    "fleet": "which of a region's fleets, as its settings name it",
    "topic": "a Kafka topic",
    "partition": "a partition of model-acks",
    "group": "a consumer group",
    "status": "a status of a pair or of a consumer group",
    "code": "the status code of an HTTP answer",
    "state": "a state of a region's replica",
    "outcome": "how it went",
    "reason": "a dead letter's reason",
    "kind": "a verb",
    "entry": "what the rollout controller wrote into a log: an abort or a hold",
    "way": "how most bytes came",
    "step": "a step of a publication",
    "stage": "a stage of a load",
    "by": "who announced",
    "hop": "a stretch of the probe's way",
    "cause": "what a line of what is wrong is about",
}
"""Every label that a metric may have, and what it names."""
RETIRED = {
    "slo": "late",
    "budget": "late, limit",
    "burn": "late",
    "word": "status",
    "words": "statuses",
    "packed": "compressed",
    "desired": "aspired",
    "wanted": "aspired",
    "reloads": "loads",
    "lease": "registration; lease is the right to read from the origin, which has no setting",
    "told": "reported",
    "said": "reported",
    "speaker": "log writer",
    "desk": "model row",
    "board": "dashboard",
    "foresight": "prefetch",
    "gauge": "throughput",
    "belief": "bandwidth estimate",
    "kin": "base candidates",
    "burial": "dead-letter writer",
}
"""Words that settings, metrics and the command line no longer use, and what they use instead."""
ONE_THING = {
    "probe": (
        "what the tracker sends to every region and back; servers have health checks, a store is proved",
        (
            *("agents/region/intake.py", "agents/region/reporting/", "agents/tracker/", "dashboard/"),
            *("infra/settings.py", "infra/telemetry/metrics.py", "schemas/"),
        ),
    ),
    "link": (
        "the network between a process and a store; a process has a channel to another, a folder holds symbolic links",
        (
            *("agents/region/", "cli/", "consumers/fetch/", "consumers/watcher/", "dashboard/"),
            *("deltas/", "infra/stores/s3/"),
        ),
    ),
}
"""Words that name one thing each, what that is, and where modules, classes, functions and constants may have them."""
_METRICS = {"Counter", "Gauge", "Histogram", "Summary", "Shown", "InferenceCounts"} | {
    f"{kind}MetricFamily" for kind in ("Counter", "Gauge", "Histogram")
}


def sources() -> Iterator[Path]:
    """The product's Python files."""
    for folder in FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.py"))


@cache
def declared_names() -> tuple[tuple[str, str], ...]:
    """File, and the name of each module, class, function, constant and attribute of the product; read once."""
    return tuple(_declared_names())


def _declared_names() -> Iterator[tuple[str, str]]:
    for path in sources():
        at = path.relative_to(ROOT).as_posix()
        yield at, path.stem
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                    yield at, node.name
                case ast.Assign(targets=[ast.Name(id=name)]) if name.isupper():
                    yield at, name
                case ast.Attribute(attr=name, ctx=ast.Store()):
                    yield at, name


@cache
def metric_calls() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The name and the labels of each metric that the product declares, as its source has them; read once.

    Raises:
        ValueError: a declaration whose name is no literal, or whose labels are none.
    """
    return tuple(_metric_calls())


def _metric_calls() -> Iterator[tuple[str, tuple[str, ...]]]:
    for path in sources():
        text = path.read_text()
        if "prometheus" not in text and "Shown(" not in text and "InferenceCounts(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in _METRICS:
                continue
            given = [node.args[2]] if len(node.args) > 2 else []
            given += [k.value for k in node.keywords if k.arg in {"labels", "labelnames"}]
            labels = [ast.literal_eval(each) for each in given if isinstance(each, ast.Tuple | ast.List)]
            for name in _names_in(node):
                yield name, tuple(labels[0]) if labels else ()


def _names_in(call: ast.Call) -> list[str]:
    """The names that a declaration gives: one, or each of several pairs of name and meaning.

    Where the pair is handed in (``*pair``), its name stands where it is given; its labels are told under "".
    """
    match call.args:
        case []:
            return []
        case [ast.Starred(), *_]:
            return [""]
        case [ast.Tuple(), *_]:
            return [ast.literal_eval(each.elts[0]) for each in call.args if isinstance(each, ast.Tuple)]
        case [first, *_]:
            return [ast.literal_eval(first)]
    return []


def settings_keys(section: type[BaseModel], before: str = "") -> Iterator[str]:
    """Every key of the settings with its sections, as in ``dashboard.late_seconds``, and the words that it may be."""
    for name, field in section.model_fields.items():
        yield before + name
        yield from (f"{before}{name} = {value}" for value in _values_in(field.annotation))
        for inner in _models_in(field.annotation):
            yield from settings_keys(inner, f"{before}{name}.")


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)


def _values_in(annotation: object) -> Iterator[str]:
    for inner in getattr(annotation, "__args__", ()):
        if isinstance(inner, str):
            yield inner
        yield from _values_in(inner)


def parts_of(name: str) -> set[str]:
    """The words that a name is made of, in small letters and, of what is counted, in the singular, too."""
    words = set(re.findall(r"[a-z]+", re.sub("([a-z])([A-Z])", r"\1 \2", name).lower()))
    return words | {word.removesuffix("s") for word in words}


def glossary() -> dict[str, str]:
    """ARCHITECTURE.md's own words, and what each means."""
    table = (ROOT / "ARCHITECTURE.md").read_text().partition("\n| word | meaning |\n")[2]
    rows = [line.strip("| ").split(" | ", 1) for line in table.splitlines() if line.startswith("| ")]
    return {word.strip(): meaning for names, meaning in rows for word in names.split(",") if "---" not in names}
