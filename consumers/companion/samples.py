"""The artifact's recorded samples, asked of another server: what it answers decides whether a version may take traffic.

A version with samples is loaded twice: first under another name, where no request goes, then in the place of the old
one. So an answer that is not the recorded one reaches nobody.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from modelcast.consumers.companion.layouts.version_layout import Files, ReadFile
from modelcast.consumers.pod.engine import NotLoadable
from modelcast.consumers.pod.sample import SAMPLE_FILE, SAMPLE_SIZE_MAX, RecordedSample, answer_difference, read_samples
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed

TRIAL_SUFFIX = ".trial"  # no model's name holds a dot

Ask = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""(the name under which it is loaded, V2's request) -> V2's answer. Raises ``LoadFailed``: there is none."""


def trial_name(model: str) -> str:
    """Under which name a version of ``model`` is tried."""
    return model + TRIAL_SUFFIX


def samples_of(files: Files, read: ReadFile) -> tuple[RecordedSample, ...]:
    """The artifact's samples of the whole model; those of its parts are for our own pod alone.

    Raises:
        NotLoadable: they are damaged, or too large.
    """
    if SAMPLE_FILE not in files:
        return ()
    if files[SAMPLE_FILE] > SAMPLE_SIZE_MAX:
        raise NotLoadable(f"more than {SAMPLE_SIZE_MAX} bytes", subject=SAMPLE_FILE)
    return tuple(sample for sample in read_samples(read(SAMPLE_FILE)) if not sample.part)


async def compare_answers(name: str, samples: Sequence[RecordedSample], ask: Ask) -> None:
    """Ask each sample of what is loaded as ``name``.

    Raises:
        LoadFailed: an answer is not the recorded one, and how; or there is none.
    """
    for sample in samples:
        if message := answer_difference(sample, await ask(name, sample.request)):
            raise LoadFailed(f"the recorded sample is answered otherwise: {message}", code=BLAMES_THE_VERSION)
