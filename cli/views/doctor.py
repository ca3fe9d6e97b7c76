"""``modelcast doctor``: is everything there that Modelcast needs, and if not, how is it mended?"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from modelcast.cli.configured import load
from modelcast.cli.console import Format, emit
from modelcast.cli.options import Output
from modelcast.schemas.errors import ExitCode, ModelcastError, TransportError, UsageError

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings

CLOCK_OFFSET_SECONDS_MAX = 5.0
KAFKA_CHECK_SECONDS = 8.0


class Result(StrEnum):
    """What a check came to."""

    ok = "ok"
    warning = "warning"
    error = "error"
    unreachable = "unreachable"
    skipped = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at, and how to mend it."""

    subject: str
    result: Result
    detail: str
    hint: str = ""


Checker = Callable[["Settings"], Iterator[Check]]


def register(app: typer.Typer) -> None:
    """Add ``doctor`` to the command line."""
    app.command()(doctor)


def doctor(
    only: Annotated[list[str] | None, typer.Option("--only", help="python, kafka, store, logs, redis or pods.")] = None,
    output: Output = Format.table,
) -> None:
    """Check Python, Kafka, the stores, the registry's logs, Redis and the pods, and say how to mend what is wrong.

    Exit code 0: all is well (warnings allowed); 1: something is wrong; 6: something can't be reached.
    """
    from concurrent.futures import ThreadPoolExecutor

    settings = load()
    chosen = {name: check for name, check in CHECKERS.items() if not only or name in only}
    if not chosen or (only and set(only) - set(CHECKERS)):
        raise UsageError("no such check", hint=f"--only takes {', '.join(CHECKERS)}")
    with ThreadPoolExecutor(len(chosen)) as threads:
        found = [c for checks in threads.map(lambda n: _run(n, chosen[n], settings), chosen) for c in checks]
    colours = {Result.ok: "green", Result.warning: "yellow", Result.skipped: "dim"}
    table = Table("", "WHAT", "FOUND", box=None)
    for check in found:
        colour = colours.get(check.result, "bold red")
        detail = check.detail + (f"\n→ {check.hint}" if check.hint and check.result is not Result.ok else "")
        table.add_row(Text(check.result.value, style=colour), check.subject, detail)
    emit(found, output, table)
    results = {c.result for c in found}
    if Result.error in results:
        raise typer.Exit(int(ExitCode.FAILED))
    if Result.unreachable in results:
        raise typer.Exit(int(ExitCode.UNREACHABLE))


def _run(name: str, checker: Checker, settings: "Settings") -> list[Check]:
    checks: list[Check] = []
    try:
        checks.extend(checker(settings))
    except ModelcastError as error:
        checks.append(failed(name, error))
    return checks


def failed(subject: str, error: ModelcastError) -> Check:
    """A check that ended in an error."""
    result = Result.unreachable if isinstance(error, TransportError) else Result.error
    where = f"{subject}: {error.subject}" if error.subject else subject
    return Check(where, result, error.message, error.hint)


def check_python(settings: "Settings") -> Iterator[Check]:
    """The interpreter and the libraries that Modelcast leans on."""
    from importlib.metadata import PackageNotFoundError, version

    from modelcast.infra.settings import config_path

    found = ".".join(map(str, sys.version_info[:3]))
    new_enough = sys.version_info >= (3, 11)
    yield Check("python", Result.ok if new_enough else Result.error, found, "install Python 3.11 or newer")
    yield Check("settings", Result.ok, str(config_path() or "variables and defaults only"))
    extras = {"faust-streaming": "region", "aiokafka": "region", "onnxruntime": "pod", "aiohttp": "pod"}
    for package, extra in extras.items():
        try:
            yield Check(f"python: {package}", Result.ok, version(package))
        except PackageNotFoundError:
            hint = f"pip install 'modelcast[{extra}]'"
            yield Check(f"python: {package}", Result.skipped, f"not installed; only {extra}s need it", hint)


def check_kafka(settings: "Settings") -> Iterator[Check]:
    """The cluster, its topics, and that records lie in the partitions where readers look for them."""
    from modelcast.infra.kafka.admin import broker_version, check_topics, describe, misplaced
    from modelcast.schemas.topics import Topic

    hurried = settings.model_copy(
        update={"kafka": settings.kafka.model_copy(update={"timeout_seconds": KAFKA_CHECK_SECONDS})}
    )
    cluster = describe(hurried)
    yield Check("kafka", Result.ok, f"cluster {cluster.cluster_id}, {len(cluster.brokers)} broker(s)")
    release = broker_version(hurried)
    result = Result.skipped if release is None else Result.ok if release.startswith("4") else Result.warning
    hint = "Modelcast is tested with Kafka 4.x; older clusters must keep LogAppendTime, which the topics' check tells"
    yield Check("kafka: version", result, release or "this user may not read the brokers' settings", hint)
    findings = check_topics(hurried)
    for finding in findings:
        result = Result.error if finding.severity == "error" else Result.warning
        yield Check(f"kafka: {finding.subject}", result, finding.problem, finding.hint)
    if not findings:
        yield Check("kafka: topics", Result.ok, f"{len(cluster.topics)} as they must be")
    if any(f.subject == Topic.MODEL_UPDATES and f.severity == "error" for f in findings):
        return
    elsewhere = misplaced(hurried, Topic.MODEL_UPDATES)
    detail = "the newest records lie where murmur2 puts them"
    if elsewhere:
        detail = f"misplaced: {', '.join(key or '(no key)' for key in elsewhere[:5])}"
    hint = "a producer uses another partitioner: set partitioner=murmur2_random there; the log repairs what was missed"
    yield Check("kafka: partitioner", Result.warning if elsewhere else Result.ok, detail, hint)


def check_stores(settings: "Settings") -> Iterator[Check]:
    """Every store: reachable, honours conditional puts, and a clock near ours."""
    from modelcast.infra.registry.reader import RegistryReader
    from modelcast.infra.stores.configured import origin_store, store_of
    from modelcast.schemas.errors import NotFound

    sections = {f"store {alias}": s for alias, s in settings.stores.items()}
    sections |= {f"store of region {name}": r.store for name, r in settings.regions.items() if r.store}
    if not settings.stores:
        yield Check("store origin", Result.error, "not set", "set MODELCAST_STORES__ORIGIN__URL=s3://bucket")
    for subject, section in sections.items():
        try:
            yield from _check_store(subject, store_of(section))
        except ModelcastError as error:
            yield failed(subject, error)
    if "origin" in settings.stores:
        try:
            yield Check("registry", Result.ok, RegistryReader(origin_store(settings)).registry_id())
        except NotFound as error:
            yield Check("registry", Result.warning, error.message, error.hint)


def _check_store(subject: str, store: "object") -> Iterator[Check]:
    from modelcast.infra.stores import S3Store, probe_conditional_puts

    assert isinstance(store, S3Store)
    probe_conditional_puts(store)
    yield Check(subject, Result.ok, f"{store.name}: honours conditional puts")
    key = f"probes/clock-{time.time_ns()}"
    try:
        theirs_us = store.put(key, b"").last_modified_us
    finally:
        store.delete(key)
    offset = abs(theirs_us / 1e6 - time.time())
    result = Result.ok if offset <= CLOCK_OFFSET_SECONDS_MAX else Result.warning
    hint = "nothing breaks by it, but ages and lags shown here are off by that much: run NTP on both"
    yield Check(f"{subject}: clock", result, f"{offset:.1f} s from ours", hint)


def check_logs(settings: "Settings") -> Iterator[Check]:
    """Every entry of the registry's logs, and whether regions obey just these."""
    from modelcast.cli.views import doctor_logs

    yield from doctor_logs.check_logs(settings)


def check_redis(settings: "Settings") -> Iterator[Check]:
    """The live view's server."""
    import redis

    client = redis.Redis.from_url(settings.redis.url.get_secret_value(), socket_timeout=settings.redis.timeout_seconds)
    try:
        client.ping()
        info = client.info("server")
        assert isinstance(info, dict)
        yield Check("redis", Result.ok, f"version {info.get('redis_version', '?')}")
    except (redis.RedisError, OSError) as error:
        hint = "is it up at redis.url? Without it commands read Kafka instead, and nothing is lost"
        yield Check("redis", Result.unreachable, str(error), hint)
    finally:
        client.close()


def check_pods(settings: "Settings") -> Iterator[Check]:
    """Every pod that the settings name: alive, and ready to take traffic."""
    import http.client
    from urllib.parse import urlsplit

    pods = [(name, url) for name, region in settings.regions.items() for url in region.pods]
    if not pods:
        yield Check("pods", Result.skipped, "the settings name none", "set [regions.NAME] pods = ['http://…']")
    for region, url in pods:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=3)
        try:
            connection.request("GET", f"{parts.path.rstrip('/')}/v2/health/ready")
            status = connection.getresponse().status
            ready = status == 200
            detail = "ready" if ready else f"answers {status}: not ready"
            result = Result.ok if ready else Result.warning
            yield Check(f"pod {region} {url}", result, detail, "it may be starting or draining; see its log")
        except (OSError, http.client.HTTPException) as error:
            yield Check(f"pod {region} {url}", Result.unreachable, str(error), "is it up? see its log")
        finally:
            connection.close()


CHECKERS: dict[str, Checker] = {
    "python": check_python,
    "kafka": check_kafka,
    "store": check_stores,
    "logs": check_logs,
    "redis": check_redis,
    "pods": check_pods,
}
