"""The artifact's recorded samples, asked of another server: what it answers decides whether a version may take traffic.

A version with samples is loaded twice: first under another name, where no request goes, then in the place of the old
one. So an answer that is not the recorded one reaches nobody.

Others may drive the server, too. So its memory is asked before a sample and after one that was answered otherwise, and
only what the version itself answered twice counts against it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from modelcast.consumers.companion.identity import ONE_EACH, check_held
from modelcast.consumers.companion.layouts.version_layout import Files, ReadFile
from modelcast.consumers.pod.engine import Served, Unsupported
from modelcast.consumers.pod.sample import SAMPLE_FILE, SAMPLE_SIZE_MAX, RecordedSample, answer_difference, read_samples
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed, LoadOrder

TRIAL_SUFFIX = ".trial"  # no model's name holds a dot


def trial_name(model: str) -> str:
    """Under which name a version of ``model`` is tried."""
    return model + TRIAL_SUFFIX


def samples_of(files: Files, read: ReadFile) -> tuple[RecordedSample, ...]:
    """The artifact's samples of the whole model; those of its parts are for our own pod alone.

    Raises:
        NotLoadable: they are damaged.
        Unsupported: they are larger than a companion reads.
    """
    if SAMPLE_FILE not in files:
        return ()
    if files[SAMPLE_FILE] > SAMPLE_SIZE_MAX:
        raise Unsupported(
            f"{files[SAMPLE_FILE]} bytes, a companion reads at most {SAMPLE_SIZE_MAX}",
            subject=SAMPLE_FILE,
            hint="publish it with fewer or smaller samples",
        )
    return tuple(sample for sample in read_samples(read(SAMPLE_FILE)) if not sample.part)


class SampledServer(Protocol):
    """What is asked for its answers, and of its memory."""

    async def ask_sample(self, name: str, version: int, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """V2's answer of what is loaded as ``name``; from that version alone, where the server can be asked so.

        Raises:
            LoadFailed: there is none.
        """
        ...

    async def held(self, model: str) -> Served | None:
        """What its memory names. Raises ``PodUnreachable``."""
        ...


async def compare_answers(
    server: SampledServer, name: str, order: LoadOrder, samples: Sequence[RecordedSample]
) -> None:
    """Ask each sample of the version, which is loaded as ``name``.

    Raises:
        LoadFailed: an answer is not the recorded one, and how; there is none; or the server holds another version,
            which blames nothing.
        PodUnreachable: the server's memory can't be asked.
    """
    if samples:  # else the server has not been asked anything that depends on it
        check_held(await server.held(name), order, name)
    for sample in samples:
        failed = await _failure(server, name, order, sample)
        if failed is None:
            continue
        if failed.code != BLAMES_THE_VERSION:
            raise failed
        check_held(await server.held(name), order, name)
        again = await _failure(server, name, order, sample)
        check_held(await server.held(name), order, name)
        if again is None:
            message = f"{failed.message}; asked again, it answers as recorded"
            raise LoadFailed(message, code="unconfirmed", subject=name, hint=ONE_EACH)
        raise failed if again.code == BLAMES_THE_VERSION else again


async def _failure(server: SampledServer, name: str, order: LoadOrder, sample: RecordedSample) -> LoadFailed | None:
    """How an answer is not the recorded one; None: it is."""
    try:
        answer = await server.ask_sample(name, order.version, sample.request)
    except LoadFailed as failed:
        return failed
    if message := answer_difference(sample, answer):
        return LoadFailed(f"the recorded sample is answered otherwise: {message}", code=BLAMES_THE_VERSION)
    return None
