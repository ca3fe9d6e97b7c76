"""Every store: reachable by both of our clients, conditional puts, clock, certificates, addressing, rights."""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from modelcast.cli.doctor.checks import Check, Result, Unit, failed, known
from modelcast.cli.doctor.clocks import judge_clock
from modelcast.cli.doctor.roles import (
    BUCKET,
    ORIGIN_ROLES,
    REGION_ROLES,
    Rights,
    RightsSeen,
    Role,
    calls_of,
    judge_roles,
)
from modelcast.schemas.errors import ModelcastError, NotFound, Refused

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings, StoreSettings
    from modelcast.infra.stores import S3Store
    from modelcast.schemas.ports import ObjectStore

SECONDS_MAX = 45.0
"""Of one store: an unreachable one is known in under 30 s."""
TRIAL = "doctor-check"
BOTO3 = "boto3"


def units(settings: "Settings", role: str = "") -> list[Unit]:
    """What is looked at in the stores."""
    if not settings.stores:
        hint = "set MODELCAST_STORES__ORIGIN__URL=s3://bucket"
        return [known(Check("store origin", Result.error, "not set", hint))]
    found = []
    for alias, section in settings.stores.items():
        found.append(_unit(f"store {alias}", section, ORIGIN_ROLES, role))
    for name, region in settings.regions.items():
        if region.store is not None:
            found.append(_unit(f"store of region {name}", region.store, REGION_ROLES, role))
    return [*found, Unit("registry", partial(_check_registry, settings), SECONDS_MAX)]


def _unit(subject: str, section: "StoreSettings", roles: Sequence[Role], role: str) -> Unit:
    from modelcast.infra.stores.configured import store_of

    fitting = role.split(maxsplit=1)[0] if role else ""
    wanted = fitting if fitting in {each.name for each in roles} else ""
    return Unit(subject, lambda: _check_store(subject, store_of(section), roles, wanted), SECONDS_MAX)


def _check_registry(settings: "Settings") -> Iterator[Check]:
    from modelcast.infra.registry.configured import registry_of

    if "origin" not in settings.stores:
        return
    try:
        yield Check("registry", Result.ok, registry_of(settings).registry_id())
    except NotFound as error:
        yield Check("registry", Result.warning, error.message, error.hint)


def _check_store(subject: str, store: "S3Store", roles: Sequence[Role], role: str) -> Iterator[Check]:
    from modelcast.infra.stores import prove_conditional_puts
    from modelcast.infra.stores.s3.client_trials import try_clients

    tried = try_clients(store)
    yield from judge_clients(subject, tried.answers, tried.host, tried.other_style)
    if tried.answers[BOTO3] is not None:
        return
    proved = False
    try:
        prove_conditional_puts(store)
        proved = True
        yield Check(subject, Result.ok, f"{store.name}: honours conditional puts")
        yield _check_clock(subject, store)
    except Refused as error:
        if "denied" not in error.message:
            yield failed(subject, error)
            return
        message = f"{store.name}: these credentials may not write below checks/, so conditional puts are not proved"
        yield Check(f"{subject}: conditional puts", Result.skipped, message, "run `doctor` as the publisher once")
    yield from judge_roles(subject, roles, try_rights(store, calls_of(roles), conditional=proved), role)


def _check_clock(subject: str, store: "ObjectStore") -> Check:
    key = f"checks/clock-{time.time_ns()}"
    began = time.time()
    try:
        theirs_us = store.put(key, b"").last_modified_us
    finally:
        store.delete(key)
    return judge_clock(f"{subject}: clock", began, theirs_us / 1e6, time.time())


def judge_clients(
    subject: str, answers: "Mapping[str, ModelcastError | None]", host: str, other_style: str = ""
) -> Iterator[Check]:
    """Whether every way to the store works, and the same certificates serve all.

    Args:
        subject: which store.
        answers: what each client (boto3, our own) met; None: an answer of the store's.
        host: of the URLs that are asked.
        other_style: how URLs have to name the bucket for the store to answer, if that is otherwise; "": it is not.
    """
    failures = {name: error for name, error in answers.items() if error is not None}
    if not failures:
        yield Check(f"{subject}: address", Result.ok, f"{host}, by {' and '.join(answers)}")
        return
    for name, error in failures.items():
        check = failed(f"{subject}: address", error)
        detail = f"{check.detail} (by {name}, at {host})"
        if other_style:
            hint = f"it answers {other_style} style: set addressing_style = {other_style} below `s3 =` in ~/.aws/config"
            yield Check(check.subject, Result.error, detail, hint)
        elif answers[BOTO3] is None:
            message = f"{detail}; {BOTO3} gets through"
            yield Check(check.subject, Result.error, message, check.hint)
        else:
            yield Check(check.subject, check.result, detail, check.hint)
            return  # the other fails alike


def try_rights(store: "ObjectStore", wanted: Rights, *, conditional: bool) -> RightsSeen:
    """Try each call so that it changes nothing, whatever comes of it.

    Reading and deleting name an object that does not exist. A put comes with a condition that can't hold, so it is
    refused by the condition where it is not refused by rights; that is tried only where conditions are honoured.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    allowed: set[tuple[str, str]] = set()
    untried: dict[tuple[str, str], str] = {}
    for operation, name in sorted(wanted):
        if operation == "put" and not conditional:
            untried[operation, name] = "puts were not tried"
        elif _may(store, operation, name):
            allowed.add((operation, name))
    return RightsSeen(frozenset(allowed), untried)


def _may(store: "ObjectStore", operation: str, name: str) -> bool:
    from itertools import islice

    from modelcast.schemas.ports import PreconditionFailed

    key = f"{name}{TRIAL}"
    try:
        match operation:
            case "list":
                list(islice(store.list("" if name == BUCKET else name), 1))
            case "get":
                store.get(key, size_max=1024)
            case "delete":
                store.delete(key)
            case _:
                store.put(key, b"", if_match=NO_ETAG)
    except PreconditionFailed:
        return True
    except Refused:
        return False
    return True


NO_ETAG = '"00000000000000000000000000000000"'
