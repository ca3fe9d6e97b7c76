"""``modelcast load``: sends predictions to pods at a steady rate, and shows what each version did with them."""

from typing import TYPE_CHECKING, Annotated

import typer

from modelcast.cli.configured import load
from modelcast.cli.console import Format, TextTable, emit, say
from modelcast.cli.options import Output, seconds_of
from modelcast.schemas.errors import ContentError, TransportError, UsageError, VerificationFailed
from modelcast.schemas.names import check_model
from modelcast.schemas.quantities import number

if TYPE_CHECKING:
    from modelcast.cli.load.tally import LoadReport

RATE_MAX = 100_000.0
REQUEST_SIZE_MAX = 64 * 1024 * 1024


def register(app: typer.Typer) -> None:
    """Add ``load`` to the command line."""
    app.command("load")(generate_load)


def generate_load(
    model: Annotated[str, typer.Argument(help="The model, as in fraud.")],
    region: Annotated[
        list[str] | None, typer.Option("--region", "-r", help="Pods of this region, by the settings. Without it, all.")
    ] = None,
    url: Annotated[
        list[str] | None, typer.Option("--url", help="Instead: base URLs of pods, or of what is before them.")
    ] = None,
    rate: Annotated[float, typer.Option("--rate", help="Requests a second, of all pods together.")] = 20.0,
    seconds: Annotated[str, typer.Option("--for", help="How long, as in 30s, 5m.")] = "10s",
    request: Annotated[
        str, typer.Option("--request", help="File with a V2 request. Without it, random numbers that fit.")
    ] = "",
    key: Annotated[
        str, typer.Option("--key", help="header:NAME: each request has a user, as rollouts draw them.")
    ] = "",
    users: Annotated[int, typer.Option("--users", min=1, help="With --key: how many, in turn.")] = 1000,
    expect: Annotated[
        list[int] | None, typer.Option("--expect", min=1, help="Versions that may answer. Exit code 4: another did.")
    ] = None,
    timeout: Annotated[str, typer.Option("--timeout", help="After which a request has failed.")] = "10s",
    output: Output = Format.table,
) -> None:
    """Send predictions at a steady rate, whether or not they are answered, and show what each version did.

    Latencies are counted from when a request was due.
    """
    import asyncio

    from modelcast.cli.load.generator import LoadPlan, run_load
    from modelcast.cli.load.tally import LoadTally

    name = check_model(model)
    for_seconds, timeout_seconds = seconds_of(seconds), seconds_of(timeout)
    if not 0 < rate <= RATE_MAX or not 0 < for_seconds <= 86_400 or not timeout_seconds > 0:
        raise UsageError(f"bad --rate {rate:g}, --for {seconds} or --timeout {timeout}", subject=name,
                         hint=f"above 0; at most {RATE_MAX:,.0f} a second, for a day")  # fmt: skip
    urls, header, tally = url or _urls(region or []), _header(key), LoadTally(frozenset(expect or ()))
    bodies = _request(request) if request else asyncio.run(_made_up(urls[0], name, timeout_seconds))
    plan = LoadPlan(urls, name, bodies, rate, for_seconds, timeout_seconds, header, users)
    try:
        asyncio.run(run_load(plan, tally))
    except KeyboardInterrupt:
        say("stopped: what was found until then")
    report = tally.report()
    emit(report, output, _table(report))
    if report.failures == report.requests:
        why = report.examples[0] if report.examples else "nothing was sent"
        raise TransportError(f"no request was answered: {why}", subject=name, hint=f"modelcast describe {name}")
    if report.wrong_version:
        raise VerificationFailed(f"{number(report.wrong_version)} answers were of other versions", subject=name,
                                 hint=f"modelcast get {name}")  # fmt: skip


def _urls(regions: list[str]) -> list[str]:
    """The pods that the settings name, of these regions or of all."""
    settings = load()
    unknown = sorted(set(regions) - settings.regions.keys())
    if unknown:
        known = ", ".join(sorted(settings.regions))
        raise UsageError(f"the settings list no region {', '.join(unknown)}", hint=f"known: {known or 'none'}")
    found = [pod for name in regions or sorted(settings.regions) for pod in settings.regions[name].pod_urls]
    if not found:
        hint = "give --url, as of a load balancer; pods that are discovered are not looked for here"
        raise UsageError("the settings name no pods", hint=hint)
    return found


def _header(key: str) -> str:
    from modelcast.schemas.traffic.request_key import KeySource, RequestKey

    parsed = RequestKey.parse(key)
    if parsed.source is KeySource.FIELD:
        raise UsageError(f"bad --key {key!r}", hint="users are sent in a header: --key header:NAME")
    return parsed.name if parsed.source is KeySource.HEADER else ""


def _request(file: str) -> list[bytes]:
    from pathlib import Path

    import orjson

    with Path(file).open("rb") as opened:
        body = opened.read(REQUEST_SIZE_MAX + 1)
    if len(body) > REQUEST_SIZE_MAX:
        raise ContentError(f"more than {REQUEST_SIZE_MAX:,} bytes", subject=file, hint="pods take no such request")
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ContentError(f"not JSON: {error}", subject=file, hint='{"inputs": [...]}, as V2 has it') from None
    return [body]


async def _made_up(url: str, model: str, timeout_seconds: float) -> list[bytes]:
    import random

    import aiohttp
    import orjson

    from modelcast.cli.load.bodies import made_up
    from modelcast.cli.load.generator import read_metadata

    try:
        metadata = await read_metadata(url, model, timeout_seconds)
        return [orjson.dumps(body) for body in made_up(metadata, random.Random(0))]
    except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
        why = f"its metadata can't be read: {error or type(error).__name__}"
        raise TransportError(why, subject=f"{model} at {url}", hint=f"modelcast describe {model}") from None


def _table(report: "LoadReport") -> TextTable:
    late = f"{number(report.not_sent)} not sent; sent at most {1000 * report.sent_late_seconds:.0f} ms late"
    others = f"{number(report.wrong_version)} of another version; {number(report.went_back)} back to one that was left"
    shown = TextTable("VERSION", "REQUESTS", "FAILURES", "P50", "P99", box=None, caption=f"{late}; {others}",
                      caption_justify="left")  # fmt: skip
    for each in report.versions:
        shown.add_row(
            "-" if each.version is None else str(each.version),
            number(each.requests),
            number(each.failures),
            _milliseconds(each.p50_seconds),
            _milliseconds(each.p99_seconds),
        )
    return shown


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.1f} ms"
